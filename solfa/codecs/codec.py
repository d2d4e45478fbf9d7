"""The codec interface: sound to codes and back, by one canonical path.

Floating-point sums depend on the shapes they run in. So a codec never runs on a whole file: it runs on windows of one fixed shape
(see `windows`), one at a time, each on one thread. Whole files, blocks as they arrive, batches of unequal lengths: all go through
the same windows and give the same codes. Speed comes from running several windows at once.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from solfa.audio.io import Audio, blocks, info
from solfa.audio.resample import Resampler, resample
from solfa.codecs.windows import Window, in_order, windows


@dataclass(frozen=True)
class Codes:
    """A codec's integer tokens for a batch of recordings.

    Items shorter than the longest are filled up with zeros; `samples` tells each one's true length.
    """

    tokens: Tensor  # [B, K, T] int64, 0 <= token < codebook size
    codec: str
    weights_hash: str
    sample_rate: int  # Hz
    channels: int
    hop: int  # samples a frame
    codebook_size: int
    samples: tuple[int, ...]  # true length of each item, at sample_rate

    @property
    def lengths(self) -> tuple[int, ...]:
        """Frames of each item: ceil(samples / hop)."""
        return tuple(-(-n // self.hop) for n in self.samples)

    @property
    def codebooks(self) -> int:
        return self.tokens.shape[1]

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop


class Codec(nn.Module, ABC):
    """A codec of K codebooks with N entries each, at sample_rate / hop frames a second.

    A subclass sets the fields and says how one window is encoded and decoded. The contexts are the frames that a window needs on
    either side. A causal codec needs none: it has a state, carried from window to window.
    """

    name: str
    weights_hash: str
    sample_rate: int  # Hz
    channels: int
    hop: int  # samples a frame
    codebooks: int
    codebook_size: int
    chunk: int  # frames of a window, without its context
    encode_context: int = 0
    decode_context: int = 0
    causal: bool = False

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    @property
    def bitrate(self) -> float:
        """Bits a second with all codebooks, packed."""
        return self.frame_rate * self.codebooks * (self.codebook_size - 1).bit_length()

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @abstractmethod
    def encode_window(self, samples: Tensor, span: tuple[int, int], codebooks: int, state: Any) -> tuple[Tensor, Any]:
        """Samples [1, C, F * hop], of which span (in samples) is in the recording, to codes [1, k, F] and the state after."""

    @abstractmethod
    def decode_window(self, tokens: Tensor, span: tuple[int, int], state: Any) -> tuple[Tensor, Any]:
        """Codes [1, k, F], of which span (in frames) is in the recording, to samples [1, C, F * hop] and the state after."""

    def start(self, direction: str) -> Any:
        """The state before the first window ("encode" or "decode"); None where windows do not depend on each other."""
        return None

    def encode(
        self, audio: Audio | Tensor, lengths: Iterable[int] | None = None, codebooks: int | None = None
    ) -> Codes:
        """Codes of a batch of recordings.

        audio: samples [B, C, S]; an `Audio` of another rate is resampled, other channel counts are mixed down or repeated. A bare
        tensor is taken at the codec's rate. lengths: samples of each item, at the input's rate, where they are not all S.
        codebooks: how many to keep, 1 to K (all by default).
        Raises ValueError for empty, non-finite or misshapen input.
        """
        k = self.check_codebooks(codebooks)
        samples = audio.samples if isinstance(audio, Audio) else audio
        rate = audio.sample_rate if isinstance(audio, Audio) else self.sample_rate
        if samples.ndim != 3 or 0 in samples.shape:
            raise ValueError(
                f"samples have the shape {tuple(samples.shape)}: [batch, channels, samples] is needed, none of them 0"
            )
        most = samples.shape[-1]
        true = [most] * len(samples) if lengths is None else [int(n) for n in lengths]
        if len(true) != len(samples) or any(not 1 <= n <= most for n in true):
            raise ValueError(f"lengths are {true}: {len(samples)} are needed, each 1 to {most}")
        tokens, sizes = [], []
        for item, length in zip(samples, true, strict=True):
            sound = item[:, :length].detach().float().cpu()
            if not torch.isfinite(sound).all():
                raise ValueError("the samples hold NaN or infinity")
            sound = resample(sound, rate, self.sample_rate)
            tokens.append(torch.cat(list(self.encode_blocks([sound], k)), -1))
            sizes.append(sound.shape[-1])
        return self._codes(tokens, sizes)

    def encode_file(self, path: str | Path, codebooks: int | None = None) -> Codes:
        """Codes of a sound file of any length, rate and channel count; of the sound only a few windows are in memory at a time."""
        k = self.check_codebooks(codebooks)
        source = info(path)
        resampler = Resampler(source.sample_rate, self.sample_rate, source.channels)
        sizes = [0]

        def sound() -> Iterator[Tensor]:
            for block in blocks(path):
                yield torch.from_numpy(resampler.push(block))
            yield torch.from_numpy(resampler.flush())

        def counted(parts: Iterator[Tensor]) -> Iterator[Tensor]:
            for part in parts:
                sizes[0] += part.shape[-1]
                yield part

        tokens = torch.cat(list(self.encode_blocks(counted(sound()), k)), -1)
        return self._codes([tokens], sizes)

    def encode_blocks(self, parts: Iterable[Tensor], codebooks: int | None = None) -> Iterator[Tensor]:
        """Blocks of samples [C, n], of any lengths, at the codec's rate, to blocks of codes [k, t].

        The codes do not depend on how the samples were cut into blocks. Memory is bounded, whatever the length.
        """
        k = self.check_codebooks(codebooks)
        context = 0 if self.causal else self.encode_context
        cut = windows((self._fit_channels(part) for part in parts), self.chunk, context, self.hop)
        state = self.start("encode")

        def work(window: Window) -> Tensor:
            nonlocal state
            with torch.inference_mode():
                data = window.data[None].to(self.device)
                tokens, state = self.encode_window(data, window.span, k, state)
            return tokens[0, :, context : context + window.units].cpu()

        yield from in_order(cut, work, self._workers())

    def decode(self, codes: Codes, codebooks: int | None = None) -> Audio:
        """Sound of the codes: samples [B, C, S], as many as went in (shorter items are followed by zeros).

        codebooks: how many of them to play, 1 to as many as there are (all by default).
        Raises ValueError for codes of another codec, or out of range.
        """
        self._check_codes(codes)
        k = self.check_codebooks(codebooks, codes.codebooks)
        out = torch.zeros(len(codes.samples), self.channels, max(codes.samples))
        for row, item, frames, size in zip(out, codes.tokens, codes.lengths, codes.samples, strict=True):
            tokens = item[:k, :frames]
            sound = torch.cat(list(self.decode_blocks(lambda a, b, tokens=tokens: tokens[:, a:b], frames)), -1)  # type: ignore[misc]
            row[:, :size] = sound[:, :size]
        return Audio(out, self.sample_rate)

    def decode_blocks(
        self, read: Callable[[int, int], Tensor], frames: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Samples [C, n] of the frames start to stop, block by block, of a recording of that many frames.

        read(a, b) gives the codes [k, b - a] of some of its frames: a slice of a tensor, or a part of a token file. What is decoded
        for a frame does not depend on start and stop. A causal codec reads from the beginning all the same.
        """
        stop = frames if stop is None else stop
        if not 0 <= start < stop <= frames:
            raise ValueError(f"frames {start} to {stop} were asked for: there are {frames}, from 0 on")
        context = 0 if self.causal else self.decode_context
        first = 0 if self.causal else start // self.chunk
        state = self.start("decode")

        def cut() -> Iterator[Window]:
            for i in range(first, -(-stop // self.chunk)):
                begin = i * self.chunk - context
                end = begin + self.chunk + 2 * context
                inner = max(0, begin), min(frames, end)
                tokens = torch.zeros(read(*inner).shape[0], end - begin, dtype=torch.int64)
                tokens[:, inner[0] - begin : inner[1] - begin] = read(*inner)
                yield Window(tokens, (inner[0] - begin, inner[1] - begin), min(self.chunk, frames - i * self.chunk))

        def work(window: Window) -> Tensor:
            nonlocal state
            with torch.inference_mode():
                sound, state = self.decode_window(window.data[None].to(self.device), window.span, state)
            return sound[0, :, context * self.hop : (context + window.units) * self.hop].float().cpu()

        position = first * self.chunk
        for block in in_order(cut(), work, self._workers()):
            end = position + block.shape[-1] // self.hop
            a, b = max(start, position) - position, min(stop, end) - position
            if a < b:
                yield block[:, a * self.hop : b * self.hop]
            position = end

    def check_codebooks(self, codebooks: int | None, most: int | None = None) -> int:
        """The number of codebooks to use; ValueError where it is not 1 to K."""
        most = self.codebooks if most is None else most
        if codebooks is None:
            return most
        if not 1 <= codebooks <= most:
            raise ValueError(f"codebooks is {codebooks}: it must lie between 1 and {most}")
        return codebooks

    def _workers(self) -> int:
        return 1 if self.causal or self.device.type != "cpu" else torch.get_num_threads()

    def _fit_channels(self, samples: Tensor) -> Tensor:
        if samples.shape[0] == self.channels:
            return samples
        if samples.shape[0] == 1:
            return samples.expand(self.channels, -1)
        if self.channels == 1:
            warnings.warn(f"{self.name} is mono: the channels of the input are averaged", stacklevel=2)
            return samples.mean(0, keepdim=True)
        raise ValueError(f"the input has {samples.shape[0]} channels: {self.name} takes 1 or {self.channels}")

    def _codes(self, tokens: list[Tensor], sizes: list[int]) -> Codes:
        batch = torch.zeros(len(tokens), tokens[0].shape[0], max(t.shape[-1] for t in tokens), dtype=torch.int64)
        for row, item in zip(batch, tokens, strict=True):
            row[:, : item.shape[-1]] = item
        return Codes(
            batch,
            self.name,
            self.weights_hash,
            self.sample_rate,
            self.channels,
            self.hop,
            self.codebook_size,
            tuple(sizes),
        )

    def _check_codes(self, codes: Codes) -> None:
        if codes.codec != self.name or codes.weights_hash != self.weights_hash:
            theirs, ours = f"{codes.codec} ({codes.weights_hash[:12]})", f"{self.name} ({self.weights_hash[:12]})"
            raise ValueError(f"the codes are of the codec {theirs}: this one is {ours}")
        tokens = codes.tokens
        if tokens.ndim != 3 or tokens.shape[0] != len(codes.samples) or tokens.shape[-1] < max(codes.lengths):
            raise ValueError(
                f"tokens have the shape {tuple(tokens.shape)}: [{len(codes.samples)}, K, >= {max(codes.lengths)}] is needed"
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.codebook_size:
            raise ValueError(
                f"tokens lie between {int(tokens.min())} and {int(tokens.max())}: 0 to {self.codebook_size - 1} are legal"
            )
