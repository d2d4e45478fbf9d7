"""`solfa export` as a user types it."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from solfa.cli.app import run
from solfa.codecs.registry import load_codec


def test_export_writes_two_files_that_run(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    assert run(["export", str(tiny), "--to", "onnx", "-o", str(out), "--codebooks", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tiny} -> {out / 'encoder.onnx'}  2 codebooks, ") and len(lines) == 2
    x = np.random.default_rng(0).standard_normal((1, 1, 1000)).astype(np.float32)
    (codes,) = onnxruntime.InferenceSession(str(out / "encoder.onnx")).run(None, {"samples": x})
    codec = load_codec(tiny)
    assert torch.equal(torch.from_numpy(codes), codec.encode(torch.from_numpy(x), codebooks=2).tokens)
    (sound,) = onnxruntime.InferenceSession(str(out / "decoder.onnx")).run(None, {"codes": codes})
    assert sound.shape == (1, 1, 7 * codec.hop)


def test_beside_the_caller_by_default_and_nothing_is_replaced_unasked(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(tiny)]) == 0
    before = (tmp_path / "tiny-onnx" / "encoder.onnx").read_bytes()
    assert run(["export", str(tiny), "--codebooks", "1"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "tiny-onnx" / "encoder.onnx").read_bytes() == before
    assert run(["export", str(tiny), "--codebooks", "1", "--overwrite"]) == 0
    assert (tmp_path / "tiny-onnx" / "encoder.onnx").read_bytes() != before


@pytest.mark.parametrize(
    ("tokens", "code", "word"),
    [
        (["no-such-codec"], 2, "no-such-codec"),
        (["TINY", "--codebooks", "5"], 2, "between 1 and 4"),
        (["TINY", "--to", "tflite"], 2, "tflite"),
    ],
)
def test_mistakes(tokens: list[str], code: int, word: str, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["export", *(str(tiny) if token == "TINY" else token for token in tokens)]) == code
    shown = capsys.readouterr()
    assert word in shown.err and not shown.out


def test_a_missing_extra_is_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(["export", str(tiny), "-o", str(tmp_path)]) == 1
    assert 'pip install "solfa[export]"' in capsys.readouterr().err
