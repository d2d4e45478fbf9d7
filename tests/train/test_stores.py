"""Training from token stores: the batches are those of the same recordings in memory, and a run resumes bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio, write
from solfa.codecs.codec import Codec
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import write_tokens
from solfa.data.manifest import Entry, read_manifest
from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.registry import load_lm
from solfa.score.midi import read_midi, write_midi
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score, score_of_notes
from solfa.tokenize_audio.store.format import Meta, StoreHead, notes_of, write_head
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.writer import write_shard
from solfa.tokenize_audio.work.job import run_claim
from solfa.tokenize_audio.work.plan import plan
from solfa.tokenize_audio.work.shard import encode_shard
from solfa.tokenize_audio.work.sources import find_sources
from solfa.train.caption_encoder import CaptionEncoderConfig
from solfa.train.captions import CaptionConfig, Said
from solfa.train.code_lm import CodeLMTask, CodeLMTaskConfig
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTask, LMTaskConfig
from solfa.train.lm_data import Reading, read_data
from solfa.train.loop import train
from solfa.train.recordings import find_recordings
from solfa.train.store_source import StoreSource
from solfa.train.transcriber import TranscriberTask, TranscriberTaskConfig
from solfa.train.transcriber_data import Reading as NotesReading
from solfa.train.transcriber_data import read_data as read_takes
from solfa.train.transcriber_places import find_pieces
from solfa.transcription.config import TranscriberConfig

SPLITS = ("train", "train", "", "valid", "train", "test")
NOTES = (Note(0.1, 0.2, 60, 90), Note(0.3, 0.4, 67, 50))
HEARD = Score((Part("p", 0, False, NOTES),), pedals=(Pedal(0.15, 0.35, 0),))
Place = tuple[Path, Path]  # a manifest, and a store of the same recordings


@pytest.fixture(scope="module")
def folders(tiny_music: Callable[..., tuple[Path, Path]]) -> tuple[Path, Path]:
    return tiny_music()


@pytest.fixture(scope="module")
def codec(folders: tuple[Path, Path]) -> Codec:
    return load_codec(folders[0])


def make_store(manifest: Path, store: Path, codec: Codec, codebooks: int = 4, shard: int = 4) -> Path:
    """The recordings of a manifest, encoded and in shards of a few."""
    head, entries = StoreHead.of_codec(codec, codebooks), read_manifest(manifest)
    write_head(store, head)
    for index, first in enumerate(range(0, len(entries), shard)):
        items = [_item(entry, manifest.parent, codec, codebooks) for entry in entries[first : first + shard]]
        write_shard(store, index, head, items, (), "test")
    return store


def _item(entry: Entry, home: Path, codec: Codec, codebooks: int) -> tuple[Meta, np.ndarray]:
    codes = codec.encode_file(home / entry.audio, codebooks)
    score = read_midi(home / entry.notes) if isinstance(entry.notes, str) else score_of_notes(entry.notes or ())
    notes, pedals = notes_of(score) if entry.notes is not None else (None, ())
    meta = Meta(
        entry.id, codes.samples[0], codes.samples[0] / 8000, texts=(entry.text,) if entry.text else (),
        attributes=entry.attributes, notes=notes, pedals=pedals, split="" if entry.id == "2" else entry.split,
        velocities=entry.extra.get("velocities", True), extra=entry.extra,
    )  # fmt: skip
    return meta, codes.tokens[0].numpy()


def tokenize(source: Path, store: Path, folder: Path, codec: Codec) -> None:
    """As `solfa tokenize` does, in this process."""
    with run_claim(store):
        planned = plan(find_sources([source]), store, codec, str(folder), shard_items=4)
        for shard in planned.todo:
            encode_shard(planned.job, shard, codec)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, folders: tuple[Path, Path], codec: Codec) -> Place:
    home = tmp_path_factory.mktemp("takes")
    generator = torch.Generator().manual_seed(0)
    write_midi(HEARD, home / "1.mid")
    lines: list[dict[str, Any]] = []
    for i, split in enumerate(SPLITS):
        samples = torch.rand(1, 1, 4000 + 1600 * i, generator=generator) - 0.5
        write(home / f"{i}.wav", Audio(samples, 8000))
        notes: Any = "1.mid" if i == 1 else [[n.onset, n.offset, n.pitch + i, n.velocity, 0, False] for n in NOTES]
        line = {"id": str(i), "audio": f"{i}.wav", "text": f"take {i}", "notes": notes, "velocities": i != 4}
        lines.append(line | {"attributes": {"tempo": 60 + i, "tonic": i, "mode": "major"}, "genre": "waltz"})
        lines[-1] |= {"split": split} if split else {}
    del lines[4]["text"]
    (home / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tokenize(home, home / "store", folders[0], codec)
    return home / "manifest.jsonl", home / "store"


def lm_config(folders: tuple[Path, Path], train: Path, **more: Any) -> LMTaskConfig:
    fields: dict[str, Any] = {"model": load_lm(folders[1]).config, "train": (str(train),), "codec": str(folders[0])}
    fields |= {"batch": 4, "frames": 16, "init_codec": False, "captions": CaptionConfig(merge=0.5, word_dropout=0.1)}
    return LMTaskConfig(**(fields | more))


LOOP = TrainConfig(
    steps=4, learning_rate=1e-2, warmup=1, ema=0.9, evaluate_every=2, save_every=2, log_every=1, keep=3, device="cpu"
)


def test_a_store_gives_the_batches_of_the_same_recordings_in_memory(folders: tuple[Path, Path], place: Place) -> None:
    """Of its four codebooks the first three; texts, attributes and splits too."""
    tasks = []
    for train_on in place:
        torch.manual_seed(0)
        tasks.append(LMTask(lm_config(folders, train_on)))
    memory, store = tasks
    assert memory.data.lengths.tolist() == store.data.lengths.tolist() and len(store.data.lengths) == 4
    for step in range(4):
        one, other = memory.batch(step, 0, 1), store.batch(step, 0, 1)
        for name in ("codes", "ids", "mask"):
            assert torch.equal(getattr(one, name), getattr(other, name))
    assert torch.equal(memory.loss("lm", one, 3).total, store.loss("lm", other, 3).total)
    with torch.no_grad():
        assert memory.evaluate(memory.model.eval(), 0, Path()) == store.evaluate(memory.model, 0, Path())
    check_origins(memory, store, place)


def check_origins(memory: Any, store: Any, place: Place) -> None:
    """The rows of a step's batch are told by path and by key, the same ones, and there are its codes."""
    for step in range(4):
        told = memory.origins(step, 0, 1)
        assert [each.row for each in told] == [0, 1, 2, 3] and told == memory.origins(step, 0, 2) + memory.origins(
            step, 1, 2
        )
        keys = [replace(each, recording=f"{place[1]}: {Path(each.recording).stem}") for each in told]
        assert store.origins(step, 0, 1) == keys
        assert all(Path(each.recording).parent == place[0].parent for each in told)


