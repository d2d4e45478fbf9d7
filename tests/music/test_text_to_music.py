import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import solfa
from solfa.audio.io import Audio
from solfa.codecs.codec import Codes
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import read_tokens, write_tokens
from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.conditioners.grid import Grid
from solfa.lm.conditioners.melody import MelodyConfig
from solfa.lm.fast import fast_lm
from solfa.lm.generate import generate
from solfa.lm.guidance import conditions_for
from solfa.lm.registry import load_lm
from solfa.lm.sampling import SamplingOptions
from solfa.music.text_to_music import TextToMusic
from solfa.nn.transformer import TransformerConfig

Folders = Callable[..., tuple[Path, Path]]
OPTIONS = SamplingOptions(top_k=8, guidance=2)
HOP = 160


def sound(samples: int, channels: int = 1, rate: int = 8000, seed: int = 0) -> Audio:
    generator = torch.Generator().manual_seed(seed)
    return Audio(0.3 * torch.randn(1, channels, samples, generator=generator), rate)


def test_the_door_has_it() -> None:
    assert solfa.TextToMusic is TextToMusic and solfa.SamplingOptions is SamplingOptions


def test_a_prompt_gives_sound_of_that_length(music: TextToMusic) -> None:
    for duration, samples in ((0.3, 2400), (0.3001, 2401), (1e-9, 1), (0.7, 5600)):
        made = music.generate("piano", duration, seed=3, options=OPTIONS)
        assert made.samples.shape == (1, 1, samples) and made.sample_rate == 8000
    codes = music.codes("piano", 0.3, seed=3, options=OPTIONS)
    heard = conditions_for(music.model, ["piano"], OPTIONS)
    assert torch.equal(codes.tokens, generate(music.model, heard, 15, seeds=[3], options=OPTIONS))
    assert torch.equal(music.codec.decode(codes).samples, music.generate("piano", 0.3, 3, options=OPTIONS).samples)


def test_whole_numbers_of_any_kind_are_seeds_and_nothing_else_is(music: TextToMusic) -> None:
    codes = music.codes("piano", 0.1, 3, options=OPTIONS).tokens
    assert torch.equal(music.codes("piano", 0.1, np.int64(3), options=OPTIONS).tokens, codes)  # type: ignore[arg-type]
    assert torch.equal(music.codes(["piano"], 0.1, np.array([3]), options=OPTIONS).tokens, codes)  # type: ignore[arg-type]
    assert torch.equal(music.codes("piano", np.float64(0.1), 3, options=OPTIONS).tokens, codes)
    assert music.codes("piano", np.float32(0.5), 3, options=OPTIONS).samples == (4000,)  # type: ignore[arg-type]
    for wrong in (1.5, None, True):
        with pytest.raises(ValueError, match="it must be a whole number"):
            music.codes("piano", 0.1, wrong, options=OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a recording is str"):
        music.codes("piano", 0.1, 3, options=OPTIONS, after="take.wav")  # type: ignore[arg-type]


def test_a_list_gives_what_each_gives_alone(music: TextToMusic) -> None:
    prompts = ["piano", "a string quartet that plays quite a long description", None]
    together = music.codes(prompts, 0.8, seed=[1, 2, 2], options=OPTIONS)  # longer than a window
    sounds = music.generate(prompts, 0.8, seed=[1, 2, 2], options=OPTIONS)
    for row, (prompt, seed) in enumerate(zip(prompts, (1, 2, 2), strict=True)):
        assert torch.equal(together.tokens[row], music.codes(prompt, 0.8, seed, options=OPTIONS).tokens[0])
        assert torch.equal(sounds[row].samples, music.generate(prompt, 0.8, seed, options=OPTIONS).samples)
    same = music.codes(["piano", "piano"], 0.2, seed=5, options=OPTIONS).tokens
    assert torch.equal(same[0], same[1])  # one seed for all


@pytest.mark.parametrize("continued", [False, True])
@pytest.mark.parametrize("stereo", [False, True])
def test_each_prompt_has_a_duration_of_its_own(tiny_music: Folders, stereo: bool, continued: bool) -> None:
    """Some in one window of half a second, some in several, of a text whose padding is masked: each is what it is alone."""
    codec, lm = tiny_music(stereo=stereo)
    music = TextToMusic.load(lm, codec=codec)
    prompts, durations, seeds = ["piano", "a flute", None, "slow"], [0.11, 0.9, 0.11, 0.5], [3, 1, 4, 1]
    more: dict[str, Any] = {"options": OPTIONS, "after": sound(HOP * 30 + 7, 2 if stereo else 1) if continued else None}
    seen: list[tuple[int, int]] = []
    made = music.generate(prompts, durations, seeds, progress=lambda *both: seen.append(both), **more)
    for prompt, duration, seed, whole in zip(prompts, durations, seeds, made, strict=True):
        alone = music.generate(prompt, duration, seed, **more)
        assert whole.samples.shape[-1] == round(duration * 8000) + (HOP * 30 if continued else 0)
        torch.testing.assert_close(whole.samples, alone.samples, atol=1e-6, rtol=1e-6)
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]
    if not stereo:
        codes = music.codes(prompts, durations, seeds, **more)
        assert codes.samples == tuple(sound.samples.shape[-1] for sound in made)
        for row, played in enumerate(made):
            one = replace(
                codes, tokens=codes.tokens[row : row + 1, :, : codes.lengths[row]], samples=codes.samples[row : row + 1]
            )
            assert torch.equal(music.codec.decode(one).samples, played.samples)
            assert not codes.tokens[row, :, codes.lengths[row] :].any()


