"""What a person and a dashboard see of a run."""

import io
import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from solfa.tokenize_audio import status
from solfa.tokenize_audio.status import Event, Status, Summary, summary_json
from solfa.tokenize_audio.work.report import Failure, ShardReport


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, to be set; nothing is written but by events."""
    now = [100.0]
    monkeypatch.setattr(status.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(status.time, "time", lambda: now[0] + 1e9)
    monkeypatch.setattr(status, "BEAT", 3600.0)
    return now


def done(shard: int, items: int, seconds: float, bad: int = 0, skipped: bool = False) -> Event:
    failures = tuple(Failure(f"{shard}-{i}", "", "bad") for i in range(bad))
    return Event("done", shard, report=ShardReport(shard, items, 0, seconds, failures, skipped))


def test_numbers_count_each_file_once(clock: list[float]) -> None:
    with Status("tokenize", files=20, shards=4) as shown:
        shown(done(0, 5, 50.0, skipped=True))
        shown(Event("start", 1))
        shown(Event("progress", 1, 3, 30.0, 1))
        shown(Event("left", 1, text="its worker died"))  # what it had done is counted when it is done again
        assert shown.numbers()["files_done"] == 5
        shown(Event("start", 1))
        shown(Event("progress", 1, 2, 20.0))
        shown(done(1, 4, 40.0, bad=1))
        shown(Event("progress", 1, 1, 10.0))  # late news
        shown(Event("start", 2))
        shown(Event("progress", 2, 1, 10.0, 1))
        clock[0] += 10.0
        assert shown.numbers() == {
            "state": "running",
            "files": 20,
            "files_done": 11,
            "shards": 4,
            "shards_done": 2,
            "audio_seconds": 50.0,  # those of shard 0 are of another run
            "elapsed_seconds": 10.0,
            "real_time_factor": 5.0,
            "seconds_left": 15.0,  # 9 files more, 6 took ten seconds
            "failed_files": 2,
            "failed_shards": 0,
            "shards_begun_again": 1,
            "updated": 1e9 + 110.0,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        assert shown.line() == "11/20 files, 0.01 h of audio, 5.0x real time, 15s left, 2 failed"


def test_status_json_is_renewed_once_a_second(tmp_path: Path, clock: list[float]) -> None:
    file = tmp_path / "status.json"
    with Status("tokenize", 2, 2, file) as shown:
        assert json.loads(file.read_text())["state"] == "running"
        shown(done(0, 1, 1.0))
        assert json.loads(file.read_text())["shards_done"] == 0
        clock[0] += 1.0
        shown(Event("start", 1))
        assert json.loads(file.read_text())["shards_done"] == 1
        shown(done(1, 1, 1.0))
    assert json.loads(file.read_text())["state"] == "done"
    assert json.loads(file.read_text())["shards_done"] == 2


def test_a_run_in_which_nothing_happens_is_seen_to_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once it is over nobody writes any more."""
    file, written = tmp_path / "status.json", list[dict]()
    twice = threading.Event()

    def write(path: Path, text: str) -> None:
        path.write_text(text)
        written.append(json.loads(text))
        if len(written) == 3:  # the first is that of the beginning
            twice.set()

    monkeypatch.setattr(status, "write_whole", write)
    monkeypatch.setattr(status, "BEAT", 0.001)
    monkeypatch.setattr(status, "FILE_SECONDS", 0.0)
    with Status("tokenize", 1, 1, file) as shown:
        shown(Event("start", 0))
        assert twice.wait(60)
        shown(done(0, 1, 1.0))
        heart = shown._heart
    assert not heart.is_alive() and written[-1]["state"] == "done" == json.loads(file.read_text())["state"]
    times = [each["updated"] for each in written]
    assert times == sorted(times) and {(each["host"], each["pid"]) for each in written} == {
        (socket.gethostname(), os.getpid())
    }


@pytest.mark.parametrize(
    ("event", "state"),
    [(Event("failed", 0, text="shard 0: odd"), "failed"), (Event("start", 0), "stopped")],
)
def test_how_it_ended(tmp_path: Path, event: Event, state: str) -> None:
    with Status("tokenize", 1, 1, tmp_path / "status.json") as shown:
        shown(event)
    assert json.loads((tmp_path / "status.json").read_text())["state"] == state


def test_a_disk_that_is_full_does_not_end_the_run(tmp_path: Path) -> None:
    with Status("tokenize", 1, 1, tmp_path / "none" / "status.json") as shown:
        shown(done(0, 1, 1.0))
    assert shown.numbers()["state"] == "done"


def test_a_pipe_gets_a_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture) -> None:
    with Status("tokenize", 4, 1) as shown:
        shown(Event("start", 0))
        clock[0] += 31.0
        shown(Event("progress", 0, 1, 62.0))
        clock[0] += 5.0
        shown(Event("progress", 0, 1, 1.0))
        shown(Event("note", text="a [word]"))
    assert capsys.readouterr().err.splitlines() == [
        "tokenize: 1/4 files, 0.02 h of audio, 2.0x real time, 1m33s left",
        "a [word]",
    ]


def test_a_terminal_gets_a_bar(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with Status("tokenize", 4, 2) as shown:
        shown(done(0, 2, 7200.0))
        clock[0] += 20.0
        shown(Event("note", text="a [word]"))
    drawn = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "2/4 files, 2.00 h of audio, 360.0x real time, 20s left" in drawn
    assert "a [word]" in drawn


def test_the_summary_as_json() -> None:
    summary = Summary("store", 2, 1, 3, 6.0, 3, 6.0, 2.0, failed=(Failure("a", "in/a", "bad"),), halted="full")
    shown = json.loads(json.dumps(summary_json(summary)))
    assert shown["failed"] == [{"key": "a", "source": "in/a", "reason": "bad"}]
    assert (shown["real_time_factor"], shown["exit_code"], shown["halted"]) == (3.0, 1, "full")
