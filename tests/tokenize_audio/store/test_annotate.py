"""Captions and notes that come later: codes untouched, old or new after any kill."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from solfa.score.note import Note
from solfa.score.score import score_of_notes
from solfa.score.write import write_midi
from solfa.tokenize_audio.store.annotate import annotate
from solfa.tokenize_audio.store.format import TokenStoreError
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.verify import verify

Make = Callable[..., TokenStore]


def table(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_a_row_says_replaces_and_the_rest_stays(make_store: Make, tmp_path: Path) -> None:
    before = make_store([[30, 6], [12], [5]])
    folder = tmp_path / "store"
    old = list(before.metas())
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "midi").mkdir()
    write_midi(score_of_notes([Note(0.5, 1.0, 64)]), tmp_path / "midi" / "a.mid")
    rows = table(
        tmp_path / "table.jsonl",
        {"id": "0/0", "text": "one", "captions": ["two"], "attributes": {"bpm": 90}, "mood": "calm", "split": "Test"},
        {"key": "0/1", "notes": "midi/a.mid", "velocities": False},
        {"id": "1/0", "notes": [[0.0, 1.0, 60, 80, 0, False]], "key": "C major", "text": ""},
        {"id": "nobody", "text": "x"},
    )
    found = annotate(folder, rows)
    assert (found.matched, found.changed, found.shards, found.unmatched, found.problems) == (3, 3, 2, ("nobody",), ())
    new = list(TokenStore(folder, verify=True).metas())
    assert new[0].texts == ("one", "two") and new[0].split == "test" and new[0].notes == old[0].notes
    assert new[0].attributes == {"bpm": 90, "mood": "calm", "moods": ["calm"]}
    assert [(n.onset, n.pitch) for n in new[1].notes or ()] == [(0.5, 64)] and not new[1].velocities
    assert (new[1].texts, new[1].attributes, new[1].split) == (old[1].texts, old[1].attributes, old[1].split)
    assert new[2].notes == (Note(0.0, 1.0, 60),) and new[2].attributes["key"] == "C major" and new[2].pedals == ()
    assert new[2].texts == old[2].texts and new[3] == old[3]
    now = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, data in files.items():
        if "codes" in name or name.startswith("00002") or name == "store.json":
            assert now[name] == data, name
    assert sorted(now) == sorted({name.replace("meta.p", "meta.1.p") if name < "00002" else name for name in files})
    assert verify(folder).problems == ()
    again = annotate(folder, rows)
    assert (again.changed, again.shards) == (0, 0)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == now


def test_captions_can_be_added_and_tables_be_csv(make_store: Make, tmp_path: Path) -> None:
    make_store([[30]])
    (tmp_path / "t.csv").write_text('file_name,caption,bpm,split\n0/0,"a, third",,\n')
    annotate(tmp_path / "store", tmp_path / "t.csv", add_texts=True)
    meta = TokenStore(tmp_path / "store").meta(0)
    assert meta.texts == ("a 0/0", "Übung ♪", "a, third") and meta.attributes["bpm"] == 120.5 and meta.split == "train"


def test_a_manifest_says_of_a_store_what_it_says_to_tokenize(make_store: Make, tmp_path: Path) -> None:
    """What a row does not name stays, the split too; fields that are not known are no attributes; either name of an item is one."""
    make_store([[30, 6]])
    folder = tmp_path / "store"
    before = TokenStore(folder).meta(0)
    assert before.split == "train"
    annotate(folder, table(tmp_path / "t.jsonl", {"key": "0/0", "split": "test"}))
    manifest = table(
        tmp_path / "manifest.jsonl", {"id": "0/0", "audio": "x.wav", "seconds": 2.5, "mine": 1, "text": "t"}
    )
    annotate(folder, manifest)
    meta = TokenStore(folder).meta(0)
    assert (meta.split, meta.texts, meta.attributes) == ("test", ("t",), before.attributes)
    assert meta.extra == {**before.extra, "seconds": 2.5, "mine": 1}
    (tmp_path / "t.csv").write_text("id,file_name,caption\nx1,0/1,by its file\n0/0,x.wav,by its id\n")
    assert annotate(folder, tmp_path / "t.csv").unmatched == ()
    assert [meta.texts for meta in TokenStore(folder).metas()] == [("by its id",), ("by its file",)]


def test_what_no_store_can_hold_is_a_problem_of_its_row(make_store: Make, tmp_path: Path) -> None:
    make_store([[30, 6]])
    folder, rows = tmp_path / "store", [{"id": "0/0", "text": "\ud800"}, {"id": "0/1", "text": "good"}]
    found = annotate(folder, table(tmp_path / "t.jsonl", *rows))
    assert found.changed == 1 and "line 1: item '0/0'" in found.problems[0]
    (tmp_path / "t.jsonl").write_text('{"id": "0/0", "bpm": 1e999}\n')
    with pytest.raises(ValueError, match=r"line 1: not JSON .1e999 is no number"):
        annotate(folder, tmp_path / "t.jsonl")


def test_bad_tables_change_nothing(make_store: Make, tmp_path: Path) -> None:
    make_store([[30], [4]])
    folder = tmp_path / "store"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for rows, told in [
        ([{"id": "9/9", "text": "x"}], "none of its 1 keys"),
        ([{"text": "x"}], "no item is named"),
        ([{"id": "0/0"}, {"id": "0/0"}], "line 2: '0/0' is named in .*line 1 too"),
        ([], "it names no items"),
    ]:
        with pytest.raises(ValueError, match=told):
            annotate(folder, table(tmp_path / "t.jsonl", *rows))
    with pytest.raises(ValueError, match="must be a manifest"):
        annotate(folder, tmp_path / "t.txt")
    with pytest.raises(TokenStoreError, match="not a token store"):
        annotate(tmp_path, table(tmp_path / "t.jsonl", {"id": "0/0"}))
    found = annotate(
        folder, table(tmp_path / "t.jsonl", {"id": "0/0", "notes": "gone.mid"}, {"id": "1/0", "notes": [[1]]})
    )
    assert found.changed == 0 and len(found.problems) == 2 and "line 1" in found.problems[0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_killed_at_every_step(make_store: Make, tmp_path: Path) -> None:
    """SIGKILL at each call that changes the folder: every shard is old or new, whole; the same call then does the rest."""
    folder = tmp_path / "store"
    store = make_store([[30], [12]])
    codes = [store.codes(i).copy() for i in range(2)]
    rows = table(tmp_path / "t.jsonl", {"id": "0/0", "text": "new"}, {"id": "1/0", "text": "new"})
    states = []
    for deadly in range(40):
        child = os.fork()
        if child == 0:
            _make_mortal(deadly)
            annotate(folder, rows)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        now = TokenStore(folder, verify=True)
        texts = [now.meta(i).texts for i in range(2)]
        assert all(text in (("new",), (f"a {i}/0", "Übung ♪")) for i, text in enumerate(texts))
        assert all((now.codes(i) == codes[i]).all() for i in range(2))
        states.append(sum(text == ("new",) for text in texts))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
    assert states == sorted(states) and set(states) == {0, 1, 2} and len(states) > 4
    annotate(folder, rows)  # nothing is left to change: what was left behind goes
    for path in folder.glob(".solfa-*.tmp"):
        path.unlink()
    assert verify(folder).problems == ()


def _make_mortal(deadly: int) -> None:
    """The call of that number, of those that change a folder, kills this process."""
    steps = iter(range(deadly))

    def mortal(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in ("open", "fsync", "replace", "unlink", "remove"):
        setattr(os, name, mortal(getattr(os, name)))
