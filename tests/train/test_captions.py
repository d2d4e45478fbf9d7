"""What a crop is told: captions and attributes, merged as MusicGen's recipe merges them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.train.captions import CaptionConfig, Said, draw_caption, in_words, said_of

SAID = Said(("A calm waltz.", "waltz for piano"), {"key": "G major", "bpm": "140", "genre": "waltz"})


def draws(said: Said, config: CaptionConfig, number: int = 4000) -> list[str | None]:
    return [draw_caption(said, config, np.random.default_rng([7, i])) for i in range(number)]


def share(texts: list[str | None], *parts: str) -> float:
    return float(np.mean([text is not None and any(part in text for part in parts) for text in texts]))


def test_shares_are_those_that_were_asked_for() -> None:
    """merge .25; of the merged, the caption is left out by .5 where an attribute is kept (7 of 8 times); each attribute stays by .5."""
    texts = draws(SAID, CaptionConfig())
    merged = [text for text in texts if text and ": " in text]
    assert abs(len(merged) / len(texts) - 0.25 * 7 / 8) < 0.03
    assert abs(share(merged, "waltz for piano", "A calm waltz") - 0.5) < 0.06
    for attribute in ("key: G major", "bpm: 140", "genre: waltz"):
        assert abs(share(merged, attribute) - 0.5 * 8 / 7) < 0.06
    plain = [text for text in texts if text and ": " not in text]
    assert abs(share(plain, "A calm waltz.") - 0.5) < 0.04


def test_the_form_is_that_of_musicgen() -> None:
    texts = set(draws(SAID, CaptionConfig(merge=1, drop_caption=0, keep=1)))
    assert "A calm waltz. bpm: 140. genre: waltz. key: G major" in texts  # one full stop, the attributes in any order
    assert len(texts) == 2 * 6
    assert {len(text.split(". ")) for text in texts if text} == {4}
    alone = set(draws(SAID, CaptionConfig(merge=1, drop_caption=1, keep=1)))
    assert len(alone) == 6 and not any("waltz for" in str(text) for text in alone)


def test_no_merge_no_drop() -> None:
    assert set(draws(SAID, CaptionConfig(merge=0), 50)) == set(SAID.texts)
    assert draws(Said(), CaptionConfig(merge=1), 3) == [None] * 3
    assert draws(SAID, CaptionConfig(merge=0, word_dropout=1), 3) == [None] * 3
    only = draws(Said(attributes={"key": "C major"}), CaptionConfig(merge=0, keep=1), 3)
    assert only == ["key: C major"] * 3, "without a caption the attributes are all that can be told"


def test_words_are_dropped_one_by_one() -> None:
    said = Said((" ".join(f"w{i}" for i in range(50)),))
    kept = [len(str(text).split()) for text in draws(said, CaptionConfig(merge=0, word_dropout=0.3), 300)]
    assert abs(np.mean(kept) - 35) < 1 and np.std(kept) > 1


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_a_draw_is_a_function_of_its_generator(merge: float, drop: float, keep: float, words: float, seed: int) -> None:
    config = CaptionConfig(merge, drop, keep, words)
    first, second = (draw_caption(SAID, config, np.random.default_rng(seed)) for _ in range(2))
    assert first == second and (first is None or first.strip())


@pytest.mark.parametrize("field", ["merge", "drop_caption", "keep", "word_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_outside_of_0_to_1_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        CaptionConfig(**{field: value})


def test_fields_of_musicgens_metadata() -> None:
    """The fields that AudioCraft's MusicDataset reads; what it does not tell is not told here either."""
    fields = {
        "key": "C major", "artist": "somebody", "sample_rate": 44_100, "file_extension": "wav", "description": "a song",
        "keywords": "bright, loud", "duration": 30.0, "bpm": 120.0, "genre": "pop", "title": "Song", "name": "song",
        "instrument": "Mix", "moods": ["happy", "fast"], "mood": "",
    }  # fmt: skip
    said = said_of(fields)
    assert said.texts == ("a song",)
    assert said.attributes == {
        "key": "C major", "bpm": "120", "genre": "pop", "moods": "happy, fast", "instrument": "Mix", "keywords": "bright, loud",
    }  # fmt: skip


def test_composed_pieces() -> None:
    attributes = {"tonic": 1, "mode": "minor", "metre": [6, 8], "tempo": 96, "genre": "folk", "mood": "calm",
                  "instruments": [{"role": "melody", "program": 73}, {"role": "chords", "program": 0}]}  # fmt: skip
    assert list(in_words(attributes).items()) == [
        ("key", "C sharp minor"), ("bpm", "96"), ("genre", "folk"), ("mood", "calm"), ("metre", "6/8")
    ]  # fmt: skip
    assert in_words(attributes, instruments=True)["instrument"] == "flute, acoustic grand piano"
    assert in_words({"instruments": ["flute", "harp"], "bpm": float("nan"), "key": None}) == {
        "instrument": "flute, harp"
    }
