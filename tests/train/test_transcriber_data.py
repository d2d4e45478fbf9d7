"""Places on disk to takes: what is found, split, encoded once, varied, and said to be wrong."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio, write
from solfa.codecs.codec import Codec
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import read_tokens
from solfa.data.mixing import MixOptions
from solfa.score.midi import write_midi
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score, score_of_notes
from solfa.train.code_cache import FOLDER
from solfa.train.transcriber_data import Reading, read_data
from solfa.train.transcriber_places import find_pieces

RATE = 8000
MIX = MixOptions(mix=1.0, transpose=(-1, 1))


@pytest.fixture(scope="module")
def codec(tiny_music: Callable[..., tuple[Path, Path]]) -> Codec:
    return load_codec(tiny_music()[0])


def notes_of(i: int) -> tuple[Note, ...]:
    return (Note(0.1, 0.4, 60 + i, 90), Note(0.5, 0.8, 67, 50))


def sound(path: Path, i: int, seconds: float = 1.0) -> None:
    time = torch.arange(round(seconds * RATE)) / RATE
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Audio(0.3 * torch.sin(2 * torch.pi * (200 + 30 * i) * time)[None, None], RATE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four sounds with MIDI of the same stem, one of them with a pedal, and one sound without."""
    place = tmp_path / "music"
    for i in range(4):
        sound(place / "deep" / f"{i}.wav", i)
        write_midi(score_of_notes(notes_of(i)), place / "deep" / f"{i}.mid")
    part = Part("p", 0, False, notes_of(0))
    write_midi(Score((part,), pedals=(Pedal(0.2, 0.9, 0),)), place / "deep" / "0.mid")
    sound(place / "lonely.wav", 9)
    return place


def test_a_folder_of_sound_with_midi(folder: Path, codec: Codec) -> None:
    with pytest.warns(UserWarning, match="1 recordings have no notes"):
        pieces = find_pieces(folder)
    assert [piece.recording.audio.name for piece in pieces] == ["0.wav", "1.wav", "2.wav", "3.wav"]
    with pytest.warns(UserWarning, match="no notes"):
        data = read_data([str(folder)], (), Reading(codec, 3), hold_out=4)
    assert len(data.train) == 3 and len(data.valid) == 1
    take = data.train[0]
    direct = codec.encode_file(folder / "deep/0.wav", 3)
    assert np.array_equal(take.codes, direct.tokens[0].numpy()), "the canonical path's codes"
    first, second = take.notes.notes()
    assert (first.pitch, second.pitch, second.velocity) == (60, 67, 50)
    assert first.offset == pytest.approx(0.9, abs=0.01), "held by the pedal"
    kept = [path.stat().st_mtime_ns for path in sorted((folder / FOLDER).rglob("*.solfa"))]
    with pytest.warns(UserWarning, match="no notes"):
        again = read_data([str(folder)], (), Reading(codec, 3, sustain=False), hold_out=4)
    assert kept == [path.stat().st_mtime_ns for path in sorted((folder / FOLDER).rglob("*.solfa"))] and len(kept) == 4
    assert again.train[0].notes.notes()[0].offset == pytest.approx(0.4, abs=0.01)


def manifest(place: Path, splits: list[str], given: Codec | None = None) -> Path:
    """Inline notes, a MIDI path for the second; codes beside it where `given` encodes them."""
    lines = []
    for i, split in enumerate(splits):
        sound(place / "audio" / f"{i}.wav", i)
        notes = [[n.onset, n.offset, n.pitch, n.velocity, 0, False] for n in notes_of(i)]
        lines.append({"id": str(i), "audio": f"audio/{i}.wav", "notes": notes, "split": split})
    if len(lines) > 1:
        write_midi(score_of_notes(notes_of(1)), place / "1.mid")
        lines[1]["notes"] = "1.mid"
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if given is not None:
        from solfa.codecs.token_file import write_tokens

        (place / "codes").mkdir()
        for i in range(len(splits)):
            write_tokens(place / "codes" / f"{i}.solfa", given.encode_file(place / "audio" / f"{i}.wav"))
    return place / "manifest.jsonl"


