"""`solfa dataset`: counts, complaints, and a manifest that leads to the files from where it lies."""

import json
from pathlib import Path

import pytest

from solfa.cli.app import run
from solfa.data.manifest import read_manifest


@pytest.fixture
def urmp(tmp_path: Path) -> Path:
    for piece in ("01_Jupiter", "03_Dance"):
        home = tmp_path / "data" / "Dataset" / f"{piece}_vn_vc"
        home.mkdir(parents=True)
        (home / f"AuMix_{home.name}.wav").touch()
        for i, part in enumerate(("vn", "vc"), 1):
            (home / f"Notes_{i}_{part}_{piece}.txt").write_text("0.5\t440\t1\n")
    return tmp_path / "data"


def test_counts_and_a_manifest(urmp: Path, capsys: pytest.CaptureFixture) -> None:
    out = urmp.parent / "elsewhere" / "urmp.jsonl"
    out.parent.mkdir()
    assert run(["dataset", str(urmp), "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"dataset": "urmp", "splits": {"test": 1, "train": 1}, "left_out": []}
    entries = read_manifest(out)
    assert [len(entry.notes or ()) for entry in entries] == [2, 2]
    assert all((out.parent / entry.audio).is_file() and not Path(entry.audio).is_absolute() for entry in entries)


def test_what_is_wrong_is_named_and_the_rest_counted(urmp: Path, capsys: pytest.CaptureFixture) -> None:
    (urmp / "Dataset/03_Dance_vn_vc/Notes_2_vc_03_Dance.txt").write_text("0.5\t440\t1\n0.5\t-1\t1\n")
    assert run(["dataset", str(urmp), "--name", "urmp"]) == 1
    shown = capsys.readouterr()
    assert "Notes_2_vc_03_Dance.txt, line 2: frequency '-1'" in shown.err
    assert shown.out.splitlines()[1:] == ["urmp     test            1"]


def test_wrong_usage(urmp: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["dataset", str(urmp), "--name", "lakh"]) == 2
    assert run(["dataset", str(urmp), "-o", str(tmp_path / "x.csv")]) == 2
    (tmp_path / "empty").mkdir()
    assert run(["dataset", str(tmp_path / "empty")]) == 1
    assert "none of maestro, maps" in capsys.readouterr().err
