"""The engine of a Ray cluster: actors that hold a codec each, a call a shard. Only reports travel; the codes go to the file system."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from solfa.parent import cores
from solfa.tokenize_audio.engines.board import Board
from solfa.tokenize_audio.engines.crew import gpu_names
from solfa.tokenize_audio.engines.stop import Stop
from solfa.tokenize_audio.engines.worker import WORK, Bench, counted, report_from, told
from solfa.tokenize_audio.status import OnEvent, Summary, ignore

if TYPE_CHECKING:
    from solfa.tokenize_audio.work.plan import Plan
    from solfa.tokenize_audio.work.report import Step

CPUS = 1.0  # that an actor takes
LOOK = 0.2  # seconds between two looks at signals
ASK = 1.0  # seconds between two questions to an actor how far it is
PATIENCE = 10.0  # seconds that an actor which is told to stop has to tidy up
STARTS = 3  # actors that die one after another before they were ready
_NO_RAY = 'the ray engine needs Ray: pip install "solfa[scale]"'


def run(
    plan: Plan,
    jobs: int = 0,
    on_event: OnEvent = ignore,
    work: str = WORK,
    address: str | None = None,
    gpus: float | None = None,
) -> Summary:
    """Do what a plan has to do on a Ray cluster, whose machines all see the store and the sources by the same paths.

    jobs: actors (0: as many as fit). address: of the cluster, "auto" for the one that runs on this machine; by default the variable
    RAY_ADDRESS, or else a cluster of this machine alone, for this run. gpus: that an actor takes beside its CPU, fractions too; one
    where the job's device is cuda. An actor that dies is replaced. Ctrl-C as for the local engine. Ray's telemetry is off.
    Raises ValueError for more actors than the cluster has room for (`room` says it before anything is planned), ConnectionError where
    there is no cluster, and ImportError where Ray is not installed.
    """
    gpus = _gpus_of_an_actor(jobs, gpus, plan.job.device)
    board = Board(plan, plan.todo, on_event)
    with _cluster(address, gpus) as ray:
        actors = _check_room(ray, board, jobs, gpus)
        options = {"num_cpus": CPUS, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 2}
        actor_class = ray.remote(Actor).options(**options)
        with Stop() as stop, contextlib.closing(_Cast(ray, board, actor_class, min(actors, board.open), work)) as cast:
            while (board.open or board.under_way) and not stop.now:
                cast.look()
                if stop.soon:
                    board.wind_up()
            return board.end(stop.signal)


@contextlib.contextmanager
def room(device: str, jobs: int = 0, address: str | None = None, gpus: float | None = None) -> Iterator[None]:
    """Around planning and `run`, with the same options: what `run` would raise for them is raised before anything is planned.

    Without an address the cores and GPUs of this machine are counted, and Ray is not started. With one the cluster is asked; the
    connection stays for `run`.
    """
    gpus = _gpus_of_an_actor(jobs, gpus, device)
    if _address(address) is not None:
        with _cluster(address, gpus) as ray:
            _fit(_machines(ray), jobs, gpus)
            yield
        return
    if find_spec("ray") is None:
        raise ImportError(_NO_RAY)
    _fit([_this_machine(gpus)], jobs, gpus)
    yield


class Actor:
    """What runs in a Ray worker: a bench, and how far it is. A call a shard, and beside it short questions."""

    def __init__(self, store: str, work: str, own: dict[str, Any]) -> None:
        self.store, self.work, self.own = store, work, own
        self.bench: Bench | None = None
        self.shard = -1
        self.news: list[dict[str, Any]] = []
        self.stopped = threading.Event()
        warnings.showwarning = lambda message, *_, **__: self._tell({"kind": "note", "text": str(message)})

    def open(self) -> dict[str, Any]:
        """Load the codec."""
        try:
            self.bench = Bench(self.store, self.work, self.own)
        except Exception as error:
            return {"kind": "fatal", **told(error)}
        return {"kind": "ready"}

    def encode(self, shard: int) -> dict[str, Any]:
        assert self.bench is not None
        self.shard = shard
        try:
            return self.bench.run(shard, self._step)
        except _Stopped:
            return {"kind": "stopped"}

    def so_far(self) -> list[dict[str, Any]]:
        """What there was to tell since the last question."""
        news, self.news = self.news, []
        return news

    def stop(self) -> None:
        """End the shard at its next step, tidily."""
        self.stopped.set()

    def _step(self, step: Step) -> None:
        if self.stopped.is_set():
            raise _Stopped
        self._tell(counted(step))

    def _tell(self, message: dict[str, Any]) -> None:
        self.news.append({**message, "shard": self.shard})


class _Stopped(BaseException):
    """The run was stopped. Not an Exception: nobody on the way may take it for a fault of a file."""


class _Seat:
    """An actor, what it was asked last, and the shard that it is at."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.answer: Any = actor.open.remote()
        self.question: Any = None  # how far it is
        self.asked = 0.0
        self.ready = False
        self.shard: int | None = None


