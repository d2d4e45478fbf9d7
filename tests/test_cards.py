"""`make cards`: blocks of a card are what their commands print, and nothing but `solfa eval` is run."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from solfa.score.note import Note
from solfa.score.write import write_notes

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("_cards", ROOT / "bench" / "_cards.py")
assert spec is not None and spec.loader is not None
cards = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cards)
COMMAND = "solfa eval transcription data/a.jsonl data/b.jsonl"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the script works: with two files of notes of which the second misses one."""
    (tmp_path / "data").mkdir()
    notes = [Note(i * 0.5, i * 0.5 + 0.4, 60 + i, 80, 0) for i in range(5)]
    write_notes(notes, tmp_path / "data" / "a.jsonl")
    write_notes(notes[:4], tmp_path / "data" / "b.jsonl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_blocks_are_what_their_commands_print(folder: Path, capsys: pytest.CaptureFixture[str]):
    card = Path("README.md")
    card.write_text(
        f"# Card\n\n<!-- $ {COMMAND} -->\n\n```\nold 0.1\n```\n\nText 0.5 `{COMMAND}`.\n\n"
        f"<!-- $ {COMMAND} (summary, table frames) -->\n```text\n```\n\n```\nno block 0.7\n```\n"
    )
    assert cards.main(["README.md"]) == 0
    line = [sys.executable, "-m", "solfa", *COMMAND.split()[1:]]
    printed = subprocess.run(line, env=os.environ, capture_output=True, text=True, check=True).stdout
    _, summary, _, _, frames = printed.split("\n\n")
    assert summary.startswith("measure ") and frames.startswith("frames:\n")
    assert card.read_text() == (
        f"# Card\n\n<!-- $ {COMMAND} -->\n\n```\n{printed}```\n\nText 0.5 `{COMMAND}`.\n\n"
        f"<!-- $ {COMMAND} (summary, table frames) -->\n```text\n{summary}\n\n{frames}```\n\n```\nno block 0.7\n```\n"
    )
    told = capsys.readouterr().out
    assert "    - old 0.1\n" in told and told.count(f"README.md: {COMMAND}\n") == 1  # run once for both
    assert "1 of 1 cards" in told


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("touch evil", "a card runs `solfa eval ...` and nothing else"),
        ("solfa encode data/a.jsonl", "a card runs `solfa eval ...` and nothing else"),
        ("solfa eval transcription data/a.jsonl ; touch evil", "ended with 2"),
        ("solfa eval transcription data/a.jsonl $(touch data/evil)", "data/evil) is not there"),
        ("solfa eval codec data/codec/held-out/audio", "data/codec/held-out/audio is not there: make codec-data"),
        ("solfa eval generation data/music/test --out data/new", "data/music/test is not there: make music-data"),
        ("solfa eval transcription data/notes/corpus --model m", "is not there: make notes-test"),
        (
            "solfa eval transcription data/a.jsonl --against data/notes/basic-pitch/test",
            "python bench/transcription.py --basic",
        ),
    ],
)
def test_a_card_that_cannot_be_made_stays_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, said: str
):
    text = f"<!-- $ {COMMAND} -->\n```\nold\n```\n<!-- $ {command} -->\n```\nold\n```\n"
    Path("card.md").write_text(text)
    known = {COMMAND: "new\n"}
    assert not cards.regenerate(Path("card.md"), known)
    told = capsys.readouterr().out
    assert said in told and "card.md: left as it is" in told and "data/new" not in told
    assert Path("card.md").read_text() == text and not list(folder.rglob("evil*"))


def test_a_part_that_was_not_printed_and_a_command_without_a_block_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    known = {COMMAND: "measure  mean\nonset  0.5\n\nframes:\nx 1\n"}
    for text, said in (
        (f"<!-- $ {COMMAND} (table nonsense) -->\n```\nold\n```\n", "printed no table nonsense"),
        (f"<!-- $ {COMMAND} -->\n\nText.\n\n```\nnot its block\n```\n", "1 commands without a block"),
    ):
        Path("card.md").write_text(text)
        assert not cards.regenerate(Path("card.md"), known)
        assert said in capsys.readouterr().out and Path("card.md").read_text() == text


def test_what_changed_is_told(folder: Path, capsys: pytest.CaptureFixture[str]):
    Path("card.md").write_text(f"<!-- $ {COMMAND} -->\n```\nname 0.25 -1e-05\nother 3\n```\n")
    assert cards.regenerate(Path("card.md"), {COMMAND: "name 0.5 -1e-05\nother 3\n"})
    told = capsys.readouterr().out
    assert "- name 0.25 -1e-05\n    + name 0.5 -1e-05\n    1 of 3 numbers changed" in told and "other" not in told
    assert cards.regenerate(Path("card.md"), {COMMAND: "name 0.5 -1e-05\nother 3\n"})
    assert f"{COMMAND}: the same\n" in capsys.readouterr().out


def test_the_list_names_commands_and_what_they_miss_once(folder: Path, capsys: pytest.CaptureFixture[str]):
    lost = "solfa eval transcription data/notes/test data/notes/basic-pitch/test --ci"
    block = "<!-- $ {} -->\n```\nold\n```\n"
    Path("card.md").write_text("".join(map(block.format, (COMMAND, lost, f"{lost} --json"))))
    assert cards.main(["--list", "card.md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [f"card.md: {command}" for command in (COMMAND, lost, f"{lost} --json")]
    assert [line.split(" is not there: ")[0] for line in lines[3:]] == [
        "data/notes/test",
        "data/notes/basic-pitch/test",
    ]
    assert "make notes-data" in lines[3] and "--notes data/notes/basic-pitch" in lines[4]


def test_every_command_in_the_shipped_cards_may_be_run():
    found = 0
    for card in [ROOT / "README.md", *ROOT.glob("solfa/weights/*/README.md")]:
        text = card.read_text()
        blocks = list(cards.BLOCK.finditer(text))
        assert text.count("<!-- $ ") == len(blocks)
        for block in blocks:
            found += 1
            words = cards.words_of(block["command"])
            data = [word for word in words if word.startswith("data/")]
            assert data and "nobody" not in "".join(map(cards.how_to_make, data))
    assert found >= 8
