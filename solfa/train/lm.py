"""The task of the token language model: write the codes of a recording, told its caption."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.conditioners.grid import Grid
from solfa.lm.conditioners.text import ByteText, T5Text
from solfa.lm.lora import LoRAConfig, merged, save_adapter
from solfa.lm.model import LMConfig, TokenLM
from solfa.lm.patterns import NOTHING
from solfa.train.attributes import AttributeGuesses, classes_of
from solfa.train.caption_encoder import load_caption_encoder
from solfa.train.captions import CaptionConfig, Said, draw_caption, longest_texts
from solfa.train.code_nats import LMBatch, batch_of, code_nats
from solfa.train.code_source import CodeSource
from solfa.train.data_identity import HEARD, DataIdentity, of_codes
from solfa.train.initial_lm import start_lm
from solfa.train.lm_data import Reading, read_data
from solfa.train.lm_export import Wanted, export_lm, layout_for
from solfa.train.lm_samples import write_samples
from solfa.train.lm_sound import MELODY_DROPOUT, Sounds
from solfa.train.prefetch import move
from solfa.train.task import Loss, Origin

VALID_BATCH = 16
GUESS_EVERY = 8  # steps
MOST_TOKENS = 4  # of a character; texts that cannot be too long are not counted


@dataclass(frozen=True)
class LMTaskConfig:
    """What the model is trained on.

    model: its shape; codec, rates and codebooks must be those of the codes. None: that of `init`.
    train, valid: folders of sound with captions, tables, manifests (see `recordings`), token stores; how they are split stands at
        `read_data`.
    batch: crops a step over all shards. frames: length of a crop; what a shorter recording does not fill takes no part in the loss. It is
        the `crop_frames` of a new model, whatever `model` says, and of one that goes on and was trained on less (see `start_lm`).
    captions: how texts are drawn. condition_dropout: the share of crops that are told nothing, for guidance; drawn for each crop by itself
        (AudioCraft draws once a batch).
    init_codec: begin embeddings and head with projections of the codec's own code vectors, so that like codes begin alike.
    valid_items: recordings that are validated on, at most. hold_out: where `valid` is empty, every so many-th of `train` is held out.
    init: a model to go on from: a name, a folder, a hub repository; its shape is then taken. codec: where its codec is, if not where
        the model says.
    lora: adapters instead of all weights, see `LoRAConfig`. adapter: a folder of adapters to go on from (then `lora` says nothing).
    checkpointing: compute each block again in the backward pass: much less memory, a quarter to a third more time.
    cache: a folder for the codes of sound; None keeps them beside it, in .solfa-codes. encode_on: where sound is encoded, and codes are
        played of which a model hears the melody, or what CLAP makes of them.
    prompts: at each evaluation these are played, `prompt_seconds` each, into eval/step-N/.
    export_as: the layout of the run's model/: ours, or, for models that these know, that of transformers or AudioCraft's; "auto" is that of
        `init`. half_export: weights are stored in float16; those of transformers are always float32, as they are trained and evaluated.

    What a caption says matters most where nothing has been written yet: a small share of the loss, which a small model is slow to learn.
    caption_encoder: a trained one to begin the text's encoder with, see `load_caption_encoder`. freeze_text: leave that encoder as it is.
    early: weight of a crop's first steps, beside 1 for all, falling by e every half a second. guess: weight of an auxiliary loss, the
    attributes of a piece (see `attributes.labels`) told from the vectors of told crops.

    beat: give the model a beat (`LMConfig.beat`) where it has none; its layer begins at zero, so the model goes on as it was. Crops of
    recordings that keep their tempo (see `captions.said_of`) are told where their beats lie. beat_dropout: the share of told crops that
    are not, so that prompts without a tempo stay known; what is told no text is told no beat. steady: all recordings with a tempo and a
    metre keep them from the first frame, a downbeat, for data that do not say so.

    summary: give the model what its text says on the whole (`LMConfig.summary`) where it has not; its layer begins at zero too.
    """

    model: LMConfig | None = None
    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    batch: int = 16
    frames: int = 500
    seed: int = 0
    captions: CaptionConfig = CaptionConfig()  # noqa: RUF009  (frozen)
    condition_dropout: float = 0.1
    init_codec: bool = True
    valid_items: int = 64
    hold_out: int = 20
    init: str | None = None
    codec: str | None = None
    lora: LoRAConfig = LoRAConfig()  # noqa: RUF009
    adapter: str | None = None
    checkpointing: bool = False
    cache: str | None = None
    encode_on: Literal["auto", "cpu", "cuda"] = "auto"
    prompts: tuple[str, ...] = ()
    prompt_seconds: float = 10.0
    export_as: Wanted = "solfa"
    caption_encoder: str | None = None
    freeze_text: bool = False
    early: float = 0.0
    guess: float = 0.0
    beat: BeatConfig | None = None
    beat_dropout: float = 0.1
    steady: bool = False
    summary: bool = False
    half_export: bool = True

    def __post_init__(self) -> None:
        for name in ("batch", "frames", "valid_items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.hold_out < 2:
            raise ValueError(f"hold_out is {self.hold_out}: it must be at least 2, or nothing is left to train on")
        for name in ("condition_dropout", "beat_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie in [0, 1]")
        for name in ("early", "guess"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 0 and 1000")
        if self.codec is not None and not isinstance(self.codec, str):
            raise ValueError(f"codec is {type(self.codec).__name__}: it must be the name or the folder of one, or None")
        if not 0 < self.prompt_seconds <= 600:
            raise ValueError(f"prompt_seconds is {self.prompt_seconds}: it must lie above 0 and be at most 600")
        if not all(prompt.strip() for prompt in self.prompts):
            raise ValueError("prompts: one of them is empty")

    def build(self) -> LMTask:
        return LMTask(self)


@dataclass(frozen=True)
class Crop:
    """Codes [K, at most `frames`], what they are told, and all that is said of their recording."""

    codes: np.ndarray
    text: str | None
    said: Said
    grid: Grid | None
    melody: Tensor | None = None  # pitch classes [F, 12]
    vector: Tensor | None = None  # CLAP's, of a recording without a caption


class LMTask:
    """Trains a `TokenLM` by the cross-entropy of each codebook, averaged over the codebooks."""

    name = "lm"

    def __init__(self, config: LMTaskConfig) -> None:
        self.config = config
        how = config.init_codec, config.lora, config.adapter, config.beat, config.summary
        start = start_lm(config.model, config.init, config.codec, config.frames, *how)
        self.model, self.codec = start.model, start.codec
        self.model.transformer.checkpointed = config.checkpointing
        self.layout = layout_for(config.export_as, config.init, self.model.config)
        reading = Reading(
            start.codec, start.codebooks, start.apart, config.captions.instruments, config.cache, config.encode_on
        )
        data = read_data(config.train, config.valid, reading, config.hold_out, config.valid_items)
        self.data, self.valid = data.train, data.valid
        self.sounds = Sounds(self.model, start.codec, config.encode_on)
        self._check_said()
        self._begin_text()
        self.guesses = self._make_guesses() if config.guess else None
        lengths = self.data.lengths.astype(np.float64)
        self._shares = np.cumsum(lengths) / lengths.sum()

    @property
    def _hears(self) -> bool:
        """Whether captions say anything to the model."""
        return self.model.text is not None or self.model.clap is not None

    def _check_said(self) -> None:
        """Looks once at all that is said, which a store has on the disk: that it can be read by the model, and is there."""
        self._check_texts(self.config.prompts)
        untold, beats = 0, False
        for said in _said_of_all(self.data):
            self._check_texts(longest_texts(said))
            untold += not said
            beats = beats or self._grid(said) is not None
        if isinstance(self.model.text, T5Text):
            for said in _said_of_all(self.valid):
                self._check_texts(longest_texts(said))
        if untold and self.model.clap is not None:
            self.model.clap.check()  # sound is heard instead
        elif untold and self._hears:
            warnings.warn(
                f"{untold} of {len(self.data.lengths)} recordings have no caption: they are trained on untold",
                stacklevel=3,
            )
        if self.model.beat is not None and not beats:
            self._say_no_beat()

    def _say_no_beat(self) -> None:
        """ValueError where a beat was asked for, a warning where the model came with it: no crop can be told one."""
        lacking = "no recording tells tempo and metre and is steady; set steady where all keep them from the start"
        if self.config.beat is not None:
            raise ValueError(f"beat: {lacking}")
        warnings.warn(f"the model is told no beat: {lacking}", stacklevel=4)

    def _check_texts(self, texts: Iterable[str]) -> None:
        """ValueError for a text that the model will not read: before the first step, not at the one that happens to draw it."""
        text = self.model.text
        if not isinstance(text, T5Text):
            return
        for words in texts:
            if len(words) > text.config.longest // MOST_TOKENS:
                try:
                    text.tokenize([words])
                except ValueError as error:
                    raise ValueError(f"{words[:60]!r}...: {error}; make it shorter") from error

    def _begin_text(self) -> None:
        text, config = self.model.text, self.config
        if config.caption_encoder is None and not config.freeze_text:
            return
        if not isinstance(text, ByteText):
            raise ValueError(
                "caption_encoder and freeze_text are for models that read bytes: this one has no such encoder"
            )
        if config.caption_encoder is not None:
            load_caption_encoder(config.caption_encoder, text, self.model.config.transformer.width)
        text.encoder.requires_grad_(not config.freeze_text)

    def _make_guesses(self) -> AttributeGuesses:
        if self.model.text is None:
            raise ValueError("guess is for models that read text: this one reads none")
        classes = classes_of(_said_of_all(self.data))
        if not classes:
            raise ValueError("guess: no attributes (key, bpm, genre, instrument ...) are told of the recordings")
        return AttributeGuesses(self.model.config.transformer.width, classes)

    def identity(self) -> DataIdentity:
        held_out = range(len(self.valid.lengths))
        return of_codes(self.data.lengths, [self.valid.codes(i, 0, HEARD) for i in held_out])

    def phases(self) -> dict[str, nn.Module]:
        if self.guesses is None:
            return {"lm": self.model}
        return {"lm": nn.ModuleDict({"model": self.model, "guesses": self.guesses})}

    def _generators(self, step: int, rank: int, world: int) -> dict[int, np.random.Generator]:
        """Of each row of a shard, what it is drawn with."""
        c = self.config
        rows = range(rank * c.batch // world, (rank + 1) * c.batch // world)
        return {row: np.random.default_rng([c.seed, step, row]) for row in rows}

    def batch(self, step: int, rank: int, world: int) -> LMBatch:
        drawn = [self._crop(rng) for rng in self._generators(step, rank, world).values()]
        told = [c.text for c in drawn], [c.grid for c in drawn], [c.melody for c in drawn], [c.vector for c in drawn]
        batch = batch_of(self.model, [c.codes for c in drawn], *told)
        if self.guesses is None:
            return batch
        return replace(batch, classes=self.guesses.targets([crop.said for crop in drawn]))

    def origins(self, step: int, rank: int, world: int) -> list[Origin]:
        places = {row: self._place(rng) for row, rng in self._generators(step, rank, world).items()}
        rate = self.model.config.frame_rate
        return [Origin(row, self.data.name(index), start / rate) for row, (index, start) in places.items()]

    def _place(self, rng: np.random.Generator) -> tuple[int, int]:
        """A recording and a frame of it where a crop begins. Recordings are drawn as often as they are long, and of one every place where
        a crop fits equally often: frames near its ends, which fewer crops hold, come more seldom."""
        lengths = self.data.lengths
        index = min(int(np.searchsorted(self._shares, rng.random(), side="right")), len(lengths) - 1)
        return index, int(rng.integers(0, max(1, int(lengths[index]) - self.config.frames + 1)))

    def _crop(self, rng: np.random.Generator) -> Crop:
        index, start = self._place(rng)
        told = rng.random() >= self.config.condition_dropout
        said = self.data.said(index)
        text = draw_caption(said, self.config.captions, rng)
        codes = self.data.codes(index, start, self.config.frames)
        if not told:
            return Crop(codes, None, said, None)
        beats = self.model.beat is not None and rng.random() >= self.config.beat_dropout
        grid = self._grid(said, start) if beats else None
        sings = self.model.melody is not None and rng.random() >= MELODY_DROPOUT
        melody = self.sounds.melody(torch.from_numpy(codes.astype(np.int64))) if sings else None
        return Crop(codes, text, said, grid, melody, None if text else self.sounds.vector(self.data, index))

    def _grid(self, said: Said, start: int = 0) -> Grid | None:
        """The beat of a crop that begins at a frame, where one is kept."""
        if said.grid is None or not (said.steady or self.config.steady):
            return None
        return said.grid.after(start / self.model.config.frame_rate)

    def loss(self, phase: str, batch: LMBatch, step: int) -> Loss:
        nats, hidden = code_nats(self.model, batch, self.config.early)
        each, total = nats.detach(), nats.mean()
        logs = {f"ce_{k}": value for k, value in enumerate(each)}
        logs |= {f"ppl_{k}": value.exp() for k, value in enumerate(each)}
        logs["ppl"] = each.exp().mean()
        if self.guesses is not None and batch.classes is not None:
            told = batch.mask.any(1)
            guess, _ = self.guesses.loss(hidden[told, ::GUESS_EVERY], batch.classes[told])
            total, logs["guess"] = total + self.config.guess * guess, guess.detach()
        return Loss(total, {**logs})

    def evaluate(self, model: nn.Module, step: int, folder: Path) -> dict[str, float]:
        """Cross-entropy and perplexity of each codebook on held-out recordings, told their first caption (or heard by CLAP), their beat and
        their melody; the mean of both without the beat, without the melody, and told nothing."""
        assert isinstance(model, TokenLM)
        whole = merged(model)
        told = self._evaluated(whole, text=True, beat=True, melody=True)
        values = {f"ce_{k}": float(value) for k, value in enumerate(told)}
        values |= {f"ppl_{k}": math.exp(value) for k, value in enumerate(told)}
        values["ce"] = float(told.mean())
        if self._hears or whole.melody is not None:
            values["ce_untold"] = float(self._evaluated(whole).mean())
        if whole.beat is not None:
            values["ce_no_beat"] = float(self._evaluated(whole, text=True, melody=True).mean())
        if whole.melody is not None:
            values["ce_no_melody"] = float(self._evaluated(whole, text=True, beat=True).mean())
        if self.config.prompts:
            write_samples(whole, self.codec, self.config.prompts, self.config.prompt_seconds, folder)
        return values

    def _evaluated(self, model: TokenLM, text: bool = False, beat: bool = False, melody: bool = False) -> Tensor:
        """Of each codebook, the mean over the codes of all recordings, which are told some of what there is."""
        device, sums, total = model.device, torch.zeros(model.config.codebooks), len(self.valid.lengths)
        frames = 0
        for start in range(0, total, VALID_BATCH):
            items = range(start, min(start + VALID_BATCH, total))
            said, longest = [self.valid.said(i) for i in items], self.config.frames
            batch = batch_of(
                model,
                [self.valid.codes(i, 0, longest) for i in items],
                [each.texts[0] if text and each.texts else None for each in said],
                [self._grid(each) if beat else None for each in said],
                [self.sounds.melody_of(self.valid, i, longest) if melody else None for i in items],
                [
                    self.sounds.vector(self.valid, i) if text and not each.texts else None
                    for i, each in zip(items, said, strict=True)
                ],
            )
            there = int((batch.codes[:, 0] != NOTHING).sum())
            sums += code_nats(model, move(batch, device))[0].cpu() * there
            frames += there
        return sums / frames

    def export(self, model: nn.Module, folder: Path) -> None:
        """Write the model, its adapters in its weights, to `folder`; adapters by themselves, in peft's format, to `adapter` beside it."""
        assert isinstance(model, TokenLM)
        hours = float(self.data.lengths.sum()) / model.config.frame_rate / 3600
        facts = {"hours_of_codes": round(hours, 2), "recordings": len(self.data.lengths)}
        if self.config.lora.rank or self.config.adapter:
            save_adapter(model, folder.parent / "adapter", self.config.init)
        export_lm(merged(model), folder, self.layout, self.config.init, self.config.half_export, facts)


def _said_of_all(source: CodeSource) -> Iterator[Said]:
    """In order, one at a time: there may be more than memory holds."""
    return (source.said(i) for i in range(len(source.lengths)))
