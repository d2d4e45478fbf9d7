"""An ONNX graph under construction: nodes are added one by one, and values are known by their names.

Written out by hand rather than traced from the modules: a trace freezes what Python decides by the length of its example, such as how
much is reflected at the end of a sound, and torch's own exporters cannot express an LSTM over any length.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

OPSET = 17
IR_VERSION = 8  # the first that has this opset: readers refuse what is newer than they are
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64
END = (1 << 63) - 1  # of a slice: to the end


class Graph:
    """Nodes and weights. Every method adds nodes and gives the name of their result."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._counter = itertools.count()

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """One node of ONNX's operator `op`."""
        result = f"{op.lower()}_{next(self._counter)}"
        self._nodes.append(helper.make_node(op, inputs, [result], name=f"{result}_node", **attributes))
        return result

    def weight(self, value: Tensor) -> str:
        """A constant, float32 or int64; one that is there already is taken again."""
        value = value.detach().cpu()
        return self._constant((value.float() if value.is_floating_point() else value).contiguous().numpy())

    def scalar(self, value: float) -> str:
        """A constant number, of no dimensions."""
        return self._constant(np.array(value, np.float32))

    def integer(self, value: int) -> str:
        """A constant whole number, of no dimensions."""
        return self._constant(np.array(value, np.int64))

    def ints(self, *values: int) -> str:
        """A constant row of whole numbers."""
        return self._constant(np.array(values, np.int64))

    def size(self, x: str, axis: int) -> str:
        """The length of an axis, of no dimensions."""
        return self.add("Gather", self.add("Shape", x), self.integer(axis))

    def cut(self, x: str, axis: int, start: int = 0, stop: int = END) -> str:
        """A slice along one axis, as in Python."""
        return self.add("Slice", x, self.ints(start), self.ints(stop), self.ints(axis))

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps the length of that axis, -1 is what is left."""
        return self.add("Reshape", x, self.ints(*shape))

    def linear(self, x: str, weight: Tensor, bias: Tensor | None) -> str:
        """x [..., D] times weight [E, D], and a bias [E] added."""
        y = self.add("MatMul", x, self.weight(weight.t()))
        return y if bias is None else self.add("Add", y, self.weight(bias))

    def unit(self, x: str, eps: float) -> str:
        """x [..., D] over its length along the last axis, or over eps where that is greater."""
        length = self.add("ReduceL2", x, axes=[-1], keepdims=1)
        return self.add("Div", x, self.add("Max", length, self.scalar(eps)))

    def model(
        self,
        takes: Mapping[str, tuple[int, tuple[str | int, ...]]],
        gives: Mapping[str, tuple[str, int, tuple[str | int, ...]]],
        facts: Mapping[str, str],
    ) -> onnx.ModelProto:
        """The whole. takes: input -> type and shape. gives: output -> its value, type and shape. facts: the file's metadata."""
        inputs = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in takes.items()]
        outputs = [helper.make_tensor_value_info(name, kind, shape) for name, (_, kind, shape) in gives.items()]
        named = [helper.make_node("Identity", [value], [name]) for name, (value, _, _) in gives.items()]
        graph = helper.make_graph([*self._nodes, *named], self.name, inputs, outputs, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, dict(facts))
        return model

    @property
    def bytes(self) -> int:
        """Of the weights so far."""
        return sum(len(weight.raw_data) for weight in self._weights)

    def _constant(self, array: np.ndarray) -> str:
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._known:
            self._known[key] = f"constant_{next(self._counter)}"
            self._weights.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]