def test_a_manifest_with_splits_and_given_codes(tmp_path: Path, codec: Codec) -> None:
    path = manifest(tmp_path, ["train", "valid", "train", "test"], codec)
    data = read_data([str(path)], (), Reading(codec, 2))
    assert [len(data.train), len(data.valid)] == [2, 1] and not (tmp_path / FOLDER).exists()
    assert data.train[0].codes.shape == (2, 50)
    (note, *_) = data.valid[0].notes.notes()
    assert note.pitch == 61 and note.onset == pytest.approx(0.1, abs=1e-3)
    (only,) = read_data([str(path)], [str(path)], Reading(codec, 2), valid_items=1).valid
    assert only.notes.notes()[0].pitch in (61, 63), "of `valid`, what is marked as held out"


def test_what_overlaps_with_held_out_music_is_not_used(tmp_path: Path, codec: Codec) -> None:
    """MAPS' layout: the piece that its test split and its training pianos both play."""
    for piano, piece in (("ENSTDkCl", "a"), ("AkPnBcht", "a"), ("AkPnBcht", "b")):
        stem = tmp_path / piano / "MUS" / f"MAPS_MUS-{piece}_{piano}"
        sound(stem.with_suffix(".wav"), ord(piece))
        stem.with_suffix(".txt").write_text(f"OnsetTime\tOffsetTime\tMidiPitch\n0.1\t0.4\t{ord(piece)}\n")
    data = read_data([f"maps:{tmp_path}"], (), Reading(codec, 2))
    (train,), (valid,) = data.train, data.valid
    assert (train.notes.notes()[0].pitch, valid.notes.notes()[0].pitch) == (98, 97)
    with pytest.raises(ValueError, match="not urmp in its published layout"):
        find_pieces(f"urmp:{tmp_path}")
    write_midi(score_of_notes(notes_of(0)), tmp_path / "ENSTDkCl/MUS/MAPS_MUS-a_ENSTDkCl.mid")
    told = pytest.warns(UserWarning, match="laid out as maps is; maps:")
    with pytest.warns(UserWarning, match="2 recordings have no notes"), told:
        find_pieces(str(tmp_path))


def test_variants_are_made_once_and_their_notes_moved(tmp_path: Path, codec: Codec) -> None:
    path = manifest(tmp_path, ["train"] * 3 + ["valid"])
    reading = Reading(codec, 2, augment=2, augmentation=MIX, seed=1)
    data = read_data([str(path)], (), reading)
    assert len(data.train) == 9 and len(data.valid) == 1, "what is held out is not varied"
    plain, varied = data.train[0], data.train[3]
    stretch = varied.codes.shape[1] / plain.codes.shape[1]
    own = [note for note in varied.notes.notes() if note.velocity == 90 and abs(note.onset / 0.1 - stretch) < 0.03]
    assert len(varied.notes.rows) > 2 and own and abs(own[0].pitch - 60) <= 1
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / FOLDER).rglob("*.solfa")}
    assert len(files) == 4 + 6
    again = read_data([str(path)], (), reading)
    for one, other in zip(data.train, again.train, strict=True):
        assert np.array_equal(one.codes, other.codes) and np.array_equal(one.notes.rows, other.notes.rows)
    assert files == {file: file.stat().st_mtime_ns for file in (tmp_path / FOLDER).rglob("*.solfa")}
    other = read_data([str(path)], (), replace(reading, seed=2))
    assert not np.array_equal(other.train[3].notes.rows, varied.notes.rows)


def test_a_variant_is_made_anew_when_one_of_its_sounds_changes(tmp_path: Path, codec: Codec) -> None:
    path = manifest(tmp_path, ["train", "train", "valid"])
    reading = Reading(codec, 2, augment=1, augmentation=MIX)
    before = read_data([str(path)], (), reading)
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / FOLDER).rglob("0.wav.*.solfa")}
    sound(tmp_path / "audio" / "1.wav", 12)
    after = read_data([str(path)], (), reading)
    assert {f: f.stat().st_mtime_ns for f in files} != files, "recording 0 is mixed with the one that changed"
    assert not np.array_equal(before.train[2].codes, after.train[2].codes)
    (kept,) = [f for f in files if len(f.name.split(".")) == 4]
    assert read_tokens(kept).codebooks == 2


