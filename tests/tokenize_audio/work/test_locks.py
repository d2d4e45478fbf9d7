"""Claims: one holder at a time, none for ever."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from solfa.tokenize_audio.work import locks
from solfa.tokenize_audio.work.locks import Claim, Locked
from solfa.tokenize_audio.work.trial import try_apart


def test_one_holder(tmp_path: Path) -> None:
    with Claim(tmp_path / "run", "the store") as claim:
        with (
            pytest.raises(Locked, match=f"the store is locked by process {os.getpid()} on "),
            Claim(tmp_path / "run", "the store"),
        ):
            pass
        holder = claim.holder()
        assert holder is not None and holder.process == os.getpid()
        with Claim(tmp_path / "run2", "another"):
            pass
    with Claim(tmp_path / "run", "the store"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_dead_are_stepped_over(tmp_path: Path) -> None:
    def die() -> None:
        Claim(tmp_path / "run", "the store").__enter__()
        os.kill(os.getpid(), 9)

    for _ in range(2):
        assert try_apart(die, lambda: None, 60.0) == "SIGKILL"
    assert [path.name for path in tmp_path.iterdir()] == ["run.1"]
    with Claim(tmp_path / "run", "the store"):
        assert [path.name for path in tmp_path.iterdir()] == ["run.2"]


def test_a_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    mine = locks.Holder.me()
    (tmp_path / "run.4").write_text(json.dumps({**mine.__dict__, "started": "1"}))
    with Claim(tmp_path / "run", "the store"):
        assert [path.name for path in tmp_path.iterdir()] == ["run.5"]


def test_another_machine_is_believed_while_it_touches(tmp_path: Path) -> None:
    claim = tmp_path / "run.0"
    claim.write_text(json.dumps({"host": "far", "process": 7, "started": "1", "place": "elsewhere"}))
    with pytest.raises(Locked, match="process 7 on far"), Claim(tmp_path / "run", "the store"):
        pass
    old = claim.stat().st_mtime - locks.STALE - 1
    os.utime(claim, (old, old))
    with Claim(tmp_path / "run", "the store"):
        pass


def test_a_torn_claim_counts_by_its_age(tmp_path: Path) -> None:
    (tmp_path / "run.0").write_text("{")
    with pytest.raises(Locked), Claim(tmp_path / "run", "the store"):
        pass
    os.utime(tmp_path / "run.0", (1, 1))
    with Claim(tmp_path / "run", "the store"):
        pass


def test_many_at_once(tmp_path: Path) -> None:
    """Four processes claim the same things: none is held by two."""
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from solfa.tokenize_audio.work.locks import Claim, Locked\n"
        "folder = Path(sys.argv[1])\n"
        "for n in range(12):\n"
        "    try:\n"
        "        with Claim(folder / 'claims' / str(n), str(n)):\n"
        "            if not (folder / f'done{n}').exists():\n"
        "                with open(folder / f'count{n}', 'a') as file: file.write('x')\n"
        "                time.sleep(0.002)\n"
        "                (folder / f'done{n}').touch()\n"
        "    except Locked:\n"
        "        pass\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert all((tmp_path / f"count{n}").read_text() == "x" for n in range(12) if (tmp_path / f"done{n}").exists())


def test_who_lost_a_claim_finds_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is gone, or another's of the same number; and what is another's stays."""
    monkeypatch.setattr(locks, "BEAT", 0.01)
    for other in (None, json.dumps({"host": "far", "process": 7, "started": "1", "place": "elsewhere"})):
        with Claim(tmp_path / "run", "the store") as claim:
            claim.check()
            (mine,) = (path for path in tmp_path.iterdir() if path.name.startswith("run."))
            mine.unlink()
            if other is not None:
                mine.write_text(other)
            deadline = time.monotonic() + 60
            while not claim.lost:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            with pytest.raises(Locked, match="the store: this process was held up"):
                claim.check()
        assert mine.exists() == (other is not None)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with Claim(tmp_path / "run", "the store") as claim:
        claim.check()
        with pytest.raises(Locked, match=f"locked by process {os.getpid()}"), Claim(tmp_path / "run", "the store"):
            pass
    assert list(tmp_path.iterdir()) == []
