"""What a codec is trained on: a plain folder, a table, a manifest; what is held out is not trained on."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.data.manifest import Entry, write_manifest
from solfa.train.codec_data import codec_recordings

RATE = 8_000


def sounds(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02d}.wav" for i in range(count)]
    for path in paths:
        soundfile.write(path, np.full(RATE // 10, 0.1, np.float32), RATE)
    return paths


def test_a_folder_is_trained_on_but_for_every_twentieth(tmp_path: Path) -> None:
    paths = sounds(tmp_path / "a", 30) + sounds(tmp_path / "b/c", 30)
    trained, held = codec_recordings([str(tmp_path / "a"), str(tmp_path / "b")], [], 16)
    assert len(held) == 3 and not {*trained} & {*held} and {*trained, *held} == {*paths}
    assert len(codec_recordings([str(tmp_path / "a"), str(tmp_path / "b")], [], 2)[1]) == 2


def test_splits_say_what_is_held_out(tmp_path: Path) -> None:
    paths = sounds(tmp_path, 6)
    splits = ["train", "valid", "test", "train", "val", "train"]
    entries = [Entry(id=str(i), audio=path.name, split=split) for i, (path, split) in enumerate(zip(paths, splits))]  # noqa: B905
    write_manifest(tmp_path / "manifest.jsonl", entries)
    place = str(tmp_path / "manifest.jsonl")
    assert codec_recordings([place], [], 16) == ([paths[0], paths[3], paths[5]], [paths[1], paths[4]])
    assert codec_recordings([place], [place], 16)[1] == [paths[1], paths[4]]
    assert codec_recordings([str(tmp_path)], [place], 2)[1] == [paths[1], paths[4]]
    apart = sounds(tmp_path / "apart", 2)
    assert codec_recordings([place], [str(tmp_path / "apart")], 16)[1] == apart  # none is marked: all


def test_what_cannot_be_opened_is_left_out_and_said(tmp_path: Path) -> None:
    paths = sounds(tmp_path, 3)
    paths[1].write_bytes(b"no sound")
    with pytest.warns(UserWarning, match=r"1 recordings are left out, the first: .*01\.wav"):
        trained, held = codec_recordings([str(tmp_path)], [], 16)
    assert sorted([*trained, *held]) == [paths[0], paths[2]]
    paths[0].write_bytes(b"")
    paths[2].write_bytes(b"")
    with pytest.warns(UserWarning, match="3 recordings"), pytest.raises(ValueError, match="no recordings of the split"):
        codec_recordings([str(tmp_path)], [], 16)


def test_one_recording_is_both(tmp_path: Path) -> None:
    paths = sounds(tmp_path, 1)
    with pytest.warns(UserWarning, match="there is one recording"):
        assert codec_recordings([str(tmp_path)], [], 16) == (paths, paths)


def test_places_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        codec_recordings([str(tmp_path / "nowhere")], [], 16)
    with pytest.raises(ValueError, match="train is empty"):
        codec_recordings([], [], 16)


def test_a_test_set_is_validated_on_only_where_there_is_no_other(tmp_path: Path) -> None:
    paths = sounds(tmp_path, 4)
    splits = ["train", "test", "validation", "extra"]
    write_manifest(
        tmp_path / "manifest.jsonl",
        [Entry(id=str(i), audio=path.name, split=split) for i, (path, split) in enumerate(zip(paths, splits))],  # noqa: B905
    )
    with pytest.warns(UserWarning, match="1 recordings of the splits 'extra' are left out: known are train, valid"):
        assert codec_recordings([str(tmp_path)], [], 16) == ([paths[0]], [paths[2]])
    splits[2] = "test"
    write_manifest(
        tmp_path / "manifest.jsonl",
        [Entry(id=str(i), audio=path.name, split=split) for i, (path, split) in enumerate(zip(paths, splits))],  # noqa: B905
    )
    with pytest.warns(UserWarning):
        assert codec_recordings([str(tmp_path)], [], 16)[1] == [paths[1], paths[2]]