def test_codes_are_enough_where_nothing_is_varied(tmp_path: Path, codec: Codec) -> None:
    path = manifest(tmp_path, ["train", "train", "valid"], codec)
    shutil.rmtree(tmp_path / "audio")
    assert len(read_data([str(path)], (), Reading(codec, 2)).train) == 2
    with pytest.warns(UserWarning, match="2 of 2 recordings have no sound to vary"):
        assert len(read_data([str(path)], (), Reading(codec, 2, augment=1)).train) == 2


def test_bad_files_cost_only_themselves(tmp_path: Path, codec: Codec) -> None:
    path = manifest(tmp_path, ["train"] * 3 + ["valid"])
    (tmp_path / "1.mid").write_bytes(b"MThd no midi")
    (tmp_path / "audio" / "2.wav").write_bytes(b"RIFF no sound")
    with pytest.warns(UserWarning) as said:
        data = read_data([str(path)], (), Reading(codec, 2))
    assert len(data.train) == 1
    told = " ".join(str(one.message) for one in said)
    assert "the notes of 1 of 3" in told and "1.mid" in told and "2.wav" in told


@pytest.mark.parametrize(
    ("train", "reason"),
    [((), "train is empty"), (("nowhere",), "no such file or folder"), (("empty",), "no recordings with notes"),
     (("x.txt",), "a folder or a manifest"), (("held.jsonl",), "no recordings of the split 'train'")],
)  # fmt: skip
def test_where_nothing_is_left_it_says_so(tmp_path: Path, codec: Codec, train: tuple[str, ...], reason: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.txt").write_text("?")
    (tmp_path / "held.jsonl").write_text('{"id": "a", "audio": "a.wav", "notes": [], "split": "test"}\n')
    with pytest.raises(ValueError, match=reason):
        read_data([str(tmp_path / each) for each in train], (), Reading(codec, 2))


def test_a_lone_recording_is_validated_on_too(tmp_path: Path, codec: Codec) -> None:
    path = manifest(tmp_path, ["train"])
    with pytest.warns(UserWarning, match="validated on, too"):
        data = read_data([str(path)], (), Reading(codec, 2))
    assert len(data.train) == len(data.valid) == 1


@pytest.mark.parametrize("known", [False, "no", "false"])
def test_unknown_velocities_are_marked(tmp_path: Path, codec: Codec, known: object) -> None:
    path = manifest(tmp_path, ["train", "train", "valid"], codec)
    lines = [json.loads(line) | {"velocities": known} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    take = read_data([str(path)], (), Reading(codec, 2)).train[0]
    assert take.notes.rows["velocity"].tolist() == [0, 0]
    assert [note.velocity for note in take.notes.notes()] == [80, 80]


def test_a_published_dataset_is_named(tmp_path: Path, codec: Codec) -> None:
    """MAESTRO's layout: its splits, and codes kept below its folder."""
    home = tmp_path / "maestro-v3.0.0"
    table = ["canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"]
    for i, split in enumerate(("train", "train", "validation")):
        sound(home / "2004" / f"{i}.wav", i)
        write_midi(score_of_notes(notes_of(i)), home / "2004" / f"{i}.midi")
        table.append(f"A,B,{split},2004,2004/{i}.midi,2004/{i}.wav,1.0")
    (home / "maestro-v3.0.0.csv").write_text("\n".join(table) + "\n")
    data = read_data([f"maestro:{home}"], (), Reading(codec, 2))
    assert [len(data.train), len(data.valid)] == [2, 1] and data.train[0].notes.rows["velocity"].tolist() == [90, 50]
    assert (home / FOLDER).is_dir()
