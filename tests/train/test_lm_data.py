"""Folders, tables and manifests become codes with captions; a folder is encoded once."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.audio import media
from solfa.audio.io import Audio, read, write
from solfa.codecs.codec import Codec
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenFile, write_tokens
from solfa.data import folders
from solfa.data.tables import PLAIN
from solfa.tokenize_audio.work.sources import find_sources
from solfa.train.captions import Said
from solfa.train.code_cache import FOLDER, CodeCache
from solfa.train.lm_data import Reading, read_data
from solfa.train.recordings import Recording, find_recordings


def sound(path: Path, seed: int, seconds: float = 0.3, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = torch.rand(1, channels, int(8000 * seconds), generator=torch.Generator().manual_seed(seed)) - 0.5
    write(path, Audio(noise, 8000))
    return path


@pytest.fixture(scope="module")
def codec(tiny_music: Callable[..., tuple[Path, Path]]) -> Codec:
    return load_codec(tiny_music()[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "music"
    for seed, name in enumerate(("a.wav", "b.flac", "deep/c.wav", "d.wav", ".hidden/e.wav")):
        sound(place / name, seed)
    (place / "a.txt").write_text("A waltz.\n\n a slow waltz \n", encoding="utf-8")
    (place / "b.json").write_text(json.dumps({"description": "a march", "bpm": 120.0, "moods": ["loud"]}))
    (place / "deep/c.txt").write_text("﻿a song", encoding="utf-8")
    return place


def said(recordings: list[Recording]) -> dict[str, Said]:
    return {each.audio.name: each.said for each in recordings}


def mono(codec: Codec, **more: object) -> Reading:
    return Reading(codec, 3, False, **more)  # type: ignore[arg-type]


def test_a_folder_with_sidecars(folder: Path) -> None:
    assert said(find_recordings(folder)) == {
        "a.wav": Said(("A waltz.", "a slow waltz")),
        "b.flac": Said(("a march",), {"bpm": "120", "moods": "loud"}),
        "c.wav": Said(("a song",)),
        "d.wav": Said(),
    }


def test_what_a_folder_leaves_out_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `solfa tokenize`, in whose order the recordings are."""
    monkeypatch.setattr(folders, "SUFFIXES", PLAIN)  # as where the extra `av` is not there
    monkeypatch.setattr(folders, "UNREAD", media.SUFFIXES)
    found = find_recordings(folder)
    (folder / "x.m4a").touch()
    (folder / "link").symlink_to(folder / "deep")
    with pytest.warns(UserWarning, match="left out") as told:
        assert find_recordings(folder) == found
    assert ["link" in str(each.message) for each in told] == [True, False] and "x.m4a" in str(told[1].message)
    with pytest.warns(UserWarning, match="left out"):
        assert [item.path for item in find_sources([folder])] == [str(each.audio) for each in found]


def test_tables(folder: Path) -> None:
    (folder / "some.csv").write_text(
        'File_Name, Caption ,bpm,split\na.wav,"a waltz, slow",120.0,train\ndeep/c.wav,song,,Valid\n'
    )
    (folder / "some.tsv").write_text("path\ttext\tkey\nb.flac\ta march\tC major\n")
    (folder / "some.jsonl").write_text('{"file": "d.wav", "captions": ["x", "y"], "genre": "pop"}\n')
    a, c = find_recordings(folder / "some.csv")
    assert (a.said, a.split) == (Said(("a waltz, slow",), {"bpm": "120"}), "train")
    assert (c.said, c.split, c.audio) == (Said(("song",)), "valid", folder / "deep/c.wav")
    assert said(find_recordings(folder / "some.tsv")) == {"b.flac": Said(("a march",), {"key": "C major"})}
    assert said(find_recordings(folder / "some.jsonl")) == {"d.wav": Said(("x", "y"), {"genre": "pop"})}
    (folder / "metadata.csv").write_text("file_name,text\na.wav,one\n")
    assert said(find_recordings(folder)) == {"a.wav": Said(("one",))}, "a folder's own table says what is in it"


