"""The engine of many machines that only share a file system: each rank does every n-th shard, then what the others have not begun."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
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


def plan_together(store: str | os.PathLike[str], look: Callable[[bool], Plan]) -> Plan:
    """The plan that all ranks of a run come to, written by one of them. look: plans, and writes if told so.

    Raises Locked where another run has the store to itself.
    """
    from solfa.tokenize_audio.work.job import Job, is_done, run_claim
    from solfa.tokenize_audio.work.locks import Locked

    found, deadline = look(False), time.monotonic() + PLANNING
    again = [shard for shard in found.todo if is_done(store, shard)]  # whoever writes the plan down marks them
    while Job.load(store) != found.job or any(is_done(store, shard) for shard in again):
        try:
            with run_claim(store):
                return look(True)
        except Locked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
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
