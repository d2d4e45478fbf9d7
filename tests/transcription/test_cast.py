"""Who plays: one that a few notes are named for takes in those that might be its own, and nothing that could not."""

from __future__ import annotations

import numpy as np
import pytest

from solfa.transcription.cast import Cast

Array = np.ndarray


def heard(*rows: dict[int, float]) -> Array:
    """Logits of notes whose programs have these chances; all others are alike in what is left."""
    table = []
    for row in rows:
        rest = (1 - sum(row.values())) / (129 - len(row))
        table.append([np.log(row.get(program, rest)) for program in range(129)])
    return np.array(table, np.float32)


PIANO, ORGAN = {0: 0.9}, {19: 0.9}
UNSURE = {0: 0.3, 4: 0.4}  # a piano's, by the sound of it rather an electric one's


def test_what_is_unsure_goes_to_who_plays() -> None:
    assert Cast().name(heard(UNSURE)).tolist() == [4]
    assert Cast().name(heard(PIANO, UNSURE, PIANO, PIANO)).tolist() == [0, 0, 0, 0]
    assert Cast().name(heard(PIANO, ORGAN, UNSURE, ORGAN, PIANO)).tolist() == [0, 19, 0, 19, 0]


def test_what_was_heard_before_counts_and_fades() -> None:
    cast = Cast()
    assert cast.name(heard(*[PIANO] * 4)).tolist() == [0] * 4
    assert cast.name(heard(UNSURE)).tolist() == [0]
    for _ in range(30):
        assert cast.name(heard(ORGAN)).tolist() == [19]
    assert cast.name(heard(UNSURE)).tolist() == [4]


def test_who_begins_to_play_after_long_is_heard() -> None:
    cast = Cast()
    for _ in range(20):
        cast.name(heard(*[PIANO] * 400))
    assert cast.name(heard({19: 0.99, 0: 0.003})).tolist() == [19]


def test_order_and_number_within_a_call_do_not_matter() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (40, 129)).astype(np.float32)
    order = np.random.default_rng(1).permutation(40)
    one, other, twice = Cast(), Cast(), Cast()
    for _ in range(2):
        names = one.name(logits)
        assert (other.name(logits[order]) == names[order]).all()
        assert (twice.name(np.concatenate([logits, logits]))[:40] == names).all()
    assert (names != logits.argmax(1)).any()


@pytest.mark.filterwarnings("error")
def test_what_is_ruled_out_stays_so() -> None:
    told = np.full((3, 129), -np.inf, np.float32)
    told[:2, [0, 40]], told[2, 128] = 1.0, -50.0
    cast = Cast()
    assert cast.name(heard(ORGAN, ORGAN)).tolist() == [19, 19]
    found = cast.name(told)
    assert set(found[:2].tolist()) <= {0, 40} and found[2] == 128
    assert cast.name(told[:0]).tolist() == []
