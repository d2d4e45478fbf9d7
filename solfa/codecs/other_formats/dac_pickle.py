"""The one pickle that a `.dac` file is, read without the pickle machinery and written without it.

A `.dac` is what `np.save` makes of a dict: a header, then a pickle of an array without dimensions that holds it. A pickle is a program for
a stack machine, and Python's runs whatever function the program names. This machine knows the instructions that NumPy's writer uses and
six names, none of which it calls: an array is bytes with a type and a shape, checked against each other. Anything else is a ValueError.

No array is made that is larger than the file, there are only so many instructions, and none of them walks through what others made.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

_HEADER = re.compile(rb"\{'descr': '\|O', 'fortran_order': (?:False|True), 'shape': \(\), \} *\n")
_MAGIC = b"\x93NUMPY\x01\x00"
_ARRAY, _DTYPE, _MAKE_ARRAY, _MAKE_SCALAR = (
    "numpy ndarray",
    "numpy dtype",
    "multiarray _reconstruct",
    "multiarray scalar",
)
_NAMES = {_ARRAY: _ARRAY, _DTYPE: _DTYPE} | {
    f"numpy.{core}.{name}": name for core in ("core", "_core") for name in (_MAKE_ARRAY, _MAKE_SCALAR)
}
_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "O8", "O")
_MAX_AXES = 8
MAX_STEPS = 10_000  # instructions: they, not the arrays, are what takes more room in memory than in the file


class _Name:
    def __init__(self, name: str) -> None:
        self.name = name


class _Dtype:
    def __init__(self, kind: str) -> None:
        self.kind, self.order = kind, "="

    @property
    def numpy(self) -> np.dtype:
        return np.dtype(("" if self.order == "|" else self.order) + self.kind)


class _Array:
    """An array under construction: made by one instruction, filled by a later one."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None
        self.objects: list[Any] | None = None  # of an array of objects, in place of value


def read_object(data: bytes) -> Any:
    """The object in a file that `np.save` wrote: numbers, text, bytes, dicts with text as keys, lists, tuples, and arrays of numbers.

    Raises ValueError for everything else.
    """
    if data[: len(_MAGIC)] != _MAGIC[: len(data)] or not data:
        raise ValueError(f"not a .dac file: it begins with {data[:8]!r}")
    if len(data) < len(_MAGIC) + 2:
        raise ValueError("truncated: it ends in its header")
    start = len(_MAGIC) + 2
    (length,) = struct.unpack_from("<H", data, start - 2)
    if not _HEADER.fullmatch(data, start, start + length):
        raise ValueError("its header is not that of one object")
    machine = _Machine(data, start + length)
    try:
        found = machine.run()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if machine.at != len(data):
        raise ValueError(f"{len(data) - machine.at} bytes too many after its end")
    if not isinstance(found, _Array) or found.objects is None or len(found.objects) != 1:
        raise ValueError("it does not hold one object")
    return found.objects[0]


def array_of(value: Any) -> np.ndarray | None:
    """The array of numbers that a part of `read_object`'s result is, if it is one; a view of the file's bytes."""
    return value.value if isinstance(value, _Array) else None


class _Machine:
    def __init__(self, data: bytes, start: int) -> None:
        self._data, self.at = data, start
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_STEPS):
            code = self._take(1)
            if code == b".":
                if len(self._stack) != 1 or self._marks:
                    raise ValueError("its pickle ends with more or less than one object")
                return self._stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(
                    f"its pickle has the instruction {code!r} at byte {self.at - 1}, which no .dac file needs"
                )
            step(self)
        raise ValueError(f"its pickle has more than {MAX_STEPS} instructions, and a .dac file about 100")

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self._data):
            raise ValueError("truncated: its pickle ends early")
        piece = self._data[self.at : end]
        self.at = end
        return piece

    def _number(self, form: str) -> Any:
        return struct.unpack("<" + form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self.at, self.at + 200)
        if end < 0:
            raise ValueError("its pickle holds a name without an end")
        text = self._take(end - self.at + 1)[:-1]
        return text.decode("ascii", "replace")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("its pickle takes what is not there")
        return self._stack.pop()

    def _top(self) -> Any:
        self._push(top := self._pop())
        return top

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise ValueError("its pickle takes what is not there")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def text(self, form: str) -> None:
        try:
            self._push(self._take(self._number(form)).decode("utf-8"))
        except UnicodeDecodeError:
            raise ValueError("its pickle holds text that is not UTF-8") from None

    def tuple_of(self, count: int) -> None:
        self._push(tuple([self._pop() for _ in range(count)][::-1]))

    def extend(self, items: list[Any]) -> None:
        found = self._top()
        if type(found) is not list:
            raise ValueError("its pickle appends to what is no list")
        found += items

    def update(self, items: list[Any]) -> None:
        found = self._top()
        # Text alone: the hash of a tuple that holds itself a few times over takes for ever.
        if type(found) is not dict or len(items) % 2 or not all(type(key) is str for key in items[::2]):
            raise ValueError("its pickle holds a dict whose keys are not text")
        found.update(zip(items[::2], items[1::2], strict=True))

    def put(self, place: int) -> None:
        self._memo[place] = self._top()

    def get(self, place: int) -> None:
        if place not in self._memo:
            raise ValueError("its pickle takes what is not there")
        self._push(self._memo[place])

    def name(self, module: Any, name: Any) -> None:
        wanted = f"{module} {name}" if type(module) is str and type(name) is str else ""
        if wanted not in _NAMES:
            raise ValueError(f"its pickle asks for {wanted[:80]!r}, which no .dac file needs: it is not run")
        self._push(_Name(_NAMES[wanted]))

    def reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        called = function.name if isinstance(function, _Name) else ""
        match called, arguments:
            case "multiarray _reconstruct", (_Name(name="numpy ndarray"), (0,), bytes()):
                self._push(_Array())
            case "numpy dtype", (str(kind), _, _) if kind in _TYPES:
                self._push(_Dtype(kind))
            case "multiarray scalar", (_Dtype() as dtype, bytes(raw)) if "O" not in dtype.kind:
                self._push(_numbers(raw, dtype, ()).item())
            case _:
                raise ValueError("its pickle makes an object that no .dac file needs: it is not made")

    def build(self) -> None:
        state, target = self._pop(), self._top()
        match target, state:
            case _Dtype(), (int(), "<" | ">" | "=" | "|" as order, *_):
                target.order = order
            case _Array(value=None, objects=None), (int(), tuple(shape), _Dtype() as dtype, bool(fortran), content):
                self._fill(target, shape, dtype, fortran, content)
            case _:
                raise ValueError("its pickle fills an object in a way that no .dac file needs")

    def _fill(self, target: _Array, shape: tuple[Any, ...], dtype: _Dtype, fortran: bool, content: Any) -> None:
        if len(shape) > _MAX_AXES or not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
            raise ValueError("it holds an array whose shape is none")
        if "O" in dtype.kind:
            if shape != () or type(content) is not list or len(content) != 1:
                raise ValueError("it holds an array of several objects")
            target.objects = content
        elif type(content) is not bytes:
            raise ValueError("it holds an array without its numbers")
        else:
            target.value = _numbers(content, dtype, shape[::-1] if fortran else shape)
            target.value = target.value.transpose() if fortran else target.value