def test_what_is_said_is_looked_at_once_before_training(
    folders: tuple[Path, Path], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is asked of it: captions of a store are read from the disk each time."""
    looked: list[int] = []
    real = StoreSource.said
    monkeypatch.setattr(StoreSource, "said", lambda self, index: looked.append(index) or real(self, index))
    with pytest.raises(ValueError, match="no recording tells tempo and metre"):
        LMTask(lm_config(folders, place[1], beat=BeatConfig()))
    assert len(looked) == len(set(looked)) == 4


def test_what_is_said_is_what_the_manifest_says(codec: Codec, place: Place) -> None:
    reading = Reading(codec, 4, False)
    said = [read_data([str(each)], [], reading) for each in place]
    assert [said[1].train.said(i) for i in range(4)] == [said[0].train.said(i) for i in range(4)]
    assert said[1].train.said(0).texts == ("take 0",) and said[1].train.said(3).texts == ()
    assert said[1].train.said(1).attributes == {"key": "D flat major", "bpm": "61", "genre": "waltz"}


def test_resume_is_bit_exact(folders: tuple[Path, Path], place: Place, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch: four recordings, and four steps of four crops."""
    config = lm_config(folders, place[1])
    model, state = (tmp_path / "run" / name / "model.safetensors" for name in ("model", "step-000004"))
    train(config, LOOP, tmp_path / "run", quiet=True)
    unbroken = model.read_bytes(), state.read_bytes()
    (tmp_path / "run" / "latest").write_text("step-000002\n")
    state.unlink()
    train(config, LOOP, tmp_path / "run", quiet=True, resume=True)
    assert (model.read_bytes(), state.read_bytes()) == unbroken
    train(replace(config, train=(str(place[0]),)), LOOP, tmp_path / "memory", quiet=True)
    assert (tmp_path / "memory" / "model" / "model.safetensors").read_bytes() == unbroken[0]


def test_a_folder_with_sidecars_and_its_store_are_one(folders: tuple[Path, Path], codec: Codec, tmp_path: Path) -> None:
    """Names that a sort of paths and one of letters put in other orders; captions that are there twice."""
    home = tmp_path / "music"
    for i, name in enumerate(("a/x", "a b/x", "a-b/x", "B", "é")):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        write(home / f"{name}.wav", Audio(torch.rand(1, 1, 2000 + 160 * i) - 0.5, 8000))
    (home / "B.txt").write_text("one\ntwo\none\n")
    (home / "a/x.json").write_text(json.dumps({"captions": ["x", "x"], "caption": "y", "key": "C major", "bpm": 90.0}))
    tokenize(home, tmp_path / "store", folders[0], codec)
    reading = Reading(codec, 3, False)
    memory, store = (read_data([str(each)], [], reading, hold_out=5).train for each in (home, tmp_path / "store"))
    assert memory.lengths.tolist() == store.lengths.tolist()
    assert [memory.said(i) for i in range(4)] == [store.said(i) for i in range(4)]
    assert Said(("y", "x", "x"), {"key": "C major", "bpm": "90"}) in [store.said(i) for i in range(4)]


def test_only_what_a_batch_needs_is_read(
    folders: tuple[Path, Path], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    plain = TokenStore.codes

    def counted(self: TokenStore, index: int, start: int = 0, frames: int | None = None) -> np.ndarray:
        found = plain(self, index, start, frames)
        asked.append(found.shape[1])
        return found

    monkeypatch.setattr(TokenStore, "codes", counted)
    task = LMTask(lm_config(folders, place[1]))
    assert asked == []
    task.batch(0, 0, 1)
    assert len(asked) == 4 and max(asked) <= 16


def test_splits_of_stores_and_folders_together(codec: Codec, place: Place, tmp_path: Path) -> None:
    reading = Reading(codec, 3, False)
    manifest, store = map(str, place)
    data = read_data([store], [], reading)
    assert data.train.lengths.tolist() == [25, 35, 45, 65] and data.valid.lengths.tolist() == [55]
    both = read_data([store, manifest], [store], reading, valid_items=1)
    assert both.train.lengths.tolist() == [25, 35, 45, 65] * 2 and both.valid.lengths.tolist() == [55]
    for i in range(4):
        np.testing.assert_array_equal(both.train.codes(i, 3, 9), both.train.codes(i + 4, 3, 9))
        assert both.train.said(i) == both.train.said(i + 4)
    plain = [replace(entry, split="train") for entry in read_manifest(manifest)]
    lines = [entry.to_dict() | {"audio": str(place[0].parent / entry.audio)} for entry in plain]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines if line["id"] != "1"))
    whole = make_store(tmp_path / "all.jsonl", tmp_path / "all", codec)
    divided = read_data([str(whole)], [], reading, hold_out=2)
    assert len(divided.train.lengths) == 3 and divided.valid.lengths.tolist() == [45, 65]
    assert len(read_data([store], [str(whole)], reading).valid.lengths) == 5, "none is marked: all"


