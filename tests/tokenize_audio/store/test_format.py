"""The JSON of a store: round trips, no byte that can change unseen, and nothing from a stranger taken on trust."""

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score.note import Note
from solfa.score.pedal import pedal_extended
from solfa.score.score import Part, Pedal, Score
from solfa.tokenize_audio.store.format import (
    FileHash,
    Meta,
    Quarantined,
    ShardManifest,
    StoreHead,
    TokenStoreError,
    check_key,
    file_record,
    head_bytes,
    manifest_bytes,
    notes_of,
    read_head,
    read_manifest,
    shard_number,
    shard_paths,
    write_head,
    write_manifest,
)
from solfa.tokenize_audio.work.sources import safe_key

HEAD = StoreHead("tiny_codec", "ab" * 32, 24000, 1, 320, 4, 1024)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="."), max_size=20)


def manifest(index: int = 3, **changes: object) -> ShardManifest:
    paths = shard_paths("", index)
    codes, meta = (FileHash(path.name, 7, "0" * 32, "1" * 64) for path in (paths.codes, paths.meta))
    made = ShardManifest(index, 2, 5, "float32", codes, meta, (Quarantined("a.wav", "/in/a.wav", "cut short"),))
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_head_comes_back(tmp_path: Path) -> None:
    write_head(tmp_path / "new" / "store", HEAD)
    assert read_head(tmp_path / "new" / "store") == HEAD
    assert HEAD.frame_rate == 75 and HEAD.frames_of(321) == 2 and HEAD.frames_of(0) == 0
    assert HEAD.dtype == "<i2" and replace(HEAD, codebook_size=1 << 15).dtype == "<i2"
    assert replace(HEAD, codebook_size=(1 << 15) + 1).dtype == "<i4"