@pytest.mark.parametrize("every", [0.02, 0.1, 99.0])
def test_a_stream_is_the_same_music(music: TextToMusic, every: float) -> None:
    whole = music.generate("piano", 0.7313, seed=1, options=OPTIONS)
    pieces = list(music.stream("piano", 0.7313, seed=1, options=OPTIONS, every=every))
    joined = torch.cat([piece.samples for piece in pieces], -1)
    assert joined.shape == whole.samples.shape
    torch.testing.assert_close(joined, whole.samples, atol=1e-5, rtol=1e-5)
    assert len(pieces) > 1 if every < 0.5 else len(pieces) == 1


def test_a_stream_comes_before_all_is_written(music: TextToMusic, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    advance = music.model.advance

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return advance(*arguments)

    monkeypatch.setattr(music.model, "advance", counted)
    next(iter(music.stream("piano", 0.48, every=0.1, options=OPTIONS)))
    assert steps < 15  # of 26


def test_a_recording_is_continued(music: TextToMusic) -> None:
    for samples in (HOP * 7, HOP * 7 + 59, HOP * 40):  # the last longer than a window
        before = sound(samples)
        frames = samples // HOP
        codes = music.codes("piano", 0.2, seed=1, after=before, options=OPTIONS)
        assert codes.tokens.shape == (1, 3, frames + 10) and codes.samples == ((frames + 10) * HOP,)
        assert torch.equal(codes.tokens[:, :, :frames], music.codec.encode(before, codebooks=3).tokens[:, :, :frames])
        whole = music.generate("piano", 0.2, seed=1, after=before, options=OPTIONS)
        pieces = list(music.stream("piano", 0.2, seed=1, after=before, options=OPTIONS, every=0.05))
        torch.testing.assert_close(torch.cat([p.samples for p in pieces], -1), whole.samples, atol=1e-5, rtol=1e-5)
    other = music.codes("piano", 0.2, seed=1, after=sound(HOP * 40, seed=1), options=OPTIONS)
    assert not torch.equal(other.tokens[:, :, 40:], codes.tokens[:, :, 40:])
    with pytest.raises(ValueError, match="a recording of 100 samples"):
        music.generate("piano", 0.2, after=sound(100))
    with pytest.warns(UserWarning, match="averaged"):
        assert music.generate("piano", 0.2, after=sound(4000, 2, 16_000)).samples.shape == (1, 1, 12 * HOP + 1600)


def test_a_gap_is_filled(music: TextToMusic) -> None:
    left, right = sound(HOP * 6 + 10, seed=1), sound(HOP * 9 + 1, seed=2)
    codes = music.infill_codes(left, right, "piano", gap=0.1, candidates=3, options=OPTIONS)
    assert codes.tokens.shape == (1, 3, 6 + 5 + 10) and codes.samples == (HOP * 20 + 1,)
    assert torch.equal(codes.tokens[:, :, :6], music.codec.encode(left, codebooks=3).tokens[:, :, :6])
    assert torch.equal(codes.tokens[:, :, 11:], music.codec.encode(right, codebooks=3).tokens)
    made = music.infill(left, right, "piano", gap=0.1, candidates=3, options=OPTIONS)
    assert torch.equal(made.samples, music.codec.decode(codes).samples)
    for bad in (0, 65, 1.5, True):
        with pytest.raises(ValueError, match=f"candidates is {bad}: it must lie between 1 and 64"):
            music.infill(left, right, candidates=bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gap is nan"):
        music.infill(left, right, gap=float("nan"))


def test_stereo(tiny_music: Folders) -> None:
    codec, lm = tiny_music(stereo=True)
    music = TextToMusic.load(lm, codec=codec)
    whole = music.generate(["piano", "flute"], 0.3, options=OPTIONS)[0]
    assert whole.samples.shape == (1, 2, 2400)
    assert not torch.equal(whole.samples[:, 0], whole.samples[:, 1])
    pieces = list(music.stream("piano", 0.3, options=OPTIONS, every=0.1))
    torch.testing.assert_close(torch.cat([p.samples for p in pieces], -1), whole.samples, atol=1e-5, rtol=1e-5)
    before = sound(HOP * 4, 2)
    after = music.generate("piano", 0.1, after=before, options=OPTIONS)
    for channel in range(2):  # each channel is coded by itself; the codec hears a little of what follows
        one = Audio(before.samples[:, channel : channel + 1].contiguous(), 8000)
        played = music.codec.decode(music.codec.encode(one, codebooks=3)).samples[0, 0]
        torch.testing.assert_close(after.samples[0, channel, :HOP], played[:HOP], atol=1e-4, rtol=1e-4)


def test_codes_that_cannot_be_kept_are_refused_before_the_first_step(
    tiny_music: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, lm = tiny_music(stereo=True)
    music = TextToMusic.load(lm, codec=codec)
    monkeypatch.setattr(music, "model", SimpleNamespace(config=music.model.config))  # which writes nothing
    with pytest.raises(ValueError, match="two channels"):
        music.codes("piano", 0.1)
    with pytest.raises(ValueError, match="two channels"):
        music.infill_codes(sound(HOP * 4), sound(HOP * 4), gap=0.1)


def test_melody(tiny_music: Folders) -> None:
    melody = MelodyConfig(sample_rate=8000, n_fft=256, hop=128, frames=6)
    codec, lm = tiny_music(melody=melody, fusion="prepend", transformer=TransformerConfig(16, 2, 2, cross=False))
    music = TextToMusic.load(lm, codec=codec)
    low, high = (Audio(torch.sin(torch.arange(1600) * step)[None, None], 8000) for step in (0.3, 0.5))
    greedy = SamplingOptions(temperature=0, guidance=2)
    made = [music.codes("piano", 0.2, melody=one, options=greedy).tokens for one in (low, high, None)]
    assert not torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    both = SamplingOptions(temperature=0, guidance=2, text_guidance=1)  # 1: the form for one condition
    assert torch.equal(music.codes("piano", 0.2, melody=low, options=both).tokens, made[0])
    with pytest.raises(ValueError, match="there is none"):
        music.generate("piano", 0.2, options=both)
    tail = Audio(
        torch.cat([low.samples[..., :960], high.samples], -1), 8000
    )  # heard from 0.3 s on, in the second window
    long = [music.codes("piano", 1.0, melody=one, options=greedy).tokens for one in (low, tail)]
    assert torch.equal(long[0][..., :25], long[1][..., :25]) and not torch.equal(long[0], long[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # texts stand before the first step: batches of unlike ones are not made
        prompts = ["piano", "a longer description"]
        rows = music.codes(prompts, 0.2, melody=low, options=OPTIONS).tokens
    for row, prompt in zip(rows, prompts, strict=True):
        assert torch.equal(row, music.codes(prompt, 0.2, melody=low, options=OPTIONS).tokens[0])


def test_no_melody_where_none_is_heard(music: TextToMusic) -> None:
    with pytest.raises(ValueError, match="hears no melody"):
        music.generate("piano", 0.2, melody=sound(4000))


def test_a_model_without_text(tiny_music: Folders) -> None:
    codec, lm = tiny_music(text=None, transformer=TransformerConfig(16, 1, 2, cross=False))
    music = TextToMusic.load(lm, codec=codec)
    assert music.generate(None, 0.2).samples.shape == (1, 1, 1600)
    with pytest.raises(ValueError, match="reads no text"):
        music.generate("piano", 0.2)


def test_codes_go_into_a_file_and_back(music: TextToMusic, tmp_path: Path) -> None:
    codes = music.codes("piano", 0.31, options=OPTIONS)
    write_tokens(tmp_path / "a.solfa", codes, metadata={"prompt": "piano"})
    back = read_tokens(tmp_path / "a.solfa")
    assert isinstance(back, Codes) and torch.equal(back.tokens, codes.tokens) and back.samples == codes.samples
    assert torch.equal(music.codec.decode(back).samples, music.generate("piano", 0.31, options=OPTIONS).samples)


def test_a_prompt_is_read_whole_or_not_at_all(music: TextToMusic) -> None:
    assert music.generate("x" * 96, 0.1, options=OPTIONS).samples.shape[-1] == 800
    for text, size in (("word " * 10_000, 50_000), ("é" * 49, 98)):
        for ask in (music.generate, music.codes, music.stream):
            with pytest.raises(ValueError, match=f"the prompt has {size} bytes: tiny-lm reads at most 96"):
                ask(text, 0.1, options=OPTIONS)
        with pytest.raises(ValueError, match=f"has {size} bytes"):
            music.infill(sound(800), sound(800), text, 0.1)


def test_precisions(tiny_music: Folders, music: TextToMusic) -> None:
    codec, lm = tiny_music()
    exact = TextToMusic(load_lm(lm), music.codec).codes("piano", 0.3, options=OPTIONS).tokens
    assert torch.equal(
        music.codes("piano", 0.3, options=OPTIONS).tokens, exact
    )  # float32, the usual one, in its fast form
    for precision in ("bfloat16", "int8", "int4"):
        coarse = TextToMusic.load(lm, precision=precision, codec=codec)
        both = coarse.codes(["piano", "a string quartet"], 0.3, seed=[0, 1], options=OPTIONS).tokens
        assert torch.equal(both[:1], coarse.codes("piano", 0.3, options=OPTIONS).tokens)
        assert torch.equal(both[:1], exact) == (precision != "int4")  # that coarse, other codes are drawn


def test_progress(music: TextToMusic) -> None:
    seen: list[tuple[int, int]] = []
    music.generate(["a", "b"], 0.4, progress=lambda *both: seen.append(both), options=OPTIONS)
    assert seen[-1] == (20, 20) and seen == sorted(seen)


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("the prompt is ''", {"prompt": ""}),
        ("the prompt is ' '", {"prompt": ["piano", " "]}),
        ("the prompt is 3", {"prompt": [3]}),
        ("no prompt", {"prompt": []}),
        ("duration is 0: seconds, above 0 and at most 3600", {"duration": 0}),
        ("duration is -1", {"duration": -1}),
        ("duration is nan", {"duration": float("nan")}),
        ("duration is inf", {"duration": float("inf")}),
        ("duration is 3601", {"duration": 3601}),
        ("seed is -1", {"seed": -1}),
        ("2 seeds for 1 prompts", {"seed": [1, 2]}),
        ("seed is 0.5", {"seed": [0.5]}),
        ("3 durations for 2 prompts", {"prompt": ["a", "b"], "duration": [1, 2, 3]}),
        ("duration is nan", {"prompt": ["a", "b"], "duration": [0.1, float("nan")]}),
        ("batch of 2 recordings", {"after": Audio(torch.zeros(2, 1, 999), 8000)}),
        ("shape", {"after": Audio(torch.zeros(1, 1, 0), 8000)}),
    ],
)
def test_what_does_not_fit_is_named(music: TextToMusic, words: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words):
        music.generate(**({"prompt": "piano", "duration": 0.1} | change))


def test_what_does_not_fit_together_is_named(tiny_music: Folders) -> None:
    codec, lm = tiny_music()
    with pytest.raises(ValueError, match="precision is 'float8'"):
        TextToMusic.load(lm, precision="float8", codec=codec)
    with pytest.raises(ValueError, match=r"codes of the codec 'tiny'.* give the folder"):
        TextToMusic.load(lm)
    with pytest.raises(ValueError, match="no language model named 'nothing'"):
        TextToMusic.load("nothing")
    for fields in ({"sample_rate": 16_000}, {"frame_rate": 25.0}, {"codebook_size": 32}):
        with pytest.raises(ValueError, match="is for codes of tiny: 3 codebooks"):
            TextToMusic.load(tiny_music(**fields)[1], codec=codec)
    with pytest.raises(ValueError, match="has the weights"):
        TextToMusic.load(tiny_music(weights_hash="0" * 64)[1], codec=codec)
    music = TextToMusic.load(lm, codec=codec)
    with pytest.raises(ValueError, match="every is 0"):
        music.stream("piano", every=0)
    with pytest.raises(ValueError, match="duration is 0"):
        music.stream("piano", 0)  # at once, not at the first piece


@pytest.fixture(scope="module")
def kept(tiny_music: Folders) -> TextToMusic:
    """A model that is told a beat, and hears it."""
    codec, lm = tiny_music(beat=BeatConfig())
    model = load_lm(lm)
    assert model.beat is not None
    torch.nn.init.normal_(model.beat.project.weight, generator=torch.Generator().manual_seed(0))
    return TextToMusic(fast_lm(model), load_codec(codec))


def test_a_beat_is_what_the_prompt_says_or_what_is_asked_for(kept: TextToMusic) -> None:
    def codes(prompt: Any, **more: Any) -> torch.Tensor:
        return kept.codes(prompt, 0.8, seed=1, options=OPTIONS, **more).tokens  # longer than a window

    waltz = codes("waltz, 140 bpm")
    assert torch.equal(codes("waltz, 140 bpm", beat=Grid(140, 3)), waltz)
    assert not torch.equal(codes("waltz, 140 bpm", beat=None), waltz)
    assert not torch.equal(codes("waltz, 140 bpm", beat=Grid(90, 3)), waltz)
    assert torch.equal(codes("waltz"), codes("waltz", beat=None))
    both = codes(["waltz, 140 bpm", "waltz"], beat=[None, Grid(140, 3)])
    assert torch.equal(both[0], codes("waltz, 140 bpm", beat=None)[0])
    assert torch.equal(both[1], codes("waltz", beat=Grid(140, 3))[0])
    whole = kept.generate("waltz, 140 bpm", 0.8, seed=1, options=OPTIONS)
    for more in ({}, {"beat": Grid(140, 3)}):
        pieces = list(kept.stream("waltz, 140 bpm", 0.8, seed=1, options=OPTIONS, every=0.1, **more))  # type: ignore[arg-type]
        torch.testing.assert_close(torch.cat([p.samples for p in pieces], -1), whole.samples, atol=1e-5, rtol=1e-5)


def test_a_beat_goes_on_through_windows_and_after_a_recording(
    kept: TextToMusic, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Grid | None] = []
    describe = kept.model.describe  # type: ignore[attr-defined]

    def noted(texts: Any, **more: Any) -> Any:
        heard.append(more["beat"][0])
        return describe(texts, **more)

    monkeypatch.setattr(kept.model, "describe", noted)
    kept.codes("x, 150 bpm", 0.8, options=OPTIONS)  # windows of 25 frames, 15 new ones in each
    assert [grid and grid.first for grid in heard] == [0, pytest.approx(-0.3)]
    heard.clear()
    kept.codes("x, 150 bpm", 0.3, after=sound(HOP * 100), options=OPTIONS, beat=Grid(150, first=0.1))
    near = 10  # frames of the recording that are heard again
    assert [grid and grid.first for grid in heard[:1]] == [pytest.approx(0.1 - (100 - near) / 50)]
    heard.clear()
    left, right = sound(HOP * 60), sound(HOP * 9)
    kept.infill_codes(left, right, "x, 150 bpm", gap=0.1, candidates=2, options=OPTIONS)
    near = 25 - 5 - 9  # of a window, less the gap and what follows it
    assert heard[0] is not None and heard[0].tempo == 150 and heard[0].first == pytest.approx(-(60 - near) / 50)
    heard.clear()
    kept.codes("x", 0.8, options=OPTIONS)
    assert heard == [None], "without a beat all windows are told the same, once"


def test_a_model_without_a_beat_says_so(music: TextToMusic) -> None:
    with pytest.raises(ValueError, match="tiny-lm hears no beat"):
        music.generate("piano", 0.1, beat=Grid(120))
    same = music.codes("piano, 90 bpm", 0.2, options=OPTIONS).tokens
    assert torch.equal(music.codes("piano, 90 bpm", 0.2, options=OPTIONS, beat=None).tokens, same)
    with pytest.raises(ValueError, match="2 beats for 1 prompts"):
        music.generate("piano", 0.1, beat=[None, None])


def test_a_wish_that_is_none_is_named(music: TextToMusic) -> None:
    silence = Audio(torch.zeros(1, 1, 8000), 8000)
    for ask in (music.generate, music.codes):
        with pytest.raises(
            ValueError, match=r"^option is nothing .*: legal are options, melody, .*did you mean options\?$"
        ):
            ask("a waltz", 0.5, option=None)
    for ask in (music.infill, music.infill_codes):
        with pytest.raises(ValueError, match=r"^tries is nothing .*: legal are candidates, options, progress, beat$"):
            ask(silence, silence, tries=3)
