"""The book of a run that every engine keeps: shards that wait, that are under way, that are done, and those that are given up."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from solfa.tokenize_audio.status import Event, OnEvent, Problem, Summary
from solfa.tokenize_audio.work.report import Failure, ShardReport, report_of

if TYPE_CHECKING:
    from solfa.tokenize_audio.work.job import Job
    from solfa.tokenize_audio.work.plan import Plan

DEATHS = 20  # workers that die over one shard before it is given up: room for ten poison files, which cost two each
PATIENCE = 300.0  # seconds to wait for a shard that another process has: a worker of a run that was killed, which nobody has buried yet
PAUSE = 1.0  # seconds between two looks at it


class Board:
    """Shards go out by `take`; what becomes of them comes in by the other methods, which tell `on_event` too.

    mine: the shards to do, which go out the largest first: with small ones at the end no worker is left alone for long. One that another
    process has is waited for. theirs: shards that others are to do, for when those are through: the ones that nobody has begun.
    """

    def __init__(self, plan: Plan, mine: Iterable[int], on_event: OnEvent, theirs: Iterable[int] = ()) -> None:
        self.job, self.on_event = plan.job, on_event
        self.others = plan.others
        theirs = list(theirs)
        sizes = {shard.index: shard.bytes for shard in plan.job.shards}
        self.waiting = deque([*sorted(mine, key=lambda shard: -sizes[shard]), *theirs])
        self.theirs = set(theirs)
        self.under_way: set[int] = set()
        self.reports: dict[int, ShardReport] = {}
        self.problems: dict[int, str] = {}
        self.busy: dict[int, tuple[float, float]] = {}  # shard -> when it was first found busy, when to look again
        self.elsewhere: set[int] = set()
        self.halted = ""  # why no further shard goes out
        self.winding_up = False  # whether none goes out because the user wants an end
        self._noted: set[str] = set()
        self.deaths: Counter[int] = Counter()
        self._started = time.monotonic()
        before = {shard.index for shard in plan.job.shards} - set(plan.todo)
        for index in sorted(before):
            self.done(_report_of(plan.job, index))

    @property
    def open(self) -> int:
        """How many shards may still go out."""
        return 0 if self.halted or self.winding_up else len(self.waiting)

    def take(self) -> int | None:
        """The next shard to be done now, or None."""
        moment = time.monotonic()
        for _ in range(self.open):
            shard = self.waiting.popleft()
            if self.busy.get(shard, (0.0, 0.0))[1] > moment:
                self.waiting.append(shard)
            elif shard not in self.theirs or not self.settled(shard):
                self.under_way.add(shard)
                self.on_event(Event("start", shard))
                return shard
        return None

    def progress(self, shard: int, files: int, seconds: float, failed: int) -> None:
        self.on_event(Event("progress", shard, files, seconds, failed))

    def done(self, report: ShardReport) -> None:
        """What is left out of it and no affair of this run is only counted."""
        mine = tuple(entry for entry in report.quarantined if entry.key not in self.others)
        report = replace(report, quarantined=mine, others=len(report.quarantined) - len(mine))
        self.under_way.discard(report.index)
        self.reports[report.index] = report
        self.on_event(Event("done", report.index, report=report))

    def settled(self, shard: int) -> bool:
        """Whether the shard is in the store, by whose work ever; then it is counted."""
        from solfa.tokenize_audio.work.job import is_done

        if shard not in self.reports and is_done(self.job.store, shard):
            self.done(_report_of(self.job, shard))
            self.elsewhere.discard(shard)
        return shard in self.reports

    def lost(self, shard: int, how: str) -> None:
        """The shard's worker died. It goes out again, first of all, unless it has cost too many."""
        self.under_way.discard(shard)
        self.deaths[shard] += 1
        if self.deaths[shard] >= DEATHS:
            self.failed(shard, f"{DEATHS} workers died over it, the last one {how}")
        else:
            self.waiting.appendleft(shard)
            self.on_event(Event("left", shard, text=f"shard {shard}: its worker died ({how}); it is tried again"))

    def taken(self, shard: int, reason: str) -> None:
        """Another process has the shard: one of mine waits, and at last is left to it too."""
        self.under_way.discard(shard)
        moment = time.monotonic()
        first, _ = self.busy.setdefault(shard, (moment, moment))
        if shard in self.theirs or moment - first >= PATIENCE:
            self.elsewhere.add(shard)
            text = f"shard {shard}: {reason}"
        else:
            self.busy[shard] = (first, moment + PAUSE)
            self.waiting.append(shard)
            text = f"shard {shard} waits: {reason}" if first == moment else ""
        self.on_event(Event("left", shard, text=text))

    def failed(self, shard: int, reason: str, halt: bool = False) -> None:
        """The shard is given up. halt: for a reason that will be every other shard's too (a full disk)."""
        self.under_way.discard(shard)
        self.problems[shard] = reason
        if halt:
            self.halted = self.halted or reason
        self.on_event(Event("failed", shard, text=f"shard {shard}: {reason}"))

    def halt(self, reason: str) -> None:
        """No shard goes out any more, for a reason that is no shard's own."""
        if not self.halted:
            self.halted = reason
            self.note(reason)

    def wind_up(self) -> None:
        """No shard goes out any more: what is under way is finished."""
        if not self.winding_up:
            self.winding_up = True
            self.note(
                f"finishing {len(self.under_way)} shards; Ctrl-C again stops at once, and they go on another time"
            )

    def note(self, text: str) -> None:
        """Words for the user, once: every worker has the same to say."""
        if text not in self._noted:
            self._noted.add(text)
            self.on_event(Event("note", text=text))

    def end(self, stopped: int = 0) -> Summary:
        """The summary; and what killed workers had half written is removed, once nobody writes any more."""
        if len(self.reports) == len(self.job.shards):
            from solfa.tokenize_audio.store.writer import sweep

            sweep(self.job.store)
        return self.summary(stopped)

    def summary(self, stopped: int = 0) -> Summary:
        """What became of the run until now."""
        reports = [report for _, report in sorted(self.reports.items())]
        fresh = [report for report in reports if not report.skipped]
        failed: list[Failure] = [entry for report in reports for entry in report.quarantined]
        return Summary(
            store=str(self.job.store),
            shards=len(self.job.shards),
            shards_done=len(reports),
            items=sum(report.items for report in reports),
            seconds=sum(report.seconds for report in reports),
            encoded=sum(report.items - report.kept for report in fresh),
            encoded_seconds=sum(report.seconds - report.kept_seconds for report in fresh),
            elapsed=time.monotonic() - self._started,
            failed=tuple(failed),
            problems=tuple(Problem(shard, reason) for shard, reason in sorted(self.problems.items())),
            elsewhere=len(self.elsewhere),
            dead_workers=self.deaths.total(),
            halted=self.halted,
            stopped=stopped,
        )


def _report_of(job: Job, index: int) -> ShardReport:
    """The report of a shard that was in the store before."""
    from solfa.tokenize_audio.store.format import read_manifest

    return replace(report_of(job.store, read_manifest(job.store, index)), skipped=True)
