"""One shard of the work, done by one process: from its recordings to a shard of the store."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from solfa.codecs.codec import Codec
from solfa.codecs.registry import load_codec
from solfa.files import exhaustion
from solfa.tokenize_audio.store.format import (
    Meta,
    Quarantined,
    ShardManifest,
    StoreHead,
    TokenStoreError,
    read_manifest,
    shard_paths,
    write_manifest,
)
from solfa.tokenize_audio.store.meta_file import MetaFile, check_row
from solfa.tokenize_audio.store.writer import write_shard
from solfa.tokenize_audio.work.attempts import MAX_DEATHS, Attempts
from solfa.tokenize_audio.work.decode import Decoder
from solfa.tokenize_audio.work.describe import meta_of
from solfa.tokenize_audio.work.encoding import Progress, ShardWork, plain_reason
from solfa.tokenize_audio.work.encoding_together import encode_together
from solfa.tokenize_audio.work.job import (
    Job,
    is_done,
    read_items,
    read_left,
    shard_claim,
    spool_path,
    stamp_of,
    write_left,
)
from solfa.tokenize_audio.work.kept import Kept, lay_aside, remove_kept
from solfa.tokenize_audio.work.locks import Claim
from solfa.tokenize_audio.work.report import ShardReport, Step, report_of
from solfa.tokenize_audio.work.sources import SourceItem
from solfa.tokenize_audio.work.spool import Record, Spool, remove_spool, spooled
from solfa.tokenize_audio.work.trial import try_apart

SILENCE = 600.0  # seconds, beyond a file's own limit, in which a trial must give some codes
BEFORE = "before"  # folder of the manifests of shards that are being made again
GPU_DEATHS = 2  # of workers with one file alone on a GPU, where there are no trials apart


def encode_shard(
    job: Job,
    index: int,
    codec: Codec | None = None,
    progress: Progress | None = None,
    decoder: Decoder | None = None,
) -> ShardReport:
    """Make shard number `index` of a job, or see that it is there and whole; what an earlier attempt had encoded is not encoded again.

    It depends on its arguments and the file system only: any process may do any shard, after any interruption, and the store's bytes are
    the same. codec: the job's, where the caller has it; else it is loaded. progress: called with a `Step` after every file, and within
    long ones; what it raises stops the work, as a signal does, and it can be resumed. decoder: of `make_decoder`, kept from shard to shard
    where the caller has one; else a process is started for the shard.

    Of a shard that was there before, what the plan does not have encoded is kept, codes and row, and so is what is not there to be encoded.

    An input that cannot be encoded is left out, and named with the reason in the shard's manifest. Raises TokenStoreError for a codec
    that is not the job's, Locked where another process is at the shard, or came to be while this one was held up, OSError where a disk
    says so and MemoryError.
    """
    items = read_items(job.store, index)
    with shard_claim(job, index) as claim:
        found = _whole(job, index)
        if found is not None:
            _clean(job, index)
            return replace(report_of(job.store, found), skipped=True)
        codec = _codec(job, codec)
        start = time.perf_counter()
        path = spool_path(job, index)
        kept = lay_aside(job, index)
        todo = [item for item in items if item.key not in kept.keys]
        with Spool(path, f"{job.head} {job.fingerprint}", job.head.codebooks, job.head.dtype) as spool:
            changed = _forget_changed(spool, todo)
            resumed = sum(record.reason is None for record in spool.records.values())
            attempts = Attempts(path, spool.records)
            try:
                work = ShardWork(job, index, codec, spool, attempts, _watched(claim, progress), decoder)
                _encode(work, todo)
                wall = time.perf_counter() - start
                kept.keys |= {item.key for item in todo if item.key in kept.rows and _missing(spool.records[item.key])}
                claim.check()
                manifest = _write(job, index, items, spool, kept)
                claim.check()
            except _TakenOver:
                claim.check()
                raise
            finally:
                attempts.close()
        _clean(job, index)
        return replace(
            report_of(job.store, manifest),
            resumed=resumed,
            changed=changed,
            kept=len(kept.metas),
            kept_seconds=float(sum(meta.seconds for meta in kept.metas)),
            encode_seconds=wall - work.waited,
            decode_seconds=work.waited,
        )


class _TakenOver(BaseException):
    """The claim is another's. Not an Exception: nobody on the way may take it for a fault of a file."""


def _watched(claim: Claim, progress: Progress | None) -> Progress:
    """`progress`, which stops the work when the claim is lost: two must not write to one spool."""

    def tell(step: Step) -> None:
        if claim.lost:
            raise _TakenOver
        if progress is not None:
            progress(step)

    return tell


def _whole(job: Job, index: int) -> ShardManifest | None:
    """The manifest of a shard that is done, when its files are what it says."""
    if not is_done(job.store, index):
        return None
    try:
        manifest = read_manifest(job.store, index)
        for file in (manifest.codes, manifest.meta):
            file.check(Path(job.store) / file.name)
    except TokenStoreError as error:
        if exhaustion(error):
            raise
        warnings.warn(f"{error}: shard {index} is made again", stacklevel=3)
        return None
    return manifest


def _codec(job: Job, codec: Codec | None) -> Codec:
    codec = load_codec(job.codec, job.device) if codec is None else codec
    head = StoreHead.of_codec(codec, min(job.head.codebooks, codec.codebooks))
    if head != job.head:
        raise TokenStoreError(
            f"{job.store}: the job is for {job.head.codec} (weights {job.head.weights_hash[:12] or 'none'}, "
            f"{job.head.codebooks} codebooks), the codec here is {codec.name} (weights {codec.weights_hash[:12] or 'none'}, "
            f"{codec.codebooks} codebooks)"
        )
    return codec


