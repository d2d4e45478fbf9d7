"""The one training loop: every task runs through it, on one process or on many under torchrun.

A run is a folder: config.json, run.json, metrics.jsonl, step-000123/ (states to resume from), latest, eval/step-N/
(what evaluations wrote), model/ (the inference checkpoint with averaged weights), tensorboard/ where that is installed,
not-finite.json where training stopped because a number was not finite.

A step is a pure function of the state before it, the configuration and (seed, step, rank): all random generators are
seeded at its start. So a run that was killed and resumed ends with the same bytes as one that was not, on a CPU with
the same number of threads, and evaluations never touch what is trained.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy
import torch
from filelock import FileLock, Timeout
from torch import nn

from solfa.checkpoint import CheckpointError
from solfa.progress import duration
from solfa.train.config import TrainConfig
from solfa.train.data_identity import identity_of
from solfa.train.distributed import World, join_world
from solfa.train.ema import WeightAverage
from solfa.train.finite import NotFinite, infinite_weights, tell_rows
from solfa.train.metrics import Meter, MetricsLog
from solfa.train.phase import Phase
from solfa.train.prefetch import move, pin, prefetch
from solfa.train.progress import Progress
from solfa.train.record import CONFIG_NAME, RunRecord, check_same, resolved_config, write_document
from solfa.train.schedule import learning_rate_factor
from solfa.train.sharding import Twin
from solfa.train.state import TrainingState, latest_state, sweep
from solfa.train.task import Task, TaskConfig

# Several processes agree to stop or to save after so many seconds or steps, whichever is less, and after a step at the least: torchrun
# kills what has not ended 30 seconds after its SIGTERM.
VOTE_SECONDS, VOTE_STEPS = 2.0, 10


@dataclass(frozen=True)
class TrainResult:
    """How a session of training ended: `reason` is "finished", "time" (max_minutes) or the name of a signal."""

    run: Path
    step: int
    seconds: float
    reason: str


def train(
    task: TaskConfig, config: TrainConfig, run: str | Path, *, resume: bool = False, quiet: bool = False
) -> TrainResult:
    """Train the task that `task` describes, in the folder `run`.

    With `resume` the run in that folder goes on from its last saved state, bit for bit (or starts, if there is none).
    Raises ValueError for a folder that is in use, that holds a run without `resume`, or whose run had another
    configuration or validated on other recordings, and NotFinite (a ValueError) when a loss, gradient or weight is not finite:
    not-finite.json in the folder then names the recordings of that step's batch.
    The global random generators are left as they were found.
    """
    run = Path(run)
    with join_world(config.device) as world, _locked(run, world), _own_generators(world.device):
        if config.precision == "float16" and world.device.type != "cuda":
            raise ValueError(f"precision float16 needs cuda, the device is {world.device.type}; use bfloat16")
        _check_batch(task, config, world)
        resolved = resolved_config(task, config, world.size)
        _check_run(run, resolved, resume, world, task, config)
        seed_everything(config.seed, "build", 0)
        built = task.build()
        with _Trainer(built, config, run, world, quiet) as trainer:
            if world.leads:  # only now: what cannot be built or begun leaves no run behind
                write_document(run / CONFIG_NAME, resolved)
            return trainer.train()


def _check_batch(task: TaskConfig, config: TrainConfig, world: World) -> None:
    """ValueError for a batch that cannot be shared evenly: the gradient of all is the mean of the shards', whatever is in them."""
    batch, shards = getattr(task, "batch", None), world.size * config.accumulate
    if isinstance(batch, int) and batch % shards:
        raise ValueError(
            f"batch is {batch}: it must be a multiple of {shards} ({world.size} processes times accumulate {config.accumulate})"
        )


