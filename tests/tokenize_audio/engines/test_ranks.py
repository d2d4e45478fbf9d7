"""Which rank of how many, as torchrun, srun and Slurm's arrays tell it; and what ranks that share the work agree on."""

from dataclasses import replace
from pathlib import Path

import pytest

from solfa.tokenize_audio.engines.ranks import find_rank, plan_together
from solfa.tokenize_audio.store.format import StoreHead
from solfa.tokenize_audio.work.job import Job, ShardPlan, run_claim
from solfa.tokenize_audio.work.plan import Plan

ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "10"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (3, 8)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (1, 2)),
        ({**ARRAY, "SLURM_ARRAY_TASK_COUNT": "10"}, (6, 10)),
        ({**ARRAY, "SLURM_ARRAY_TASK_COUNT": "4"}, (2, 4)),  # 1-10:3
        ({**ARRAY, "SLURM_ARRAY_TASK_COUNT": "10", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (13, 20)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "5",
                "SLURM_ARRAY_TASK_MIN": "5",
                "SLURM_ARRAY_TASK_MAX": "5",
                "SLURM_ARRAY_TASK_COUNT": "1",
            },
            (0, 1),
        ),
    ],
)
def test_the_surroundings_tell(variables: dict[str, str], expected: tuple[int, int]) -> None:
    assert find_rank(None, None, variables) == expected
    assert find_rank(0, 5, variables) == (0, 5)


@pytest.mark.parametrize(
    ("rank", "world", "variables", "word"),
    [
        (None, None, {}, "--rank"),
        (1, None, {}, "go together"),
        (3, 3, {}, "0 to 2"),
        (-1, 3, {}, "0 to 2"),
        (0, 0, {}, "rank 0 of 0"),
        (None, None, {"SLURM_PROCID": "1"}, "SLURM_NTASKS"),
        (None, None, {"RANK": "x", "WORLD_SIZE": "2"}, "RANK"),
        (None, None, {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "3"}, "evenly"),  # 1,7,10
    ],
)
def test_what_tells_no_rank_is_refused(
    rank: int | None, world: int | None, variables: dict[str, str], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        find_rank(rank, world, variables)


HEAD = StoreHead("tiny", "0" * 64, 8000, 1, 160, 4, 16)


def test_ranks_of_one_run_retry_once(tmp_path: Path) -> None:
    """However late one begins; a rank that comes again is of another run."""
    job = Job(str(tmp_path), "tiny", HEAD)
    told: list[str] = []

    def together(rank: int, world: int = 3) -> str:
        told.clear()

        def plan(kind: str) -> Plan:
            told.append(kind)
            return Plan(job, (), 0)

        plan_together(tmp_path, lambda write: plan("look"), lambda: plan("retry"), (rank, world))
        return told[-1]

    assert [together(rank) for rank in (1, 0, 2)] == ["retry", "look", "look"]
    assert [together(rank) for rank in (0, 2, 1)] == ["retry", "look", "look"]
    assert [together(rank, 2) for rank in (0, 1)] == ["retry", "look"]


def test_unlike_machines_share_one_job(tmp_path: Path) -> None:
    """Device and limits are each rank's own: it does not take those that another has written down, nor write its own over them."""
    mine = Job(str(tmp_path), "tiny", HEAD, "cpu", shards=(ShardPlan(0, 2, 100),))
    other = replace(mine, codec="/elsewhere/tiny", device="cuda", timeout=9.0)
    other.save()
    looked: list[bool] = []
    found = plan_together(tmp_path, lambda write: (looked.append(write), Plan(mine, (0,), 0))[1])
    assert found.job == mine and looked == [False] and Job.load(tmp_path) == other
    assert replace(other, **mine.own) == mine
    with run_claim(tmp_path):
        assert plan_together(tmp_path, lambda write: Plan(mine, (0,), 0)).job == mine
