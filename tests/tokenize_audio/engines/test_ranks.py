"""Which rank of how many, as torchrun, srun and Slurm's arrays tell it."""

import pytest

from solfa.tokenize_audio.engines.ranks import find_rank

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