def seed_everything(seed: int, *parts: object) -> None:
    """Seed Python's, numpy's and torch's global generators (all devices) from a hash of the arguments."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    random.seed(int.from_bytes(digest[:8], "little"))
    numpy.random.seed(int.from_bytes(digest[8:12], "little"))
    torch.manual_seed(int.from_bytes(digest[12:20], "little") >> 1)


@contextmanager
def _own_generators(device: torch.device) -> Iterator[None]:
    """What is drawn from the global generators in here does not change what is drawn after it."""
    python, numbers = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(numbers)


class _Trainer:
    def __init__(self, task: Task, config: TrainConfig, run: Path, world: World, quiet: bool) -> None:
        self.task, self.config, self.run, self.world = task, config, run, world
        divided = world.size > 1 and config.parallel == "fsdp"
        self.twin = Twin(task.model, world) if divided else None
        self.phases = _make_phases(task, config, world)
        self.average = WeightAverage(task.model, config.ema)
        self.meter = Meter()
        self.state = TrainingState(task.model, self.phases, self.average, self.meter)
        found = latest_state(run)
        if found is not None:
            self.state.load(found)
        if self.state.step > config.steps:
            raise ValueError(f"{run}: is at step {self.state.step} already, beyond steps {config.steps}")
        self.record = RunRecord(run, world.device, world.size, self.state.step, identity_of(task))
        self.log = MetricsLog(run, self.state.step) if world.leads else None
        self.progress = Progress(task.name, self.state.step, config.steps, quiet or not world.leads)
        self.started = self.saved_at = time.monotonic()
        self.seconds_before = self.state.seconds
        (evaluated,) = world.any(self.log is not None and self.log.evaluated)
        self.evaluated_at = self.state.step if evaluated else -1
        self.window = (self.state.step, self.started)
        self.voted, self.vote_at = self.window, self.state.step + 1

    def __enter__(self) -> _Trainer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.log is not None:
            self.log.close()
        if kind is not None and self.world.leads:
            self.record.write(self.state.step, self.state.seconds, kind.__name__)

    def train(self) -> TrainResult:
        """Steps until the last one, a signal or the time's end; then a state and an evaluation."""
        reason = "finished"
        with self.progress, _signals() as caught:
            self._greet()
            if self.world.leads:
                self.record.write(self.state.step, self.state.seconds)
            self._evaluate_if_due()  # a kill may have come between the save and the evaluation
            batches = prefetch(self._shards, self.state.step, self.config.steps, self.config.prefetch)
            with contextlib.closing(batches):
                for shards in batches:
                    self._step(shards)
                    stop, save = self._agree(bool(caught), self._out_of_time(), self._save_is_due())
                    last = self.state.step == self.config.steps
                    if save or stop or last:
                        self._save()
                    if stop and not last:
                        reason = stop
                        break
                    self._evaluate_if_due()
            if reason == "signal":  # whoever sent it wants us gone: no evaluation
                reason = caught[0] if caught else "SIGTERM"  # of another process
            elif self.evaluated_at != self.state.step:
                self._evaluate()
            if self.world.leads:
                self.record.write(self.state.step, self.state.seconds, reason)
        return TrainResult(self.run, self.state.step, self.state.seconds, reason)

    def _shards(self, step: int) -> list[Any]:
        """This process's shards of a step's batch. Runs in a prefetch thread."""
        accumulate = self.config.accumulate
        world = self.world.size * accumulate
        shards = [self.task.batch(step, self.world.rank * accumulate + i, world) for i in range(accumulate)]
        return [pin(shard) for shard in shards] if self.world.device.type == "cuda" else shards

    def _step(self, shards: list[Any]) -> None:
        step, config = self.state.step, self.config
        seed_everything(config.seed, "step", step, self.world.rank)
        shards = [move(shard, self.world.device) for shard in shards]
        factor = learning_rate_factor(step, config.steps, config.warmup, config.floor, config.gamma)
        try:
            for phase in self.phases.values():
                for other in self.phases.values():
                    other.freeze(other is not phase)
                self.meter.add(phase.update(shards, step, factor))
        except NotFinite as error:
            self._stop(error)
        self.average.update(step)
        self.state.step += 1
        self.state.seconds = self.seconds_before + time.monotonic() - self.started
        if self.state.step % config.log_every == 0 or self.state.step == config.steps:
            self._log()
        self.progress.step(self.state.step)

    def _log(self) -> None:
        self._check_finite()
        values = self.world.mean(self.meter.take())
        before, since = self.window
        self.window = (self.state.step, time.monotonic())
        values["steps_per_second"] = (self.state.step - before) / max(self.window[1] - since, 1e-9)
        if self.log is not None:
            self.log.write(self.state.step, "train", self.state.seconds, values)
        self.progress.logged(values)

    def _out_of_time(self) -> bool:
        limit = self.config.max_minutes
        return limit is not None and time.monotonic() - self.started >= 60 * limit

    def _save_is_due(self) -> bool:
        minutes = self.config.save_minutes
        return minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes

    def _agree(self, signalled: bool, late: bool, old: bool) -> tuple[str, bool]:
        """Why to stop ("" to go on) and whether to save: the same answer in every process."""
        every = self.config.save_every
        due = every is not None and self.state.step % every == 0
        if self.world.size > 1:
            signalled, late, old = self._vote(signalled, late, old) if self.state.step >= self.vote_at else (False,) * 3
        return ("signal" if signalled else "time" if late else ""), due or old

    def _vote(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag is true where it is true in any process; and all agree on the step of the next vote, by the slowest one's time."""
        before, since = self.voted
        self.voted = (self.state.step, time.monotonic())
        *found, seconds = self.world.most(*flags, (self.voted[1] - since) / (self.state.step - before))
        self.vote_at = self.state.step + max(1, min(VOTE_STEPS, int(VOTE_SECONDS / max(seconds, 1e-9))))
        return tuple(bool(flag) for flag in found)

    def _save(self) -> None:
        self._check_finite()
        if self.world.leads or self.twin is not None:
            tensors = self.state.tensors(keep=self.world.leads)
        if self.world.leads:
            try:
                self.state.save(self.run, self.config.keep, tensors)
            except CheckpointError:
                if (error := infinite_weights(self.state.step - 1, tensors)) is not None:
                    self._stop(error)
                raise
            self.record.write(self.state.step, self.state.seconds)
        self.saved_at = time.monotonic()
        self.world.wait()

    def _evaluate_if_due(self) -> None:
        every, step = self.config.evaluate_every, self.state.step
        if every is not None and step > 0 and step % every == 0 and step != self.evaluated_at:
            self._evaluate()

    def _evaluate(self) -> None:
        """Evaluate and export the averaged weights, in the leading process; the others wait."""
        self._check_finite()
        self.evaluated_at = self.state.step
        if self.twin is not None:
            with self.twin.holding(self.task.model, self.average.shadow) as model, torch.no_grad():
                self._evaluate_model(model)
        elif self.world.leads:
            with self.average.applied() as model, torch.no_grad():
                self._evaluate_model(model)
        self.world.wait()

    def _evaluate_model(self, model: nn.Module | None) -> None:
        step = self.state.step
        if model is not None and self.log is not None:
            folder = self.run / "eval" / f"step-{step}"
            folder.mkdir(parents=True, exist_ok=True)
            seed_everything(self.config.seed, "evaluate", step)
            values = self.task.evaluate(model, step, folder)
            self.task.export(model, self.run / "model")  # which may hold what the evaluation found
            self.log.write(step, "evaluation", self.state.seconds, values)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            self.progress.say(f"{self.task.name}: evaluation at step {step}: {shown}")

    def _check_finite(self) -> None:
        found = [error for phase in self.phases.values() if (error := phase.guard.found()) is not None]
        if found:
            self._stop(min(found, key=lambda error: error.step))  # what came later may come of it

    def _stop(self, error: NotFinite) -> NoReturn:
        """Raises the error, with where the batch's recordings and the last state are told."""
        saved = f"the last good state is {self.state.saved}" if self.state.saved else "no state was saved yet"
        try:
            path = tell_rows(error, self.run, self.task, self.world, self.config.accumulate)
            rows = f"{path} says which recordings that step heard"
        except (OSError, ValueError) as problem:
            rows = f"which recordings that step heard cannot be told ({problem})"
        raise NotFinite(
            f"{self.run}: training stopped, not finite: {error}; {rows}; {saved}", error.step, error.found
        ) from error

    def _greet(self) -> None:
        if self.state.step:
            spent = duration(self.state.seconds)
            self.progress.say(f"{self.task.name}: resumes at step {self.state.step}, after {spent} of training")
        if self.record.other_data and self.world.leads:
            warnings.warn(f"{self.run}: {self.record.other_data}; batches differ from an unbroken run's", stacklevel=3)
        if self.record.other_threads:
            self.progress.say(
                f"note: this run has used {self.record.other_threads} threads and now uses {torch.get_num_threads()}: "
                "its weights will differ in the last bits from an unbroken run's"
            )


def _make_phases(task: Task, config: TrainConfig, world: World) -> dict[str, Phase]:
    modules = task.phases()
    if not modules:
        raise ValueError(f"task {task.name!r} has no phases to train")
    owner: dict[int, str] = {}
    task.model.to(world.device).train()
    for name, module in modules.items():
        module.to(world.device).train()
        for parameter in module.parameters():
            if owner.setdefault(id(parameter), name) != name:
                raise ValueError(f"phases {owner[id(parameter)]!r} and {name!r} share parameters")
    return {name: Phase(name, module, task, config, world) for name, module in modules.items()}


def _check_run(
    run: Path, resolved: dict[str, Any], resume: bool, world: World, task: TaskConfig, config: TrainConfig
) -> None:
    """The leading process checks the folder and clears what a kill left there; all see the result."""
    problem: ValueError | None = None
    if world.leads:
        try:
            if (run / CONFIG_NAME).exists():
                if not resume:
                    raise ValueError(f"{run}: holds a run already; go on with it (--resume), or name another folder")
                check_same(run, resolved, task, config)
            sweep(run)
        except ValueError as error:
            problem = error
    (failed,) = world.any(problem is not None)
    if failed:
        raise problem or ValueError(f"{run}: the leading process refused to start")


@contextmanager
def _locked(run: Path, world: World) -> Iterator[None]:
    """One training at a time in a folder."""
    if not world.leads:
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"{run}: another process is training there") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _signals() -> Iterator[list[str]]:
    """Collects the first SIGINT or SIGTERM, so that the loop can stop cleanly; the second one acts as usual."""
    caught: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: Any) -> None:
        caught.append(signal.Signals(number).name)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
