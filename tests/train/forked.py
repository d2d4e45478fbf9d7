"""Run trainings of the toy, or of a job's recipe, in processes of their own: `forked.py < jobs.json`. torch is imported once, then forked.

A job is {"run", "fields", "world", "environment"}; its processes run side by side, the jobs one after the other. Prints
one line of exit codes for each job (negative: the signal that killed it).
"""

import json
import os
import socket
import sys
import traceback
from pathlib import Path

import torch

from solfa.train import load_recipe, train


def work(job: dict, rank: int, port: int) -> None:
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(job["world"])}
    os.environ.update(shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} | job["environment"])
    recipe = load_recipe(job.get("recipe") or str(Path(__file__).with_name("toy.py")), job["fields"])
    train(recipe.task, recipe.train, job["run"], resume=True, quiet=True)


def spawn(job: dict, rank: int, port: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            work(job, rank, port)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def main() -> None:
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))])  # the first one imports the compiler: before the forks
    for job in json.load(sys.stdin):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        children = [spawn(job, rank, port) for rank in range(job["world"])]
        print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)


if __name__ == "__main__":
    main()
