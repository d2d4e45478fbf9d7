"""SEANet's layers and the frame stack as ONNX nodes; what each computes is said in `nn`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from solfa.codecs.onnx.graph import FLOAT, Graph
from solfa.nn.activations import ELU, Snake
from solfa.nn.conv import LSTM, Conv1d, ConvTranspose1d
from solfa.nn.frames import ConvNeXtBlock, FrameDecoder, FrameEncoder
from solfa.nn.seanet import ResidualBlock, SEANetDecoder, SEANetEncoder, Tanh
from solfa.nn.streaming import Chain, Layer


def encoder(graph: Graph, stack: SEANetEncoder | FrameEncoder, samples: str) -> str:
    """Samples [B, C, S] to latents [B, D, ceil(S / hop)]."""
    if isinstance(stack, FrameEncoder):
        return _frame_encoder(graph, stack, samples)
    if stack.config.pad_mode != "reflect":  # else every layer fills up its own last frame
        samples = _pad(graph, samples, 0, _missing(graph, samples, stack.hop))
    return _layer(graph, stack.layers, samples)


def decoder(graph: Graph, stack: SEANetDecoder | FrameDecoder, latents: str) -> str:
    """Latents [B, D, T] to samples [B, C, T * hop]."""
    if isinstance(stack, FrameDecoder):
        return _frame_decoder(graph, stack, latents)
    samples = _layer(graph, stack.layers, latents)
    if not stack.short:
        return samples
    # As in SEANetDecoder: the samples that are missing, as if the last frame lasted for one more.
    held = graph.add("Concat", graph.cut(latents, 2, -stack.context - 1), graph.cut(latents, 2, -1), axis=2)
    last = graph.cut(_layer(graph, stack.layers, held), 2, -stack.hop, stack.short - stack.hop)
    return graph.add("Concat", samples, last, axis=2)


def _layer(graph: Graph, layer: Layer, x: str) -> str:
    if isinstance(layer, Chain):
        for part in layer:
            x = _layer(graph, part, x)
        return x
    if isinstance(layer, ResidualBlock):
        return graph.add("Add", _layer(graph, layer.shortcut, x), _layer(graph, layer.block, x))
    write = next((write for kind, write in _LAYERS.items() if isinstance(layer, kind)), None)
    assert write is not None, f"a layer that has no ONNX: {type(layer).__name__}"
    return write(graph, layer, x)


def _conv(graph: Graph, layer: Conv1d, x: str) -> str:
    border = [layer.left, layer.right]
    if layer.reflect and layer.kernel > 1:
        x, border = _reflected(graph, x, layer), [0, 0]
    conv = layer.conv
    shape = {"kernel_shape": conv.kernel_size, "strides": conv.stride, "dilations": conv.dilation, "pads": border}
    y = graph.add("Conv", x, graph.weight(conv.weight), _bias(graph, conv), **shape)
    return _group_norm(graph, layer.norm, y)


def _conv_transpose(graph: Graph, layer: ConvTranspose1d, x: str) -> str:
    conv, left, right = layer.conv, layer.left, layer.right + layer.short
    shape = {"kernel_shape": conv.kernel_size, "strides": conv.stride}
    weights = graph.weight(conv.weight), _bias(graph, conv)
    if isinstance(layer.norm, nn.Identity):
        return graph.add("ConvTranspose", x, *weights, pads=[left, right], **shape)
    y = _group_norm(graph, layer.norm, graph.add("ConvTranspose", x, *weights, **shape))
    return graph.cut(y, 2, left, -right) if right else graph.cut(y, 2, left)


def _bias(graph: Graph, conv: nn.Conv1d | nn.ConvTranspose1d) -> str:
    assert conv.bias is not None
    return graph.weight(conv.bias)


def _group_norm(graph: Graph, norm: nn.Module, x: str) -> str:
    """One group over channels and time."""
    if not isinstance(norm, nn.GroupNorm):
        return x
    centred = graph.add("Sub", x, graph.add("ReduceMean", x, axes=[1, 2]))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[1, 2])
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.scalar(norm.eps)))
    scaled = graph.add("Mul", graph.add("Div", centred, deviation), graph.weight(norm.weight[:, None]))
    return graph.add("Add", scaled, graph.weight(norm.bias[:, None]))


def _reflected(graph: Graph, x: str, layer: Conv1d) -> str:
    """`streaming.pad_reflect` for any length, as one gather."""
    left = graph.integer(layer.left)
    size = graph.size(x, 2)
    right = graph.add("Add", _missing(graph, x, layer.stride), graph.integer(layer.right))
    total = graph.add("Add", graph.add("Add", size, left), right)
    place = graph.add(
        "Sub", graph.add("Range", graph.integer(0), total, graph.integer(1)), left
    )  # 0 at the first sample
    last = graph.add("Sub", size, graph.integer(1))
    # An input no longer than the border counts as one with zeros after it: the turn is beyond its end.
    turn = graph.add("Max", last, left, right)
    back = graph.add("Sub", graph.add("Add", turn, turn), place)
    source = graph.add("Where", graph.add("Greater", place, turn), back, graph.add("Abs", place))
    inside = graph.add("Cast", graph.add("Less", source, size), to=FLOAT)
    return graph.add("Mul", graph.add("Gather", x, graph.add("Min", source, last), axis=2), inside)


def _missing(graph: Graph, x: str, grid: int) -> str:
    """Entries that x [B, C, S] lacks to a multiple of the grid, of no dimensions."""
    return graph.add("Mod", graph.add("Neg", graph.size(x, 2)), graph.integer(grid))


def _pad(graph: Graph, x: str, before: int, after: str) -> str:
    """Zeros along the last axis of x [B, C, S]; after: of no dimensions."""
    row = graph.reshape(after, 1)
    return graph.add("Pad", x, graph.add("Concat", graph.ints(0, 0, before, 0, 0), row, axis=0))


def _lstm(graph: Graph, layer: LSTM, x: str) -> str:
    steps = graph.add("Transpose", x, perm=[2, 0, 1])  # [T, B, D]
    y = steps
    for i in range(layer.lstm.num_layers):
        weights = [_gates(getattr(layer.lstm, f"weight_{part}_l{i}")) for part in ("ih", "hh")]
        bias = torch.cat([_gates(getattr(layer.lstm, f"bias_{part}_l{i}")) for part in ("ih", "hh")])
        values = (graph.weight(weight[None]) for weight in (*weights, bias))
        y = graph.add("LSTM", y, *values, hidden_size=layer.lstm.hidden_size)  # [T, 1, B, D]
        y = graph.add("Squeeze", y, graph.ints(1))
    return graph.add("Transpose", graph.add("Add", y, steps), perm=[1, 2, 0])


def _gates(weight: Tensor) -> Tensor:
    """torch has the input, forget, cell and output gates in this order; ONNX input, output, forget, cell."""
    gate, forget, cell, output = weight.detach().chunk(4)
    return torch.cat([gate, output, forget, cell])


def _snake(graph: Graph, layer: Snake, x: str) -> str:
    alpha = layer.alpha.detach()
    alpha = alpha.abs().clamp(min=1e-9).copysign(alpha)
    wave = graph.add("Sin", graph.add("Mul", x, graph.weight(alpha)))
    power = graph.add("Mul", wave, wave)
    return graph.add("Add", x, graph.add("Mul", power, graph.weight(alpha.reciprocal())))


_LAYERS: dict[type[Layer], Callable[[Graph, Layer, str], str]] = {
    Conv1d: _conv,  # type: ignore[dict-item]  # each takes its own kind of layer
    ConvTranspose1d: _conv_transpose,  # type: ignore[dict-item]
    LSTM: _lstm,  # type: ignore[dict-item]
    Snake: _snake,  # type: ignore[dict-item]
    ELU: lambda graph, layer, x: graph.add("Elu", x),
    Tanh: lambda graph, layer, x: graph.add("Tanh", x),
}


def _frame_encoder(graph: Graph, stack: FrameEncoder, samples: str) -> str:
    hop = stack.config.hop
    after = graph.add("Add", _missing(graph, samples, hop), graph.integer(hop))
    hops = graph.reshape(_pad(graph, samples, hop, after), 0, 0, -1, hop)  # [B, C, T + 2, hop]
    lapped = graph.add("Concat", graph.cut(hops, 2, 0, -1), graph.cut(hops, 2, 1), axis=3)
    frames = graph.add("MatMul", lapped, graph.weight(stack.basis))  # [B, C, T + 1, hop]
    power = graph.add("MatMul", graph.add("Mul", frames, frames), graph.weight(stack.bands.T))
    energy = graph.add("Log", graph.add("Add", power, graph.scalar(1e-9)))
    energy = graph.add("Add", graph.add("Mul", energy, graph.scalar(0.15)), graph.scalar(1.0))
    root = graph.add("Mul", graph.add("Sign", frames), graph.add("Sqrt", graph.add("Abs", frames)))
    both = graph.add("Transpose", graph.add("Concat", root, energy, axis=3), perm=[0, 2, 1, 3])
    both = graph.reshape(both, 0, 0, -1)  # [B, T + 1, C * (hop + bands)]
    x = graph.add("Concat", graph.cut(both, 1, 0, -1), graph.cut(both, 1, 1), axis=2)
    x = _trunk(graph, stack, graph.linear(x, stack.inward.weight, stack.inward.bias))
    return graph.add("Transpose", graph.linear(x, stack.outward.weight, stack.outward.bias), perm=[0, 2, 1])


def _frame_decoder(graph: Graph, stack: FrameDecoder, latents: str) -> str:
    hop, bands = stack.config.hop, stack.config.bands
    x = graph.linear(graph.add("Transpose", latents, perm=[0, 2, 1]), stack.inward.weight, stack.inward.bias)
    both = graph.linear(_trunk(graph, stack, x), stack.outward.weight, stack.outward.bias)
    half = stack.channels * (hop + bands)
    first = graph.add("Pad", graph.cut(both, 2, 0, half), graph.ints(0, 0, 0, 0, 1, 0))
    second = graph.add("Pad", graph.cut(both, 2, half), graph.ints(0, 1, 0, 0, 0, 0))
    frames = graph.reshape(graph.add("Add", first, second), 0, 0, stack.channels, hop + bands)
    frames = graph.add("Transpose", frames, perm=[0, 2, 1, 3])  # [B, C, T + 1, hop + bands]
    gain = graph.add("MatMul", graph.cut(frames, 3, hop), graph.weight(stack.bands))
    gain = graph.add("Clip", graph.add("Sub", gain, graph.scalar(2.0)), graph.scalar(-14.0), graph.scalar(6.0))
    coefficients = graph.add("Mul", graph.cut(frames, 3, 0, hop), graph.add("Exp", gain))
    blocks = graph.add("MatMul", coefficients, graph.weight(stack.basis.T))  # [B, C, T + 1, 2 * hop]
    late, early = graph.cut(graph.cut(blocks, 2, 0, -1), 3, hop), graph.cut(graph.cut(blocks, 2, 1), 3, 0, hop)
    return graph.reshape(graph.add("Add", late, early), 0, 0, -1)


def _trunk(graph: Graph, stack: FrameEncoder | FrameDecoder, x: str) -> str:
    for block in stack.trunk.blocks:
        assert isinstance(block, ConvNeXtBlock)
        x = graph.add("Add", x, _conv_next(graph, block, x))
    return _layer_norm(graph, stack.trunk.norm, x)


def _conv_next(graph: Graph, block: ConvNeXtBlock, x: str) -> str:
    """What the block adds to x [B, T, W]."""
    conv = block.depthwise
    pads = [conv.kernel_size[0] // 2] * 2
    y = graph.add("Transpose", x, perm=[0, 2, 1])
    y = graph.add("Conv", y, graph.weight(conv.weight), _bias(graph, conv), group=conv.groups, pads=pads)
    y = _layer_norm(graph, block.norm, graph.add("Transpose", y, perm=[0, 2, 1]))
    y = graph.linear(y, block.up.weight, block.up.bias)
    bell = graph.add("Erf", graph.add("Mul", y, graph.scalar(math.sqrt(0.5))))
    y = graph.add("Mul", graph.add("Mul", y, graph.scalar(0.5)), graph.add("Add", bell, graph.scalar(1.0)))
    return graph.add("Mul", graph.linear(y, block.down.weight, block.down.bias), graph.weight(block.scale))


def _layer_norm(graph: Graph, norm: nn.LayerNorm, x: str) -> str:
    return graph.add("LayerNormalization", x, graph.weight(norm.weight), graph.weight(norm.bias), epsilon=norm.eps)