def test_a_stereo_model_hears_a_store_of_one_channel_on_both_sides(
    tiny_music: Callable[..., tuple[Path, Path]], place: Place
) -> None:
    folders = tiny_music(stereo=True)
    memory = LMTask(lm_config(folders, place[0]))
    with pytest.warns(UserWarning, match="both sides of a stereo model hear alike"):
        store = LMTask(lm_config(folders, place[1]))
    one, other = memory.batch(0, 0, 1), store.batch(0, 0, 1)
    assert torch.equal(one.codes, other.codes) and one.codes.shape[1] == 6


def test_other_codecs_and_too_few_codebooks_are_refused_by_name(codec: Codec, place: Place, tmp_path: Path) -> None:
    other = make_store(place[0], tmp_path / "other", codec)
    write_head(other, replace(StoreHead.of_codec(codec), weights_hash="ab" * 32))
    few = make_store(place[0], tmp_path / "few", codec, 2)
    for read, reading in ((read_data, Reading(codec, 3, False)), (read_takes, NotesReading(codec, 3))):
        with pytest.raises(ValueError, match=r"other: holds codes of tiny \(weights abababababab\): the codec here"):
            read([str(other)], [], reading)  # type: ignore[operator]
        with pytest.raises(ValueError, match="few: has 2 codebooks, 3 are needed"):
            read([str(few)], [], reading)  # type: ignore[operator]
    with pytest.raises(ValueError, match="not a token store"):
        StoreSource(tmp_path, codec, 3)


