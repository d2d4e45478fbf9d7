"""Checkpoints come back as they were written, or not at all."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from solfa import files
from solfa.checkpoint import CheckpointError, config_from_dict, fitted, load, read_config, save

FILES = ("config.json", "model.safetensors")
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"a.weight": torch.randn(3, 5, generator=generator), "b": torch.arange(4)}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=st.dictionaries(st.text(max_size=8), json_values, max_size=4),
    shapes=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)),
        max_size=4,
    ),
    metadata=st.dictionaries(st.text(max_size=8), json_values, max_size=2),
)
def test_round_trip(tmp_path: Path, config: dict, shapes: dict, metadata: dict) -> None:
    given_tensors = {
        name: (torch.rand(shape) * 5).to(dtype) if shape else torch.tensor(3).to(dtype)
        for name, (dtype, shape) in shapes.items()
    }
    save(tmp_path / "c", "toy", config, given_tensors, metadata=metadata)  # replaces the example before
    found = load(tmp_path / "c", "toy")
    assert (found.kind, found.config, found.metadata) == ("toy", config, metadata)
    assert found.tensors.keys() == given_tensors.keys()
    for name, tensor in given_tensors.items():
        assert found.tensors[name].dtype == tensor.dtype and torch.equal(found.tensors[name], tensor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"], "nothing is left beside it"


def test_tied_views_and_slices_are_stored(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    given_tensors = {"base": base, "tied": base, "column": base[:, 1], "row": base[2], "transposed": base.T}
    save(tmp_path / "c", "toy", {}, given_tensors)
    read = load(tmp_path / "c").tensors
    assert read.keys() == given_tensors.keys()
    assert all(torch.equal(tensor, given_tensors[name]) for name, tensor in read.items())


def test_hash_is_of_the_weights_file(tmp_path: Path) -> None:
    import hashlib

    save(tmp_path / "c", "toy", {"x": 1}, tensors())
    expected = hashlib.sha256((tmp_path / "c" / "model.safetensors").read_bytes()).hexdigest()
    assert load(tmp_path / "c").weights_hash == read_config(tmp_path / "c")["sha256"] == expected


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_refused(tmp_path: Path, name: str) -> None:
    save(tmp_path / "c", "toy", {"width": 16, "names": ["a", "b"]}, tensors())
    path = tmp_path / "c" / name
    original = path.read_bytes()
    for position in range(0, len(original), 3):
        damaged = bytearray(original)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            found = load(tmp_path / "c")
        except CheckpointError:
            continue
        # Only white space that became other white space may pass.
        assert name == "config.json" and found.config == {"width": 16, "names": ["a", "b"]}


@pytest.mark.parametrize("name", FILES)
def test_truncated_missing_or_empty(tmp_path: Path, name: str) -> None:
    save(tmp_path / "c", "toy", {}, tensors())
    path = tmp_path / "c" / name
    whole = path.read_bytes()
    for size in (0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=name):
            load(tmp_path / "c")
        with pytest.raises(CheckpointError, match=name):
            load(tmp_path / "c", verify=False)
    path.unlink()
    with pytest.raises(CheckpointError, match=f"{name}.* is missing"):
        load(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "unknown keys"),
        ({"sha256": None}, "wrong type"),
        ({"config": []}, "wrong type"),
        ({"format": "other"}, "not a solfa checkpoint"),
        ({"version": 2}, "version 2"),
        ({"version": True}, "version has the wrong type"),
        ({"config": {"width": 17}}, "changed after it was written"),
        ({"kind": "other"}, "changed after it was written"),
    ],
)
def test_tampered_config(tmp_path: Path, change: dict, message: str) -> None:
    save(tmp_path / "c", "toy", {"width": 16}, tensors())
    path = tmp_path / "c" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "c")


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "[" * 100_000, '{"a": 1, "a": 2}', "[1", "9" * 5000])
def test_bad_json_is_an_error(tmp_path: Path, text: str) -> None:
    save(tmp_path / "c", "toy", {}, tensors())
    (tmp_path / "c" / "config.json").write_text(f'{{"format": {text}}}')
    with pytest.raises(CheckpointError):
        load(tmp_path / "c")


def test_huge_sizes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    save(tmp_path / "c", "toy", {}, tensors())
    path = tmp_path / "c" / "model.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(CheckpointError, match="cannot hold a header"):
        load(tmp_path / "c", verify=False)
    with (tmp_path / "c" / "config.json").open("wb") as file:
        file.truncate(1 << 40)  # sparse: a terabyte that takes no room
    with pytest.raises(CheckpointError, match="at most"):
        load(tmp_path / "c")


def test_kind_nan_and_pickles(tmp_path: Path) -> None:
    save(tmp_path / "c", "toy", {}, tensors())
    with pytest.raises(CheckpointError, match=r"'toy'.*'codec' is needed"):
        load(tmp_path / "c", "codec")
    with pytest.raises(CheckpointError, match=r"'w' holds NaN"):
        save(tmp_path / "d", "toy", {}, {"w": torch.tensor([1.0, float("nan")])})
    with pytest.raises(CheckpointError, match=r"'w' holds NaN or infinity \(float16 ends at 65504\)"):
        save(tmp_path / "d", "toy", {}, {"w": torch.tensor([1.0, -1e5]).half()})
    with pytest.raises(CheckpointError, match="not plain JSON"):
        save(tmp_path / "d", "toy", {"x": float("inf")}, tensors())
    assert not (tmp_path / "d").exists()
    save_file({"w": torch.tensor([torch.inf])}, tmp_path / "c" / "model.safetensors")
    document = json.loads((tmp_path / "c" / "config.json").read_text())
    document["sha256"] = files.file_hash(tmp_path / "c" / "model.safetensors")
    (tmp_path / "c" / "config.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: tensor 'w' holds NaN or infinity"):
        load(tmp_path / "c")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "weights.pt").write_bytes(b"\x80\x04")
    with pytest.raises(CheckpointError, match=r"weights\.pt; pickled weights are never opened"):
        load(tmp_path / "p")


def test_save_replaces_checkpoints_only_and_keeps_the_card(tmp_path: Path) -> None:
    save(tmp_path / "c", "toy", {"x": 1}, tensors(1))
    (tmp_path / "c" / "README.md").write_text("card")
    save(tmp_path / "c", "toy", {"x": 2}, tensors(2))
    assert load(tmp_path / "c").config == {"x": 2}
    assert (tmp_path / "c" / "README.md").read_text() == "card"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="holds other files"):
        save(tmp_path / "home", "toy", {}, tensors())
    with pytest.raises(CheckpointError, match="is a file"):
        save(tmp_path / "home" / "thesis.tex", "toy", {}, tensors())
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"


def test_without_an_exchanging_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.sys, "platform", "other")
    save(tmp_path / "c", "toy", {"x": 1}, tensors(1))
    save(tmp_path / "c", "toy", {"x": 2}, tensors(2))
    assert load(tmp_path / "c").config == {"x": 2}
    os.rename(tmp_path / "c", tmp_path / ".c.previous")  # as if killed between its two renames
    files.sweep(tmp_path / "c")
    assert load(tmp_path / "c").config == {"x": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


KILLED_WRITER = """
import os, signal, sys, torch
from solfa import checkpoint, files
folder, deadly = sys.argv[1], int(sys.argv[2])
count = 0
def mortal(function):
    def call(*arguments, **named):
        global count
        if count == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return function(*arguments, **named)
    return call
