"""From what a user names to items: one order, safe keys, what is said of each."""

from __future__ import annotations

import errno
import io
import json
import os
import unicodedata
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.audio import media
from solfa.data import folders
from solfa.data.tables import PLAIN, rows
from solfa.tokenize_audio.store.format import check_key
from solfa.tokenize_audio.work.job import Job, read_items, write_items
from solfa.tokenize_audio.work.sources import SourceItem, find_sources, safe_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.wav", "b/10.WAV", "a.flac", "b.mp3", "b/.hidden.wav", ".git/x.wav", "notes.mid"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def keys(*arguments: str | Path) -> list[str]:
    return [item.key for item in find_sources(arguments)]


def test_a_folder(folder: Path) -> None:
    assert keys(folder) == ["a.flac", "b/10.WAV", "b/2.wav", "b.mp3"]
    items = find_sources([folder])
    assert items[0].source == str(folder / "a.flac") and items[0].path == str(folder / "a.flac")


def test_files_and_lists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert keys("in/b/2.wav", folder / "a.flac", "in/../in/b.mp3") == ["in/b/2.wav", "a.flac", "b.mp3"]
    Path("list.txt").write_text("in/b/2.wav\n\nin/gone.wav\n")
    assert keys("@list.txt") == ["in/b/2.wav", "in/gone.wav"]
    assert keys("in/a.flac", "in/a.flac") == ["in/a.flac"]


def test_a_pattern_gives_the_keys_of_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in its order, so that the store of both is one, byte for byte."""
    monkeypatch.chdir(folder.parent)
    every = keys("in")
    for pattern in ("in/**", "in/**/*", "in/**/", "in/*", "./in/**/*.*", f"{folder}/**/*", f"{folder.name}/[!x]*"):
        assert keys(pattern) == every, pattern
        assert keys(folder, pattern) == every, pattern
    assert keys("in/*.flac", "in/b/*") == ["a.flac", "10.WAV", "2.wav"]
    assert keys("*/b/?.wav", "i?/*.mp3") == ["in/b/2.wav", "in/b.mp3"]
    assert keys("in/../*/b.mp3") == ["in/b.mp3"]
    (item,) = find_sources(["in/*.flac"])
    assert (item.source, item.path) == ("in/a.flac", str(folder / "a.flac"))
    (folder / "c").mkdir()
    (folder / "c/2.wav").touch()
    with pytest.raises(ValueError, match=r"would both be '2.wav' in the store"):
        find_sources(["in/b/*", "in/c/*"])
    assert keys("in/[bc]/2.wav") == ["b/2.wav", "c/2.wav"]


def test_a_pattern_matches_folders_and_tables_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "a.txt").write_text("A calm waltz\n")
    (folder / "other").mkdir()
    (folder / "other/manifest.jsonl").write_text('{"id": "x/1", "audio": "../b.mp3"}\n')
    (folder / "empty").mkdir()
    assert keys("*") == ["a.flac", "b/10.WAV", "b/2.wav", "b.mp3", "x/1"]
    assert find_sources(["*.flac"])[0].texts == ("A calm waltz",)
    (folder / "t1.jsonl").write_text('{"audio": "a.flac"}\n')
    (folder / "t2.jsonl").write_text('{"audio": "b/2.wav"}\n')
    assert keys("t?.jsonl") == ["a.flac", "b/2.wav"]
    for pattern, told in (("gone/*.flac", "no file matches"), ("*.mid", "no sound file among"), ("empty*", "no sound")):
        with pytest.raises(ValueError, match=told) as error:
            find_sources(["a.flac", pattern])
        assert str(error.value).startswith(f"{pattern}: ")


def test_a_name_with_brackets_is_a_name_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a list one that is gone is a file that fails by itself, as any other there."""
    monkeypatch.chdir(folder)
    for name in ("take [1].wav", "take 1.wav"):
        (folder / name).touch()
    assert keys("take [1].wav") == ["take [1].wav"]
    (folder / "take [1].wav").unlink()
    assert keys("take [1].wav") == ["take 1.wav"]
    (folder / "list.txt").write_text("gone [live].wav\nb/*.wav\n")
    assert keys("@list.txt") == ["gone [live].wav", "2.wav"]


def test_a_list_on_stdin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"b/2.wav\n*.flac\n")))
    assert keys("@-") == ["b/2.wav", "a.flac"]
    for data, told in ((b"", "stdin: this list is empty"), (b"RIFF\0\0\0", "stdin: this is no list of files")):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        with pytest.raises(ValueError, match=told):
            find_sources(["@-"])


