"""`solfa tokenize`: a corpus to a token store."""

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from solfa.cli import load, report
from solfa.cli.report import DONE, UsageError, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from solfa.tokenize_audio.status import Status, Summary
    from solfa.tokenize_audio.work.plan import Plan

Engine = Literal["local", "ray", "ranks"]
STATUS = "status.json"
NAMED = 100  # failed files that are named one by one; --json names all


def tokenize(
    *sources: str,
    out: Annotated[Path, Parameter(alias="-o")],
    codec: str = "solfa-24khz",
    codebooks: int | None = None,
    engine: Engine = "local",
    jobs: Annotated[int | None, Parameter(alias="-j")] = None,
    device: report.Device = "auto",
    address: str | None = None,
    gpus: float | None = None,
    rank: int | None = None,
    world: int | None = None,
    shard_items: int | None = None,
    timeout: float = 60.0,
    json: report.Flag = False,
    retry: report.Flag = False,
    dry_run: report.Flag = False,
) -> int:
    """A corpus to a token store: folders, lists, manifests -> STORE/

    Audio of any length and format. What is killed goes on where it was when the command is given again, and ends with the same bytes,
    for any number of jobs and any engine; new and changed files are added the same way. Files that cannot be read are left out, and
    named at the end. How far it is stands in STORE/status.json.

    For example:
        solfa tokenize recordings/ -o store
        find music -name "*.flac" | solfa tokenize - -o store
        solfa tokenize corpus.jsonl -o store --codebooks 4 -j 16
        solfa tokenize corpus.jsonl -o store --engine ray --address auto
        srun --ntasks 32 solfa tokenize corpus.jsonl -o store --engine ranks

    Parameters
    ----------
    sources
        Folders (searched through), files, patterns such as "in/**/*.flac", @list.txt, - (a list on stdin), or a manifest .jsonl, whose
        texts, attributes, notes and splits go into the store.
    out
        The store: a folder, new or to be added to.
    codec
        A name that `solfa models` lists, or a checkpoint folder.
    codebooks
        How many codebooks to keep, from the first; all by default.
    engine
        local: processes of this machine. ray: actors of a Ray cluster. ranks: this is one of several commands that share the
        work by the file system, as tasks of Slurm or torchrun.
    jobs
        Files are encoded in so many processes (ray: actors) of one thread. By default local has one a core, or one a GPU,
        ray as many as fit, and ranks one a rank. 0 is one a core.
    device
        Where the codec runs; auto takes CUDA if it is there.
    address
        ray: the cluster's address; auto is the one that runs here. By default one of this machine alone is started.
    gpus
        ray: what an actor takes of a GPU, such as 0.5; 1 by default with --device cuda.
    rank
        ranks: which of --world this is, from 0. By default from the variables of torchrun (RANK), srun or a Slurm array.
    world
        ranks: how many there are.
    shard_items
        At most so many recordings a shard, of those that are new to the store; a shard is what one process takes. By default a 64th
        of them, but 4 to 512 (on a GPU 512), and fewer where they are long and in the last shards.
    timeout
        Seconds that the reader of a file may be silent before the file counts as hung.
    retry
        Try the files once more that were left out before, though they are as they were.
    json
        The summary as JSON on stdout, with all files that failed.
    dry_run
        Say what would be done, and write nothing.
    """
    from solfa.files import check_local
    from solfa.tokenize_audio.engines.ranks import find_rank
    from solfa.tokenize_audio.work.plan import check_any
    from solfa.tokenize_audio.work.sources import find_sources

    _check_options(engine, {"--address": address, "--gpus": gpus}, {"--rank": rank, "--world": world}, jobs)
    # A cluster may have the GPUs that this machine lacks.
    place = device if engine == "ray" and device == "cuda" else report.device(device)
    found = load.checked_codec(codec, "cpu", codebooks)
    try:
        seat = find_rank(rank, world) if engine == "ranks" else (0, 1)
        check_local(out)
        items = find_sources(sources)
        check_any(items, out)
    except ValueError as error:
        raise UsageError(str(error)) from error

    def look(write: bool, retry: bool = retry and engine != "ranks") -> "Plan":
        from solfa.tokenize_audio.work.plan import plan

        limits = {"codebooks": codebooks, "shard_items": shard_items, "timeout": timeout, "device": place}
        how = {"retry": retry, "write": write, "shared": engine == "ranks"}
        try:
            return plan(items, out, found, _absolute(codec), **how, **limits)  # type: ignore[arg-type]
        except ValueError as error:
            raise UsageError(str(error)) from error

    if dry_run:
        planned = look(False, retry)
        _tell_plan(planned, json)
        return DONE
    if engine == "ranks":
        again = partial(look, True, True) if retry else None
        summary = _as_rank(out, look, again, *seat, 1 if jobs is None else jobs)
    else:
        with _room(engine, place, jobs or 0, address, gpus):
            summary = _alone(out, look, engine, jobs or 0, address, gpus)
    _tell(summary, json)
    return summary.exit_code


def _check_options(engine: str, of_ray: dict[str, object], of_ranks: dict[str, object], jobs: int | None) -> None:
    """Raises UsageError for options that the engine has no use for."""
    for home, options in (("ray", of_ray), ("ranks", of_ranks)):
        given = [name for name, value in options.items() if value is not None]
        if given and engine != home:
            raise UsageError(f"{' and '.join(given)}: for --engine {home}, and this is --engine {engine}")
    if jobs is not None and jobs < 0:
        raise UsageError(f"-j {jobs}: at least 0 (0 is one a core, or one a GPU)")