@settings(max_examples=25)
@given(LINE, TEXT, LINE.map(lambda text: text * 20), st.integers(0, 1 << 24), st.integers(0, 1 << 40))
def test_a_manifest_comes_back(
    tmp_path_factory: pytest.TempPathFactory, source: str, fingerprint: str, reason: str, items: int, frames: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    key = safe_key(f"a/{source}")
    made = manifest(
        items=items, frames=frames, fingerprint=fingerprint, quarantined=(Quarantined(key, source, reason),)
    )
    write_manifest(folder, made)
    assert read_manifest(folder, 3) == made


@pytest.mark.parametrize(
    "fields", [("a\nb", "a", "cut"), ("../a", "a", "cut"), ("a", "\x1b]0;b\x07", "cut"), ("a", "a", "\x9b2J")]
)
def test_what_was_left_out_can_be_shown_on_a_terminal(fields: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"key|control characters"):
        Quarantined(*fields)


@pytest.mark.parametrize("name", ["store.json", "00003.json"])
def test_no_byte_changes_unseen(tmp_path: Path, name: str) -> None:
    write_head(tmp_path, HEAD)
    write_manifest(tmp_path, manifest())
    path = tmp_path / name

    def refused() -> None:
        with pytest.raises(TokenStoreError, match=name):
            read_head(tmp_path) if name == "store.json" else read_manifest(tmp_path, 3)

    whole = path.read_bytes()
    with open(path, "rb+", buffering=0) as file:
        for at, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ (1 << at % 8)]), at)
            refused()
            os.pwrite(file.fileno(), bytes([byte]), at)
    for other in (whole[:-1], whole + b"\n", b"", whole.replace(b"\n ", b"\n  ", 1)):
        path.write_bytes(other)
        refused()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2 of solfa-token-store is not known; this solfa reads version 1"),
        ({"version": True}, "version True"),
        ({"version": 10**80}, "an integer of 266 bits"),
        ({"format": "other"}, "not of the format 'solfa-token-store'"),
        ({"codebooks": 0}, "codebooks must be an integer from 1 to 128, not 0"),
        ({"codebooks": 2.0}, "codebooks"),
        ({"codebook_size": 1 << 25}, "codebook_size"),
        ({"hop": -1}, "hop"),
        ({"codec": ""}, "codec must not be empty"),
        ({"codec": "a\nb"}, "codec must be printable text"),
        ({"weights_hash": None}, "weights_hash"),
        ({"surprise": 1}, "'surprise' is not known"),
        ({"hop": ...}, "fields are missing: hop"),
    ],
)
def test_a_head_that_does_not_make_sense(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    record = json.loads(head_bytes(HEAD)) | changes
    record = {name: value for name, value in record.items() if value is not ...}
    (tmp_path / "store.json").write_text(json.dumps(record, indent=1) + "\n")
    with pytest.raises(TokenStoreError) as caught:
        read_head(tmp_path)
    assert message in str(caught.value) and "store.json" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"shard": 4},
        {"items": -1},
        {"items": 1 << 60},
        {"frames": "5"},
        {"codes": {"name": "00003.codes.safetensors"}},
        {"codes": asdict(manifest().codes) | {"name": "../00003.codes.safetensors"}},
        {"meta": asdict(manifest().meta) | {"name": "/etc/passwd"}},
        {"meta": asdict(manifest().meta) | {"name": "00003.meta.1/x.parquet"}},
        {"meta": asdict(manifest().meta) | {"name": "00004.meta.parquet"}},
        {"meta": asdict(manifest().meta) | {"xxh3": "0" * 31 + "G"}},
        {"meta": asdict(manifest().meta) | {"bytes": -1}},
        {"meta": []},
        {"quarantined": {}},
        {"quarantined": [{"key": "a", "source": "b"}]},
        {"quarantined": [{"key": "a", "source": "b", "reason": "x" * 5000}]},
        {"fingerprint": 3},
    ],
)
def test_a_manifest_that_does_not_make_sense(tmp_path: Path, changes: dict[str, object]) -> None:
    record = json.loads(manifest_bytes(manifest())) | changes
    (tmp_path / "00003.json").write_text(json.dumps(record, indent=1) + "\n")
    with pytest.raises(TokenStoreError, match=r"00003\.json") as caught:
        read_manifest(tmp_path, 3)
    assert "its bytes are not" not in str(caught.value)  # found for what it is


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b"\xff{}", b"[]", b'{"format": NaN}', b'{"a": 1' + b"0" * 5000 + b"}", b""]
)
def test_what_is_no_json_of_ours(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "store.json").write_bytes(data)
    with pytest.raises(TokenStoreError, match=r"store\.json"):
        read_head(tmp_path)


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(TokenStoreError, match="not a token store"):
        read_head(tmp_path)
    (tmp_path / "store.json").write_bytes(b" " * (1 << 17))
    with pytest.raises(TokenStoreError, match="longer than"):
        read_head(tmp_path)
    os.unlink(tmp_path / "store.json")
    os.mkfifo(tmp_path / "store.json")  # to open it would wait for ever
    with pytest.raises(TokenStoreError, match="not a regular file"):
        read_head(tmp_path)
    with pytest.raises(TokenStoreError, match=r"00000\.json: No such file"):
        read_manifest(tmp_path, 0)


def test_names_of_shards() -> None:
    assert [shard_number(name) for name in ("00000.json", "00012.json", "123456.json")] == [0, 12, 123456]
    for name in (
        "store.json",
        "0001.json",
        "000012.json",
        "00001.json~",
        ".00001.json",
        "00001.codes.safetensors",
        "٠٠٠٠١.json",
    ):
        assert shard_number(name) is None
    assert shard_paths("s", 7).meta == Path("s/00007.meta.parquet")
    for index in (-1, 10**9):
        with pytest.raises(ValueError, match="a shard's number"):
            shard_paths("s", index)


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/..", "./a", "a\\b", "a\nb", "a\0", "\x7f", "\ud800", "é" * 513, 3, None, "."],
)
def test_keys_that_are_no_safe_names(key: object) -> None:
    with pytest.raises(ValueError, match="key"):
        check_key(key)