def test_rows_of_one_recording_are_one(folder: Path) -> None:
    """As for `solfa tokenize`: a folder and its store are drawn from alike."""
    (folder / "some.csv").write_text(
        "file,caption,bpm,split\na.wav,one,,\nd.wav,x,,\na.wav,two,90,test\na.wav,one,95,\n"
    )
    a, d = find_recordings(folder / "some.csv")
    assert (a.said, a.split) == (Said(("one", "two"), {"bpm": "90"}), "test") and d.said == Said(("x",))
    items = find_sources([folder / "some.csv"])
    assert [(item.texts, item.split) for item in items] == [(each.said.texts, each.split) for each in (a, d)]
    rows = [
        {"file": "a.wav", "attributes": {"bpm": 90}},
        {"file": "a.wav", "attributes": {"key": "C major", "bpm": 95}},
    ]
    (folder / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (only,), (item,) = find_recordings(folder / "some.jsonl"), find_sources([folder / "some.jsonl"])
    assert only.said.attributes == {"bpm": "90", "key": "C major"} and item.attributes == {"bpm": 90, "key": "C major"}
    (folder / "some.csv").write_text("file,split\na.wav,train\na.wav,test\n")
    with pytest.raises(ValueError, match=r"line 2: a\.wav: it is named twice, once for train and once for test"):
        find_recordings(folder / "some.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "caption\nsong\n", "line 2: no sound file is named"),
        ("x.csv", "file,caption\na.wav,a waltz, slow\n", "line 2: more values than columns"),
        ("x.csv", b"file\n\xff\xfe.wav\n", "not text in UTF-8"),
        (
            "x.tsv",
            'file\tcaption\na.wav\t"Heroes, an anthem\nb.wav\tbee\n',
            "line 2: unexpected end of data; a value with quotes",
        ),
        ("x.jsonl", "[1]\n", "line 1: not a JSON object"),
        ("x.jsonl", "{\n", "line 1: not JSON"),
        ("x.jsonl", "", "no recordings"),
        ("x.doc", "hm", "it must be a folder, a table"),
        ("a.json", "[]", "a JSON object is needed"),
        ("a.json", "{", "not JSON"),
        ("a.txt", b"\xff", "not text in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    sound(tmp_path / "a.wav", 0)
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        find_recordings(tmp_path / name if name.startswith("x") else tmp_path)
    with pytest.raises(ValueError, match="no such file or folder"):
        find_recordings(tmp_path / "nowhere")


def test_codes_are_those_of_solfa_encode_and_are_made_once(
    folder: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read_data([str(folder)], [], mono(codec))
    assert len(data.train.lengths) == 3 and len(data.valid.lengths) == 1
    files = sorted(folder.glob(f"{FOLDER}/*/**/*.solfa"))
    place = folder / FOLDER / f"{codec.name}-{codec.weights_hash[:12]}"
    assert [str(path.relative_to(place)) for path in files] == [
        "a.wav.solfa",
        "b.flac.solfa",
        "d.wav.solfa",
        "deep/c.wav.solfa",
    ]
    with TokenFile(files[0]) as file:
        np.testing.assert_array_equal(file.read(), codec.encode_file(folder / "a.wav", 3).tokens[0])
    encoded: list[str] = []
    whole = type(codec).encode_file
    monkeypatch.setattr(
        type(codec),
        "encode_file",
        lambda self, path, books=None: (encoded.append(path.name), whole(self, path, books))[1],
    )
    again = read_data([str(folder)], [], mono(codec))
    assert encoded == [] and again.train.lengths.tolist() == data.train.lengths.tolist()
    sound(folder / "d.wav", 9, 0.5)
    os.utime(folder / "a.wav", ns=(1, 1))  # the same size, another time
    files[1].write_bytes(files[1].read_bytes()[:-3])  # damaged
    changed = read_data([str(folder)], [], mono(codec))
    assert encoded == ["a.wav", "b.flac", "d.wav"]
    assert sorted(changed.train.lengths.tolist() + changed.valid.lengths.tolist()) == [15, 15, 15, 25]
    encoded.clear()
    read_data([str(folder)], [], Reading(codec, 4, False))
    assert len(encoded) == 4, "more codebooks than are kept"


def test_bad_files_are_skipped_with_their_number(folder: Path, codec: Codec) -> None:
    (folder / "d.wav").write_bytes(b"RIFF....not a sound")
    (folder / "empty.mp3").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 of 5 recordings are skipped: \S*d\.wav: trunc[^;]*; \S*empty\.mp3: is"):
        data = read_data([str(folder)], [], mono(codec))
    assert len(data.train.lengths) + len(data.valid.lengths) == 3
    (folder / "gone.csv").write_text("file,text\nnowhere.wav,x\n")
    with (
        pytest.warns(UserWarning, match=r"1 of 1 .*nowhere\.wav: no such file"),
        pytest.raises(ValueError, match="no recording could be read"),
    ):
        read_data([str(folder / "gone.csv")], [], mono(codec))


def test_the_cache_can_stand_elsewhere(folder: Path, codec: Codec, tmp_path: Path) -> None:
    other = tmp_path / "other"
    sound(other / "music" / "a.wav", 5)
    cache = str(tmp_path / "cache")
    for place in (folder, other / "music"):
        read_data([str(place / "a.wav").removesuffix("/a.wav")], [str(folder)], mono(codec, cache=cache))
        assert not (place / FOLDER).exists()
    assert len(list(Path(cache).glob("music-*/*/a.wav.solfa"))) == 2, "folders of one name do not share"
    outside = CodeCache(folder, codec, 3).targets(other / "music" / "a.wav")
    assert outside[0].is_relative_to(folder / FOLDER)


def test_a_manifest_with_codes(folder: Path, codec: Codec) -> None:
    (folder / "codes").mkdir()
    write_tokens(folder / "codes" / "a.solfa", codec.encode_file(folder / "a.wav"))
    lines = [
        {"id": "0", "audio": "a.wav", "text": "one", "captions": ["two"], "split": "train", "attributes": {"tempo": 90}}
    ]
    lines += [{"id": "1", "audio": "d.wav", "text": "held out", "split": "test"}]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "a.wav").unlink()  # the codes are enough
    data = read_data([str(folder / "manifest.jsonl")], [], mono(codec))
    assert data.train.said(0) == Said(("one", "two"), {"bpm": "90"}) and data.valid.said(0).texts == ("held out",)
    assert data.train.codes(0, 0, 99).shape == (3, 15) and data.train.codes(0, 4, 5).dtype == np.uint16


def test_codes_of_a_name_that_two_files_share_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "codes").mkdir()
    for stem in ("mix", "solo"):
        (tmp_path / "codes" / f"{stem}.solfa").touch()
    lines = [
        json.dumps({"id": name, "audio": name}) for name in ("1/mix.flac", "2/mix.flac", "2/solo.flac", "other.flac")
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    found = [recording.codes for recording in find_recordings(tmp_path)]
    assert found == [None, None, tmp_path / "codes" / "solo.solfa", None]


def test_codes_of_another_codec_are_refused(folder: Path, codec: Codec) -> None:
    (folder / "codes").mkdir()
    codes = codec.encode_file(folder / "a.wav")
    (folder / "m.jsonl").write_text('{"audio": "a.wav", "text": "x"}\n')
    write_tokens(folder / "codes" / "a.solfa", codec.encode_file(folder / "a.wav", 2))
    with pytest.raises(ValueError, match="has 2 codebooks, 3 are needed"):
        read_data([str(folder / "m.jsonl")], [], mono(codec))
    object.__setattr__(codes, "weights_hash", "ab" * 32)
    write_tokens(folder / "codes" / "a.solfa", codes)
    with pytest.raises(ValueError, match=r"codes of tiny \(abababababab.*the model is for tiny"):
        read_data([str(folder / "m.jsonl")], [], mono(codec))


def test_stereo_is_left_and_right_by_turns(tmp_path: Path, codec: Codec) -> None:
    sound(tmp_path / "wide.wav", 1, channels=2)
    sound(tmp_path / "narrow.wav", 2)
    reading = Reading(codec, 2, True)
    data = read_data([str(tmp_path)], [str(tmp_path)], reading).train
    both = read(tmp_path / "wide.wav").samples
    sides = [codec.encode(Audio(both[:, i : i + 1], 8000), codebooks=2).tokens[0].numpy() for i in range(2)]
    np.testing.assert_array_equal(data.codes(1, 0, 99)[0::2], sides[0])
    np.testing.assert_array_equal(data.codes(1, 0, 99)[1::2], sides[1])
    assert not np.array_equal(*sides)
    narrow = data.codes(0, 0, 99)
    np.testing.assert_array_equal(narrow[0::2], narrow[1::2])


def test_a_split_beside_the_sound_counts(codec: Codec, tmp_path: Path) -> None:
    for i in range(4):
        sound(tmp_path / f"{i}.wav", i, 0.1 + 0.02 * i)
    (tmp_path / "2.json").write_text('{"description": "held out", "split": "valid"}')
    (tmp_path / "3.json").write_text('{"split": "extra"}')
    with pytest.warns(UserWarning, match="1 recordings of the splits 'extra' are left out"):
        data = read_data([str(tmp_path)], [], mono(codec))
    assert (len(data.train.lengths), data.valid.said(0).texts) == (2, ("held out",))


def test_who_is_held_out(codec: Codec, tmp_path: Path) -> None:
    for i in range(10):
        sound(tmp_path / f"{i}.wav", i, 0.1 + 0.02 * i)
    data = read_data([str(tmp_path)], [], mono(codec), hold_out=5)
    assert (len(data.train.lengths), data.valid.lengths.tolist()) == (8, [7, 12]), "the 3rd and the 8th"
    assert len(read_data([str(tmp_path)], [], mono(codec)).valid.lengths) == 1, "at least one"
    assert len(read_data([str(tmp_path)], [], mono(codec), hold_out=2, valid_items=3).valid.lengths) == 3
    (tmp_path / "m.csv").write_text(
        "file,split\n" + "".join(f"{i}.wav,{'val' if i == 4 else ''}\n" for i in range(4, 7))
    )
    marked = read_data([str(tmp_path / "m.csv")], [], mono(codec))
    assert (len(marked.train.lengths), marked.valid.lengths.tolist()) == (2, [9])
    (tmp_path / "one.csv").write_text("file\n1.wav\n")
    with pytest.warns(UserWarning, match="there is one recording"):
        lone = read_data([str(tmp_path / "one.csv")], [], mono(codec))
    assert lone.train.lengths.tolist() == lone.valid.lengths.tolist() == [len(data.train.codes(1, 0, 99)[0])]
    (tmp_path / "test.csv").write_text("file,split\n1.wav,test\n")
    with pytest.raises(ValueError, match="no recordings of the split 'train'"):
        read_data([str(tmp_path / "test.csv")], [], mono(codec))
    with pytest.raises(ValueError, match="train is empty"):
        read_data([], [], mono(codec))