class _Cast:
    """The actors of a run."""

    def __init__(self, ray: Any, board: Board, actor_class: Any, actors: int, work: str) -> None:
        self.ray, self.board, self.actor_class, self.actors, self.work = ray, board, actor_class, actors, work
        self.seats: list[_Seat] = []
        self.false_starts = 0

    def look(self) -> None:
        """Fill the seats, hand out shards, and hear what the actors say, for at most a moment."""
        idle = sum(seat.shard is None for seat in self.seats)
        for _ in range(min(self.actors - len(self.seats), self.board.open - idle)):
            self.seats.append(_Seat(self.actor_class.remote(str(self.board.job.store), self.work, self.board.job.own)))
        for seat in self.seats:
            if seat.ready and seat.shard is None and (shard := self.board.take()) is not None:
                seat.shard, seat.answer = shard, seat.actor.encode.remote(shard)
            elif seat.shard is not None and seat.question is None and time.monotonic() - seat.asked >= ASK:
                seat.asked, seat.question = time.monotonic(), seat.actor.so_far.remote()
        answers = {seat.answer: seat for seat in self.seats if seat.answer is not None}
        questions = {seat.question: seat for seat in self.seats if seat.question is not None}
        if not answers:
            time.sleep(LOOK)
            return
        done, _ = self.ray.wait([*answers, *questions], num_returns=1, timeout=LOOK, fetch_local=True)
        for reference in done:
            if reference in questions:
                self._hear_progress(questions[reference])
            else:
                self._hear(answers[reference])

    def _hear_progress(self, seat: _Seat) -> None:
        question, seat.question = seat.question, None
        with contextlib.suppress(self.ray.exceptions.RayError):  # it is dead, which its answer will say
            for message in self.ray.get(question):
                if message["kind"] == "note":
                    self.board.note(message["text"])
                elif seat.shard is not None and message["shard"] == seat.shard:
                    self.board.progress(seat.shard, message["files"], message["seconds"], message["failed"])

    def _hear(self, seat: _Seat) -> None:
        reference, seat.answer, shard = seat.answer, None, seat.shard
        seat.shard = None
        try:
            message = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            self._bury(seat, shard, error)
            return
        kind = message["kind"]
        if kind == "ready":
            seat.ready, self.false_starts = True, 0
        elif kind == "fatal":
            self.seats.remove(seat)
            self.board.halt(message["text"])
        elif kind == "done":
            self.board.done(report_from(message["report"]))
        elif kind == "failed" and shard is not None:
            self.board.failed(shard, message["text"], message["halt"])
        elif kind == "busy" and shard is not None:
            self.board.taken(shard, message["text"])

    def _bury(self, seat: _Seat, shard: int | None, error: BaseException) -> None:
        self.seats.remove(seat)
        how = type(error).__name__
        if shard is not None:
            self.board.lost(shard, how)
            return
        self.false_starts += 1
        if self.false_starts >= STARTS:
            self.board.halt(f"{STARTS} actors died before they could begin: {' '.join(str(error).split())}")

    def close(self) -> None:
        """End all actors; those in the middle of a shard stop at the next step."""
        busy = [seat for seat in self.seats if seat.shard is not None]
        with contextlib.suppress(self.ray.exceptions.RayError):
            for seat in busy:
                seat.actor.stop.remote()
            if busy:
                self.ray.wait([seat.answer for seat in busy], num_returns=len(busy), timeout=PATIENCE)
        for seat in self.seats:
            self.ray.kill(seat.actor)


def _gpus_of_an_actor(jobs: int, gpus: float | None, device: str) -> float:
    """What an actor takes of a GPU. Raises ValueError for numbers that cannot be."""
    if gpus is None:
        gpus = float(device.startswith("cuda"))
    if jobs < 0 or gpus < 0:
        raise ValueError(f"{jobs} actors of {gpus:g} GPUs: neither may be below 0")
    return gpus


def _address(address: str | None) -> str | None:
    """Where the cluster is; None for one of this machine alone, which is started."""
    address = address or os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address


@contextlib.contextmanager
def _cluster(address: str | None, gpus: float) -> Iterator[Any]:
    """Ray, connected. One that is started here has what `_this_machine` counts."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ImportError(_NO_RAY) from error
    if ray.is_initialized():  # the caller's own connection: it stays
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = _address(address)
    if address is None:
        has = _this_machine(gpus)
        options |= {"include_dashboard": False, "num_cpus": int(has["CPU"]), "num_gpus": int(has["GPU"])}
    ray.init(address=address or "local", **options)
    try:
        yield ray
    finally:
        ray.shutdown()


def _this_machine(gpus: float) -> dict[str, float]:
    """Its resources, as Ray names them. GPUs are counted where an actor takes some."""
    return {"CPU": float(cores()), "GPU": float(len(gpu_names()) if gpus else 0)}


def _machines(ray: Any) -> list[dict[str, float]]:
    """The resources of each machine of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fit(machines: list[dict[str, float]], jobs: int, gpus: float) -> int:
    """How many actors to start. Ray itself would wait for ever, and say nothing, for room that no machine has."""
    fits = sum(slots(machine, gpus) for machine in machines)
    if max(jobs, 1) > fits:
        wanted = f"{max(jobs, 1)} actors of {CPUS:g} CPU and {gpus:g} GPUs"
        raise ValueError(f"{wanted}: {_has(machines)}, room for {fits}")
    return jobs or fits


def _has(machines: list[dict[str, float]]) -> str:
    cpus, gpus = (sum(machine.get(name, 0.0) for machine in machines) for name in ("CPU", "GPU"))
    whose = f"the {len(machines)} machines have" if len(machines) != 1 else "the machine has"
    return f"{whose} {cpus:g} CPUs and {gpus:g} GPUs"


def _check_room(ray: Any, board: Board, jobs: int, gpus: float) -> int:
    """How many actors to start; says so where they will have to wait for others'."""
    machines = _machines(ray)
    actors = _fit(machines, jobs, gpus)
    if slots(ray.available_resources(), gpus) < min(actors, board.open):
        board.note(f"{_has(machines)}, some of which are taken: the actors wait for them")
    return actors


def slots(resources: dict[str, float], gpus: float) -> int:
    """How many actors of so many GPUs a machine of these resources holds."""
    wanted = (("CPU", CPUS), ("GPU", gpus))
    return min(int(resources.get(name, 0.0) / amount + 1e-6) for name, amount in wanted if amount > 0)