for name in ("fsync", "rename", "replace", "open"):
    setattr(os, name, mortal(getattr(os, name)))
checkpoint.save_file = mortal(checkpoint.save_file)
files._exchange = mortal(files._exchange)
checkpoint.shutil.rmtree = mortal(checkpoint.shutil.rmtree)
for deadly in range(deadly, 99):
    child = os.fork()
    if child == 0:
        checkpoint.save(folder, "toy", {"x": 2}, {"w": torch.full((100,), 2.0)})
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    found = checkpoint.load(folder, "toy")
    new = found.config["x"] == 2
    assert bool((found.tensors["w"] == (2.0 if new else 1.0)).all()), "weights of one, config of the other"
    print(deadly, "killed" if os.WIFSIGNALED(status) else "done", "new" if new else "old", flush=True)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
"""


def test_killed_at_every_step_of_a_save(tmp_path: Path) -> None:
    """SIGKILL at each system call that matters: the folder is always whole, and old until it is new."""
    save(tmp_path / "c", "toy", {"x": 1}, {"w": torch.ones(100)})
    arguments = [sys.executable, "-c", KILLED_WRITER, str(tmp_path / "c"), "0"]
    result = subprocess.run(arguments, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    lines = [line.split()[1:] for line in result.stdout.splitlines()]
    assert lines[0] == ["killed", "old"] and lines[-1] == ["done", "new"] and len(lines) > 8
    assert ["killed", "new"] in lines, "the sweep of the old folder was reached"
    assert [path.name for path in tmp_path.iterdir()] == ["c"], "later writers swept what the killed ones left"


@dataclass(frozen=True)
class Inner:
    kind: Literal["inner"] = "inner"
    rates: tuple[int, ...] = (1, 2)
    pair: tuple[float, str] = (0.5, "x")


@dataclass(frozen=True)
class Other:
    kind: Literal["other"] = "other"
    depth: int = 1


@dataclass(frozen=True)
class Config:
    width: int
    scale: float = 1.0
    causal: bool = False
    name: str | None = None
    inner: Inner = field(default_factory=Inner)
    either: Inner | Other = field(default_factory=Other)
    table: dict[str, float] = field(default_factory=dict)


def test_config_round_trip() -> None:
    import dataclasses

    config = Config(3, 2.0, True, "n", Inner(rates=(4,), pair=(1.0, "y")), Inner(), {"a": 1.0})
    assert config_from_dict(Config, json.loads(json.dumps(dataclasses.asdict(config)))) == config
    built = config_from_dict(Config, {"width": 3, "scale": 2})
    assert built == Config(3, 2.0) and type(built.scale) is float


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "width is missing"),
        ({"width": 1, "widht": 2}, r"unknown keys \['widht'\]; the keys are \['width', 'scale'"),
        ({"width": True}, "width: True is not int"),
        ({"width": 1.0}, "width: 1.0 is not int"),
        ({"width": 1, "scale": True}, "scale: True is not float"),
        ({"width": 1, "scale": float("nan")}, "scale: nan is not float"),
        ({"width": 1, "scale": float("inf")}, "scale: inf is not float"),
        ({"width": 1, "scale": 10**400}, "scale: 1000*"),
        ({"width": 1, "causal": 1}, "causal: 1 is not bool"),
        ({"width": 1, "name": 3}, "name: 3 is not str; or name: 3 is not None"),
        ({"width": 1, "inner": {"rates": [1, "2"]}}, r"inner\.rates\[1\]: '2' is not int"),
        ({"width": 1, "inner": {"pair": [1.0]}}, r"inner\.pair: \[1\.0\] has 1 items where 2 are needed"),
        ({"width": 1, "inner": {"kind": "other"}}, r"inner\.kind: 'other' is none of \['inner'\]"),
        ({"width": 1, "inner": 3}, "inner: expected an object, got 3"),
        ({"width": 1, "either": {}}, "fits each of"),
        ({"width": 1, "table": {"a": "b"}}, r"table\.a: 'b' is not float"),
        ([], "Config: expected an object"),
    ],
)
def test_config_is_strict(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_dict(Config, data)


def test_what_fits_a_model() -> None:
    """Floats become float32, and are not copied where they are; other names, shapes and numbers that are none are refused by name."""
    ours = {"a": torch.empty(2, device="meta"), "n": torch.empty(1, dtype=torch.int64, device="meta")}
    whole = torch.ones(2)
    ready = fitted(ours, {"a": whole.half(), "n": torch.tensor([3])}, "it")
    assert ready["a"].dtype == torch.float32 and ready["n"].dtype == torch.int64
    assert fitted(ours, {"a": whole, "n": torch.tensor([3])}, "it")["a"] is whole
    for theirs, message in (
        ({"a": torch.ones(3), "n": torch.tensor([3])}, "it: 1 tensors are missing, unknown or of another shape, a the"),
        ({"a": whole}, "n the first"),
        ({"a": whole, "n": torch.tensor([3]), "x": whole}, "x the first"),
        ({"a": torch.tensor([1.0, torch.inf]), "n": torch.tensor([3])}, "it: tensor 'a' holds NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(ours, theirs, "it")
