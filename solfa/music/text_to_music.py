"""Text to music in three lines: a language model writes codes, the codec plays them.

music = TextToMusic.load()
music.generate("slow waltz for flute and piano in G minor", duration=10, seed=0).save("waltz.wav")
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict, Unpack, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.audio.io import Audio
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.fits import check_fits
from solfa.codecs.sides import join_sides
from solfa.lm.conditioners.grid import Grid
from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.fast import fast_lm
from solfa.lm.generate import Decoder, Progress, Writing, context_frames, window_and_stride
from solfa.lm.guidance import Beats, beats_of, conditions_for, independent, later
from solfa.lm.infill import infill
from solfa.lm.model import Conditions, LMConfig
from solfa.lm.patterns import separate
from solfa.lm.sampling import USUAL, SamplingOptions, check_seed
from solfa.music.codec_of_model import codec_of
from solfa.music.heard import Heard, Recording, hear
from solfa.music.stream import MusicStream
from solfa.nn.devices import pick_device
from solfa.nn.quantized import checked_precision
from solfa.wishes import check_wishes

DEFAULT = "solfa-music"
LONGEST = 3600.0  # seconds
CANDIDATES, TRIED = 64, 8  # for a gap: the most, and where no number is given
Prompts = str | Sequence[str | None] | None
Seeds = int | Sequence[int]
Durations = float | Sequence[float]


class Wishes(TypedDict, total=False):
    """What else music can be asked for.

    options: how codes are drawn. melody: a recording whose melody is to be followed, from its beginning and round again, for models that
    hear one. after: a recording to continue, or its codes (see `heard.hear`): the result begins with it, as the codec plays it, up to its
    last whole frame. progress: called with the frames that are done, and all.
    beat: tempo and metre, for models that are told one: a grid for all prompts, one each, or None for none. By default, "prompt", they
    are what each prompt says in numbers (`grid_of`: "140 bpm, 3/4"). Time 0 is the beginning of the whole result, of `after` too.
    """

    options: SamplingOptions
    melody: Audio | None
    after: Recording | None
    progress: Progress | None
    beat: Beats


class Tries(TypedDict, total=False):
    """How a gap is filled. candidates: how many are tried, 1 to 64 (8 by default). options, progress, beat: as in `Wishes`."""

    candidates: int
    options: SamplingOptions
    progress: Progress | None
    beat: Beats


class TextToMusic:
    """A model with its codec. What a prompt gives depends on the prompt, its seed and the options, not on the prompts beside it."""

    def __init__(self, model: Decoder, codec: Codec) -> None:
        config = model.config
        self.model, self.codec = model, codec
        self.stereo = config.channels == 2 and codec.channels == 1  # two channels' codes by turns, of a codec of one
        self.channels, self.sample_rate = (2 if self.stereo else codec.channels), codec.sample_rate
        check_fits(codec, config, config.channels)

    @classmethod
    def load(
        cls,
        name: str | Path = DEFAULT,
        device: str = "cpu",
        precision: str = "float32",
        codec: str | Path | Codec | None = None,
        adapter: str | Path | None = None,
        fetch: bool = True,
    ) -> TextToMusic:
        """A model by name, folder or hub name, with the codec that lies beside it or that its configuration names.

        codec: where that codec is, if neither finds it: a name, a folder, a file of weights, or the codec itself.
        device: a torch device; "auto" is cuda where there is one. precision: float32, or faster and a little different: bfloat16, int8,
        int4 (see `lm.fast`). adapter: a folder of adapters of this model, peft's or ours, merged into its weights. fetch: whether what is
        named, and is not here, may come from the hub.
        ValueError for what is not there, or does not fit together.
        """
        from solfa.lm.lora import load_adapter, merged
        from solfa.lm.registry import load_lm

        checked_precision(precision)
        device = str(pick_device(device))
        model = load_lm(name, device, fetch=fetch)
        if adapter is not None:
            load_adapter(model, adapter)
        found = codec if isinstance(codec, Codec) else codec_of(name, codec, model.config.codec, device, fetch)
        return cls(fast_lm(merged(model), precision), found)

    @overload
    def generate(self, prompt: str | None, duration: float = ..., seed: int = ..., **more: Unpack[Wishes]) -> Audio: ...  # type: ignore[overload-overlap]

    @overload
    def generate(
        self, prompt: Sequence[str | None], duration: Durations = ..., seed: Seeds = ..., **more: Unpack[Wishes]
    ) -> list[Audio]: ...

    def generate(
        self, prompt: Prompts, duration: Durations = 10.0, seed: Seeds = 0, **more: Unpack[Wishes]
    ) -> Audio | list[Audio]:
        """Music, samples [1, C, S]; for a list of prompts a list, written as one batch.

        prompt: what to play; None leaves it to the model. duration: seconds of new music, above 0 and at most 3600; more than the model
        was trained on is written in windows. duration, seed: one for all prompts, or one each. more: see `Wishes`.
        Raises ValueError for an empty prompt, one longer than the model reads, and for what is out of range.
        """
        check_wishes(more, Wishes)
        sounds = self._play(*self._tokens(_prompts(prompt, self.model.config), duration, seed, **more))
        return sounds[0] if prompt is None or isinstance(prompt, str) else sounds

    def codes(self, prompt: Prompts, duration: Durations = 10.0, seed: Seeds = 0, **more: Unpack[Wishes]) -> Codes:
        """As `generate`, but the codes of all prompts, for `codec.decode` or a token file.

        Raises ValueError also for a stereo model over a mono codec: its codes are two channels' by turns.
        """
        check_wishes(more, Wishes)
        self.check_codes()
        return self._packed(*self._tokens(_prompts(prompt, self.model.config), duration, seed, **more))

    def stream(
        self,
        prompt: str | None,
        duration: float = 10.0,
        seed: int = 0,
        *,
        options: SamplingOptions = USUAL,
        melody: Audio | None = None,
        after: Recording | None = None,
        every: float = 0.5,
        beat: Beats = "prompt",
    ) -> MusicStream:
        """What `generate` gives, in pieces [1, C, n], each as soon as it is written: their codes are the same.

        The codec runs as a stream, on pieces of other shapes than offline: samples are equal up to the rounding of float32 (about
        1e-6), and exactly as many. every: seconds of music in a piece, about; more is less work for the codec.
        Raises ValueError as `generate`, and for a codec that cannot be streamed.
        """
        if not (math.isfinite(every) and every > 0):
            raise ValueError(f"every is {every}: it must be above 0 (seconds)")
        prompts = _prompts(prompt, self.model.config)
        grids = beats_of(self.model.config, prompts, beat)
        writing, far, (samples,) = self._writing(
            prompts, [self._samples("duration", duration)], [seed], grids, options, melody, after
        )
        books = self.model.config.codebooks // (2 if self.stereo else 1)
        streams = [self.codec.stream("decode", codebooks=books) for _ in range(2 if self.stereo else 1)]
        frames = max(1, round(every * self.codec.frame_rate))
        return MusicStream(writing, far, streams, frames, self.sample_rate, samples)

    def infill(
        self,
        left: Recording,
        right: Recording,
        prompt: str | None = None,
        gap: float = 2.0,
        seed: int = 0,
        **more: Unpack[Tries],
    ) -> Audio:
        """Left, `gap` seconds of new music, right.

        Several candidates are written after the left piece, with the seeds seed, seed + 1 ...; the one after which the model finds
        the first second of the right piece most likely is taken. The model does not hear the right piece while it writes (`lm.infill`).
        Both pieces, recordings or their codes, are heard as the codec plays them, the left one up to its last whole frame.
        Raises ValueError as `generate`.
        """
        check_wishes(more, Tries)
        return self._play(*self._infilled(left, right, prompt, gap, seed, **more))[0]

    def infill_codes(
        self,
        left: Recording,
        right: Recording,
        prompt: str | None = None,
        gap: float = 2.0,
        seed: int = 0,
        **more: Unpack[Tries],
    ) -> Codes:
        """As `infill`, but the codes: those of both pieces as they were, and the gap's between them. Raises ValueError as `codes`."""
        check_wishes(more, Tries)
        self.check_codes()
        return self._packed(*self._infilled(left, right, prompt, gap, seed, **more))

    def _tokens(
        self,
        prompts: list[str | None],
        duration: Durations,
        seed: Seeds,
        options: SamplingOptions = USUAL,
        melody: Audio | None = None,
        after: Recording | None = None,
        progress: Progress | None = None,
        beat: Beats = "prompt",
    ) -> tuple[Tensor, list[int]]:
        """Codes [B, K, T] and how many samples those of each row are of; 0 after its end."""
        count = len(prompts)
        seeds = list(seed) if isinstance(seed, Iterable) else [seed] * count
        lasting = list(duration) if isinstance(duration, Iterable) else [duration] * count
        for name, each in (("seeds", seeds), ("durations", lasting)):
            if len(each) != count:
                raise ValueError(f"{len(each)} {name} for {count} prompts: one for all, or one each")
        new = [self._samples("duration", each) for each in lasting]
        grids = beats_of(self.model.config, prompts, beat)
        rows = self._together(new, after is not None)
        runs = []
        for some in rows:
            told, beats = [prompts[row] for row in some], [grids[row] for row in some]
            lengths, drawn = [new[row] for row in some], [seeds[row] for row in some]
            runs.append(self._writing(told, lengths, drawn, beats, options, melody, after))
        done, total = 0, sum(writing.total for writing, _, _ in runs)
        tokens: list[Tensor] = [torch.empty(0)] * count
        sizes = [0] * count
        for some, (writing, far, samples) in zip(rows, runs, strict=True):
            for piece in writing:
                if progress is not None:
                    progress(done + piece.start + piece.codes.shape[2], total)
            done += writing.total
            codes = torch.cat([far.expand(len(some), -1, -1), writing.codes.cpu()], 2).clamp_min(0)
            for row, written, size in zip(some, codes, samples, strict=True):
                tokens[row], sizes[row] = written, size
        longest = max(each.shape[1] for each in tokens)
        return torch.stack([F.pad(each, (0, longest - each.shape[1])) for each in tokens]), sizes

    def _together(self, samples: Sequence[int], continued: bool) -> list[list[int]]:
        """The rows of each batch: all, but where they hear one another. How much a row hears of a recording that it continues depends on
        how long it is itself."""
        count = len(samples)
        if not independent(self.model.config):
            return [[row] for row in range(count)]
        if not continued:
            return [list(range(count))]
        return [[row for row in range(count) if samples[row] == each] for each in dict.fromkeys(samples)]

    def _writing(
        self,
        prompts: list[str | None],
        new: list[int],
        seeds: list[int],
        grids: list[Grid | None],
        options: SamplingOptions,
        melody: Audio | None,
        after: Recording | None,
    ) -> tuple[Writing, Tensor, list[int]]:
        """The run of rows of so many new samples, the codes [1, K, t] of what is too far back for it to hear, and the samples of both."""
        frames, config = [-(-samples // self.codec.hop) for samples in new], self.model.config
        before = torch.zeros(1, config.codebooks, 0, dtype=torch.int64)
        if after is not None:
            before = self.heard(after, whole=True).tokens
        near = min(before.shape[2], max(1, context_frames(*window_and_stride(config, None, None), max(frames))))
        far, known = before[:, :, : before.shape[2] - near], before[:, :, before.shape[2] - near :]

        def told(begin: int) -> Conditions:
            heard = None if melody is None else self._melody_from(melody, far.shape[2] + begin)
            beats = later(grids, (far.shape[2] + begin) / self.codec.frame_rate)
            return conditions_for(self.model, prompts, options, heard, beats)

        known = known.expand(len(prompts), -1, -1)
        conditions = told if melody is not None or any(grids) else told(0)
        writing = Writing(self.model, conditions, [near + each for each in frames], seeds, options, known)
        return writing, far, [before.shape[2] * self.codec.hop + samples for samples in new]

    def _infilled(
        self,
        left: Recording,
        right: Recording,
        prompt: str | None,
        gap: float,
        seed: int,
        candidates: int = TRIED,
        options: SamplingOptions = USUAL,
        progress: Progress | None = None,
        beat: Beats = "prompt",
    ) -> tuple[Tensor, list[int]]:
        whole = isinstance(candidates, numbers.Integral) and not isinstance(candidates, bool)
        if not whole or not 1 <= candidates <= CANDIDATES:
            raise ValueError(f"candidates is {candidates}: it must lie between 1 and {CANDIDATES}")
        frames = -(-self._samples("gap", gap) // self.codec.hop)
        before, behind = self.heard(left, whole=True).tokens, self.heard(right, whole=False)
        seeds = [check_seed(seed) + i for i in range(candidates)]
        prompts = _prompts(prompt, self.model.config)
        grids = beats_of(self.model.config, prompts, beat) * candidates

        def told(begin: int) -> Conditions:
            return conditions_for(
                self.model, prompts * candidates, options, None, later(grids, begin / self.codec.frame_rate)
            )

        heard = told if any(grids) else told(0)
        found = infill(
            self.model, heard, before[0], behind.tokens[0], frames, seeds=seeds, options=options, progress=progress
        )
        return found.codes[None], [(before.shape[2] + frames) * self.codec.hop + behind.samples]

    def _melody_from(self, melody: Audio, frame: int) -> Audio:
        """What a window that begins at a frame hears of a melody, which goes round: as much as the model can."""
        config, rate = self.model.config.melody, melody.sample_rate
        if config is None or not melody.samples.numel():
            return melody  # the model says what is wrong
        start = round(frame / self.codec.frame_rate * rate) % melody.samples.shape[-1]
        most = config.frames * config.hop * rate // config.sample_rate
        return Audio(melody.samples.roll(-start, -1)[..., :most].contiguous(), rate)

    def _samples(self, name: str, seconds: float) -> int:
        """Seconds of new music as samples."""
        legal = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool) and 0 < seconds <= LONGEST
        if not legal:
            raise ValueError(f"{name} is {seconds}: seconds, above 0 and at most {LONGEST:g}")
        return max(1, round(float(seconds) * self.sample_rate))

    def check_codes(self) -> None:
        """ValueError for a stereo model over a mono codec: what it writes is sound only, see `codes`."""
        if self.stereo:
            raise ValueError(f"{self.model.config.name} writes two channels' codes of a mono codec: as codes of one "
                             "recording they cannot be kept; take the sound")  # fmt: skip

    def heard(self, recording: Recording, whole: bool) -> Heard:
        """A recording as the model hears it; see `hear`."""
        return hear(self.model.config, self.codec, recording, whole)

    def _play(self, tokens: Tensor, samples: list[int]) -> list[Audio]:
        """Codes [B, K, T] as B recordings [1, C, S], of so many samples each."""
        rows = torch.cat(separate(tokens)) if self.stereo else tokens
        lengths = samples * 2 if self.stereo else samples
        sound = self.codec.decode(self._packed(rows, lengths)).samples  # [B, C, S], or of a stereo model [2B, 1, S]
        if self.stereo:
            sound = join_sides(sound)
        played = zip(sound, samples, strict=True)
        return [Audio(row[None, :, :length].contiguous(), self.sample_rate) for row, length in played]

    def _packed(self, tokens: Tensor, samples: list[int]) -> Codes:
        codec = self.codec
        shape = codec.name, codec.weights_hash, codec.sample_rate, codec.channels, codec.hop, codec.codebook_size
        return Codes(tokens, *shape, tuple(samples))


def _prompts(prompt: Prompts, config: LMConfig) -> list[str | None]:
    """One or several prompts as a list; ValueError for an empty one, one of more bytes than are read (T5 counts its tokens), or none."""
    prompts = [prompt] if prompt is None or isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ValueError("no prompt: at least one is needed")
    for text in prompts:
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise ValueError(f"the prompt is {text!r}: say in words what to play")
        size = len((text or "").encode("utf-8", "replace"))
        if isinstance(config.text, ByteTextConfig) and size > config.text.longest:
            raise ValueError(f"the prompt has {size} bytes: {config.name} reads at most {config.text.longest}")
    return prompts
