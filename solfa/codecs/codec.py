"""The codec interface: sound to codes and back, by one canonical path.

Floating-point sums depend on the shapes they run in. So a codec never runs on a whole file: it runs on blocks of one fixed shape
(see `stages`), each on one thread, or on segments. Whole files, blocks as they arrive, batches of unequal lengths: all go through
the same blocks and give the same codes. Speed comes from running several blocks at once.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self, TypeAlias, overload

import numpy as np
import torch
from torch import Tensor, nn

from solfa.audio.io import Audio, blocks, info
from solfa.audio.sinc import make_resampler
from solfa.codecs.segments import SegmentConfig, segment_frames
from solfa.codecs.stream import DecodeStream, EncodeStream, StreamState, check_floats, finite_sound

Read: TypeAlias = Callable[[int, int], Tensor]  # frames a to b, to their codes [k, b - a]
MERGED = 64  # blocks of codes that are kept apart: thousands of small tensors would keep the memory between them from being given back


@dataclass(frozen=True, eq=False)
class Codes:
    """A codec's integer tokens for a batch of recordings.

    Items shorter than the longest are filled up with zeros; `samples` tells each one's true length. With a segment, the frames
    of its segments (offsets 0, stride, 2 * stride ... < samples) follow one another along T. Two are equal that say the same;
    they hold tensors, so they are not hashable.
    """

    tokens: Tensor  # [B, K, T] int64, 0 <= token < codebook size
    codec: str
    weights_hash: str
    sample_rate: int  # Hz
    channels: int
    hop: int  # samples a frame
    codebook_size: int
    samples: tuple[int, ...]  # true length of each item, at sample_rate
    scales: Tensor | None = None  # [B, segments] float32, for segments that were normalised; 0 after an item's last
    segment: tuple[int, int] | None = None  # samples and stride

    @property
    def lengths(self) -> tuple[int, ...]:
        """Frames of each item: ceil(samples / hop); with a segment, the sum of that over its segments."""
        if self.segment is None:
            return tuple(-(-n // self.hop) for n in self.samples)
        return tuple(sum(segment_frames(n, self.hop, *self.segment)) for n in self.samples)

    @property
    def codebooks(self) -> int:
        return self.tokens.shape[1]

    def __eq__(self, other: object) -> bool:
        """Not the comparison that dataclasses have, which would ask whether a tensor of answers is true."""
        if not isinstance(other, Codes):
            return NotImplemented
        pairs = [(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)]
        return all(
            torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b or a == b for a, b in pairs
        )

    def chosen(self, item: int | None) -> int:
        """The item that goes into a file; None means the only one. Raises ValueError where there are several, or it is none of them."""
        batch = self.tokens.shape[0]
        if item is None and batch != 1:
            raise ValueError(f"a file holds one recording: choose an item, 0 to {batch - 1}")
        if item is not None and not 0 <= item < batch:
            raise ValueError(f"item must be 0 to {batch - 1}, not {item}")
        return item or 0

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop


@dataclass(frozen=True, eq=False)
class CodeBlock:
    """Codes of some of a recording's frames, or of one segment with its scale."""

    tokens: Tensor  # [k, t] int64
    scale: Tensor | None = None  # [] float32


@dataclass(frozen=True)
class _Item:
    """What was made of one recording."""

    tokens: Tensor  # [k, T] int64
    scales: list[float]  # of each block; 0 where there is none
    samples: int  # at the codec's rate