def _numbers(raw: bytes, dtype: _Dtype, shape: tuple[int, ...]) -> np.ndarray:
    kind = dtype.numpy
    if math.prod(shape) * kind.itemsize != len(raw):
        raise ValueError(
            f"it holds an array of shape {list(shape)} and {kind.itemsize} bytes a number in {len(raw)} bytes"
        )
    return np.frombuffer(raw, kind).reshape(shape)


def _long(machine: _Machine) -> None:
    machine._push(int.from_bytes(machine._take(machine._number("B")), "little", signed=True))


# fmt: off
_STEPS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m._take(1),                          # protocol
    b"\x95": lambda m: m._take(8),                          # frame
    b"(": _Machine.mark,
    b"N": lambda m: m._push(None), b"\x88": lambda m: m._push(True), b"\x89": lambda m: m._push(False),
    b"K": lambda m: m._push(m._number("B")), b"M": lambda m: m._push(m._number("H")), b"J": lambda m: m._push(m._number("i")),
    b"\x8a": _long,
    b"G": lambda m: m._push(struct.unpack(">d", m._take(8))[0]),
    b"\x8c": lambda m: m.text("B"), b"X": lambda m: m.text("I"), b"\x8d": lambda m: m.text("Q"),
    b"C": lambda m: m._push(m._take(m._number("B"))), b"B": lambda m: m._push(m._take(m._number("I"))),
    b"\x8e": lambda m: m._push(m._take(m._number("Q"))),
    b")": lambda m: m._push(()), b"t": lambda m: m._push(tuple(m._since_mark())),
    b"\x85": lambda m: m.tuple_of(1), b"\x86": lambda m: m.tuple_of(2), b"\x87": lambda m: m.tuple_of(3),
    b"]": lambda m: m._push([]), b"a": lambda m: m.extend([m._pop()]), b"e": lambda m: m.extend(m._since_mark()),
    b"}": lambda m: m._push({}), b"s": lambda m: m.update([m._pop(), m._pop()][::-1]), b"u": lambda m: m.update(m._since_mark()),
    b"q": lambda m: m.put(m._number("B")), b"r": lambda m: m.put(m._number("I")), b"\x94": lambda m: m.put(len(m._memo)),
    b"h": lambda m: m.get(m._number("B")), b"j": lambda m: m.get(m._number("I")),
    b"c": lambda m: m.name(m._line(), m._line()), b"\x93": lambda m: m.name(*[m._pop(), m._pop()][::-1]),
    b"R": _Machine.reduce, b"b": _Machine.build,
}
# fmt: on


def write_object(record: dict[str, Any]) -> bytes:
    """What `np.save` writes for a dict of text to numbers, text, dicts and arrays of numbers, readable by any NumPy with allow_pickle.

    (NumPy 2 names its own module `numpy._core`, which NumPy 1 does not have; this names `numpy.core`, which both have.)
    """
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (-(len(_MAGIC) + 2 + len(header) + 1) % 64) + b"\n"
    box = _array((), "O8", b"|" + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3f", b"]" + _pickled(record) + b"a")
    return _MAGIC + struct.pack("<H", len(header)) + header + b"\x80\x03" + box + b"."


def _pickled(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_pickled(key) + _pickled(item) for key, item in value.items()) + b"u"
    if isinstance(value, np.ndarray):
        plain = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        tail = b"<" + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
        return _array(value.shape, value.dtype.str[1:], tail, _bytes(plain.tobytes()))
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw
    assert isinstance(value, str), f"{type(value)} has no place in a .dac file"
    return _text(value)


def _array(shape: tuple[int, ...], kind: str, order: bytes, content: bytes) -> bytes:
    """_reconstruct(ndarray, (0,), b"b"), then its state: version, shape, type with its own state, order of axes, content."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85C\x01b\x87R"
    dtype = (
        b"cnumpy\ndtype\n" + _text(kind) + b"\x89\x88\x87R" + b"(K\x03" + _text(order[:1].decode()) + order[1:] + b"tb"
    )
    return made + b"(K\x01(" + b"".join(map(_pickled, shape)) + b"t" + dtype + b"\x89" + content + b"tb"


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _bytes(raw: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(raw)) + raw