def _absolute(codec: str) -> str:
    """The codec by what its workers find it by, wherever they run: a name stays a name."""
    from solfa.codecs.registry import list_codecs

    named = any(entry.name == codec for entry in list_codecs())
    return codec if named or not Path(codec).exists() else str(Path(codec).resolve())


@contextlib.contextmanager
def _room(engine: str, device: str, jobs: int, address: str | None, gpus: float | None) -> "Iterator[None]":
    """Around all that is planned and done: raises UsageError where there is no room for so many actors."""
    from solfa.tokenize_audio.engines import ray

    with contextlib.ExitStack() as stack:
        if engine == "ray":
            try:
                stack.enter_context(ray.room(device, jobs, address, gpus))
            except ValueError as error:
                raise UsageError(str(error)) from error
        yield


def _alone(
    out: Path, look: "Callable[[bool], Plan]", engine: str, jobs: int, address: str | None, gpus: float | None
) -> "Summary":
    """The engines that have the store to themselves."""
    from solfa.tokenize_audio.engines import local, ray
    from solfa.tokenize_audio.work.job import WORK, run_claim

    new = not out.exists()
    try:
        with run_claim(out):
            planned = look(True)
            with _status("tokenize", planned, out / STATUS) as status:
                if engine == "local":
                    return local.run(planned, jobs, status)
                try:
                    return ray.run(planned, jobs, status, address=address, gpus=gpus)
                except ValueError as error:
                    raise UsageError(str(error)) from error
    except UsageError:
        # The claim had made folders: what is no store is left as it was.
        for folder in (out / WORK / "claims", out / WORK, *([out] if new else [])):
            with contextlib.suppress(OSError):
                folder.rmdir()  # empty ones only
        raise


def _as_rank(
    out: Path,
    look: "Callable[[bool], Plan]",
    retry: "Callable[[], Plan] | None",
    rank: int,
    world: int,
    jobs: int,
) -> "Summary":
    """One of several that share the store. All but the first have their status in the folder of the work."""
    from solfa.tokenize_audio.engines import ranks

    planned = ranks.plan_together(out, look, retry, (rank, world))
    file = planned.job.work / f"status-{rank:05d}.json" if rank else out / STATUS
    with _status(f"tokenize, rank {rank} of {world}", planned, file) as status:
        return ranks.run(planned, rank, world, jobs, status)


def _status(name: str, planned: "Plan", file: Path) -> "Status":
    from solfa.tokenize_audio.status import Status

    say(_plan_line(planned))
    return Status(name, sum(shard.items for shard in planned.job.shards), len(planned.job.shards), file)


def _plan_line(planned: "Plan") -> str:
    shards = planned.job.shards
    todo = set(planned.todo)
    files = sum(shard.items for shard in shards if shard.index in todo)
    parts = [f"{len(todo)} of {len(shards)} shards to do, {files} files"]
    parts += [f"{planned.new} new"] if planned.new and planned.new != files else []
    parts += [f"{len(planned.earlier)} of an earlier command ({_some(planned.earlier)})"] if planned.earlier else []
    parts += [f"{len(planned.changed)} changed"] if planned.changed else []
    parts += [f"{len(planned.damaged)} shards damaged"] if planned.damaged else []
    parts += [f"{planned.retold} described otherwise now: solfa store annotate"] if planned.retold else []
    return f"{planned.job.store}: {', '.join(parts)}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")


def _tell_plan(planned: "Plan", json: bool) -> None:
    if json:
        job = planned.job
        facts = {"store": job.store, "shards": len(job.shards), "files": sum(shard.items for shard in job.shards)}
        kinds = {"todo": planned.todo, "new": planned.new, "changed": planned.changed, "damaged": planned.damaged}
        report.print_json({**facts, **kinds})
    else:
        report.out(_plan_line(planned))


def _tell(summary: "Summary", json: bool) -> None:
    """The failures on stderr, the rest on stdout."""
    from solfa.progress import duration
    from solfa.tokenize_audio.status import summary_json

    for entry in summary.failed[:NAMED]:
        report.fail(entry.source or entry.key, entry.reason)
    if len(summary.failed) > NAMED:
        say(f"and {len(summary.failed) - NAMED} files more that failed: --json names them")
    for problem in summary.problems[:NAMED]:
        report.fail(f"{summary.store}: shard {problem.shard}", problem.reason)
    if summary.halted:
        report.fail(summary.store, summary.halted)
    if json:
        report.print_json(summary_json(summary))
        return
    holds = f"{summary.shards_done} of {summary.shards} shards, {summary.items} items, {summary.seconds / 3600:.2f} h"
    speed = f"{summary.encoded} encoded now in {duration(summary.elapsed)}, {summary.real_time_factor:.1f}x real time"
    failed = f", {len(summary.failed)} failed" if summary.failed else ""
    report.out(f"{summary.store}: {holds}; {speed}{failed}")
    if summary.elsewhere:
        say(f"{summary.elsewhere} shards are for other ranks to do")
    if summary.shards_done + summary.elsewhere < summary.shards:
        say("the same command goes on from here")