class Codec(nn.Module, ABC):
    """A codec of K codebooks with N entries each, at sample_rate / hop frames a second.

    A subclass sets the fields and says how the blocks of a recording are encoded and decoded.
    weights_hash: of the weights as they were loaded, which codes say that they are of; "" from `train()` on, and for a codec that is new.
    Weights that are changed in another way are not noticed: set it to "" there.
    """

    name: str
    weights_hash: str
    sample_rate: int  # Hz
    channels: int
    hop: int  # samples a frame
    codebooks: int
    codebook_size: int
    segment: SegmentConfig | None = None
    resampler: str = "soxr"  # see `audio.sinc`

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    @property
    def bitrate(self) -> float:
        """Bits a second with all codebooks, packed; what overlaps between segments, and their scales, are not counted."""
        return self.frame_rate * self.codebooks * (self.codebook_size - 1).bit_length()

    @property
    def device(self) -> torch.device:
        """That of the weights; the CPU for a codec without any."""
        return next((weight.device for weight in self.parameters()), torch.device("cpu"))

    def train(self, mode: bool = True) -> Self:
        """As every module; in training mode `weights_hash` becomes "", as the weights will not be those that it was made of."""
        if mode:
            self.weights_hash = ""
        return super().train(mode)

    @abstractmethod
    def encode_parts(self, parts: Iterable[Tensor], codebooks: int) -> Iterator[CodeBlock]:
        """Parts [C, n] of a recording, of any lengths, at the codec's rate and channels, to its codes; one block a segment.

        Raises ValueError where the parts hold nothing.
        """

    @abstractmethod
    def decode_samples(
        self, read: Read, samples: int, start: int = 0, stop: int | None = None, scales: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The samples start to stop of a recording of so many samples, block by block: [C, n].

        read(a, b) gives the codes [k, b - a] of some of its frames: a slice of a tensor, or a part of a token file. Only what is needed
        is read: of a codec that remembers the whole past, all from the beginning. scales: of all its segments, [segments], where they
        were normalised. What is decoded for a sample does not depend on start and stop. Raises ValueError for a range that is not within
        the recording, or scales that are missing.
        """

    @overload
    def stream(
        self, direction: Literal["encode"] = ..., codebooks: int | None = ..., state: StreamState | None = ...
    ) -> EncodeStream: ...

    @overload
    def stream(
        self, direction: Literal["decode"], codebooks: int | None = ..., state: StreamState | None = ...
    ) -> DecodeStream: ...

    def stream(
        self,
        direction: Literal["encode", "decode"] = "encode",
        codebooks: int | None = None,
        state: StreamState | None = None,
    ) -> EncodeStream | DecodeStream:
        """A stream: samples to codes as they come ("encode"), or codes to samples ("decode"); see `codecs.stream`.

        codebooks: how many are encoded, or are in the codes. state: of an earlier stream of the same kind, to resume from.
        Raises ValueError for a codec that cannot: one that codes segments.
        """
        raise ValueError(f"{self.name} cannot be streamed")

    def encode(
        self, audio: Audio | Tensor, codebooks: int | None = None, *, lengths: Iterable[int] | None = None
    ) -> Codes:
        """Codes of a batch of recordings.

        audio: samples [B, C, S]; an `Audio` of another rate is resampled, other channel counts are mixed down or repeated. A bare
        tensor is taken at the codec's rate. codebooks: how many to keep, 1 to K (all by default). lengths: samples of each item, at the
        input's rate, where they are not all S.
        Raises ValueError for empty, non-finite or misshapen input, and for samples that are no floats.
        """
        k = self.check_codebooks(codebooks)
        samples = audio.samples if isinstance(audio, Audio) else audio
        rate = audio.sample_rate if isinstance(audio, Audio) else self.sample_rate
        check_floats(samples)
        if samples.ndim != 3 or 0 in samples.shape:
            raise ValueError(
                f"samples have the shape {tuple(samples.shape)}: [batch, channels, samples] is needed, none of them 0"
            )
        most = samples.shape[-1]
        true = [most] * len(samples) if lengths is None else [int(n) for n in lengths]
        if len(true) != len(samples) or any(not 1 <= n <= most for n in true):
            raise ValueError(f"lengths are {true}: {len(samples)} are needed, each 1 to {most}")
        items = []
        for item, length in zip(samples, true, strict=True):
            items.append(self._encode_item([item[:, :length]], rate, k))
        return self._codes(items)

    def encode_file(self, path: str | Path, codebooks: int | None = None) -> Codes:
        """Codes of a sound file of any length, rate and channel count; of the sound only a few windows are in memory at a time."""
        k = self.check_codebooks(codebooks)
        sound = (torch.from_numpy(block) for block in blocks(path))
        return self._codes([self._encode_item(sound, info(path).sample_rate, k)])

    def encode_blocks(
        self, parts: Iterable[Tensor], codebooks: int | None = None, sample_rate: int | None = None
    ) -> Iterator[Tensor]:
        """Blocks of samples [C, n], of any lengths, to blocks of codes [k, t]: those of `encode` and `encode_file`.

        sample_rate: of the samples, where it is not the codec's. The codes do not depend on how the samples were cut into blocks. Memory
        is bounded, whatever the length. Raises ValueError for samples that are no floats, not finite or of another shape, and where there
        are none.
        """
        k = self.check_codebooks(codebooks)
        yield from (block.tokens for block in self.encode_parts(self.fit(parts, sample_rate or self.sample_rate), k))

    def decode(self, codes: Codes, codebooks: int | None = None) -> Audio:
        """Sound of the codes: samples [B, C, S], as many as went in (shorter items are followed by zeros).

        codebooks: how many of them to play, 1 to as many as there are (all by default).
        Raises ValueError for codes of another codec, or out of range.
        """
        self.check_codes(codes)
        k = self.check_codebooks(codebooks, codes.codebooks)
        out = torch.zeros(len(codes.samples), self.channels, max(codes.samples), dtype=torch.float32)
        for i, (row, size) in enumerate(zip(out, codes.samples, strict=True)):
            tokens = codes.tokens[i, :k]
            scales = None if codes.scales is None else codes.scales[i]
            position = 0
            for block in self.decode_samples(lambda a, b, tokens=tokens: tokens[:, a:b], size, scales=scales):  # type: ignore[misc]
                row[:, position : position + block.shape[-1]] = block
                position += block.shape[-1]
        return Audio(out, self.sample_rate)

    def decode_blocks(self, read: Read, frames: int, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Samples [C, n] of the frames start to stop, block by block, of a recording of that many frames.

        As `decode_samples`, for codecs whose frames follow one another: ValueError where segments overlap.
        """
        if self.segment is not None:
            raise ValueError(f"the frames of {self.name} are of segments that overlap: take decode_samples")
        stop = self.check_range("frames", frames, start, stop)
        yield from self.decode_samples(read, frames * self.hop, start * self.hop, stop * self.hop)

    def samples_in(self, frames: int, samples: int) -> int:
        """How many of a recording's first samples its first frames are enough for: all of them, but for a file cut short."""
        if self.segment is None:
            return min(samples, frames * self.hop)
        counts = segment_frames(samples, self.hop, self.segment.samples, self.segment.stride)
        whole = int(np.searchsorted(np.cumsum(counts), frames, side="right"))
        return samples if whole == len(counts) else whole * self.segment.stride

    def check_codebooks(self, codebooks: int | None, most: int | None = None) -> int:
        """The number of codebooks to use; ValueError where it is not 1 to K."""
        most = self.codebooks if most is None else most
        if codebooks is None:
            return most
        if isinstance(codebooks, bool) or not isinstance(codebooks, (int, np.integer)) or not 1 <= codebooks <= most:
            raise ValueError(f"codebooks is {codebooks}: a whole number between 1 and {most} is needed")
        return codebooks

    @staticmethod
    def check_range(unit: str, size: int, start: int, stop: int | None) -> int:
        """Where the range ends, at `size` where stop is None; ValueError where it is empty or not within a recording of that size."""
        stop = size if stop is None else stop
        if not 0 <= start < stop <= size:
            raise ValueError(f"{unit} {start} to {stop} were asked for: there are {size}, from 0 on")
        return stop

    def _encode_item(self, parts: Iterable[Tensor], rate: int, codebooks: int) -> _Item:
        """Parts of one recording at any rate to its codes."""
        size = 0

        def counted() -> Iterator[Tensor]:
            nonlocal size
            for part in self.fit(parts, rate):
                size += part.shape[-1]
                yield part

        tokens: list[Tensor] = []
        scales: list[float] = []
        for block in self.encode_parts(counted(), codebooks):
            tokens.append(block.tokens)
            scales.append(0.0 if block.scale is None else float(block.scale))
            if len(tokens) == MERGED:
                tokens = [torch.cat(tokens, -1)]
        return _Item(torch.cat(tokens, -1), scales, size)

    def fit(self, parts: Iterable[Tensor], rate: int) -> Iterator[Tensor]:
        """Parts [C, n] of a recording at that rate, with any channels, as `encode_parts` takes them: at the codec's rate and channels."""
        resampler = make_resampler(self.resampler, rate, self.sample_rate, self.channels)
        for part in self._fit_channels(parts):
            if rate == self.sample_rate:
                yield part
            else:
                yield from map(torch.from_numpy, resampler.parts(part.numpy()))
        yield torch.from_numpy(resampler.flush())

    def _fit_channels(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        first = True
        for part in parts:
            part = finite_sound(part).cpu()
            if part.ndim != 2:
                raise ValueError(f"samples have the shape {list(part.shape)}: [channels, n] is needed")
            if self.channels == 1 < part.shape[0]:
                if first:
                    warnings.warn(f"{self.name} is mono: the channels of the input are averaged", stacklevel=2)
                part = part.mean(0, keepdim=True)
            elif part.shape[0] not in (1, self.channels):
                raise ValueError(f"the input has {part.shape[0]} channels: {self.name} takes 1 or {self.channels}")
            first = False
            yield part.expand(self.channels, -1)

    def _codes(self, items: list[_Item]) -> Codes:
        batch = torch.zeros(
            len(items), items[0].tokens.shape[0], max(i.tokens.shape[-1] for i in items), dtype=torch.int64
        )
        scales = torch.zeros(len(items), max(len(item.scales) for item in items), dtype=torch.float32)
        for i, item in enumerate(items):
            batch[i, :, : item.tokens.shape[-1]] = item.tokens
            scales[i, : len(item.scales)] = torch.tensor(item.scales)
        return Codes(
            batch,
            self.name,
            self.weights_hash,
            self.sample_rate,
            self.channels,
            self.hop,
            self.codebook_size,
            tuple(item.samples for item in items),
            scales if self.segment is not None and self.segment.normalize else None,
            None if self.segment is None else (self.segment.samples, self.segment.stride),
        )

    def check_codes(self, codes: Codes) -> None:
        """ValueError for codes of another codec or other weights, of a shape that is none, or out of range."""
        if codes.codec != self.name or codes.weights_hash != self.weights_hash:
            theirs, ours = f"{codes.codec} ({codes.weights_hash[:12]})", f"{self.name} ({self.weights_hash[:12]})"
            raise ValueError(f"the codes are of the codec {theirs}: this one is {ours}")
        said = codes.sample_rate, codes.channels, codes.hop, codes.codebook_size
        mine = self.sample_rate, self.channels, self.hop, self.codebook_size
        if said != mine:
            raise ValueError(
                f"the codes have (sample rate, channels, hop, codebook size) {said}: {self.name} has {mine}"
            )
        segment = None if self.segment is None else (self.segment.samples, self.segment.stride)
        if codes.segment != segment:
            raise ValueError(f"the codes have the segment {codes.segment}: {self.name} has {segment}")
        if not codes.samples or min(codes.samples) < 1:
            raise ValueError(
                f"the codes are of {list(codes.samples)} samples: one item at least is needed, of one sample at least"
            )
        tokens = codes.tokens
        if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
            raise ValueError(f"tokens are {tokens.dtype}: integers are needed")
        if tokens.ndim != 3 or tokens.shape[0] != len(codes.samples) or tokens.shape[-1] < max(codes.lengths):
            raise ValueError(
                f"tokens have the shape {tuple(tokens.shape)}: [{len(codes.samples)}, K, >= {max(codes.lengths)}] is needed"
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.codebook_size:
            raise ValueError(
                f"tokens lie between {int(tokens.min())} and {int(tokens.max())}: 0 to {self.codebook_size - 1} are legal"
            )
