"""The losses of ABC: hand-computed values, and what must hold for any two tunes."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.data.composer.instruments import INSTRUMENTS
from solfa.eval.abc import (
    DRUMS,
    MAX_NOTES,
    MEASURES,
    UNREADABLE,
    AbcLosses,
    abc_losses,
    eased,
    instrument_loss,
    instrument_of,
    metre_loss,
    tempo_loss,
)
from solfa.score.abc import read_abc, write_abc
from solfa.score.sheet.notation import BarLength, Sheet, Symbol, Tempo, Voice

NAMES = [instrument.name for instrument in INSTRUMENTS]
ZERO = Fraction(0)
DUET = """X:1
M:4/4
L:1/4
Q:1/4=100
V:1
%%MIDI program 40
V:2
%%MIDI program 42
K:C
V:1
CDEF|GABc|
V:2
C,2[C,G,]2|C,4|
"""


def voice(pitches: list[int], program: int = 40, is_drum: bool = False, name: str = "") -> Voice:
    symbols = tuple(Symbol(Fraction(i), Fraction(1), (pitch,)) for i, pitch in enumerate(pitches))
    return Voice(name, program, is_drum, "treble", symbols)


def sheet(*voices: Voice, metre: tuple[int, int] = (4, 4), tempo: float = 100.0) -> Sheet:
    return Sheet(voices, (BarLength(ZERO, *metre),), tempi=(Tempo(ZERO, tempo),))


def losses(reference: Sheet, estimate: Sheet) -> AbcLosses:
    return abc_losses(reference, estimate, NAMES)


tunes = st.lists(st.tuples(st.lists(st.integers(58, 62), max_size=6), st.sampled_from([0, 1, 40, 41, 73])), max_size=4)
metres = st.tuples(st.integers(1, 16), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
sheets = st.builds(
    lambda parts, metre, tempo: sheet(*(voice(p, k) for p, k in parts), metre=metre, tempo=tempo),
    tunes,
    metres,
    st.floats(4, 1000),
)


def test_by_hand() -> None:
    """Metre 3/4, tempo 10 off, one wrong note of eight of four of twelve, and a flute for the cello."""
    truth = read_abc(DUET)
    other = DUET.replace("=100", "=110").replace("program 42", "program 73").replace("GABc", "GABd")
    found = losses(truth, read_abc(other))
    assert found.pitch == 1 / 12  # eight notes and four: C, (C, G,) C,
    assert found.tempo == 0.2 and found.metre == 0
    assert found.instrument == pytest.approx((0 + 5 / 5) / 2)  # cello and flute have no letter in one place
    assert found.loss == pytest.approx(0.5 / 12 + 0.15 * 0.2 + 0.2 * 0.5)
    assert losses(truth, truth) == AbcLosses(0, 0, 0, 0) and UNREADABLE.loss == 1
    assert losses(truth, read_abc(write_abc(truth))) == AbcLosses(0, 0, 0, 0)


def test_metres_by_hand() -> None:
    def loss(a: tuple[int, int], b: tuple[int, int]) -> float:
        return metre_loss(BarLength(ZERO, *a), BarLength(ZERO, *b))

    assert loss((4, 4), (3, 4)) == pytest.approx((0.25 + 0 + 0.5) / 3)
    assert loss((4, 4), (2, 2)) == pytest.approx((0.5 + 0.25 + 0) / 3)
    assert loss((3, 4), (6, 8)) == pytest.approx((1 - 0.5 * np.exp(-0.5) + 0.5 + 0) / 3)
    assert loss((4, 4), (2, 4)) == pytest.approx((0.5 + 0 + 1 - 0.5 * np.exp(-1)) / 3)


def test_tempi_by_hand() -> None:
    assert tempo_loss(100, 100) == 0 and tempo_loss(100, 95) == tempo_loss(95, 100) == pytest.approx(0.1)
    assert tempo_loss(100, 110) == pytest.approx(0.2)
    assert tempo_loss(100, 120) == pytest.approx(1 - 0.8 * np.exp(-0.25))
    assert tempo_loss(100, 160) == pytest.approx(1 - 0.8 * np.exp(-1.25))


def test_instruments_by_hand() -> None:
    assert instrument_loss(40, 40, NAMES) == 0 and instrument_loss(DRUMS, DRUMS, NAMES) == 0
    assert instrument_loss(40, 42, NAMES) == 0.5  # strings
    assert instrument_loss(40, DRUMS, NAMES) == instrument_loss(DRUMS, 0, NAMES) == 1
    assert instrument_loss(40, 110, NAMES) == pytest.approx(5 / 6)  # violin, fiddle: an i in one place
    assert instrument_loss(4, 5, NAMES) == 0.5 == instrument_loss(48, 50, NAMES)
    assert instrument_loss(53, 54, NAMES) == 0.5  # of one family; and no two of others are nearer than that
    assert min(instrument_loss(a, b, NAMES) for a in (0, 39, 53, 62) for b in range(128) if a // 8 != b // 8) >= 0.5
    assert instrument_loss(32, 0, NAMES) == instrument_loss(0, 32, NAMES) == pytest.approx(10 / 20)


@pytest.mark.parametrize(
    ("name", "program", "expected"),
    [("Violin I", 0, 40), ("violin", 73, 73), ("Strings II", 0, 44), ("Organ 2", 0, 16), ("Piano", 0, 0), ("English Horn", 0, 69),
     ("Muted Trumpet", 0, 59), ("melody", 0, 0), ("", 5, 5), ("1", 0, 0), ("Bassoon", 0, 70)],
)  # fmt: skip
def test_what_plays_a_voice(name: str, program: int, expected: int) -> None:
    assert instrument_of(voice([60], program, name=name), NAMES) == expected
    assert instrument_of(voice([60], program, True, name), NAMES) == DRUMS


@given(sheets, sheets)
def test_losses_are_from_0_to_1(a: Sheet, b: Sheet) -> None:
    found = losses(a, b)
    assert all(0 <= value <= 1 for value in (*vars(found).values(), found.loss))
    assert losses(a, a) == AbcLosses(0, 0, 0, 0)
    other = losses(b, a)
    assert (found.pitch, found.instrument) == pytest.approx((other.pitch, other.instrument))
    assert set(vars(found)) | {"loss"} == {measure.name for measure in MEASURES}


@given(sheets, sheets, st.randoms(use_true_random=False))
def test_the_order_of_voices_does_not_matter(a: Sheet, b: Sheet, random) -> None:
    shuffled = replace(b, voices=tuple(random.sample(b.voices, len(b.voices))))
    assert vars(losses(a, shuffled)) == pytest.approx(vars(losses(a, b)))
    assert losses(b, shuffled) == AbcLosses(0, 0, 0, 0)


@given(tunes)
def test_a_voice_dropped_or_added_never_helps(parts: list[tuple[list[int], int]]) -> None:
    """Of a perfect estimate: the loss of pitch is the share of the notes that are missing, or that are too many."""
    whole = [voice(pitches, program) for pitches, program in parts]
    notes = [len(pitches) for pitches, _ in parts]
    last = AbcLosses(0, 0, 0, 0)
    for kept in range(len(whole), -1, -1):
        found, other = losses(sheet(*whole), sheet(*whole[:kept])), losses(sheet(*whole[:kept]), sheet(*whole))
        assert found.pitch == other.pitch == pytest.approx(sum(notes[kept:]) / max(1, sum(notes)))
        assert found.pitch >= last.pitch and found.instrument >= last.instrument
        last = found


@given(st.lists(st.integers(50, 70), min_size=1, max_size=12), st.data())
def test_more_wrong_notes_are_no_better(pitches: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(pitches))))
    last, now = 0.0, list(pitches)
    for place in order:
        now[place] = 100  # nowhere in the truth
        loss = losses(sheet(voice(pitches)), sheet(voice(now))).pitch
        assert loss > last
        last = loss
    assert last == 1


@given(st.floats(0, 500), st.floats(0, 500), st.floats(4, 300))
def test_tempo_errors_only_grow(a: float, b: float, tempo: float) -> None:
    less, more = sorted((a, b))
    assert tempo_loss(tempo, tempo + less) <= tempo_loss(tempo, tempo + more) <= 1


def test_metre_errors_only_grow() -> None:
    wanted = BarLength(ZERO, 4, 4)
    found = [metre_loss(wanted, BarLength(ZERO, count, 4)) for count in range(4, 30)]
    assert all(a < b <= 1 for a, b in pairwise(found))


def test_the_loss_has_no_step_and_no_bend() -> None:
    knee, height, step = 10.0, 0.2, 1e-6
    left = (eased(knee, knee, height) - eased(knee - step, knee, height)) / step
    right = (eased(knee + step, knee, height) - eased(knee, knee, height)) / step
    assert left == pytest.approx(height / knee) == pytest.approx(right, rel=1e-4)
    assert eased(0, knee, height) == 0 and eased(1e9, knee, height) == 1


def test_changes_weigh_as_long_as_they_last() -> None:
    """Six quarters at the right tempo, two at one that is 10 off; what comes after the last note does not count."""
    truth = sheet(voice([60] * 8))
    slower = (Tempo(ZERO, 100.0), Tempo(Fraction(6), 90.0), Tempo(Fraction(12), 4.0))
    assert losses(truth, replace(truth, tempi=slower)).tempo == pytest.approx(0.2 * 2 / 8)
    waltz = (BarLength(ZERO, 4, 4), BarLength(Fraction(4), 3, 4))
    assert losses(truth, replace(truth, metres=waltz)).metre == pytest.approx(0.25 / 2)
    empty = sheet(tempo=110.0)
    assert losses(empty, sheet()).tempo == pytest.approx(0.2)  # of no notes, what the header says
    assert losses(empty, empty) == AbcLosses(0, 0, 0, 0)


def test_a_swap_of_instruments_is_seen_and_an_octave_is_an_error() -> None:
    high, low = [70, 72, 74, 75], [40, 41, 42, 43]
    truth = sheet(voice(high, 40), voice(low, 73))
    assert losses(truth, sheet(voice(low, 40), voice(high, 73))).instrument > 0.5
    assert losses(truth, sheet(voice(low, 73), voice(high, 40))).loss == 0
    assert losses(sheet(voice(high)), sheet(voice([pitch - 12 for pitch in high]))).pitch == 1
    # Where pitches leave the choice, the instruments decide.
    assert losses(sheet(voice(high, 40), voice(high, 73)), sheet(voice(high, 73), voice(high, 40))).loss == 0
    assert losses(sheet(voice([36], 0, True)), sheet(voice([36], 0))).pitch == 1  # a drum's key is no pitch


def test_rhythm_does_not_count() -> None:
    long = replace(voice([60, 62]), symbols=(Symbol(ZERO, Fraction(3), (60,)), Symbol(Fraction(3), Fraction(1), (62,))))
    assert losses(sheet(voice([60, 62])), sheet(long)).loss == 0
    for order in permutations([60, 64, 67]):
        loss = losses(sheet(voice([60, 64, 67])), sheet(voice(list(order)))).pitch
        assert (loss == 0) == (order == (60, 64, 67))


def test_tunes_that_are_too_long_are_refused() -> None:
    long = sheet(voice([60] * (MAX_NOTES + 1)))
    for pair in ((long, sheet()), (sheet(), long)):
        with pytest.raises(ValueError, match="20001 notes: at most 20000"):
            losses(*pair)
