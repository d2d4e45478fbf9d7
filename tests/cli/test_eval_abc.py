"""`solfa eval abc`: two files, two folders, two systems, and what cannot be read."""

import json
from pathlib import Path

import pytest

from solfa.cli.app import run

TUNE = """X:1
M:4/4
L:1/4
Q:1/4=100
K:C
%%MIDI program 40
CDEF|GABc|
"""


def save(path: Path, text: str = TUNE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def document(capsys, *words: str, code: int = 0) -> dict:
    assert run(["eval", "abc", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_two_files(tmp_path, capsys):
    truth = save(tmp_path / "a.abc")
    other = save(
        tmp_path / "b.abc", TUNE.replace("=100", "=105").replace("program 40", "program 41").replace("c|", "B|")
    )
    found = document(capsys, truth, other)
    assert found["task"] == "abc" and found["n"] == 1 and set(found["definitions"]) == set(found["summary"])
    assert found["items"][0]["values"] == pytest.approx(
        {"loss": 0.5 / 8 + 0.15 * 0.1 + 0.2 * 0.5, "pitch": 1 / 8, "metre": 0, "tempo": 0.1, "instrument": 0.5}
    )
    assert found["items"][0]["files"] == {"reference": truth, "estimate": other} and "unreadable" not in found
    assert run(["eval", "abc", truth, truth, "--ci"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["item", "loss", "pitch", "metre", "tempo", "instrument"] and rows[1] == ["a", *"00000"]
    assert rows[4][:4] == ["loss", "0", "-", "-"]


def test_what_cannot_be_read(tmp_path, capsys):
    """An estimate that is no ABC has the loss 1 and its reason in the report; a reference is an error; who is alone is named."""
    truth, found = tmp_path / "truth", tmp_path / "found"
    for name in ("good", "bad", "sub/lost"):
        save(truth / f"{name}.abc"), save(found / f"{name}.abc")
    save(found / "bad.abc", "X:1\nK:C\nC D [E|\n")
    output = document(capsys, str(truth), str(found), code=1)
    assert [(item["name"], item["values"]["loss"]) for item in output["items"]] == [
        ("bad", 1),
        ("good", 0),
        ("sub/lost", 0),
    ]
    assert output["summary"]["loss"]["value"] == pytest.approx(1 / 3) and output["failed"] == []
    (unreadable,) = output["unreadable"]
    assert unreadable["item"] == "bad" and unreadable["reason"].startswith("line 3, column 7")
    assert run(["eval", "abc", str(truth), str(found)]) == 1
    both = capsys.readouterr()
    assert "bad.abc: line 3, column 7" in both.err and "every loss is 1" in both.err and "unreadable:" in both.out
    assert run(["eval", "abc", str(truth), str(truth), "--against", str(found)]) == 1
    assert run(["eval", "abc", str(truth), str(truth)]) == 0
    capsys.readouterr()
    save(truth / "good.abc", "no tune")
    (found / "sub/lost.abc").unlink()
    output = document(capsys, str(truth), str(found), code=1)
    assert output["failed"] == ["good"] and [item["name"] for item in output["items"]] == ["bad"]
    assert run(["eval", "abc", str(truth), str(found)]) == 1
    error = capsys.readouterr().err
    assert "good.abc: line 1" in error and "lost.abc: no file of this name" in error and "Traceback" not in error


def test_two_systems(tmp_path, capsys):
    """Of five tunes, one system has them right; the other is 5 too fast in all: p is that of five equal signs."""
    for number in range(5):
        save(tmp_path / f"truth/{number}.abc"), save(tmp_path / f"ours/{number}.abc")
        save(tmp_path / f"theirs/{number}.abc", TUNE.replace("=100", "=105"))
    places = [str(tmp_path / name) for name in ("truth", "ours", "theirs")]
    found = document(capsys, *places[:2], "--against", places[2])
    gap = found["against"]["differences"]["tempo"]
    assert gap["value"] == pytest.approx(-0.1) and gap["p"] == 2 / 32 and gap["n"] == 5
    assert found["against"]["differences"]["pitch"]["p"] == 1 and found["against"]["settings"]["estimate"] == places[2]
    page = tmp_path / "page.html"
    assert run(["eval", "abc", *places[:2], "--against", places[2], "--html", str(page)]) == 0
    assert "against" in capsys.readouterr().out and "Levenshtein" in page.read_text()


def test_wrong_usage(tmp_path, capsys):
    file = save(tmp_path / "a.abc")
    (tmp_path / "empty").mkdir()
    for words, code, said in (
        ([file, str(tmp_path)], 2, "two files or two folders"),
        ([file, str(tmp_path / "none.abc")], 2, "no such file or folder"),
        ([str(tmp_path / "empty"), str(tmp_path)], 1, "no file here ends in .abc"),
    ):
        assert run(["eval", "abc", *words]) == code, words
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