def test_what_is_said(folder: Path) -> None:
    (folder / "a.txt").write_text("A calm waltz\n")
    (folder / "a.json").write_text('{"description": "strings", "bpm": 90, "split": "Valid"}')
    item = find_sources([folder])[0]
    assert (item.texts, item.attributes, item.split) == (("A calm waltz", "strings"), {"bpm": 90}, "valid")
    (folder / "t.csv").write_text("file,caption,bpm,mood,seconds\na.wav,A waltz,90,,2.5\n")
    (item,) = find_sources([folder / "t.csv"])
    assert (item.texts, item.attributes) == (("A waltz",), {"bpm": "90"}), (
        "a blank says nothing; how long it is, the sound says"
    )
    (folder / "metadata.csv").write_text("file_name,caption,genre\nb/2.wav,a riff,rock\n")
    (only,) = find_sources([folder])
    assert (only.key, only.texts, only.attributes) == ("b/2.wav", ("a riff",), {"genre": "rock"})
    assert only.path == str(folder / "b/2.wav")


def test_text_of_a_table_stays_text(folder: Path) -> None:
    """What names or describes a recording may look like a number; an attribute that does is one."""
    (folder / "t.csv").write_text("id,file,caption,notes,split,bpm,version\n1.10,1.0,24.0,2.50,3.0,120.0,1.10\n")
    (item,) = find_sources([folder / "t.csv"])
    assert (item.texts, item.split, item.notes) == (("24.0",), "3.0", str(folder / "2.50"))
    assert item.path == str(folder / "1.0") and item.attributes == {"bpm": 120.0, "version": 1.1}
    (_, row), *_ = rows(folder / "t.csv")
    assert row["id"] == "1.10"


def test_a_recording_in_several_rows_is_one_item(folder: Path) -> None:
    """As tables of several captions a recording have it. A split may not be left to chance."""
    rows = "file,caption,bpm,split\na.wav,one,90,\nb.wav,x,,\na.wav,two,95,test\n"
    (folder / "t.csv").write_text(rows)
    first, second = find_sources([folder / "t.csv"])
    assert (first.texts, first.attributes, first.split) == (("one", "two"), {"bpm": "90"}, "test")
    assert second.texts == ("x",)
    (folder / "t.csv").write_text(rows + "a.wav,three,,train\n")
    with pytest.raises(ValueError, match="once for test and once for train"):
        find_sources([folder / "t.csv"])
    (folder / "a.txt").write_text("beside it")
    (folder / "t.jsonl").write_text('{"audio": "a.flac", "text": "in a row"}\n')
    assert find_sources([folder, folder / "t.jsonl"])[0].texts == ("beside it", "in a row")


def test_a_row_without_an_id_has_its_notes(folder: Path) -> None:
    (folder / "t.jsonl").write_text(
        '{"audio": "a.flac", "notes": [[0, 1, 60, 80, 0, false]], "velocities": false}\n{"file": "b.mp3", "notes": "notes.mid"}\n'
    )
    one, two = find_sources([folder / "t.jsonl"])
    assert (one.notes, one.velocities) == (((0, 1, 60, 80, 0, False),), False)
    assert (two.notes, two.velocities) == (str(folder / "notes.mid"), True)
    (folder / "t.jsonl").write_text('{"audio": "a.flac", "notes": [[0, 1, 260, 80, 0, false]]}\n')
    with pytest.raises(ValueError, match="line 1: pitch 260"):
        find_sources([folder / "t.jsonl"])


def test_bad_files_beside_a_recording_are_its_own_trouble(folder: Path) -> None:
    (folder / "a.txt").write_bytes("Übung".encode("latin-1"))
    (folder / "b.json").write_text("[1]")
    faults = {item.key: item.fault for item in find_sources([folder])}
    assert "a.txt: not text in UTF-8" in faults.pop("a.flac") and "b.json: a JSON object is needed" in faults.pop(
        "b.mp3"
    )
    assert not any(faults.values()) and len(faults) == 2


