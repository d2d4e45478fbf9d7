"""Transcribers by name and by folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from solfa import shipped
from solfa.checkpoint import CheckpointError
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.registry import (
    find_transcriber,
    knows,
    list_transcribers,
    load_transcriber,
)

Make = Callable[..., TokenTranscriber]


@pytest.fixture
def weights(make_transcriber: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that ships `solfa-notes` and a codec."""
    make_transcriber().save(tmp_path / "weights" / "solfa-notes", {"steps": 1})
    shutil.copytree(shipped.WEIGHTS / "solfa-24khz", tmp_path / "weights" / "solfa-24khz")
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


def test_what_ships_has_a_name(weights: Path) -> None:
    (entry,) = list_transcribers()
    size = (weights / "solfa-notes" / "model.safetensors").stat().st_size
    assert (entry.name, entry.codec, entry.codebooks, entry.source, entry.events, entry.bytes) == (
        "solfa-notes",
        "tiny",
        4,
        "codes",
        True,
        size,
    )
    assert find_transcriber() == entry.folder == weights / "solfa-notes"
    assert load_transcriber().config.name == "tiny-notes"


def test_folders(weights: Path, make_transcriber: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_transcriber(False).save(tmp_path / "mine")
    assert find_transcriber(tmp_path / "mine") == tmp_path / "mine" and knows(tmp_path / "mine")
    assert load_transcriber(tmp_path / "mine").config.vocabulary is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "solfa-notes").symlink_to(tmp_path / "mine")
    assert find_transcriber("solfa-notes") == weights / "solfa-notes"  # the name wins


def test_what_is_none(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("solfa-24khz", "no-such", "", ".", tmp_path, tmp_path / "nothing"):
        assert not knows(wrong)
        with pytest.raises(ValueError, match="no transcriber"):
            find_transcriber(wrong)
    with pytest.raises(ValueError, match="the names are solfa-notes; or give a folder"):
        find_transcriber("no-such")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("[1, 2")
    with pytest.raises(CheckpointError, match=r"config\.json: "):
        load_transcriber(tmp_path / "broken")
    run = tmp_path / "run"
    shutil.copytree(find_transcriber(), run / "model")
    (run / "config.json").write_text('{"task": {}}')  # a run has its own
    with pytest.raises(ValueError, match=r"is the folder of a run; its model is .*run/model"):
        load_transcriber(run)
    (run / "model" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_transcriber(run / "model")
    with pytest.raises(ValueError, match="holds no transcriber but a codec"):
        find_transcriber(weights / "solfa-24khz")
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "nothing")
    assert list_transcribers() == []
    with pytest.raises(ValueError, match="the names are none yet"):
        find_transcriber()


def test_listing_loads_no_torch() -> None:
    code = "import sys; from solfa.transcription.registry import list_transcribers as x; x(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
