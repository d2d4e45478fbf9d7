"""Many recordings at once on a GPU: one window of each at a time, in batches of one fixed shape.

Each lane of the batch goes through one recording, window after window, and then takes the next, so lengths may be mixed without padding
one to another. The windows are those of the canonical path (see `codecs.stages`), with the same context and the same treatment of the
ends; an LSTM's state is carried in its lane. Shapes never change, so `torch.compile` makes one graph of each stage and replays it.

Codes come from float32 (TF32 off) and differ from those of the CPU at near-ties only. The decoder's layers run in bfloat16 unless told
otherwise; the quantizer, an LSTM and a lapped transform always in float32.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from solfa.codecs.stacks import BatchPart, Decoder, Encoder, batch_parts, end_of, inference_copy
from solfa.codecs.stream import finite_sound
from solfa.codecs.vqvae import VQVAE
from solfa.nn.seanet import SEANetDecoder
from solfa.nn.streaming import Chain, StreamState

Seats = tuple["Seat | None", ...]  # of each lane; None: nothing, the lane computes on zeros


@dataclass(frozen=True)
class Coded:
    """Result of one recording: its place in the input, and its codes [k, T] or its samples [C, S]."""

    index: int
    data: Tensor


@dataclass(frozen=True)
class Seat:
    """What a lane holds: window `number` of recording `index`, of so many frames; its first stage sees it end at `end`."""

    index: int
    number: int
    frames: int
    end: int


class DeviceBatch:
    """A codec's batches on a device.

    codec: a VQVAE without segments; its weights are copied. lanes: recordings at once. chunk: frames of a window. dtype: of the
    decoder's layers. backend: of torch.compile, None for none; "auto" is "inductor", with CUDA graphs, on CUDA, else None.
    Raises ValueError for another codec or a value out of range.
    """

    def __init__(
        self,
        codec: VQVAE,
        device: torch.device | str,
        lanes: int = 32,
        chunk: int = 150,
        dtype: torch.dtype = torch.bfloat16,
        backend: str | None = "auto",
    ) -> None:
        if codec.segment is not None:
            raise ValueError(
                f"{codec.name} codes segment by segment, so it has no batches of windows: use encode and decode"
            )
        if lanes < 1:
            raise ValueError(f"lanes is {lanes}: at least 1 is needed")
        self.codec, self.lanes, self.chunk = codec, lanes, chunk
        self.device = torch.device(device)
        backend = ("inductor" if self.device.type == "cuda" else None) if backend == "auto" else backend
        quantizer = deepcopy(codec.quantizer).to(self.device).eval()
        self.codebooks = codec.codebooks
        shape = self.device, lanes, chunk, backend
        self._encoder = _Line(
            codec.encoder, *shape, torch.float32, finish=lambda latents: quantizer.encode(latents, self.codebooks)
        )
        self._decoder = _Line(codec.decoder, *shape, dtype, begin=quantizer.decode)

    def encode(self, sounds: Iterable[Tensor], codebooks: int | None = None) -> Iterator[Coded]:
        """Codes [k, T] of recordings [C, S] at the codec's rate, each as soon as it is done; `lanes` of them are in memory.

        Raises ValueError for a sound of another shape, of no floats or not finite, or a number of codebooks out of range.
        """
        channels, hop, encoder = self.codec.channels, self.codec.hop, self._encoder
        self.codebooks = self.codec.check_codebooks(codebooks)

        def recordings() -> Iterator[tuple[Tensor, int, int]]:
            for sound in map(finite_sound, sounds):
                if sound.ndim != 2 or sound.shape[0] != channels or not sound.shape[1]:
                    raise ValueError(f"a sound has the shape {tuple(sound.shape)}: [{channels}, samples] is needed")
                size = sound.shape[1]
                yield sound, -(-size // hop), end_of(encoder.stack, size, hop)

        for done in encoder.run(recordings()):
            yield Coded(done.index, done.data.long())

    def decode(self, codes: Iterable[tuple[Tensor, int]]) -> Iterator[Coded]:
        """Samples [C, S] of pairs of codes [k, T] and S, each as soon as it is done; all of one k.

        Raises ValueError for codes that are not those of S samples, or out of range.
        """
        hop, size = self.codec.hop, self.codec.codebook_size
        lengths: dict[int, int] = {}

        def recordings() -> Iterator[tuple[Tensor, int, int]]:
            for index, (tokens, samples) in enumerate(codes):
                if tokens.ndim != 2 or samples < 1 or tokens.shape[1] != -(-samples // hop):
                    raise ValueError(f"codes of the shape {tuple(tokens.shape)} are not those of {samples} samples")
                if not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
                    raise ValueError(
                        f"codes lie between {int(tokens.min())} and {int(tokens.max())}: 0 to {size - 1} are legal"
                    )
                lengths[index] = samples
                yield tokens, tokens.shape[1], tokens.shape[1]

        for done in self._decoder.run(recordings()):
            yield Coded(done.index, done.data[:, : lengths.pop(done.index)].float())


class _Line:
    """One direction: the stages of a stack, and the lanes that go through them."""

    def __init__(
        self,
        stack: Encoder | Decoder,
        device: torch.device,
        lanes: int,
        chunk: int,
        backend: str | None,
        dtype: torch.dtype,
        begin: Callable[[Tensor], Tensor] | None = None,
        finish: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.stack: Encoder | Decoder = inference_copy(stack).to(device)
        parts = batch_parts(self.stack, chunk)
        self.device, self.lanes, self.chunk = device, lanes, chunk
        self.take, self.give = parts[0].down, 1 if finish else parts[-1].up
        self.stages: list[_Steps | _Windows] = []
        for place, part in enumerate(parts):
            if part.steps:
                self.stages.append(_Steps(part, device, lanes))
                continue
            for layer in part.layers.children():  # not the lapped transform of frames, which is their stack's own
                layer.to(dtype)
            ends = begin if place == 0 else None, finish if place == len(parts) - 1 else None
            self.stages.append(_Windows(part, self.stack, chunk, place == 0, dtype, backend, *ends))
        self.ticks = sum(
            isinstance(stage, _Windows) for stage in self.stages
        )  # that a block takes: each but the first waits for one
        self.like: Tensor | None = None  # a recording, for the shape of a batch without any

    def run(self, recordings: Iterable[tuple[Tensor, int, int]]) -> Iterator[Coded]:
        """recordings: the data [., n * take or less], the frames and the end that the first stage sees."""
        waiting = enumerate(recordings)
        data: dict[int, Tensor] = {}
        parts: dict[int, list[Tensor]] = {}
        seats: Seats = (None,) * self.lanes
        flying: deque[tuple[Tensor, Seats]] = deque()
        for stage in self.stages:
            stage.reset()
        left = self.ticks
        while left:
            seats = tuple(seat or self._next(waiting, data) for seat in seats)
            left = self.ticks if any(seats) else left - 1
            if not left or (self.like is None and not data):
                break
            with torch.inference_mode(), _exact():
                flying.append(self._tick(data, seats))
            seats = tuple(self._after(seat, data) for seat in seats)
            if len(flying) > 1:  # one is computed while another is taken off the device
                yield from self._collect(*flying.popleft(), parts)
        while flying:
            yield from self._collect(*flying.popleft(), parts)

    def _next(self, waiting: Iterator[tuple[int, tuple[Tensor, int, int]]], data: dict[int, Tensor]) -> Seat | None:
        for index, (item, frames, end) in waiting:
            data[index] = item
            return Seat(index, 0, frames, end)
        return None

    def _after(self, seat: Seat | None, data: dict[int, Tensor]) -> Seat | None:
        if seat is None or (seat.number + 1) * self.chunk < seat.frames:
            return seat and Seat(seat.index, seat.number + 1, seat.frames, seat.end)
        del data[seat.index]
        return None

    def _tick(self, data: dict[int, Tensor], seats: Seats) -> tuple[Tensor, Seats]:
        """One window of every lane into the first stage, and what then comes out of the last one."""
        flow, out = self._windows(data, seats).to(self.device, non_blocking=True), seats
        for stage in self.stages:
            flow, out = stage(flow, out)
        return flow.clone(), out  # a graph writes its output to the same place again

    def _windows(self, data: dict[int, Tensor], seats: Seats) -> Tensor:
        first = self.stages[0]
        assert isinstance(first, _Windows)
        width = (first.left + self.chunk + first.right) * self.take
        self.like = next(iter(data.values()), self.like)
        assert self.like is not None
        shape = self.lanes, self.like.shape[0], width
        batch = torch.zeros(shape, dtype=self.like.dtype, pin_memory=self.device.type == "cuda")
        for lane, seat in enumerate(seats):
            if seat is None:
                continue
            begin = (seat.number * self.chunk - first.left) * self.take
            piece = data[seat.index][:, max(0, begin) : begin + width]
            batch[lane, :, max(0, -begin) : max(0, -begin) + piece.shape[1]] = piece
        return batch

    def _collect(self, flow: Tensor, seats: Seats, parts: dict[int, list[Tensor]]) -> Iterator[Coded]:
        block = flow.cpu()
        for lane, seat in enumerate(seats):
            if seat is None:
                continue
            units = min(self.chunk, seat.frames - seat.number * self.chunk)
            parts.setdefault(seat.index, []).append(block[lane, :, : units * self.give])
            if units + seat.number * self.chunk == seat.frames:
                yield Coded(seat.index, torch.cat(parts.pop(seat.index), -1))


class _Windows:
    """A stage of convolutions. The first one is given windows; a later one waits for the block on the right, one tick."""

    def __init__(
        self,
        part: BatchPart,
        stack: Encoder | Decoder,
        chunk: int,
        first: bool,
        dtype: torch.dtype,
        backend: str | None,
        begin: Callable[[Tensor], Tensor] | None,
        finish: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.part, self.chunk, self.first, self.dtype, self.begin = part, chunk, first, dtype, begin
        self.left, self.right = part.left, part.right
        self.short = stack.short if isinstance(stack, SEANetDecoder) else 0
        self.stack = stack
        up = part.up

        def compute(x: Tensor, start: Tensor, end: Tensor) -> Tensor:
            y = part.run(x, start, end)[..., self.left * up : (self.left + chunk) * up]
            return y if finish is None else finish(y.float())

        mode = "reduce-overhead" if backend == "inductor" else None
        self.compute = (
            compute
            if backend is None
            else torch.compile(compute, backend=backend, mode=mode, dynamic=False, fullgraph=True)
        )
        self.reset()

    def reset(self) -> None:
        self.held: Tensor | None = None
        self.seats: deque[Seats] = deque(maxlen=3)

    def __call__(self, x: Tensor, seats: Seats) -> tuple[Tensor, Seats]:
        if not self.first:
            x, seats = self._beside(x, seats)
        x = (self.begin(x) if self.begin else x).to(self.dtype)
        spans = [self._span(seat) for seat in seats]
        start, end = torch.tensor(spans, device=x.device).unbind(1)
        y = self.compute(x, start, end)
        if self.short:
            y = self._mended(x, y, spans, seats)
        return y, seats

    def _beside(self, x: Tensor, seats: Seats) -> tuple[Tensor, Seats]:
        """The window around the block before this one."""
        if self.held is None:
            self.held = x.new_zeros(*x.shape[:-1], 3 * self.chunk)
            self.seats.extend(((None,) * len(seats),) * 3)
        self.held = torch.cat([self.held[..., self.chunk :], x], -1)
        self.seats.append(seats)
        return self.held[..., self.chunk - self.left : 2 * self.chunk + self.right], self.seats[1]

    def _span(self, seat: Seat | None) -> tuple[int, int]:
        """What of the window lies in the recording, in entries of the stage's input."""
        down, width = self.part.down, self.left + self.chunk + self.right
        begin, end = (
            (seat.number * self.chunk - self.left, seat.end if self.first else seat.frames)
            if seat
            else (0, width * down)
        )
        return max(0, -begin) * down, min(width * down, end - begin * down)

    def _mended(self, x: Tensor, y: Tensor, spans: list[tuple[int, int]], seats: Seats) -> Tensor:
        """The last `short` samples of the recordings that end here (see SEANetDecoder)."""
        assert isinstance(self.stack, SEANetDecoder)
        ending = [lane for lane, seat in enumerate(seats) if seat and seat.frames <= (seat.number + 1) * self.chunk]
        y = y.clone() if ending else y
        for lane in ending:
            start, end = spans[lane]
            stop = (end - self.left) * self.part.up
            y[lane, :, stop - self.short : stop] = self.stack._last(x[lane : lane + 1], start, end)[0]
        return y


class _Steps:
    """An LSTM, whose state stays in its lane as long as the recording does; in float32."""

    def __init__(self, part: BatchPart, device: torch.device, lanes: int) -> None:
        assert isinstance(part.layers, Chain)
        self.layers, self.device, self.lanes = part.layers, device, lanes
        self.reset()

    def reset(self) -> None:
        self.state: StreamState = self.layers.start(self.lanes, self.device, torch.float32)

    def __call__(self, x: Tensor, seats: Seats) -> tuple[Tensor, Seats]:
        begins = torch.tensor([seat is None or seat.number == 0 for seat in seats], device=self.device)
        state = self.state.map(lambda t: t.masked_fill(begins[:, None], 0.0))  # [layers, B, D]
        y, self.state = self.layers.step(x.float(), state)
        return y, seats


@contextlib.contextmanager
def _exact() -> Iterator[None]:
    """Float32 products that are float32 products: near-ties aside, codes are those of the CPU."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