def test_what_a_folder_leaves_out_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read with the extra `av` only, where it is not there."""
    monkeypatch.setattr(folders, "SUFFIXES", PLAIN)
    monkeypatch.setattr(folders, "UNREAD", media.SUFFIXES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_sources([folder])
    for name in ("x.m4a", "y.WMA", "z.opus", "z.wave"):
        (folder / name).touch()
    with pytest.warns(UserWarning, match=r"x\.m4a and 1 more: left out"):
        assert keys(f"{folder}/[x-z].*") == ["z.opus", "z.wave"]
    (folder / "link").symlink_to(folder / "b")
    with pytest.warns(UserWarning, match="left out") as told:
        found = keys(folder)
    assert found == ["a.flac", "b/10.WAV", "b/2.wav", "b.mp3", "z.opus", "z.wave"]
    links, others = (str(each.message) for each in told)
    assert f"{folder}/link: left out" in links and f"{folder}/x.m4a and 1 more: left out" in others


def test_a_folder_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def locked(place: str) -> object:
        if str(place).endswith("/b"):
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(ValueError, match=r"in/b: this folder cannot be read \(Permission denied\)"):
        find_sources([folder])


def test_marks_of_other_systems_are_no_names(folder: Path) -> None:
    (folder / "t.jsonl").write_text('{"audio": "a.flac"}\n', encoding="utf-8-sig")
    assert keys(folder / "t.jsonl") == ["a.flac"]
    (folder / "list.txt").write_text(f"{folder / 'a.flac'}\n", encoding="utf-8-sig")
    assert keys(f"@{folder}/list.txt") == ["a.flac"]
    (folder / "manifest.jsonl").write_text("")
    with pytest.raises(ValueError, match="it names no sound file"):
        find_sources([folder])


def test_a_manifest(folder: Path) -> None:
    lines = [
        {
            "id": "x/1",
            "audio": "b/2.wav",
            "text": "one",
            "notes": "notes.mid",
            "captions": ["two"],
            "velocities": False,
        },
        {"id": "x/2", "audio": "a.flac", "notes": [[0, 1, 60, 80, 0, False]], "seconds": 3.5, "mine": 1},
    ]
    (folder / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    one, two = find_sources([folder / "all.jsonl"])
    assert (one.key, one.texts, one.notes, one.velocities) == ("x/1", ("one", "two"), str(folder / "notes.mid"), False)
    assert (two.notes, two.extra, two.split) == (((0, 1, 60, 80, 0, False),), {"seconds": 3.5, "mine": 1}, "train")
    notes, pedals = two.read_notes()
    assert notes is not None and notes[0].pitch == 60 and pedals == ()


def test_what_cannot_be_meant(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "a.flac").touch()
    with pytest.raises(ValueError, match=r"would both be 'a.flac' in the store"):
        find_sources([folder, folder / "other"])
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="no sound file in it"):
        find_sources([folder / "empty"])
    with pytest.raises(ValueError, match="nothing to tokenize"):
        find_sources([])
    with pytest.raises(ValueError, match="cannot read this list"):
        find_sources([f"@{folder}/gone.txt"])
    (folder / "bad.jsonl").write_text('{"id": "../../x", "audio": "a.flac"}\n')
    with pytest.raises(ValueError, match=r"\.\. parts"):
        find_sources([folder / "bad.jsonl"])
    with pytest.raises(ValueError, match=r"gone\.csv"):
        find_sources([folder / "gone.csv"])


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_any_name_is_a_safe_key_or_refused(name: bytes) -> None:
    try:
        key = safe_key(os.fsdecode(name))
    except ValueError:
        assert {b"..", b""} & {part for part in name.split(b"/") if part != b"."}
        return
    check_key(key)
    key.encode()


@given(st.text(st.characters(exclude_characters="/")))
def test_a_key_is_the_name_letter_by_letter(name: str) -> None:
    """Whatever stands beside it, a letter is itself or %XX of its bytes."""
    try:
        key = safe_key(f"x{name}")
    except ValueError:
        return
    alone = [safe_key(letter) if letter != "." else letter for letter in name]
    assert key == "".join(["x", *alone])
    for letter, told in zip(name, alone, strict=True):
        escaped = letter == "\\" or unicodedata.category(letter) in ("Cc", "Cs")
        assert told == ("".join(f"%{byte:02X}" for byte in os.fsencode(letter)) if escaped else letter)


def test_an_item_takes_no_more_than_its_fields() -> None:
    """There may be millions."""
    assert not hasattr(SourceItem("a", "a", "/a"), "__dict__")


@settings(max_examples=30)
@given(
    st.builds(
        SourceItem,
        key=st.text(),
        source=st.text(),
        path=st.text(),
        texts=st.lists(st.text()).map(tuple),
        attributes=st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.lists(st.integers()))),
        notes=st.one_of(st.none(), st.text(), st.lists(st.tuples(st.floats(0, 9), st.integers())).map(tuple)),
        velocities=st.booleans(),
        split=st.text(),
    )
)
def test_a_plan_keeps_its_items(tmp_path_factory: pytest.TempPathFactory, item: SourceItem) -> None:
    store = tmp_path_factory.getbasetemp()
    write_items(store, 7, [item])
    assert read_items(store, 7) == (item,)


def test_no_job(tmp_path: Path) -> None:
    assert Job.load(tmp_path) is None
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "job.json").write_text('{"version": 1, "store": "x"}')
    with pytest.raises(ValueError, match=r"job\.json: cannot be read"):
        Job.load(tmp_path)
