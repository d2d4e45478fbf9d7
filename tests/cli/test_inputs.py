"""From arguments to files, and from files to targets."""

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from solfa.audio import media
from solfa.cli import inputs
from solfa.cli.inputs import AUDIO_SUFFIXES, MEDIA_SUFFIXES, PLAIN_SUFFIXES, expand, with_targets
from solfa.cli.report import UsageError
from solfa.data.tables import PLAIN, SUFFIXES

AUDIO = (".wav", ".flac")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("x/1.wav", "x/deep/2.FLAC", "x/deep/1.wav", "x/.hidden.wav", "x/.git/3.wav", "x/notes.txt", "y/1.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(arguments: list[str]) -> list[tuple[str, str]]:
    return [(str(item.path), str(item.relative)) for item in expand(arguments, AUDIO) if not item.problem]


def test_every_command_takes_the_same_files_for_sound() -> None:
    assert AUDIO_SUFFIXES == SUFFIXES and PLAIN_SUFFIXES == PLAIN and MEDIA_SUFFIXES == media.SUFFIXES


def test_what_the_extra_would_read_is_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inputs, "UNREAD_SUFFIXES", MEDIA_SUFFIXES)
    for name in ("a.m4a", "deep/b.MP4", ".c.m4a"):
        (tree / "x" / name).touch()
    found = [str(item.relative) for item in expand(["x"], PLAIN_SUFFIXES)]
    assert found == ["1.wav", "deep/1.wav", "deep/2.FLAC"]
    assert (
        'x/a.m4a and 1 more: left out, of a format that is read with pip install "solfa[av]" only'
        in capsys.readouterr().err
    )
    expand(["x"], (".solfa",))
    assert "left out" not in capsys.readouterr().err


def test_a_folder_gives_the_sound_files_below_it_in_order(tree: Path) -> None:
    assert shown(["x"]) == [("x/1.wav", "1.wav"), ("x/deep/1.wav", "deep/1.wav"), ("x/deep/2.FLAC", "deep/2.FLAC")]


def test_a_glob_keeps_what_comes_after_its_fixed_part(tree: Path) -> None:
    assert shown(["x/*/1.wav"]) == [("x/deep/1.wav", "deep/1.wav")]
    assert shown(["?/1.wav"]) == [("x/1.wav", "x/1.wav"), ("y/1.wav", "y/1.wav")]
    assert shown(["x/**/*.wav"]) == [("x/1.wav", "1.wav"), ("x/deep/1.wav", "deep/1.wav")]
    assert [relative for _, relative in shown(["[xy]"])] == ["x/1.wav", "x/deep/1.wav", "x/deep/2.FLAC", "y/1.wav"]


def test_a_list_and_stdin(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = f"y/1.wav\r\n\nx/deep\n{tree}/x/1.wav\n".encode()
    (tree / "list.txt").write_bytes(lines)
    expected = [
        ("y/1.wav", "y/1.wav"),
        ("x/deep/1.wav", "1.wav"),
        ("x/deep/2.FLAC", "2.FLAC"),
        (f"{tree}/x/1.wav", "1.wav"),
    ]
    assert shown(["@list.txt"]) == expected
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    assert shown(["@-"]) == expected


def test_a_file_comes_once(tree: Path) -> None:
    assert shown(["x/1.wav", "./x/1.wav", f"{tree}/x/1.wav", "x"]) == [
        ("x/1.wav", "1.wav"),
        ("x/deep/1.wav", "deep/1.wav"),
        ("x/deep/2.FLAC", "deep/2.FLAC"),
    ]


def test_what_leads_nowhere_is_a_problem_of_its_own(tree: Path) -> None:
    (tree / "blank.txt").write_text("\n")
    found = expand(["no.wav", "empty", "*.ogg", "@no.txt", "@blank.txt", "y"], AUDIO)
    problems = {str(item.path): item.problem for item in found}
    assert problems.pop("y/1.wav") is None
    assert problems == {
        "no.wav": "no such file",
        "empty": "no file here ends in .wav, .flac",
        "*.ogg": "no file matches",
        "no.txt": "cannot read this list: No such file or directory",
        "blank.txt": "this list is empty",
    }
    with pytest.raises(UsageError, match="no input"):
        expand([], AUDIO)


def test_folders_that_are_not_searched_are_said(
    tree: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "x" / "album").symlink_to(tree / "y")
    (tree / "x" / "shut").mkdir()
    listed = os.scandir

    def scan(path: str) -> Any:
        if str(path).endswith("shut"):  # as for whoever may not read it; root may
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scan)
    found = {str(item.path): item.problem for item in expand(["x"], AUDIO)}
    assert found.pop("x/shut") == "this folder cannot be read (Permission denied)"
    assert set(found) == {"x/1.wav", "x/deep/1.wav", "x/deep/2.FLAC"} and not any(found.values())
    assert capsys.readouterr().err.startswith("x/album: left out, behind a link to another folder")


def targets(arguments: list[str], out: str | None, suffixes: tuple[str, ...] = (".solfa",)) -> list[str]:
    placed = with_targets(expand(arguments, AUDIO), None if out is None else Path(out), suffixes)
    return [item.problem or str(item.target) for item in placed]


def test_targets_mirror_the_tree(tree: Path) -> None:
    assert targets(["x"], "out") == ["out/1.solfa", "out/deep/1.solfa", "out/deep/2.solfa"]
    assert targets(["x/deep"], None) == ["x/deep/1.solfa", "x/deep/2.solfa"]


def test_one_named_file_may_have_a_named_target(tree: Path) -> None:
    assert targets(["x/1.wav"], "new.solfa") == ["new.solfa"]
    assert targets(["x/1.wav"], "folder") == ["folder/1.solfa"]
    (tree / "v1.0").mkdir()
    assert targets(["x/1.wav"], "v1.0") == ["v1.0/1.solfa"]
    for arguments, out in (
        (["x/1.wav"], "new.wav"),
        (["x"], "new.solfa"),
        (["x"], "x/1.wav"),
        (["y"], "new.solfa"),
        (["y"], "@-"),
    ):
        with pytest.raises(UsageError, match="-o"):
            targets(arguments, out)


def test_two_inputs_never_share_a_target(tree: Path) -> None:
    (tree / "y/1.flac").touch()
    assert targets(["y"], "out") == ["out/1.solfa", "out/1.solfa is already the result of y/1.flac"]
    assert targets(["x/1.wav", "y/1.wav"], "out")[1] == "out/1.solfa is already the result of x/1.wav"


def test_a_target_is_never_its_source(tree: Path) -> None:
    assert "replace it" in targets(["x/1.wav"], None, (".wav",))[0]
    assert "replace it" in targets(["x/1.wav"], "x/1.wav", (".wav",))[0]


def test_an_unknown_suffix_is_kept(tree: Path) -> None:
    (tree / "take.v2").touch()
    assert targets(["take.v2"], None) == ["take.v2.solfa"]
