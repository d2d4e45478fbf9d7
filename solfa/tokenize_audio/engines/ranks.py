"""The engine of many machines that only share a file system: each rank does every n-th shard, then what the others have not begun."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.tokenize_audio.engines.board import Board
from solfa.tokenize_audio.engines.crew import count_jobs, encode_all
from solfa.tokenize_audio.engines.stop import Stop
from solfa.tokenize_audio.engines.worker import WORK
from solfa.tokenize_audio.status import OnEvent, Summary, ignore

if TYPE_CHECKING:
    from solfa.tokenize_audio.work.plan import Plan

PLANNING = 600.0  # seconds that another rank may take to write the plan down


def run(plan: Plan, rank: int, world: int, jobs: int = 1, on_event: OnEvent = ignore, work: str = WORK) -> Summary:
    """Do the share of one rank among `world`, in `jobs` processes, as the local engine does its work, and say what became of it.

    Shards whose rank has not begun them (it is slow, or never came) are done too, at the end. A shard that another rank is at is left to
    it: `Summary.elsewhere` counts those; whoever ends last finds 0, and its summary is of the whole store.
    """
    count = count_jobs(jobs, plan.job.device)
    mine = [shard for shard in plan.todo if shard % world == rank]
    theirs = [shard for shard in plan.todo if shard % world != rank]
    turn = rank * len(theirs) // world  # not all ranks begin to help at the same shard
    board = Board(plan, mine, on_event, theirs[turn:] + theirs[:turn])
    with Stop() as stop:
        encode_all(board, count, stop, work)
        for shard in theirs:
            board.settled(shard)
        return board.end(stop.signal)


def plan_together(
    store: str | os.PathLike[str],
    look: Callable[[bool], Plan],
    retry: Callable[[], Plan] | None = None,
    seat: tuple[int, int] = (0, 1),
) -> Plan:
    """The plan that all ranks of a run come to, written by one of them. look: plans, and writes if told so.

    retry: plans, and writes, that what was left out is tried again, which of the ranks of a run one does, however far apart they begin.
    seat: rank and world. Raises Locked where another run has the store to itself.
    """
    from solfa.tokenize_audio.work.job import run_claim
    from solfa.tokenize_audio.work.locks import Locked

    deadline = time.monotonic() + PLANNING
    found = None if retry else _Found(look(False))
    while found is None or not found.written:
        try:
            with run_claim(store):
                return look(True) if retry is None else _retried(store, look, retry, seat)
        except Locked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        if found is not None and found.plan.news:
            found = _Found(look(False))
    return found.plan


class _Found:
    """A plan that nobody has written down yet, as far as was seen."""

    def __init__(self, plan: Plan) -> None:
        from solfa.tokenize_audio.work.job import is_done

        self.plan = plan
        self._unmarked = [
            shard for shard in plan.todo if is_done(plan.job.store, shard)
        ]  # whoever writes it down marks them

    @property
    def written(self) -> bool:
        from solfa.tokenize_audio.work.job import Job, is_done

        store = self.plan.job.store
        unmarked = any(is_done(store, shard) for shard in self._unmarked)
        return self.plan.job.same_work(Job.load(store)) and not self.plan.news and not unmarked


def _retried(
    store: str | os.PathLike[str], look: Callable[[bool], Plan], retry: Callable[[], Plan], seat: tuple[int, int]
) -> Plan:
    """Plan with the retry, or only with what another rank has marked for it: a rank that comes for the first time since a retry was
    begun is of the same run, one that comes again begins another. Who was at it stands in STORE/.work/retry.json."""
    from solfa.files import write_whole
    from solfa.tokenize_audio.work.job import WORK

    path, (rank, world) = Path(store) / WORK / "retry.json", seat
    try:
        round_of, ranks = json.loads(path.read_bytes())
        joins = round_of == world and rank not in ranks
    except (OSError, ValueError, TypeError):
        joins = False
    found = look(True) if joins else retry()
    write_whole(path, json.dumps([world, sorted([*ranks, rank]) if joins else [rank]]) + "\n")
    return found


def find_rank(rank: int | None, world: int | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Rank and world: those given; else those of torchrun (RANK), of srun (SLURM_PROCID) and of a Slurm array, in this order.

    The tasks of each job of an array are ranks of their own. Raises ValueError where there are none, or only half, or out of range.
    """
    if (rank is None) != (world is None):
        raise ValueError("--rank and --world go together: which of how many")
    if rank is None or world is None:
        rank, world = _surroundings(environment)
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world}: ranks are 0 to {world - 1}")
    return rank, world


def _surroundings(environment: Mapping[str, str]) -> tuple[int, int]:
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if "SLURM_ARRAY_TASK_ID" not in environment and "SLURM_PROCID" not in environment:
        raise ValueError("no rank: give --rank and --world, or run under torchrun, srun or as a Slurm array")
    rank, world = 0, 1
    if "SLURM_PROCID" in environment:
        rank, world = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_NTASKS")
    if "SLURM_ARRAY_TASK_ID" in environment:
        task, first, last, count = (
            _number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "COUNT")
        )
        step, rest = divmod(last - first, max(count - 1, 1))
        if rest or (step and (task - first) % step):
            raise ValueError(
                f"the Slurm array has {count} tasks from {first} to {last}: number them evenly, as 0-{count - 1}"
            )
        rank, world = rank + world * ((task - first) // max(step, 1)), world * count
    return rank, world


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdigit():
        raise ValueError(f"the variable {name} must be a whole number, not {text!r}")
    return int(text)
