"""The book of a run: what goes out, what comes back, when it is given up."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from solfa.tokenize_audio.engines import board
from solfa.tokenize_audio.engines.board import DEATHS, Board
from solfa.tokenize_audio.status import Event
from solfa.tokenize_audio.store.format import StoreHead
from solfa.tokenize_audio.work.job import Job, ShardPlan
from solfa.tokenize_audio.work.plan import Plan
from solfa.tokenize_audio.work.report import Failure, ShardReport

HEAD = StoreHead("tiny", "0" * 64, 8000, 1, 160, 4, 16)


def plan(store: Path, shards: int) -> Plan:
    return sized(store, [100] * shards)


def sized(store: Path, sizes: Sequence[int]) -> Plan:
    """A shard of each of these sizes."""
    job = Job(str(store), "tiny", HEAD, shards=tuple(ShardPlan(index, 2, size) for index, size in enumerate(sizes)))
    return Plan(job, tuple(range(len(sizes))), 2 * len(sizes))


def report(index: int, **fields: object) -> ShardReport:
    return ShardReport(index, 2, 100, 2.0, **fields)  # type: ignore[arg-type]


def test_the_largest_shards_go_out_first(tmp_path: Path) -> None:
    """Those of others last, in the order in which this rank is to look at them."""
    book = Board(sized(tmp_path, [10, 30, 20, 30]), [0, 1, 3], lambda event: None, theirs=[2])
    assert [book.take() for _ in range(4)] == [1, 3, 0, 2]


def test_each_shard_goes_out_once_and_is_summed_up(tmp_path: Path) -> None:
    events: list[Event] = []
    book = Board(plan(tmp_path, 3), range(3), events.append)
    assert [book.take() for _ in range(4)] == [0, 1, 2, None]
    bad = Failure("b.wav", "in/b.wav", "not a sound file")
    book.progress(1, 2, 2.0, 1)
    book.done(report(1, quarantined=(bad,)))
    book.done(report(0, skipped=True))
    book.done(report(2))
    assert [(event.kind, event.shard) for event in events] == [
        ("start", 0),
        ("start", 1),
        ("start", 2),
        ("progress", 1),
        ("done", 1),
        ("done", 0),
        ("done", 2),
    ]
    summary = book.summary()
    assert (summary.shards, summary.shards_done, summary.items, summary.seconds) == (3, 3, 6, 6.0)
    assert (summary.encoded, summary.encoded_seconds) == (4, 4.0)  # what was there already is not this run's
    assert summary.failed == (bad,)
    assert summary.exit_code == 1


def test_a_shard_whose_worker_dies_goes_first_and_not_for_ever(tmp_path: Path) -> None:
    book = Board(plan(tmp_path, 2), range(2), lambda event: None)
    for _ in range(DEATHS):
        assert book.take() == 0
        book.lost(0, "by SIGKILL")
    assert book.take() == 1
    book.done(report(1))
    summary = book.summary()
    assert summary.dead_workers == DEATHS
    assert [problem.shard for problem in summary.problems] == [0]
    assert "SIGKILL" in summary.problems[0].reason
    assert summary.exit_code == 1


def test_what_is_every_shards_trouble_halts_the_run(tmp_path: Path) -> None:
    book = Board(plan(tmp_path, 3), range(3), lambda event: None)
    book.failed(book.take() or 0, "RuntimeError: odd")
    assert book.open == 2
    book.failed(book.take() or 0, "No space left on device", halt=True)
    assert (book.open, book.take()) == (0, None)
    summary = book.summary()
    assert summary.halted == "No space left on device"
    assert len(summary.problems) == 2
    assert summary.exit_code == 1


def test_a_shard_that_another_has_is_waited_for_and_then_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(board.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(board, "PATIENCE", 10.0)
    book = Board(plan(tmp_path, 2), range(2), lambda event: None)
    assert book.take() == 0
    book.taken(0, "locked by process 7 on there")
    assert [book.take(), book.take()] == [1, None]  # not at once
    for now[0] in (5.0, 10.0):
        assert book.take() == 0
        book.taken(0, "locked by process 7 on there")
    now[0] = 100.0
    assert book.take() is None
    book.done(report(1))
    assert (book.summary().elsewhere, book.summary().exit_code) == (1, 0)
    assert not book.settled(0)


def test_what_others_are_to_do_comes_last_and_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Board(plan(tmp_path, 4), [2], lambda event: None, theirs=[3, 0, 1])
    monkeypatch.setattr(book, "settled", lambda shard: shard == 0)
    assert [book.take() for _ in range(3)] == [2, 3, 1]
    assert book.take() is None
    book.taken(3, "locked by process 7 on there")
    assert (book.take(), book.elsewhere) == (None, {3})


@pytest.mark.parametrize(("stopped", "code"), [(2, 130), (15, 143)])
def test_a_run_that_was_stopped_says_so(tmp_path: Path, stopped: int, code: int) -> None:
    assert Board(plan(tmp_path, 1), range(1), lambda event: None).summary(stopped).exit_code == code


def test_at_the_end_nothing_half_written_is_left(tmp_path: Path) -> None:
    book = Board(plan(tmp_path, 1), range(1), lambda event: None)
    half = tmp_path / ".solfa-0123.tmp"
    half.touch()
    book.take()
    book.end()
    assert half.exists()  # somebody may still be at it
    book.done(report(0))
    book.end()
    assert not half.exists()


def test_what_was_not_done_is_a_failure(tmp_path: Path) -> None:
    assert Board(plan(tmp_path, 1), range(1), lambda event: None).summary().exit_code == 1
    assert Board(plan(tmp_path, 0), (), lambda event: None).summary().exit_code == 0
