"""The inference form of a stack: weight norm fused, convolutions in cache-sized blocks on rows, compiled kernels where there are any.

`fast(stack)` gives a copy with the same interface and, to rounding, the same results. The copy is kept, and made again when a number of a
weight has changed, however that was done, so a model in training can be asked for codes between two steps.
"""

from __future__ import annotations

import functools
import operator
import threading
import weakref
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import torch
import xxhash
from torch import Tensor, nn

from solfa.nn import kernels
from solfa.nn.conv import LSTM
from solfa.nn.row_layers import RowLayer, row_layers
from solfa.nn.rows import Product, Rows, scratch
from solfa.nn.seanet import SEANetDecoder, SEANetEncoder, Tanh
from solfa.nn.streaming import Chain, Layer, Span, StreamState
from solfa.nn.unmade import unmade

Stack = TypeVar("Stack", bound=nn.Module)
_copies: weakref.WeakKeyDictionary[nn.Module, tuple[bytes, nn.Module]] = weakref.WeakKeyDictionary()


def fast(stack: Stack) -> Stack:
    """The inference form of a SEANet encoder or decoder whose weights are float32 on the CPU; any other module as it is."""
    if not isinstance(stack, SEANetEncoder | SEANetDecoder):
        return stack
    tensors = [*stack.parameters(), *stack.buffers()]
    if any(tensor.dtype != torch.float32 or tensor.device.type != "cpu" for tensor in tensors):
        return stack
    now = _digest(tensors)
    made, form = _copies.get(stack, (None, None))
    if made != now or form is None:
        form = _inference_form(stack)
        _copies[stack] = (now, form)
    return form  # type: ignore[return-value]


def _digest(tensors: Iterable[Tensor]) -> bytes:
    """Of all the numbers. The versions that tensors count do not tell: fused optimizers and changes of `.data` leave them as they are."""
    found = xxhash.xxh3_128()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().data)
    return found.digest()


def fused(stack: Stack) -> Stack:
    """A copy of a SEANet encoder or decoder without weight norm, for inference; weights that had none are shared."""
    assert isinstance(stack, SEANetEncoder | SEANetDecoder)
    config = stack.config
    if config.norm == "weight_norm":
        config = replace(config, norm="none")
    with unmade():
        form = type(stack)(config)
    # Not a deep copy with the weight norm taken off: that would take it off the original's class too.
    weights = {name: operator.attrgetter(name)(stack).detach() for name in form.state_dict()}
    form.load_state_dict(weights, assign=True)
    return form.requires_grad_(False).eval()  # type: ignore[return-value]


def _inference_form(stack: SEANetEncoder | SEANetDecoder) -> SEANetEncoder | SEANetDecoder:
    form = fused(stack)
    form.layers = FastChain(FastLSTM(layer) if isinstance(layer, LSTM) else layer for layer in form.layers)
    return form


class FastChain(Chain):
    """A chain that runs on rows, where all its layers can and no gradient is asked for; steps are those of the layers."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__(layers)
        self._parts: dict[tuple[int, int], FastChain] = {}
        self._lock = threading.Lock()

    def part(self, begin: int, end: int) -> FastChain:
        """As in Chain; the same part is the same chain again, with its weights as they have been laid out."""
        if (begin, end) not in self._parts:
            self._parts[begin, end] = FastChain(list(self)[begin:end])
        return self._parts[begin, end]

    @functools.cached_property
    def rows(self) -> list[RowLayer] | None:
        """The layers on rows; None where one has no such form."""
        layers = list(self)
        return row_layers(layers[:-1] if self.tanh else layers)

    @property
    def tanh(self) -> bool:
        return isinstance(list(self)[-1], Tanh)

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        if torch.is_grad_enabled() or x.dtype != torch.float32 or x.device.type != "cpu":
            return super().forward(x, span)
        with self._lock:  # threads that want it at once would lay out the weights twice
            layers = self.rows
        if not layers:
            return super().forward(x, span)
        whole = Span(0, x.shape[-1]) if span is None else span
        items = [self._item(layers, item, int(_at(whole.start, i)), int(_at(whole.end, i))) for i, item in enumerate(x)]
        y = torch.stack(items)
        if span is None:
            y = y[..., : self.span_after(whole).end]
        return y

    def _item(self, layers: list[RowLayer], x: Tensor, start: int, end: int) -> Tensor:
        """`[C, S]` to `[C', S']`."""
        size = x.shape[-1]
        with torch.inference_mode():
            before, after = layers[0].before, layers[0].after
            rows = Rows(scratch.get("x", before + size + after, len(x)), before, size, min(start, size), min(end, size))
            rows.signal.copy_(x.T)
            for number, layer in enumerate(layers):
                following = layers[number + 1] if number + 1 < len(layers) else None
                room = (following.before, following.after) if following else (0, 0)
                rows = layer.run(rows, *room, purpose="xy"[(number + 1) % 2])
            if self.tanh:
                rows.signal.tanh_()
        return rows.signal.T.clone(memory_format=torch.contiguous_format)  # the rows are used again


def _at(place: int | Tensor, item: int) -> int | Tensor:
    return place[item] if isinstance(place, Tensor) else place


class FastLSTM(LSTM):
    """An LSTM layer for inference: its weights are packed once, not at every call, for the compiled kernels."""

    def __init__(self, layer: LSTM) -> None:
        nn.Module.__init__(self)
        self.lstm = layer.lstm
        # Of each layer, what makes gates of its inputs, and its recurrent weights.
        self.packed: list[tuple[Product, Tensor]] = []
        if kernels.compiled() and self.lstm.hidden_size % 16 == 0 and self.lstm.weight_hh_l0.dtype == torch.float32:
            self.packed = [self._pack(i) for i in range(self.lstm.num_layers)]

    def _pack(self, layer: int) -> tuple[Product, Tensor]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weight, recurrent, beside, below = (getattr(self.lstm, f"{name}_l{layer}").detach() for name in names)
        return Product(weight.T, beside + below), kernels.lstm_weights(recurrent)

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        assert span is None, "an LSTM would start in the margin of the chunk"
        return self.step(x, self.start(len(x), x.device, x.dtype))[0]

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        if not self.packed or torch.is_grad_enabled() or x.dtype != torch.float32 or x.device.type != "cpu":
            return super().step(x, state, last)
        hidden, cell = (
            tensor.clone(memory_format=torch.contiguous_format) for tensor in state.tensors
        )  # [layers, B, D]
        y = torch.stack([self._item(item.T.contiguous(), hidden[:, i], cell[:, i]) for i, item in enumerate(x)])
        return y.transpose(1, 2), StreamState((hidden, cell))

    def _item(self, x: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """`[T, D]` to the same; hidden and cell `[layers, D]` change."""
        y = x
        for i, (gates, recurrent) in enumerate(self.packed):
            y = kernels.lstm(gates(y[:, None], y.new_empty(len(y), gates.wide)), recurrent, hidden[i], cell[i])
        return y + x
