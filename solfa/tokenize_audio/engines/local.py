"""The engine of one machine: a pool of processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solfa.tokenize_audio.engines.board import Board
from solfa.tokenize_audio.engines.crew import count_jobs, encode_all
from solfa.tokenize_audio.engines.stop import Stop
from solfa.tokenize_audio.engines.worker import WORK
from solfa.tokenize_audio.status import OnEvent, Summary, ignore

if TYPE_CHECKING:
    from solfa.tokenize_audio.work.plan import Plan


def run(plan: Plan, jobs: int = 0, on_event: OnEvent = ignore, work: str = WORK) -> Summary:
    """Do what a plan has to do in `jobs` processes of one thread (0: one a core, or one a GPU), and say what became of it.

    A process that dies is replaced and its shard tried again; all end when this one does, however it ends. Ctrl-C lets them finish the
    shards they are at; again, or SIGTERM, ends them at once (see `Summary.stopped`). work: the module:function that each process calls as
    `encode_shard(job, index, codec, progress, decoder)`. Raises ValueError for a number of processes that cannot be.
    """
    count = count_jobs(jobs, plan.job.device)
    board = Board(plan, plan.todo, on_event)
    with Stop() as stop:
        encode_all(board, count, stop, work)
        return board.end(stop.signal)