@pytest.mark.parametrize(
    "key", ["a", "a/b.wav", "...", "..a/b..", "Für Elise (2).wav", "音/楽.flac", "é" * 512, "C:x", "-rf"]
)
def test_keys_that_are(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": -1},
        {"samples": 1.0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"source": "\udcff"},
        {"texts": "abc"},
        {"texts": (1,)},
        {"velocities": 1},
        {"source_stamp": 1 << 63},
    ],
)
def test_metadata_that_makes_no_sense(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Meta(**{"key": "a", "samples": 1, "seconds": 1.0} | changes)  # type: ignore[arg-type]


def test_hashes_name_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"sound")
    record = file_record(path)
    assert record == FileHash("x", 5, "2ca6f9a16e483dc6adf353a018a2e0e2", hashlib.sha256(b"sound").hexdigest())
    record.check(path)
    path.write_bytes(b"sounD")
    with pytest.raises(TokenStoreError, match="x: damaged, its xxh3"):
        record.check(path)
    path.write_bytes(b"soun")
    with pytest.raises(TokenStoreError, match="4 bytes where 5 were written"):
        record.check(path)
    with pytest.raises(TokenStoreError, match="No such file"):
        record.check(tmp_path / "y")


class Codec:
    name, weights_hash, sample_rate, channels, hop, codebooks, codebook_size = (
        "tiny_codec",
        "ab" * 32,
        24000,
        1,
        320,
        8,
        1024,
    )
    segment: object = None


def test_other_codecs_are_refused_by_name() -> None:
    HEAD.check_codec(Codec(), "s")  # which has more codebooks
    for name, value, message in (
        (
            "weights_hash",
            "cd" * 32,
            r"s: holds codes of tiny_codec \(weights abababababab\): the codec here is tiny_codec \(weights cdcd",
        ),
        ("hop", 160, "hop 320: that of tiny_codec is 160"),
        ("codebooks", 3, "4 codebooks: tiny_codec has 3"),
    ):
        other = Codec()
        setattr(other, name, value)
        with pytest.raises(TokenStoreError, match=message):
            HEAD.check_codec(other, "s")
    nameless = Codec()
    nameless.weights_hash, nameless.name = "", "other"
    with pytest.raises(TokenStoreError, match="holds codes of tiny_codec: the codec here is other"):
        replace(HEAD, weights_hash="").check_codec(nameless, "s")


def test_the_head_of_a_codec() -> None:
    assert StoreHead.of_codec(Codec(), 4) == HEAD
    assert StoreHead.of_codec(Codec()).codebooks == 8
    with pytest.raises(ValueError, match="codebooks must be 1 to 8, not 9"):
        StoreHead.of_codec(Codec(), 9)
    segments = Codec()
    segments.segment = object()
    with pytest.raises(ValueError, match="segment by segment"):
        StoreHead.of_codec(segments)


def test_notes_and_pedals_of_a_score() -> None:
    piano = Part("right", 0, False, (Note(0.0, 0.5, 60), Note(1.0, 1.2, 64)))
    drums = Part("kit", 0, True, (Note(0.0, 0.1, 36, is_drum=True),))
    bass = Part("bass", 33, False, (Note(0.5, 0.7, 40, program=33),))
    silent = Part("empty", 50, False, ())
    score = Score((drums, silent, bass, piano), pedals=(Pedal(0.4, 0.9, 3), Pedal(0.6, 2.0, 2), Pedal(0.0, 1.0, 1)))
    notes, pedals = notes_of(score)
    meta = Meta("a", 1, 1.0, notes=notes, pedals=pedals)
    assert notes == score.notes and len(pedals) == 2  # of a part without notes nothing is held
    assert pedal_extended(meta.score()).notes == pedal_extended(score).notes
    with pytest.raises(ValueError, match="'b' has no notes"):
        Meta("b", 1, 1.0).score()
