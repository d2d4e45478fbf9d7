"""Weights in several files on the hub: found in the cache only when whole, fetched file by file, named by an index that is not trusted."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError

from solfa.foreign import hub

REPO = "owner/model"
INDEX = "model.safetensors.index.json"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache for one revision; nothing is in it yet."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    root = tmp_path / "models--owner--model"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0123abcd")
    folder = root / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, name: str) -> Path:
    index = {"weight_map": {f"tensor {i}": shard for i, shard in enumerate(SHARDS * 2)}}
    (folder / name).write_text(json.dumps(index) if name == INDEX else "{}")
    return folder / name


def test_the_cache_has_a_model_when_all_its_files_are_there(snapshot: Path) -> None:
    for name in ("config.json", INDEX, SHARDS[1]):
        put(snapshot, name)
        assert hub.cached(REPO) is None
    put(snapshot, SHARDS[0])
    assert hub.cached(REPO) == snapshot and hub.weight_files(snapshot) == [snapshot / shard for shard in SHARDS]


def test_what_is_missing_is_fetched(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    there = {"config.json", INDEX, *SHARDS}

    def download(repo: str, name: str) -> str:
        asked.append(name)
        if name not in there:
            raise EntryNotFoundError(name)
        return str(put(snapshot, name))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    monkeypatch.setattr(hub, "_reachable", lambda endpoint: True)
    put(snapshot, SHARDS[0])
    assert hub.fetch(REPO) == snapshot
    assert asked == ["config.json", "model.safetensors", INDEX, SHARDS[1]]  # what the cache has is not asked for
    assert hub.fetch(REPO) == snapshot and len(asked) == 4
    assert hub.obtain_file(REPO, "spiece.model") is None
    (snapshot / SHARDS[1]).unlink()
    there.remove(SHARDS[1])
    with pytest.raises(ValueError, match=r"owner/model lacks model-00002-of-00002.safetensors"):
        hub.fetch(REPO)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": "../b.bin"}}', '{"weight_map": {"a": "/b.bin"}}',
     '{"weight_map": {"a": "b.pkl"}}', '{"weight_map": {"a": 3}}', '{"weight_map": {"a": ["b.bin"]}}', "[" * 100_000],
)  # fmt: skip
def test_an_index_is_not_trusted(tmp_path: Path, content: str) -> None:
    path = tmp_path / INDEX
    path.write_text(content)
    with pytest.raises(ValueError, match=INDEX):
        hub.shards_of(path)
