"""A recording and its codes are heard alike; codes that are not the model's are refused, with the reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from solfa.audio.io import Audio, read
from solfa.codecs.codec import Codes
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import read_tokens, write_tokens
from solfa.lm.sampling import SamplingOptions
from solfa.music.text_to_music import TextToMusic

Folders = Callable[..., tuple[Path, Path]]
OPTIONS = SamplingOptions(top_k=8, guidance=2)
HOP = 160


def take(
    folder: Path, samples: int, codec: TextToMusic, codebooks: int | None = None, seed: int = 0
) -> tuple[Audio, Codes]:
    """A WAV, and the token file of it, as they are read back."""
    generator = torch.Generator().manual_seed(seed)
    Audio(0.3 * torch.randn(1, 1, samples, generator=generator), 8000).save(folder / "take.wav")
    write_tokens(folder / "take.solfa", codec.codec.encode_file(folder / "take.wav", codebooks))
    return read(folder / "take.wav"), read_tokens(folder / "take.solfa")


@pytest.mark.parametrize("codebooks", [None, 3])  # all four of the codec's; the three of the model
@pytest.mark.parametrize("samples", [HOP * 7, HOP * 7 + 59, HOP * 40])  # whole frames; not; longer than a window
def test_a_token_file_is_continued_as_its_recording_is(
    music: TextToMusic, tmp_path: Path, samples: int, codebooks: int | None
) -> None:
    sound, codes = take(tmp_path, samples, music, codebooks)
    told = {"seed": 1, "options": OPTIONS}
    after = [music.codes(["piano", "flute"], 0.2, after=each, **told) for each in (sound, codes)]  # type: ignore[arg-type]
    frames = samples // HOP
    assert torch.equal(after[0].tokens, after[1].tokens) and after[0].samples == after[1].samples
    assert torch.equal(after[1].tokens[0, :, :frames], codes.tokens[0, :3, :frames])
    sounds = [music.generate("piano", 0.2, after=each, **told) for each in (sound, codes)]  # type: ignore[call-overload]
    assert torch.equal(sounds[0].samples, sounds[1].samples)
    streams = [[p.samples for p in music.stream("piano", 0.2, after=each, **told)] for each in (sound, codes)]  # type: ignore[arg-type]
    assert all(map(torch.equal, *streams))


def test_a_gap_between_token_files(music: TextToMusic, tmp_path: Path) -> None:
    left, right = take(tmp_path, HOP * 6 + 10, music, seed=1), take(tmp_path, HOP * 9 + 1, music, seed=2)
    told = {"gap": 0.1, "candidates": 3, "options": OPTIONS}
    sound, codes = (music.infill_codes(left[i], right[i], "piano", **told) for i in (0, 1))  # type: ignore[arg-type]
    assert torch.equal(sound.tokens, codes.tokens) and sound.samples == codes.samples == (HOP * 20 + 1,)


def test_what_was_written_is_continued(music: TextToMusic) -> None:
    first = music.codes("piano", 0.2, seed=1, options=OPTIONS)
    longer = music.codes("piano", 0.2, seed=2, options=OPTIONS, after=first)
    assert torch.equal(longer.tokens[:, :, :10], first.tokens) and longer.samples == (3200,)


def test_a_stereo_model_hears_codes_on_both_sides(tiny_music: Folders, tmp_path: Path) -> None:
    codec, lm = tiny_music(stereo=True)
    music = TextToMusic.load(lm, codec=codec)
    sound, codes = take(tmp_path, HOP * 7 + 59, music)
    one, other = (music.generate("piano", 0.1, after=each, options=OPTIONS).samples for each in (sound, codes))
    assert one.shape == (1, 2, HOP * 7 + 800) and torch.equal(one, other)


def test_codes_that_do_not_fit_are_named(music: TextToMusic, tmp_path: Path) -> None:
    _, codes = take(tmp_path, HOP * 7, music)
    codec = load_codec("solfa-24khz")
    foreign = codec.encode(torch.zeros(1, 1, 8000), codebooks=4)
    other = codes.weights_hash[::-1]
    two = replace(codes, tokens=codes.tokens.repeat(2, 1, 1), samples=codes.samples * 2)
    for wrong, words in (
        (
            foreign,
            f"of the codec solfa-24khz \\({foreign.weights_hash[:12]}\\): this one is tiny \\({codes.weights_hash[:12]}\\)",
        ),
        (replace(codes, weights_hash=other), f"of the codec tiny \\({other[:12]}\\): this one is tiny"),
        (replace(codes, hop=80, samples=(560,)), "8000, 1, 80, 16\\): tiny has \\(8000, 1, 160, 16"),
        (replace(codes, tokens=codes.tokens[:, :2]), "codes of 2 codebooks: tiny-lm hears 3 of tiny"),
        (replace(codes, tokens=codes.tokens + 16), "0 to 15 are legal"),
        (replace(codes, samples=(HOP * 8,)), "tokens have the shape"),
        (replace(codes, tokens=codes.tokens[:, :, :1], samples=(100,)), "a recording of 100 samples"),
        (two, "codes of 2 recordings: one is needed"),
    ):
        with pytest.raises(ValueError, match=words):
            music.codes("piano", 0.1, after=wrong, options=OPTIONS)