def transcriber_config(folders: tuple[Path, Path], codec: Codec, train: Path, **more: Any) -> TranscriberTaskConfig:
    shape = TranscriberConfig(
        "tiny", "tiny", 8000, 50.0, 3, 16, width=16, heads=2, encoder_layers=1, conv_layers=1, kernel=3, channels=4, pitch_layers=1,
        segment_frames=20, lowest=48, highest=72,
    )  # fmt: skip
    fields: dict[str, Any] = {"model": shape, "train": (str(train),), "codec": str(folders[0]), "batch": 4}
    return TranscriberTaskConfig(**(fields | {"init_codec": False} | more))


def test_a_transcriber_reads_codes_and_notes_of_a_store(folders: tuple[Path, Path], codec: Codec, place: Place) -> None:
    """Pedals, velocities that are not known, and splits are those of the manifest."""
    tasks = []
    for train_on in place:
        torch.manual_seed(0)
        tasks.append(TranscriberTask(transcriber_config(folders, codec, train_on)))
    memory, store = tasks
    assert len(store.takes) == len(memory.takes) == 4 and len(store.valid) == len(memory.valid) == 1
    for one, other in zip(memory.takes + memory.valid, store.takes + store.valid, strict=True):
        assert np.array_equal(one.notes.rows, other.notes.rows) and np.array_equal(one.notes.pedals, other.notes.pedals)
        assert np.array_equal(one.codes, other.codes[:]) and not isinstance(other.codes, np.ndarray), "not read yet"
    assert store.takes[1].notes.rows["offset"][0] == pytest.approx(0.35, abs=1e-3), "held by the pedal"
    assert store.takes[3].notes.rows["velocity"].tolist() == [0, 0]
    losses = [task.loss("transcriber", task.batch(2, 0, 1), 2).total for task in tasks]
    assert torch.equal(*losses)
    check_origins(memory, store, place)


def test_a_store_without_notes_or_sound_says_so(
    folders: tuple[Path, Path], codec: Codec, place: Place, tmp_path: Path
) -> None:
    entries = [entry.to_dict() for entry in read_manifest(place[0])]
    for entry in entries:
        entry["audio"] = str(place[0].parent / entry["audio"])
        entry.pop("notes")
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with pytest.raises(ValueError, match="bare: no recordings with notes"):
        find_pieces(make_store(tmp_path / "bare.jsonl", tmp_path / "bare", codec))
    with pytest.warns(UserWarning, match="holds no sound to vary"):
        TranscriberTask(transcriber_config(folders, codec, place[1], augment=1))


def test_captions_of_a_store_teach_an_encoder(folders: tuple[Path, Path], place: Place) -> None:
    text = load_lm(folders[1]).config.text
    assert text is not None
    tasks = [CaptionEncoderConfig(text, 8, (str(each),), (str(each),)).build() for each in place]
    assert tasks[1].said == tasks[0].said and tasks[1].valid == tasks[0].valid and len(tasks[1].valid) == 1
    assert find_recordings(place[0], True)[0].said == tasks[1].said[0]


def test_a_code_lm_learns_from_a_store(codec: Codec, place: Place, tmp_path: Path) -> None:
    """As from token files of the same recordings, whose names are in the same order."""
    for split, ids in (("train", "0124"), ("valid", "3")):
        for i in ids:
            (tmp_path / split).mkdir(exist_ok=True)
            codes = codec.encode_file(place[0].parent / f"{i}.wav")
            write_tokens(tmp_path / split / f"{i}.solfa", codes, coding="packed")
    shape: dict[str, Any] = {"batch": 4, "frames": 16, "widths": (8, 8), "dilations": (1, 2), "inner": 8, "hidden": 8}
    tasks = []
    for train_on, valid in ((tmp_path / "train", tmp_path / "valid"), (place[1], place[1])):
        torch.manual_seed(0)
        tasks.append(CodeLMTask(CodeLMTaskConfig((str(train_on),), (str(valid),), **shape)))
    files, store = tasks
    for step in range(3):
        assert torch.equal(files.batch(step, 0, 1), store.batch(step, 0, 1))
    with torch.no_grad():
        assert files.evaluate(files.model, 0, tmp_path) == store.evaluate(store.model, 0, tmp_path)
    with pytest.raises(ValueError, match=r"few: 0 has codes of \('tiny', .*, 2, 16\), .*0.solfa of"):
        both = (str(tmp_path / "train"), str(make_store(place[0], tmp_path / "few", codec, 2)))
        CodeLMTask(CodeLMTaskConfig(both, hold_out=2, **shape))
