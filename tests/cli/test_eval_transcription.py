"""`solfa eval transcription`: two files, two folders, two systems, a model on recordings, what is listed, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.cli.app import run
from solfa.data.manifest import NAME, Entry, read_manifest, write_manifest
from solfa.eval.transcription import transcription_scores
from solfa.eval.transcription_evaluation import piece_values
from solfa.score.midi import read_midi, write_midi
from solfa.score.note import Note
from solfa.score.note_lines import read_note_lines, write_note_lines
from solfa.score.pedal import pedal_extended
from solfa.score.score import Pedal, score_of_notes
from solfa.transcriber import Transcriber

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
        (item,) = found["items"]
        assert item["name"] == "a" and item["files"] == {"reference": midi, "estimate": other}
        assert set(item["values"].values()) == {1} and found["failed"] == [] and found["task"] == "transcription"
        assert all(row["f1"] == row["pooled"] == 1 for row in found["every measure"])
        assert found["every measure"][0]["reference"] == 8  # drums are left out of it
        assert set(found["definitions"]) == set(found["summary"]) == set(item["values"]) and "errors" not in found


def test_the_tables(tmp_path, capsys):
    wrong = [replace(TUNE[0], pitch=40), *TUNE[1:], *DRUMS[1:]]
    files = save(tmp_path / "a.mid", TUNE + DRUMS), save(tmp_path / "b.mid", wrong)
    assert run(["eval", "transcription", *files, "--list-errors", "--ci"]) == 0
    blocks = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")]
    head, row = (line.split() for line in blocks[0])
    assert head[:5] == ["item", "precision", "recall", "onset", "offset"] and head[-3:] == [
        "program",
        "family",
        "drums",
    ]
    assert row[:4] == ["a", "0.875", "0.875", "0.875"] and row[-1] == f"{6 / 7:.4f}"
    assert blocks[1][0].split() == ["measure", "mean", "95", "%", "unit", "better", "n"]
    assert blocks[1][3].split()[:4] == ["onset", "0.875", "-", "-"]
    assert blocks[2][0] == "every measure:" and blocks[2][1].split()[:6] == [
        "measure", "precision", "recall", "f1", "pieces", "pooled",
    ]  # fmt: skip
    assert blocks[2][2].split() == ["onset", "0.875", "0.875", "0.875", "1", "0.875", "7", "8", "8"]
    assert blocks[3][0] == "families:" and blocks[3][1].split() == ["family", "pieces", "notes", "found", "named"]
    assert [line.split() for line in blocks[3][2:]] == [["piano", "1", "8", "0.875", "0.875"]]
    assert [line.split()[0] for line in blocks[4][2:]] == ["0", "1", "2"]
    listed = [line.split() for line in blocks[5][2:]]
    assert [(row[1], row[2], row[5]) for row in listed] == [
        ("missed", "0", "drum"),
        ("extra", "0", "E2"),
        ("missed", "0", "C4"),
    ]


def test_what_neither_side_has_is_no_score(tmp_path, capsys):
    """A piece without drums counts in no mean of drums; one of drums alone in none of pitches."""
    for place in ("truth", "found"):
        save(tmp_path / place / "drums.mid", DRUMS), save(tmp_path / place / "tune.mid", TUNE)
    found = document(capsys, str(tmp_path / "truth"), str(tmp_path / "found"))
    drums, tune = (item["values"] for item in found["items"])
    assert drums["drums"] == tune["onset"] == tune["exact"] == 1
    assert {drums[name] for name in found["definitions"] if name != "drums"} == {None} == {tune["drums"]}
    assert {mean["n"] for mean in found["summary"].values()} == {1}
    assert [row["pitches"] for row in found["frames"]] == [1, 1, 1]


def test_folders_are_paired_by_name(tmp_path, capsys):
    """In folders below, whatever the suffix; who has no partner is named, and the others are scored."""
    truth, found = tmp_path / "truth", tmp_path / "found"
    save(truth / "one.mid", TUNE), save(found / "one.json", TUNE)
    save(truth / "deep/one.mid", TUNE), save(found / "deep/one.mid", TUNE[:4])
    lost, spare = save(truth / "lost.mid", TUNE), save(found / "spare.mid", TUNE)
    output = document(capsys, str(truth), str(found), code=1)
    assert [item["name"] for item in output["items"]] == ["one", "deep/one"]
    assert output["summary"]["onset"]["value"] == pytest.approx((1 + 2 / 3) / 2)
    onset = output["every measure"][0]
    assert onset["pooled"] == pytest.approx(24 / 28) and (onset["reference"], onset["estimate"]) == (16, 12)
    assert run(["eval", "transcription", str(truth), str(found)]) == 1
    error = capsys.readouterr().err
    for path in (lost, spare):
        assert f"{path}: no file of this name" in error
    Path(lost).unlink(), Path(spare).unlink()
    assert run(["eval", "transcription", str(truth), str(found)]) == 0


def test_two_systems(tmp_path, capsys):
    """One has all notes of four pieces, the other loses half of each: four equal signs, and the page shows both."""
    for number in range(4):
        save(tmp_path / f"truth/{number}.mid", TUNE), save(tmp_path / f"ours/{number}.json", TUNE)
        save(tmp_path / f"theirs/{number}.mid", TUNE[:4])
    truth, ours, theirs = (str(tmp_path / name) for name in ("truth", "ours", "theirs"))
    page = tmp_path / "page.html"
    found = document(capsys, truth, ours, "--against", theirs, "--html", str(page))
    gap = found["against"]["differences"]["onset"]
    assert (gap["value"], gap["p"], gap["n"]) == (pytest.approx(1 / 3), 2 / 16, 4)
    assert found["against"]["differences"]["precision"]["p"] == 1
    assert found["against"]["settings"] == found["settings"] | {"estimate": theirs}
    assert "Piano roll" in page.read_text()
    Path(theirs, "3.mid").unlink()  # the others are compared
    found = document(capsys, truth, ours, "--against", theirs, code=1)
    assert found["n"] == 4 and found["against"]["differences"]["onset"]["n"] == 3


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
    assert document(capsys, *files)["summary"]["onset"]["value"] == 0
    near = document(capsys, *files, "--tolerance", "0.1", "--rate", "20")
    assert near["summary"]["onset"]["value"] == near["summary"]["offset"]["value"] == 1
    assert near["settings"]["tolerance"] == 0.1 and near["settings"]["rate"] == 20
    exact = [document(capsys, *files, "--rate", rate)["summary"]["exact"]["value"] for rate in ("20", "1")]
    assert exact[0] != exact[1]


def test_the_pedal(tmp_path, capsys):
    """A reference of short notes held by the pedal; the estimate heard them long."""
    short = [Note(i, i + 0.2, 60 + i) for i in range(4)]
    long = [replace(note, offset=note.onset + 0.9) for note in short]
    pedals = tuple(Pedal(i, i + 0.9, 0) for i in range(4))
    reference, estimate = save(tmp_path / "a.mid", short, pedals), save(tmp_path / "b.mid", long)
    for words, right in (((), 0), (("--pedal", "off"), 0), (("--pedal", "reference"), 1), (("--pedal", "both"), 1)):
        assert document(capsys, reference, estimate, *words)["summary"]["offset"]["value"] == right
    assert document(capsys, reference, reference, "--pedal", "both")["summary"]["offset"]["value"] == 1
    assert document(capsys, reference, reference, "--pedal", "reference")["summary"]["offset"]["value"] == 0


def test_nothing_and_notes_of_no_length_are_said(tmp_path, capsys):
    files = save(tmp_path / "a.json", []), save(tmp_path / "b.json", [Note(1.0, 1.0, 60), *TUNE])
    assert run(["eval", "transcription", *files, "--list-errors"]) == 0
    output = capsys.readouterr()
    assert "a.json: no notes" in output.err and "b.json: 1 note of no length left out" in output.err
    assert "nan" not in output.out and output.out.count("extra") == 8
    same = save(tmp_path / "c.json", TUNE)
    assert document(capsys, same, same, "--list-errors")["errors"] == []


@pytest.fixture(scope="module")
def models(tiny_notes, tmp_path_factory) -> tuple[list[str], Path]:
    """--model and --codec of tiny ones, and a set of four recordings: notes inline, and of the last one as MIDI with a pedal."""
    codec, model = tiny_notes(events=False)
    folder = tmp_path_factory.mktemp("set") / "test"
    (folder / "audio").mkdir(parents=True)
    entries = []
    for number in range(4):
        sound = 0.2 * np.random.default_rng(number).standard_normal((8000, 1))
        soundfile.write(folder / f"audio/{number}.wav", sound, 8000)
        entries.append(Entry(f"{number}", f"audio/{number}.wav", notes=tuple(TUNE)))
    save(folder / "notes/3.mid", TUNE, (Pedal(0.0, 3.0, 0),))
    write_manifest(folder / NAME, [*entries[:3], replace(entries[3], notes="notes/3.mid")])
    return ["--model", str(model), "--codec", str(codec), "--device", "cpu"], folder


def test_a_model_is_scored_on_what_it_hears(models, tmp_path, capsys):
    """The same numbers as of its transcriptions as files; those of fewer codebooks are those of a transcriber of so many."""
    options, folder = models
    kept = tmp_path / "kept"
    found = document(capsys, str(folder), *options, "--codebooks", "1,3", "-o", str(kept), "--list-errors")
    assert [item["name"] for item in found["items"]] == ["0", "1", "2", "3"] and found["errors"]
    assert found["items"][3]["files"] == {
        "sound": str(folder / "audio/3.wav"),
        "reference": str(folder / "notes/3.mid"),
        "estimate": str(kept / "3.jsonl"),
    }
    assert found["settings"]["codebooks"] == 3 and found["settings"]["pedal"] == "reference"
    transcriber = Transcriber.load(options[1], codec=options[3])
    truth = [*[TUNE] * 3, pedal_extended(read_midi(folder / "notes/3.mid")).notes]
    for books, rows in ((3, found["codebooks"][:3]), (1, found["codebooks"][3:])):
        heard = [transcriber(folder / f"audio/{number}.wav", codebooks=books).notes for number in range(4)]
        values = [piece_values(transcription_scores(*pair)) for pair in zip(truth, heard, strict=True)]
        assert [row[""] for row in rows] == ["mean", "low", "high"] and {row["codebooks"] for row in rows} == {books}
        assert rows[0]["kbps"] == pytest.approx(books * 4 * 50 / 1000)  # 50 frames a second of 4 bits
        assert rows[0]["onset"] > 0 and rows[0]["onset"] == pytest.approx(np.mean([row["onset"] for row in values]))
        if books == 3:
            assert [item["values"]["frame"] for item in found["items"]] == [row["frame"] for row in values]
            assert tuple(read_note_lines(kept / "2.jsonl")) == tuple(heard[2])
    (speed,) = found["speed"]
    assert speed["sound, s"] == 4 and speed["times real time"] == pytest.approx(4 / speed["work, s"])
    # What it kept, as another system: the same, but through -j, of every other recording, and as files.
    again = document(capsys, str(folder), *options, "--items", "2", "-j", "2", "--against", str(kept))
    assert [item["name"] for item in again["items"]] == ["0", "2"]
    assert all(gap["value"] in (0, None) for gap in again["against"]["differences"].values())
    assert again["against"]["differences"]["onset"]["n"] == again["against"]["n"] == 2


def test_notes_of_another_system_beside_recordings(models, tmp_path, capsys):
    """What a peer wrote for a set of recordings is scored as what a model heard is: the same numbers, and 0 between equals."""
    options, folder = models
    kept = tmp_path / "kept"
    ours = document(capsys, str(folder), *options, "-o", str(kept))
    peer = document(capsys, str(folder), str(kept), "--against", str(kept))
    assert [(i["name"], i["values"]) for i in peer["items"]] == [(i["name"], i["values"]) for i in ours["items"]]
    assert peer["summary"] == ours["summary"] and peer["settings"]["pedal"] == "reference"
    assert peer["items"][3]["files"] == ours["items"][3]["files"]
    gaps = peer["against"]["differences"]
    assert gaps["onset"]["value"] == 0 and gaps["onset"]["n"] == 4
    held, short = peer["items"][3], document(capsys, str(folder), str(kept), "--pedal", "off")["items"][3]
    assert held["values"]["frame"] != short["values"]["frame"]
    (kept / "2.jsonl").unlink(), save(kept / "spare.mid", TUNE)  # of no recording: it does not matter
    some = document(capsys, str(folder), str(kept), "--items", "2", code=1)
    assert [item["name"] for item in some["items"]] == ["0"]
    assert run(["eval", "transcription", str(folder), str(kept), "--items", "2"]) == 1
    error = capsys.readouterr().err
    assert "audio/2.wav: no file of this name" in error and "spare" not in error


def test_the_pedal_of_the_set(models, capsys):
    options, folder = models
    held, short = (document(capsys, str(folder), *options, "--pedal", p)["items"] for p in ("reference", "off"))
    assert held[:3] == short[:3] and held[3]["values"]["frame"] != short[3]["values"]["frame"]


def test_a_recording_that_cannot_be_heard(models, tmp_path, capsys):
    options, folder = models
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "audio/1.wav").write_bytes(b"RIFF")
    (copy / "notes/3.mid").write_bytes(b"MThd")
    found = document(capsys, str(copy), *options, code=1)
    assert found["failed"] == ["1", "3"] and [item["name"] for item in found["items"]] == ["0", "2"]
    assert run(["eval", "transcription", str(copy), *options]) == 1
    output = capsys.readouterr()
    assert "audio/1.wav: " in output.err and "no MIDI header" in output.err and "speed:" in output.out
    entry = replace(read_manifest(copy / NAME)[0], id="../../out")
    write_manifest(copy / NAME, [entry])
    assert run(["eval", "transcription", str(copy), *options, "-o", str(tmp_path / "kept/deep")]) == 1
    assert "leads out of" in capsys.readouterr().err and not list(tmp_path.glob("**/out*"))


def test_wrong_usage_of_a_model(models, tmp_path, capsys):
    options, folder = models
    (tmp_path / "there").write_text("")
    for words, code, said in (
        ([*options, "--codebooks", "1,4"], 2, "tiny-notes reads 1 to 3"),
        ([*options, "--codebooks", "two"], 2, "whole numbers with commas"),
        ([*options, "--codebooks", "0"], 2, "reads 1 to 3"),
        ([*options, "--items", "0"], 2, "at least 1"),
        ([*options, "--pedal", "both"], 2, "reference or off"),
        ([*options, "-o", str(tmp_path)], 2, "name a new folder"),
        ([*options, "--against", str(tmp_path / "there")], 2, "a folder with notes"),
        ([str(folder), *options], 2, "with --model there is no estimate"),
        (["--model", "nobody"], 2, "no transcriber named 'nobody'"),
        ([str(folder), "--codebooks", "2"], 2, "--codebooks 2"),
        ([str(tmp_path / "there")], 2, "a folder with notes"),
        ([], 2, "name the ESTIMATE"),
    ):
        assert run(["eval", "transcription", str(folder), *words]) == code, words
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
    assert run(["eval", "transcription", str(tmp_path), *options]) == 1
    assert "holds no manifest.jsonl" in capsys.readouterr().err


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
        ([str(twice), str(twice), "--items", "2"], 2, "--items 2"),
        ([file, str(wave)], 1, "no file of notes has this ending: legal are .mid"),
        ([str(tmp_path / "empty"), str(twice)], 1, "no file here ends in"),
        ([str(twice), str(twice)], 1, "have the same name"),
    ):
        assert run(["eval", "transcription", *words]) == code, words
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
