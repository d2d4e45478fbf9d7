"""Files of weights from strangers: nothing in them runs, and what is wrong with them is said in one line."""

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from solfa.codecs.weights import released
from solfa.codecs.weights.files import read_torch
from solfa.codecs.weights.released import Released
from solfa.foreign.files import read_safetensors


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def refused(path: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        (read_safetensors if path.suffix == ".safetensors" else read_torch)(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text and "weights_only" not in text  # no advice to execute it


def test_what_torch_saves_is_read(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.arange(3.0)}, "metadata": {"kwargs": {"rates": [2, 4]}}}, tmp_path / "w.pth")
    found = read_torch(tmp_path / "w.pth")
    assert found["metadata"] == {"kwargs": {"rates": [2, 4]}}
    assert torch.equal(found["state_dict"]["a"], torch.arange(3.0))


def test_a_payload_does_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.th", tmp_path / "ran"
    torch.save({"state_dict": {"a": torch.ones(2)}, "metadata": Payload(mark)}, path)
    refused(path, r"asks for the object \w+\.system")
    torch.save({"metadata": Payload(mark)}, path, _use_new_zipfile_serialization=False)
    refused(path, "not a whole file of torch.save")
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # the payload is a live one


def test_other_objects_are_not_made(tmp_path: Path) -> None:
    torch.save({"a": np.arange(3)}, tmp_path / "a.th")
    refused(tmp_path / "a.th", "asks for the object numpy")
    torch.save({"a": Path("x")}, tmp_path / "a.th")
    refused(tmp_path / "a.th", "asks for the object pathlib")


def test_cut_short_and_packed(tmp_path: Path) -> None:
    path = tmp_path / "a.th"
    torch.save({"a": torch.randn(1000)}, path)
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "not a whole file")
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "b.th", "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    refused(tmp_path / "b.th", "compressed")
    path.write_bytes(b"PK\3\4" + os.urandom(500))
    refused(path, "not a whole file")


@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.th"
    torch.save({"a": torch.zeros(40), "b": [1, "x"]}, path)
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place : place + len(junk)] = junk
    path.write_bytes(content)
    try:
        read_torch(path)
    except ValueError as error:
        assert str(path) in str(error)


def test_damaged_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(100)}, path)
    whole = path.read_bytes()
    for content in (b"", whole[:5], whole[:50], whole[:-1], b"\xff" * 8 + whole[8:]):
        path.write_bytes(content)
        refused(path, "not a readable safetensors file")


def test_the_cache_of_the_hub_keeps_files_under_their_hash(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    save_file({"a": torch.ones(100)}, tmp_path / "x")
    content = (tmp_path / "x").read_bytes()
    blob = blobs / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    assert torch.equal(read_safetensors(snapshot / "model.safetensors")["a"], torch.ones(100))
    blob.write_bytes(content[:-4] + bytes(4))  # still a whole file
    refused(snapshot / "model.safetensors", "damaged or cut short")


def test_a_known_original_must_have_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "x")
    content = (tmp_path / "x").read_bytes()
    name = f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.th"
    entry = Released("tiny", "encodec", "tiny", 8000, 1, 8, 1, 16, "MIT", cached=name)
    monkeypatch.setattr(released, "RELEASED", (entry,))
    (tmp_path / name).write_bytes(content)
    assert read_torch(tmp_path / name)
    torch.save({"a": torch.zeros(3)}, tmp_path / name)
    refused(tmp_path / name, f"not {name[5:13]}")
    (tmp_path / name).rename(tmp_path / "tiny-20260101.th")  # a date is no hash
    assert read_torch(tmp_path / "tiny-20260101.th")
    assert released.known_hash("encodec_24khz-d7cc33bc.th") is None


def test_the_hashes_of_the_originals() -> None:
    assert released.known_hash("encodec_24khz-d7cc33bc.th") == "d7cc33bc"
    assert released.known_hash("encodec_48khz-7e698e3e.th") == "7e698e3e"
    assert released.known_hash("weights_44khz_8kbps_0.0.1.pth") is None
