"""`solfa store`: what is in a token store, whether it is whole, and what else is done with it."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import App, Parameter

from solfa.cli import report
from solfa.progress import Bar

app = App(
    name="store",
    help="Token stores: list, verify, merge, export, import, annotate\n\nExample: solfa store verify store/",
    help_format="plaintext",
)
Result = TypeVar("Result")
Out = Annotated[Path, Parameter(alias="-o")]


@app.command
def ls(
    store: str, /, *, shards: report.Flag = False, quarantined: report.Flag = False, json: report.Flag = False
) -> int:
    """What is in a store: a line an item

    Columns, with tabs between them: key, seconds, frames, split, captions, notes.

    Example:
        solfa store ls store/ | head
        solfa store ls store/ --quarantined

    Parameters
    ----------
    store
        A folder, or an address such as s3://bucket/store.
    shards
        A line a shard instead: its number, items, frames, bytes, and inputs that were left out.
    quarantined
        A line an input that was left out: its key, where it was, and why.
    json
        JSON lines, an object a line.
    """
    from solfa.tokenize_audio.store.columns import plain
    from solfa.tokenize_audio.store.store import TokenStore

    if shards and quarantined:
        raise report.UsageError(
            "--shards --quarantined: a line a shard, or a line an input that was left out: leave one away"
        )
    opened = TokenStore(store)

    def line(columns: tuple[Any, ...], record: dict[str, Any]) -> None:
        print(report.as_json(record) if json else "\t".join(map(_cell, columns)))

    if shards or quarantined:
        for shard in opened.manifests:
            if quarantined:
                for each in shard.quarantined:
                    line((each.key, each.source, each.reason), vars(each))
            else:
                facts = {"shard": shard.shard, "items": shard.items, "frames": shard.frames}
                facts |= {"bytes": shard.codes.bytes + shard.meta.bytes, "quarantined": len(shard.quarantined)}
                line(tuple(facts.values()), facts)
        return report.DONE
    for meta in opened.metas():
        frames = opened.head.frames_of(meta.samples)
        notes = None if meta.notes is None else len(meta.notes)
        line(
            (meta.key, round(meta.seconds, 3), frames, meta.split or None, len(meta.texts), notes),
            {**plain(meta), "frames": frames},
        )
    return report.DONE


@app.command
def verify(*stores: str, json: report.Flag = False) -> int:
    """Whether stores are whole: every byte of every file, and no file too many or too few

    Names each file with what is wrong with it; exit code 1 if there is one. A store that is being written to is not whole.

    Example:
        solfa store verify store/ s3://bucket/store

    Parameters
    ----------
    stores
        Folders, or addresses such as s3://bucket/store: all of it is fetched, a shard at a time, and nothing of it stays.
    json
        A JSON array on stdout, an object a store.
    """
    from solfa.tokenize_audio.store.verify import verify as check

    if not stores:
        raise report.UsageError("no input: name a token store")
    found, failed = [], False
    for store in stores:
        try:
            with _tidy():
                result = _with_progress("verify", lambda step, store=store: check(store, step))  # type: ignore[misc]
        except (ValueError, OSError) as error:
            failed = True
            report.fail(store, error)
            continue
        failed |= bool(result.problems)
        found.append(result)
        for problem in result.problems:
            report.say(problem)
        if not json:
            state = f"{len(result.problems)} problems" if result.problems else "whole"
            report.out(f"{store}: {state}; {result.shards} shards, {result.items} items, {result.bytes} bytes")
    if json:
        report.print_json(found)
    return report.FAILED if failed else report.DONE


@app.command
def merge(*stores: str, out: Out) -> int:
    """Several stores as one

    Of one codec with the same weights and codebooks, and no key twice. Codes are copied as they are; the stores stay.

    Example:
        solfa store merge a/ b/ -o both/

    Parameters
    ----------
    stores
        Folders, or addresses such as s3://bucket/store.
    out
        The new store.
    """
    from solfa.tokenize_audio.store.merge import merge as merge_stores

    if len(stores) < 2:
        raise report.UsageError("name two stores or more")
    found = _with_progress("merge", lambda step: merge_stores(stores, out, step))
    report.out(f"{out}: {found.shards} shards, {found.items} items, {found.frames} frames")
    return report.DONE


@app.command
def export(store: str, /, *, to: Literal["parquet", "webdataset", "hf"], out: Out) -> int:
    """A store for other programs: Parquet, WebDataset, Hugging Face datasets

    parquet: a file a shard, of which `solfa store import` makes the same store again. webdataset: a tar a shard, with a .npy and a
    .json an item. hf: a folder for datasets.load_dataset, or to be uploaded to the hub.

    Example:
        solfa store export store/ --to hf -o dataset/

    Parameters
    ----------
    store
        A folder, or an address such as s3://bucket/store.
    to
        The format.
    out
        The new folder.
    """
    from solfa.tokenize_audio.store.export import export as export_store

    found = _with_progress("export", lambda step: export_store(store, out, to, step))
    report.out(f"{out}: {found.items} items in {len(found.files)} files, {found.bytes} bytes")
    return report.DONE


@app.command(name="import")
def import_(folder: Path, /, *, out: Out) -> int:
    """A store of the Parquet files that `solfa store export` wrote

    Example:
        solfa store import parquet/ -o store/

    Parameters
    ----------
    folder
        The folder of the files.
    out
        The new store.
    """
    from solfa.tokenize_audio.store.export import from_parquet

    report.out(f"{out}: {from_parquet(folder, out)} items")
    return report.DONE


@app.command
def annotate(store: str, table: Path, /, *, add_texts: report.Flag = False, json: report.Flag = False) -> int:
    """Captions, attributes, notes and splits for a store that is there; codes stay as they are

    What a row says replaces what the store knew, attributes one by one; what it does not say stays. Rows of no item, and notes that cannot
    be read, are named, and the exit code is 1. So it is where `solfa tokenize` is at a shard that rows are of: what was done before stays,
    and the same command does the rest later.

    Example:
        solfa store annotate store/ captions.jsonl

    Parameters
    ----------
    store
        A folder of this machine: it is written to.
    table
        A manifest (.jsonl) or table (.csv, .tsv): id, file_name or key names the item; text, captions, attributes, notes, split.
    add_texts
        Captions are added to those that are there.
    json
        One JSON object on stdout.
    """
    from solfa.files import check_local
    from solfa.tokenize_audio.store.annotate import annotate as annotate_store
    from solfa.tokenize_audio.store.format import read_head
    from solfa.tokenize_audio.work.job import claim_shard, run_claim

    try:
        check_local(store)
    except ValueError as error:
        raise report.UsageError(str(error)) from error
    read_head(store)
    with run_claim(store):  # ranks hold it while they plan only, and then each shard that they are at
        hold = partial(claim_shard, store)
        found = _with_progress("annotate", lambda step: annotate_store(store, table, add_texts, step, hold))
    for key in found.unmatched:
        report.say(f"{key}: no item of {store}")
    for problem in found.problems:
        report.say(problem)
    if json:
        report.print_json(found)
    else:
        left = f", {len(found.unmatched)} keys match nothing" if found.unmatched else ""
        report.out(f"{store}: {found.matched} items, of which {found.changed} are changed{left}")
    return report.FAILED if found.unmatched or found.problems else report.DONE


def _with_progress(label: str, run: Callable[[Callable[[int, int], None]], Result]) -> Result:
    """What `run` gives; it is handed what to call after each shard."""
    with Bar(label, None) as bar:
        return run(lambda done, of: bar.advance(1, f"{done} of {of} shards"))


@contextmanager
def _tidy() -> Iterator[None]:
    """SIGTERM leaves by the way of an exception, on which temporary files go."""
    from solfa.parent import TERMINATED

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)