def _forget_changed(spool: Spool, items: Sequence[SourceItem]) -> tuple[str, ...]:
    """Have the files encoded again that are not what they were when an earlier attempt was done with them."""
    changed = []
    for item in items:
        record = spool.records.get(item.key)
        if record is not None and stamp_of(item.path) != _stamp(record):
            spool.forget(item.key)
            changed.append(item.key)
    return tuple(changed)


def _encode(work: ShardWork, items: Sequence[SourceItem]) -> None:
    by_key = {item.key: item for item in items}
    _try_suspects(work, [by_key[key] for key in work.attempts.suspects if key in by_key])
    todo = [item for item in items if item.key not in work.spool.records]
    if todo and work.codec.device.type != "cpu":
        encode_together(work, todo)
    else:
        work.encode(todo)


def _try_suspects(work: ShardWork, suspects: list[SourceItem]) -> None:
    """Those that were being worked on when a worker died, each alone: what kills again is left out."""
    apart = work.codec.device.type == "cpu"
    for item in suspects:
        deaths = work.attempts.suspects[item.key]
        if deaths >= (MAX_DEATHS if apart else GPU_DEATHS):
            work.refuse(item, f"{deaths} processes died while they encoded it")
            work.attempts.acquit(item.key)
            continue
        work.attempts.begin_trial(item.key)
        if apart:
            how = try_apart(
                lambda item=item: work.quiet().encode([item]),  # type: ignore[misc]
                lambda: work.spool.written,
                work.job.timeout + SILENCE,
            )
            work.spool.reload()
            if item.key in work.spool.records:
                work.over(item)
            elif how is not None:
                work.refuse(item, f"kills the process that encodes it ({how}), 2 times")
        else:
            work.encode([item])
        work.attempts.acquit(item.key)


def _write(job: Job, index: int, items: Sequence[SourceItem], spool: Spool, kept: Kept) -> ShardManifest:
    told, rewrites = _annotated(job, index)
    before = {
        key: stamp for key, stamp in read_left(job.store, index).items() if key in kept.keys & kept.refused.keys()
    }
    while True:
        fresh = [spool.records[item.key] for item in items if item.key not in kept.keys]
        write_left(job.store, index, before | {each.key: _stamp(each) for each in fresh if each.reason is not None})
        quarantined = list(_quarantined(items, spool, kept))
        encoder = kept.encoders(job.fingerprint, any(each.reason is None for each in fresh))
        try:
            rows = _rows(items, spool, told, kept)
            return write_shard(job.store, index, job.head, rows, quarantined, encoder, rewrites)
        except _Undescribed as error:  # its notes were removed since it was encoded
            spool.refuse(error.key, plain_reason(str(error)), spool.records[error.key].source)


class _Undescribed(Exception):
    """What is said of an item cannot be kept."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def _quarantined(items: Sequence[SourceItem], spool: Spool, kept: Kept) -> Iterator[Quarantined]:
    for item in items:
        if item.key in kept.keys:
            if item.key in kept.refused:
                yield kept.refused[item.key]
        elif (reason := spool.records[item.key].reason) is not None:
            yield Quarantined(item.key, item.source, reason)


def _missing(record: Record) -> bool:
    """Whether a file was not there to be encoded."""
    return record.reason is not None and record.source is None


def _stamp(record: Record) -> tuple[int, int] | None:
    """Size and time of what a record was made of; None where there was no file."""
    return None if record.source is None else (record.source.bytes, record.source.time)


def _rows(
    items: Sequence[SourceItem], spool: Spool, told: Mapping[str, Meta], kept: Kept
) -> Iterator[tuple[Meta, np.ndarray]]:
    for item in items:
        if item.key in kept.keys:
            if item.key in kept.rows:
                yield kept.rows[item.key]
            continue
        record = spool.records[item.key]
        if record.source is not None and record.reason is None:
            try:
                meta = meta_of(item, record, told.get(item.key))
                check_row(meta)
            except ValueError as error:
                raise _Undescribed(item.key, str(error)) from error
            yield meta, spool.codes(record)


def _annotated(job: Job, index: int) -> tuple[dict[str, Meta], int]:
    """What was said of the items of an older shard after it had been encoded, and the `rewrites` of the table that it goes to: that stays,
    however often the shard is made again.

    The old manifest is laid aside: where an attempt ends after that one is gone and before the new one is there, the next still finds
    which table was the old shard's.
    """
    paths, aside = shard_paths(job.store, index), job.work / BEFORE
    try:
        if paths.manifest.exists():
            aside.mkdir(exist_ok=True)
            write_manifest(aside, read_manifest(job.store, index))
        elif not shard_paths(aside, index).manifest.exists():
            return {}, 0
        manifest = read_manifest(aside, index)
        if not manifest.rewrites:
            return {}, 0
        metas = MetaFile(Path(job.store) / manifest.meta.name, manifest.items).metas()
        return {meta.key: meta for meta in metas}, manifest.rewrites + 1
    except TokenStoreError as error:
        if exhaustion(error):
            raise
        warnings.warn(f"{error}: annotations of shard {index} are lost", stacklevel=4)
        return {}, 0


def _clean(job: Job, index: int) -> None:
    """What is there besides, when the shard is."""
    remove_kept(job, index)
    shard_paths(job.work / BEFORE, index).manifest.unlink(missing_ok=True)
    path = spool_path(job, index)
    if spooled(path):
        remove_spool(path)
    path.with_suffix(".suspects").unlink(missing_ok=True)
