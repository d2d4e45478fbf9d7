"""`solfa store` and what `solfa info` says of a token store."""

import json
from pathlib import Path

import numpy as np
import pytest

from solfa.cli.app import run
from solfa.score.note import Note
from solfa.tokenize_audio.store.format import Meta, Quarantined, StoreHead, write_head
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.writer import write_shard

HEAD = StoreHead("tiny", "ab" * 32, 8000, 1, 160, 2, 16)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two shards: 3 and 1 items, of 100 frames each."""
    return make_store(tmp_path / "store")


def make_store(folder: Path, prefix: str = "", codec: str = "tiny") -> Path:
    head = StoreHead(codec, *list(vars(HEAD).values())[1:])
    write_head(folder, head)
    for shard, items in ((0, 3), (1, 1)):
        made = []
        for item in range(items):
            notes = (Note(0.0, 1.0, 60),) if item else None
            meta = Meta(
                f"{prefix}{shard}/{item}.wav", 16_000, 2.0, texts=("a\tb",), notes=notes, split="train" if item else ""
            )
            made.append((meta, np.arange(200).reshape(2, 100) * (item + 1) % 16))
        write_shard(folder, shard, head, made, [Quarantined("bad.wav", "in/bad.wav", "truncated")] if shard else ())
    return folder


def test_ls(store: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["store", "ls", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0/0.wav\t2.0\t100\t-\t1\t-" and lines[1] == "0/1.wav\t2.0\t100\ttrain\t1\t1" and len(lines) == 4
    assert run(["store", "ls", str(store), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["key"] for row in rows] == TokenStore(store).keys and rows[1]["notes"] == [[0.0, 1.0, 60, 80, 0, False]]
    assert run(["store", "ls", str(store), "--shards", "--json"]) == 0
    shards = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["shard"], row["items"], row["frames"], row["quarantined"]) for row in shards] == [
        (0, 3, 300, 0),
        (1, 1, 100, 1),
    ]
    assert run(["store", "ls", str(store), "--quarantined"]) == 0
    assert capsys.readouterr().out == "bad.wav\tin/bad.wav\ttruncated\n"
    assert run(["store", "ls", str(store), "--quarantined", "--shards"]) == 2
    assert "leave one away" in capsys.readouterr().err


def test_verify_names_the_damage_and_fails(store: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["store", "verify", str(store)]) == 0
    assert "whole; 2 shards, 4 items" in capsys.readouterr().out
    path = store / "00001.meta.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    (store / "stray").touch()
    assert run(["store", "verify", str(store)]) == 1
    shown = capsys.readouterr()
    assert [line.split(": ")[0] for line in shown.err.splitlines()] == [str(path), str(store / "stray")]
    assert "2 problems; 1 shards, 3 items" in shown.out
    assert run(["store", "verify", str(store), str(store.parent), "--json"]) == 1
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)[0]["problems"]) == 2 and f"{store.parent}: not a token store" in shown.err
    assert run(["store", "verify"]) == 2


def test_verify_of_an_address(store: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    address = f"file://{store}"
    assert run(["store", "verify", address]) == 0
    assert capsys.readouterr().out.startswith(f"{address}: whole; 2 shards, 4 items")
    (store / "00001.meta.parquet").unlink()
    assert run(["store", "verify", address, "memory://nowhere"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"{address}/00001.meta.parquet: No such file or directory"
    assert told[1] == "memory://nowhere: not a token store (no store.json in it)"


def test_annotate_writes_to_no_address(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.jsonl").write_text('{"key": "0/1.wav", "text": "new"}\n')
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for address in (f"file://{store}", "memory://x/y"):
        assert run(["store", "annotate", address, "t.jsonl"]) == 2
        assert f"{address}: what is written goes to files of this machine" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before and TokenStore(store).meta(1).texts == ("a\tb",)


def test_merge(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = make_store(tmp_path / "b", "b/")
    assert run(["store", "merge", str(store), str(other), "-o", str(tmp_path / "both")]) == 0
    assert len(TokenStore(tmp_path / "both")) == 8
    foreign = make_store(tmp_path / "c", "c/", codec="foreign")
    for stores, told in (([store, store], "'0/0.wav' is in"), ([store, foreign], "codec foreign instead of tiny")):
        capsys.readouterr()
        assert run(["store", "merge", *map(str, stores), "-o", str(tmp_path / "no")]) == 1
        assert told in capsys.readouterr().err and not (tmp_path / "no").exists()
    assert run(["store", "merge", str(store), "-o", str(tmp_path / "no")]) == 2


def test_export_and_import(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for kind, files in (("parquet", 2), ("webdataset", 3), ("hf", 3)):
        assert run(["store", "export", str(store), "--to", kind, "-o", str(tmp_path / kind)]) == 0
        assert f"4 items in {files} files" in capsys.readouterr().out
    assert run(["store", "import", str(tmp_path / "parquet"), "-o", str(tmp_path / "back")]) == 0
    names = sorted(path.name for path in store.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "back").iterdir())
    assert all((store / name).read_bytes() == (tmp_path / "back" / name).read_bytes() for name in names)
    assert run(["store", "export", str(store), "--to", "lance", "-o", str(tmp_path / "x")]) == 2
    assert run(["store", "import", str(store), "-o", str(tmp_path / "x")]) == 1


def test_annotate_tells_what_matches_nothing(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table = tmp_path / "captions.jsonl"
    table.write_text('{"key": "0/1.wav", "text": "new"}\n')
    codes = [path.read_bytes() for path in sorted(store.glob("*.codes.*"))]
    assert run(["store", "annotate", str(store), str(table)]) == 0
    assert "1 items, of which 1 are changed" in capsys.readouterr().out
    assert TokenStore(store).meta(1).texts == ("new",)
    table.write_text('{"key": "0/1.wav", "text": "newer"}\n{"key": "nobody"}\n')
    assert run(["store", "annotate", str(store), str(table), "--add-texts", "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("nobody: no item of") and json.loads(shown.out)["unmatched"] == ["nobody"]
    assert TokenStore(store).meta(1).texts == ("new", "newer")
    assert [path.read_bytes() for path in sorted(store.glob("*.codes.*"))] == codes
    assert run(["store", "verify", str(store)]) == 0
    assert run(["store", "annotate", str(tmp_path), str(table)]) == 1
    assert not (tmp_path / ".work").exists()


def test_annotate_waits_for_nobody(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from solfa.tokenize_audio.work.job import run_claim

    (tmp_path / "t.jsonl").write_text('{"key": "0/1.wav", "text": "new"}\n')
    with run_claim(store):
        assert run(["store", "annotate", str(store), str(tmp_path / "t.jsonl")]) == 1
    assert "is locked by process" in capsys.readouterr().err


def test_info(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    picture = tmp_path / "usage.svg"
    assert run(["info", str(store), "--json", "--plot", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = {
        "kind": "store",
        "items": 4,
        "shards": 2,
        "frames": 400,
        "tokens": 800,
        "seconds": 8.0,
        "quarantined": 1,
    }
    expected |= {"codec": "tiny", "codebooks": 2, "codebook_size": 16, "captions": 4, "notes": 2}
    assert found.items() >= expected.items()
    assert found["hours"] == pytest.approx(8 / 3600) and found["splits"] == {"no split": 2, "train": 2}
    assert [row["codebook"] for row in found["usage"]] == ["0", "1", "all"]
    assert all(0 < row["usage"] <= 1 and 1 <= row["perplexity"] <= 16 for row in found["usage"])
    assert picture.read_text().startswith("<svg") and picture.read_text().count("<polyline") == 2
    assert run(["info", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "hours" in shown and "perplexity" in shown
    for bad in (
        ["info", str(store), "--plot", "x.gif"],
        ["info", str(store), str(store), "--plot", "x.svg"],
        ["info", "solfa-24khz", "--plot", "x.svg"],
    ):
        assert run(bad) == 2
    (store / "00000.json").write_text("{}")
    capsys.readouterr()
    assert run(["info", str(store)]) == 1
    assert capsys.readouterr().err.startswith(str(store))
