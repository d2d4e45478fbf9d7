"""What is put together of what was heard: on cases whose answers are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from solfa.data.manifest import Entry
from solfa.eval.evaluation import differences, summary
from solfa.eval.generation import MEASURES
from solfa.eval.music import Facts, Traces
from solfa.tokenize_audio.adherence import Clip, Heard, Pair, clip_of, match_clips
from solfa.tokenize_audio.generation_evaluation import (
    TEMPO_RATIO,
    Truth,
    evaluate,
    measures_of,
    perplexity_table,
    tempo_ratio,
)

FAMILIES = ("organ", "pipe", "strings")


class Listener:
    """Hears of a timbre [k] the family k, and no more; sure of it by nine in eleven."""

    families = None

    def __init__(self) -> None:
        self.families = self

    def __call__(self, traces: Traces) -> Facts:
        return Facts(family=None if traces.timbre is None else FAMILIES[int(traces.timbre[0])])

    def probabilities(self, timbre: np.ndarray) -> np.ndarray:
        return (np.eye(3)[int(timbre[0])] * 8 + 1) / 11

    def listened_for(self, wanted: Facts) -> Facts:
        return wanted


def heard(family: int | None, place: float = 0.0) -> Heard:
    rows = np.random.default_rng(int(place * 8)).normal(size=(9, 2)) + place
    timbre = None if family is None else np.array([float(family)])
    return Heard(Traces(timbre, None, None, None), {"log-mel": rows})


def pair(name: str, asked: int, played: int | None) -> Pair:
    wanted = Facts(family=FAMILIES[asked])
    true, made = (Clip(name, Path(folder) / name, "", wanted) for folder in ("true", "made"))
    return Pair(made, heard(played), true, heard(asked))


def evaluated(pairs: list[Pair], **more: Any) -> Any:
    analyser: Any = Listener()
    truth = Truth([p.true_heard for p in pairs if p.true_heard], analyser)
    return evaluate(pairs, truth, measures_of(True, False, False), {}, **more)


def test_each_item_and_the_whole_say_the_same() -> None:
    pairs = [pair(str(i), i % 3, i % 3 if i < 6 else None if i == 11 else (i + 1) % 3) for i in range(12)]
    found = evaluated(pairs, failed=["a.wav"])
    row = found.tables["adherence"]
    assert len(row) == 1 and row[0]["attribute"] == "family" and row[0]["n"] == 12  # nothing else was asked for
    assert found.values("family") == [1.0] * 6 + [0.0] * 6 and row[0]["generated"].value == 0.5
    assert row[0]["reference"].value == 1.0 and row[0]["chance"].value == pytest.approx(11 / 36, abs=0.02)
    assert str(row[0]["reference"]) == "1.000 [1.000, 1.000]"
    wrong = (9 * np.log(9) - np.log(9)) / 11  # ln of 9 for the family, of a ninth for the one that is heard
    kl = found.values("label KL")
    assert kl[:6] == pytest.approx([0] * 6, abs=1e-4) and kl[6:11] == pytest.approx([wrong] * 5, rel=1e-3)
    assert np.isnan(kl[11]) and np.isnan(found.values("tempo")).all()
    assert found.items[0].files == {"reference": Path("true/0"), "generated": Path("made/0")}
    assert found.failed == ["a.wav"] and [m.name for m in found.measures[:9]] == [m.name for m in MEASURES]
    sets = found.tables["label distributions"][0]
    assert 0 <= sets["label KL"] < np.mean(kl[:11]) and (sets["n"], sets["n_reference"]) == (11, 12)


def test_chance_reaches_the_best_share_seldom_and_the_worst_always() -> None:
    right = evaluated([pair(str(i), i % 3, i % 3) for i in range(12)]).tables["adherence"][0]
    assert right["p"] == pytest.approx(1 / 1001)  # 12! / (4!)^3 = 34,650 orders, of which one does as well
    few = evaluated([pair(str(i), i, i) for i in range(3)]).tables["adherence"][0]
    assert few["p"] == pytest.approx(1 / 6, abs=0.04)  # of six orders one
    never = evaluated([pair(str(i), i % 3, (i + 1) % 3) for i in range(12)]).tables["adherence"][0]
    assert never["generated"].value == 0 and never["p"] == 1
    alike = evaluated([pair(str(i), i % 3, 0) for i in range(12)]).tables["adherence"][0]
    assert alike["p"] == 1 and alike["chance"].low == alike["chance"].high  # it plays one family, whatever it is asked


def test_eight_seeds_of_a_prompt_that_sound_alike_change_no_number() -> None:
    once = [pair(str(i), i % 3, (0, 1, 2, 0)[i % 4]) for i in range(12)]
    seeds = [replace(p, made=replace(p.made, name=f"{p.made.name}-{k}")) for p in once for k in range(8)]
    truth = Truth([p.true_heard for p in once if p.true_heard], cast(Any, Listener()))
    few, many = (evaluate(pairs, truth, measures_of(True, False, False), {}) for pairs in (once, seeds))
    assert repr(many.tables["adherence"]) == repr(few.tables["adherence"]) and many.tables["adherence"][0]["n"] == 12
    assert repr(summary(many)) == repr(summary(few)) and len(many.items) == 96
    assert repr(differences(many, few)) == repr(differences(few, few))  # paired by prompt, though no name is in both
    # A reference whose music came out twice is there once: the ceiling is that of the references.
    uneven = evaluate(
        [*once, *[replace(once[0], made=replace(once[0].made, name=f"x{k}")) for k in range(30)]],
        truth,
        few.measures,
        {},
    )
    assert repr(uneven.tables["adherence"][0]["reference"]) == repr(few.tables["adherence"][0]["reference"])


def test_a_distance_that_cannot_be_had_is_named() -> None:
    silent = Heard(Traces(None, None, None, None), {"log-mel": np.full((4, 2), np.nan), "latents": np.eye(4)})
    pairs = [Pair(Clip(str(i), Path(str(i)), "", Facts()), silent) for i in range(3)]
    found = evaluate(pairs, Truth([silent] * 3), measures_of(False, False, False), {}, ["x"])
    assert [row["embedding"] for row in found.tables["distances"]] == ["latents"] and list(found.tables) == [
        "distances"
    ]
    assert (
        found.failed[0] == "x"
        and "log-mel: embeddings that are not finite" in found.failed[1]
        and len(found.failed) == 2
    )
    assert set(found.settings["in_tables"]) == {"frechet", "floor", "extrapolated", "r2", "kernel", "gaussian"}


def test_tempo_ratio_is_in_octaves() -> None:
    assert (
        tempo_ratio(Facts(tempo=90.0), Facts(tempo=180.0)) == 1 and tempo_ratio(Facts(tempo=90), Facts(tempo=45)) == -1
    )
    assert np.isnan(tempo_ratio(Facts(), Facts(tempo=90))) and np.isnan(tempo_ratio(Facts(tempo=90), Facts()))
    assert TEMPO_RATIO.better == "zero"


def test_perplexity_counts_every_code_once() -> None:
    frames = np.array([10, 30])
    nats = np.log([[2.0, 8.0], [4.0, 8.0]])
    first, second, both = perplexity_table(nats, nats + np.log(2), frames)
    assert first["told"].value == pytest.approx(2 ** (0.25 + 2 * 0.75)) and second["told"].value == pytest.approx(8)
    assert first["untold"].value == pytest.approx(2 * first["told"].value) and first["told"].low == pytest.approx(2)
    assert both["codebook"] == "all" and both["told"].value == pytest.approx(np.sqrt(first["told"].value * 8))
    assert (first["n"], first["codes"], both["codes"]) == (2, 40, 80) and second["told"].high == pytest.approx(8)
    assert first["told"].high == pytest.approx(4)


NOTES = [[0.0, 1.0, 60, 80, 0, False], [0.5, 1.0, 64, 80, 0, False], [1.0, 2.0, 62, 80, 0, False]]
Read = Callable[..., Entry]


def test_what_a_generated_entry_does_not_say_is_its_references() -> None:
    attributes = {"tempo": 90, "instruments": [{"program": 73}]}
    true = {"a": Entry.from_dict({"id": "a", "audio": "a.wav", "text": "x", "attributes": attributes, "notes": NOTES})}
    facts = Facts(family="pipe", tempo=90, onset_rate=1.5)
    assert clip_of(Path("t"), true["a"]) == Clip("a", Path("t/a.wav"), "x", facts)
    made = {
        "a": Entry("a", "1.wav"),
        "b": Entry("b", "2.wav", "y", attributes, extra={"reference": "a"}),
        "c": Entry("c", "3.wav", "z", {"tempo": 120}, extra={"reference": "a"}),
    }
    pairs = match_clips(true, made, Path("t"), Path("m"))
    assert [clip.name for clip, _ in pairs] == ["a", "a", "a"]
    assert [(clip.text, clip.wanted) for _, clip in pairs] == [("x", facts), ("y", facts), ("z", Facts(tempo=120))]
    with pytest.raises(ValueError, match=r"m: no reference in t for d \(d\)"):
        match_clips(true, {**made, "d": Entry("d", "4.wav")}, Path("t"), Path("m"))


@pytest.mark.parametrize("attributes", [{"instruments": ["piano"]}, {"metre": 3}, {"instruments": [{"program": 999}]}])
def test_attributes_of_others_are_refused_by_name(attributes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="e: attributes that are not as solfa synth writes them"):
        clip_of(Path(), Entry("e", "e.wav", attributes=attributes))


def test_notes_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="e: its notes: "):
        clip_of(tmp_path, Entry("e", "e.wav", notes="gone.mid"))
