"""`solfa eval transcription`: two files, two folders, what is listed, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from solfa.cli.app import run
from solfa.score.midi import write_midi
from solfa.score.note import Note
from solfa.score.note_lines import write_note_lines
from solfa.score.score import Pedal, score_of_notes

TUNE = [Note(i / 2, i / 2 + 0.4, 60 + i, 60 + 5 * i) for i in range(8)]
DRUMS = [Note(i / 2, i / 2 + 0.1, 36, is_drum=True) for i in range(4)]


def save(path: Path, notes: list[Note], pedals: tuple[Pedal, ...] = ()) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mid":
        write_midi(replace(score_of_notes(notes), pedals=pedals), path)
    else:
        write_note_lines(notes, path, array=path.suffix == ".json")
    return str(path)


def document(capsys, *words: str, code: int = 0) -> dict:
    assert run(["eval", "transcription", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_two_files_of_any_kind(tmp_path, capsys):
    """A true file beside itself, as MIDI and as notes: every score is 1."""
    midi = save(tmp_path / "a.mid", TUNE + DRUMS)
    for other in (midi, save(tmp_path / "b.json", TUNE + DRUMS), save(tmp_path / "c.jsonl", TUNE + DRUMS)):
        found = document(capsys, midi, other)
        assert [piece["piece"] for piece in found["pieces"]] == ["a"] and found["unpaired"] == found["failed"] == []
        assert all(row["f1"] == row["pooled"]["f1"] == 1 for row in found["summary"].values())
        assert found["pieces"][0]["scores"]["notes"]["onset"]["reference"] == 8  # drums are left out of it
        assert "errors" not in found["pieces"][0]


def test_the_tables(tmp_path, capsys):
    wrong = [replace(TUNE[0], pitch=40), *TUNE[1:], *DRUMS[1:]]
    files = save(tmp_path / "a.mid", TUNE + DRUMS), save(tmp_path / "b.mid", wrong)
    assert run(["eval", "transcription", *files, "--list-errors"]) == 0
    blocks = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")]
    head, row = (line.split() for line in blocks[0])
    assert head == ["piece", "notes", "found", "onset", "offset", "velocity", "frame", "exact", "program"]
    assert row[:4] == ["a", "12", "11", "0.875"] and row[-1] == f"{20 / 23:.4f}"
    assert blocks[1][0].split() == ["measure", "precision", "recall", "f1", "pooled", "pieces"]
    assert blocks[1][1].split()[:4] == ["onset", "0.875", "0.875", "0.875"]
    assert [line.split()[0] for line in blocks[2][1:]] == ["0", "1", "2"]
    listed = [line.split() for line in blocks[3][1:]]
    assert [(row[1], row[2], row[5]) for row in listed] == [
        ("missed", "0.000", "drum"),
        ("extra", "0.000", "E2"),
        ("missed", "0.000", "C4"),
    ]


def test_folders_are_paired_by_name(tmp_path, capsys):
    """In folders below, whatever the suffix; who has no partner is named, and the others are scored."""
    truth, found = tmp_path / "truth", tmp_path / "found"
    save(truth / "one.mid", TUNE), save(found / "one.json", TUNE)
    save(truth / "deep/one.mid", TUNE), save(found / "deep/one.mid", TUNE[:4])
    lost, spare = save(truth / "lost.mid", TUNE), save(found / "spare.mid", TUNE)
    assert run(["eval", "transcription", str(truth), str(found)]) == 1
    output = capsys.readouterr()
    for path in (lost, spare):
        assert f"{path}: no file of this name" in output.err
    rows = [line.split() for line in output.out.split("\n\n")[0].splitlines()[1:]]
    assert [row[0] for row in rows] == ["one", "deep/one", "mean"] and rows[-1][3:5] == ["16", "12"]
    summary = document(capsys, str(truth), str(found), code=1)
    assert summary["summary"]["onset"]["f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert summary["summary"]["onset"]["pooled"]["f1"] == pytest.approx(24 / 28) and len(summary["unpaired"]) == 2
    Path(lost).unlink(), Path(spare).unlink()
    assert run(["eval", "transcription", str(truth), str(found)]) == 0


def test_a_bad_file_costs_only_itself(tmp_path, capsys):
    truth, found = tmp_path / "truth", tmp_path / "found"
    for name in ("good", "bad"):
        save(truth / f"{name}.mid", TUNE), save(found / f"{name}.mid", TUNE)
    (found / "bad.mid").write_bytes(b"MThd")
    assert run(["eval", "transcription", str(truth), str(found)]) == 1
    output = capsys.readouterr()
    assert "bad.mid: no MIDI header" in output.err and "good" in output.out and "Traceback" not in output.err
    assert document(capsys, str(truth), str(found), code=1)["failed"] == ["bad"]


def test_tolerance_and_rate(tmp_path, capsys):
    late = [replace(note, onset=note.onset + 0.08, offset=note.offset + 0.08) for note in TUNE]
    files = save(tmp_path / "a.mid", TUNE), save(tmp_path / "b.mid", late)
    assert document(capsys, *files)["summary"]["onset"]["f1"] == 0
    near = document(capsys, *files, "--tolerance", "0.1", "--rate", "20")
    assert near["summary"]["onset"]["f1"] == near["summary"]["onset, offset"]["f1"] == 1
    assert near["settings"]["tolerance"] == 0.1 and near["pieces"][0]["scores"]["frames"]["rate"] == 20


def test_the_pedal(tmp_path, capsys):
    """A reference of short notes held by the pedal; the estimate heard them long."""
    short = [Note(i, i + 0.2, 60 + i) for i in range(4)]
    long = [replace(note, offset=note.onset + 0.9) for note in short]
    pedals = tuple(Pedal(i, i + 0.9, 0) for i in range(4))
    reference, estimate = save(tmp_path / "a.mid", short, pedals), save(tmp_path / "b.mid", long)
    for pedal, right in (("off", 0), ("reference", 1), ("both", 1)):
        assert document(capsys, reference, estimate, "--pedal", pedal)["summary"]["onset, offset"]["f1"] == right
    assert document(capsys, reference, reference, "--pedal", "both")["summary"]["onset, offset"]["f1"] == 1
    assert document(capsys, reference, reference, "--pedal", "reference")["summary"]["onset, offset"]["f1"] == 0


def test_nothing_and_notes_of_no_length_are_said(tmp_path, capsys):
    files = save(tmp_path / "a.json", []), save(tmp_path / "b.json", [Note(1.0, 1.0, 60), *TUNE])
    assert run(["eval", "transcription", *files, "--list-errors"]) == 0
    output = capsys.readouterr()
    assert "a.json: no notes" in output.err and "b.json: 1 note of no length left out" in output.err
    assert "nan" not in output.out and output.out.count("extra") == 8
    same = save(tmp_path / "c.json", TUNE)
    assert run(["eval", "transcription", same, same, "--list-errors"]) == 0
    assert "no missed and no extra notes" in capsys.readouterr().out


def test_wrong_usage(tmp_path, capsys):
    file = save(tmp_path / "a.mid", TUNE)
    wave = tmp_path / "a.wav"
    wave.write_bytes(b"RIFF")
    (tmp_path / "empty").mkdir()
    twice = tmp_path / "twice"
    save(twice / "a.mid", TUNE), save(twice / "a.json", TUNE)
    for words, code, said in (
        ([file, str(tmp_path)], 2, "two files or two folders"),
        ([file, str(tmp_path / "none.mid")], 2, "no such file or folder"),
        ([file, file, "--tolerance", "-1"], 2, "0 to 10 seconds"),
        ([file, file, "--rate", "0"], 2, "frames a second"),
        ([file, file, "--pedal", "on"], 2, "--pedal"),
        ([file, str(wave)], 1, "no file of notes has this ending: legal are .mid"),
        ([str(tmp_path / "empty"), str(twice)], 1, "no file here ends in"),
        ([str(twice), str(twice)], 1, "have the same name"),
    ):
        assert run(["eval", "transcription", *words]) == code, words
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
