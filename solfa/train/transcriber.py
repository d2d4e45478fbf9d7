"""The task of the transcriber: from the codes of a recording to its notes, frame by frame and as events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from solfa.codecs.silence import codes_of_silence
from solfa.data.mixing import MixOptions
from solfa.lm.trunk import OWN_TRUNK
from solfa.train.data_identity import HEARD, DataIdentity, of_codes
from solfa.train.prefetch import move
from solfa.train.task import Loss, Origin
from solfa.train.transcriber_batch import Crop, TranscriberBatch, counted, make_batch
from solfa.train.transcriber_data import Reading, Take, read_data
from solfa.train.transcriber_loss import LossWeights, event_loss, frame_losses, program_loss
from solfa.train.transcriber_score import MEASURED, best_peaks, score_takes, try_peaks
from solfa.train.transcriber_sound import SoundChanges, changed
from solfa.train.transcriber_start import start_transcriber
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.model import TokenTranscriber

VALID_BATCH = 16
WITH_CONTEXT = (0.8, 0.6)  # the shares of crops that have some before and behind their events


@dataclass(frozen=True)
class TranscriberTaskConfig:
    """What a transcriber is trained on.

    model: its shape; codec, rates and codebooks must be those of the codes. None: that of `init`; with both, the weights of `init` are
        taken and what the shape has besides (a decoder) begins anew. Crops are of its segment's length.
    train, valid: manifests with notes, folders of sound with MIDI files, or datasets, see `find_pieces`; how they are split stands at
        `read_data`.
    batch: crops a step over all shards. alpha: a place of n seconds is drawn from as often as n^alpha says beside the others: 1 as long as
        they are, 0 all alike (MT3 has 0.3, of numbers of examples); within a place every second is as likely as any other.
    sustain: notes end as they are heard: under the pedal when it comes up. Without, when the key does.
    augment: variants of each recording beside itself, encoded once and kept; augmentation: what is drawn for them.
    codebook_dropout: the share of steps that are given the first 1 to K - 1 codebooks only (all numbers alike), so that one model reads
        any bitrate. hint: the share of crops that are told what plays, of a model that can be told.
    longest_events: tokens of a crop at most; what is beyond is cut, and that is said.
    sound: what is changed of crops, for models that hear sound.
    weights: of the losses. init: a transcriber to go on from, a name or a folder. codec: where its codec is, if
        not under the name that the model says. init_codec: a new model's embeddings begin with the codec's own code vectors.
    tune_trunk: the language model whose hidden states are heard is trained too, as a second phase, and exported within the model's folder.
    freeze_hearing: the decoder of events alone is trained; the frame outputs stay what they are, to the bit.
    valid_items: recordings that are validated on, at most. hold_out: where `valid` is empty, every so many-th of `train` is held out.
    valid_codebooks: numbers of codebooks that are validated with too; thresholds: of onsets, of drums and of what sounds on, likewise,
        beside 0.5: the model is exported with the best.
    cache: a folder for the codes of sound; None keeps them beside it, in .solfa-codes. encode_on: where sound is encoded.
    """

    model: TranscriberConfig | None = None
    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    batch: int = 16
    seed: int = 0
    alpha: float = 1.0
    sustain: bool = True
    augment: int = 0
    augmentation: MixOptions = MixOptions()  # noqa: RUF009  (frozen)
    codebook_dropout: float = 0.0
    hint: float = 0.25
    sound: SoundChanges = SoundChanges()  # noqa: RUF009
    longest_events: int = 1024
    weights: LossWeights = LossWeights()  # noqa: RUF009
    init: str | None = None
    codec: str | None = None
    init_codec: bool = True
    tune_trunk: bool = False
    freeze_hearing: bool = False
    valid_items: int = 64
    hold_out: int = 20
    valid_codebooks: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = ()
    cache: str | None = None
    encode_on: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("valid_items", 1), ("longest_events", 2), ("hold_out", 2), ("augment", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least {least}")
        for name in ("alpha", "codebook_dropout", "hint"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie in [0, 1]")
        for threshold in self.thresholds:
            if not 0 < threshold <= 1:
                raise ValueError(f"thresholds are {self.thresholds}: each must lie above 0 and be at most 1")

    def build(self) -> TranscriberTask:
        return TranscriberTask(self)


class TranscriberTask:
    """Trains a `TokenTranscriber` by its frame outputs, the instruments of notes and, where it has a decoder, its events."""

    name = "transcriber"

    def __init__(self, config: TranscriberTaskConfig) -> None:
        self.config = config
        self.start = start_transcriber(config.model, config.init, config.codec, config.init_codec, config.tune_trunk)
        self.model = self.start.model
        if config.freeze_hearing:
            self._freeze()
        self._check_codebooks()
        reading = Reading(
            self.start.codec,
            self.model.config.codebooks,
            config.sustain,
            config.augment,
            config.augmentation,
            config.seed,
            config.cache,
            config.encode_on,
        )
        data = read_data(config.train, config.valid, reading, config.hold_out, config.valid_items)
        self.takes, self.valid = data.train, data.valid
        self._shares = np.cumsum(shares(self.takes, config.alpha))

    def _freeze(self) -> None:
        """Leave gradients to the decoder only."""
        if self.model.decoder is None or not self.config.weights.events or self.config.tune_trunk:
            raise ValueError(
                "freeze_hearing: it needs a model with decoder_layers, a weight of the events above 0, and no tune_trunk"
            )
        self.model.requires_grad_(False)
        self.model.decoder.requires_grad_(True)

    def _check_codebooks(self) -> None:
        shape = self.model.config
        if self.config.sound != SoundChanges() and not self._hears_sound:
            raise ValueError(
                f"sound is {self.config.sound}: {shape.name} hears {shape.source}, of which nothing is changed"
            )
        if self.config.codebook_dropout and (shape.codebooks == 1 or shape.source == "trunk"):
            raise ValueError(
                f"codebook_dropout is {self.config.codebook_dropout}: {shape.name} reads {shape.codebooks} codebooks"
                + (" through a language model, which needs them all" if shape.source == "trunk" else "")
            )
        most = 0 if shape.source == "trunk" else shape.codebooks
        for count in self.config.valid_codebooks:
            if not 1 <= count <= most:
                raise ValueError(f"valid_codebooks are {self.config.valid_codebooks}: legal are 1 to {most}")

    def identity(self) -> DataIdentity:
        return of_codes((take.frames for take in self.takes), [take.codes[:, :HEARD] for take in self.valid])

    def phases(self) -> dict[str, nn.Module]:
        trunk = self.start.trunk if self.config.tune_trunk else None
        return {"transcriber": self.model} | ({} if trunk is None else {"trunk": trunk})

    def _generators(self, step: int, rank: int, world: int) -> dict[int, np.random.Generator]:
        """Of each row of a shard, what it is drawn with."""
        c = self.config
        rows = range(rank * c.batch // world, (rank + 1) * c.batch // world)
        return {row: np.random.default_rng([c.seed, step, row]) for row in rows}

    def batch(self, step: int, rank: int, world: int) -> TranscriberBatch:
        c, shape = self.config, self.model.config
        rng = np.random.default_rng([c.seed, step])  # of the whole step, whatever its shards are
        dropped, fewer = rng.random() < c.codebook_dropout, int(rng.integers(1, max(2, shape.codebooks)))
        crops = [self._crop(rng) for rng in self._generators(step, rank, world).values()]
        batch = make_batch(crops, shape, fewer if dropped else shape.codebooks, c.longest_events)
        if (
            self._hears_sound and self.model.device.type == "cpu"
        ):  # a GPU does it faster than the thread that makes batches
            return replace(batch, source=self._source(batch))
        return batch

    @property
    def _hears_sound(self) -> bool:
        return self.model.config.source == "sound"

    def _source(self, batch: TranscriberBatch) -> Tensor:
        """What the model reads of a batch."""
        source = self.start.source(batch.codes, batch.lengths)
        return changed(source, batch.changes) if batch.changes else source

    def origins(self, step: int, rank: int, world: int) -> list[Origin]:
        places = {row: self._place(rng) for row, rng in self._generators(step, rank, world).items()}
        return [Origin(row, take.name, start / self.model.config.frame_rate) for row, (take, start) in places.items()]

    def _place(self, rng: np.random.Generator) -> tuple[Take, int]:
        """A recording and a frame of it where a crop begins."""
        index = min(int(np.searchsorted(self._shares, rng.random(), side="right")), len(self.takes) - 1)
        take = self.takes[index]
        return take, int(rng.integers(0, max(1, take.frames - self.model.config.segment_frames + 1)))

    def _crop(self, rng: np.random.Generator) -> Crop:
        take, start = self._place(rng)
        told = bool(rng.random() < self.config.hint)
        crop = Crop(take, start, told, self.config.sound.draw(rng) if self._hears_sound else None)
        if not self.model.config.decoder_layers:
            return crop
        # As segments are read: mostly with context, the first and the last of a recording without.
        before, after = (self.model.config.margin * int(rng.random() < share) for share in WITH_CONTEXT)
        return replace(crop, before=before, after=after)

    def loss(self, phase: str, batch: TranscriberBatch, step: int) -> Loss:
        losses = self._losses(self.model, batch)
        return Loss(self.config.weights.total(losses), {name: value.detach() for name, value in losses.items()})

    def _losses(self, model: TokenTranscriber, batch: TranscriberBatch) -> dict[str, Tensor]:
        weights, shape, targets = self.config.weights, model.config, batch.targets
        source = self._source(batch) if batch.source is None else batch.source
        codebooks = batch.codes.shape[1] if shape.source == "codes" else None
        learning = torch.is_grad_enabled()
        with torch.set_grad_enabled(learning and not self.config.freeze_hearing):
            heard = model.encode(source, batch.lengths, batch.hint, codebooks)
        losses: dict[str, Tensor] = {}
        if not (learning and self.config.freeze_hearing):
            losses = frame_losses(heard.frames, targets, batch.real, weights.positive)
            if weights.program:
                pitched = targets.cells[:, 2] < shape.columns.pitched
                row, frame, column = targets.cells[pitched].unbind(1)
                losses["program"] = program_loss(model.programs(heard, row, frame, column), targets.program[pitched])
        if batch.ids is not None and batch.asked is not None and weights.events:
            assert shape.vocabulary is not None  # where there are ids there is one
            pad = shape.vocabulary.pad
            before = torch.cat([torch.full_like(batch.ids[:, :1], pad), batch.ids[:, :-1]], 1)
            losses["events"] = event_loss(model.written(before, replace(heard, first=batch.first)), batch.asked, pad)
        return losses

    def evaluate(self, model: nn.Module, step: int, folder: Path) -> dict[str, float]:
        """Losses on held-out segments, and how good the notes of the frame outputs are, see `score_takes`.

        onset_f1_k2: with two codebooks; onset_f1_at_0.4, drum_f1_at_0.4, onset_offset_f1_at_0.4: with that threshold of onsets, of drums,
        of what sounds on. If there are any the model is given the best of each.
        """
        assert isinstance(model, TokenTranscriber)
        source = None if model.config.source == "codes" else self.start.source
        silence = codes_of_silence(self.start.codec)
        silence = silence[: model.config.codebooks, silence.shape[1] // 2]
        tried = try_peaks(model, self.valid, source, self.config.thresholds, silence)
        values = self._valid_losses(model) | next(iter(tried.values()))
        for (field, value), scores in tried.items():
            if value in self.config.thresholds and (measure := MEASURED[field]) in scores:
                values[f"{measure}_at_{value:g}"] = scores[measure]
        for count in self.config.valid_codebooks:
            again = score_takes(model, self.valid, count, source, silence=silence)[0]
            values |= {f"{name}_k{count}": value for name, value in again.items()}
        if self.config.thresholds:
            model.config = replace(model.config, peaks=best_peaks(tried))
        return values

    def _valid_losses(self, model: TokenTranscriber) -> dict[str, float]:
        """Of the segments of all held-out recordings, told nothing; means as in one batch of all of them, however they are batched."""
        size, shape = model.config.segment_frames, model.config
        crops = [Crop(take, start) for take in self.valid for start in range(0, take.frames, size)]
        sums: dict[str, Tensor] = {}
        totals: dict[str, int] = {}
        for first in range(0, len(crops), VALID_BATCH):
            some = crops[first : first + VALID_BATCH]
            batch = make_batch(some, shape, shape.codebooks, self.config.longest_events)
            counts = counted(batch, shape)
            for name, value in self._losses(model, move(batch, model.device)).items():
                count = counts.get(name, counts["frames"])
                sums[name] = sums.get(name, torch.zeros(())) + value.float().cpu() * count
                totals[name] = totals.get(name, 0) + count
        means = {name: value / max(1, totals[name]) for name, value in sums.items()}
        values = {"loss": self.config.weights.total(means)} | {f"loss_{name}": value for name, value in means.items()}
        return {name: float(value) for name, value in values.items()}

    def export(self, model: nn.Module, folder: Path) -> None:
        assert isinstance(model, TokenTranscriber)
        hours = sum(take.frames for take in self.takes) / model.config.frame_rate / 3600
        facts = {"hours_of_codes": round(hours, 2), "recordings": len(self.takes), "variants": self.config.augment}
        model.save(folder, facts, torch.float16)
        if self.config.tune_trunk and self.start.trunk is not None:
            self.start.trunk.save(folder / OWN_TRUNK, dtype=torch.float16)


def shares(takes: list[Take], alpha: float) -> np.ndarray:
    """How likely each take is drawn, summing to 1: places by their lengths to the power of alpha, and in a place each second alike."""
    frames = np.array([take.frames for take in takes], np.float64)
    place = np.array([take.place for take in takes])
    lengths = np.bincount(place, frames)
    wanted = np.where(lengths > 0, lengths**alpha, 0.0)
    return frames / lengths[place] * (wanted / wanted.sum())[place]
