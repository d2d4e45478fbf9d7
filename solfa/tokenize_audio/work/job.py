"""What there is to do: which recordings make which shard, with which codec; and what of it is done.

    STORE/.work/job.json             the job: codec, limits, shards
    STORE/.work/shards/00000.json    the recordings of a shard
    STORE/.work/shards/00000.redo    the shard is in the store and is to be made again: the keys of which the sound is encoded
    STORE/.work/shards/00000.left    size and time of the inputs that were left out of it
    STORE/.work/shards/00000.seen    path, size, time and hash of files that only their time or place told from what was encoded
    STORE/.work/before/00000.json    the manifest of the shard in the store, while another takes its place
    STORE/.work/kept/00000.*         a copy of that shard, of which the other has all that is not encoded

Readers of a store never look here. Shards are consecutive recordings: which ones depends on the list, on the sizes of its files and on
whether a GPU encodes them, never on how many processes do.
Once a recording has its shard it keeps it; what is new goes to new shards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from solfa.files import exhaustion, write_whole
from solfa.tokenize_audio.store.format import StoreHead, shard_paths
from solfa.tokenize_audio.work.locks import Claim
from solfa.tokenize_audio.work.sources import SourceItem

WORK = ".work"
VERSION = 1
ENCODER = "solfa blocks 1"  # how sound is cut and computed (see `codecs.codec`); another number, other codes
SHARD_ITEMS = 512
SHARD_BYTES = 4 << 30  # of the files together: a shard is begun again by whoever takes over from a dead process
TIMEOUT = 60.0
MEMORY = 2048
_ALWAYS = ("key", "source", "path")
Seen = tuple[str, int, int, str]  # path, size, time, hash


@dataclass(frozen=True)
class ShardPlan:
    """A shard's number, how many recordings it is made of, and their bytes."""

    index: int
    items: int
    bytes: int


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know; the recordings of a shard are read by `read_items`.

    store: its folder, absolute. codec: what `load_codec` takes; head: what its codes are, codebooks and weights among them. device:
    where it runs. timeout: seconds within which a file must give something to the decoder. memory: MiB that decoding may take.
    Raises ValueError for numbers out of range.
    """

    store: str
    codec: str
    head: StoreHead
    device: str = "cpu"
    timeout: float = TIMEOUT
    memory: int = MEMORY
    shards: tuple[ShardPlan, ...] = ()

    def __post_init__(self) -> None:
        for name, low, high in (("timeout", 0.1, 86_400), ("memory", 16, 1 << 24)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between {low} and {high}")

    @property
    def work(self) -> Path:
        """The folder of what is not the store."""
        return Path(self.store) / WORK

    @property
    def own(self) -> dict[str, Any]:
        """What is a run's own affair: runs that share the work may differ in it, on unlike machines. The last to plan wrote his down, so
        workers are told theirs."""
        return {"codec": self.codec, "device": self.device, "timeout": self.timeout, "memory": self.memory}

    def same_work(self, other: Job | None) -> bool:
        """Whether two runs have the same shards to make."""
        return other is not None and (self.store, self.head, self.shards) == (other.store, other.head, other.shards)

    @property
    def fingerprint(self) -> str:
        """Of the encoder, for the manifests: what codes depend on beside the codec's weights."""
        return f"{ENCODER}, {self.head.precision}, {self.device.partition(':')[0]}"

    @classmethod
    def load(cls, store: str | os.PathLike[str]) -> Job | None:
        """The job that was planned last for a store; None where there is none. Raises ValueError for one that cannot be read."""
        path = Path(store) / WORK / "job.json"
        try:
            data = json.loads(path.read_bytes())
            if data.pop("version") != VERSION:
                raise ValueError("of another version of solfa")
            shards = tuple(ShardPlan(**shard) for shard in data.pop("shards"))
            return cls(
                **{**data, "head": StoreHead(**data.pop("head")), "store": os.path.abspath(store)}, shards=shards
            )
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path}: cannot be read ({error}); without the folder {WORK} the work is planned anew"
            ) from error

    def save(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        write_whole(self.work / "job.json", json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n")


def run_claim(store: str | os.PathLike[str]) -> Claim:
    """The claim on a store, for who plans its work, or runs it alone: `with run_claim(store): ...` raises Locked where another has it."""
    return Claim(Path(store) / WORK / "claims" / "run", os.fspath(store))


def shard_claim(job: Job, index: int) -> Claim:
    """The claim on a shard, which `encode_shard` takes by itself."""
    return claim_shard(job.store, index)


def claim_shard(store: str | os.PathLike[str], index: int) -> Claim:
    """The same claim, for who changes what a shard says while others may make it again."""
    return Claim(Path(store) / WORK / "claims" / f"{index:05d}", f"{os.fspath(store)}: shard {index}")


def spool_path(job: Job, index: int) -> Path:
    """Where a shard is made."""
    return job.work / "spool" / f"{index:05d}"


def is_done(store: str | os.PathLike[str], index: int) -> bool:
    """Whether a shard is in the store, and not to be made again."""
    return shard_paths(store, index).manifest.exists() and not redo_path(store, index).exists()


def redo_path(store: str | os.PathLike[str], index: int) -> Path:
    return _shard_file(store, index, "redo")


def write_redo(store: str | os.PathLike[str], index: int, encode: Iterable[str]) -> None:
    """Have a shard made again: the sound of these keys is encoded, the rest is kept."""
    path = redo_path(store, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(sorted(encode)) + "\n")


def read_redo(store: str | os.PathLike[str], index: int) -> frozenset[str] | None:
    """The keys that are to be encoded of a shard that is made again; empty where it is not, None for all that there are."""
    try:
        keys = json.loads(redo_path(store, index).read_bytes())
    except FileNotFoundError:
        return frozenset()
    except ValueError:
        return None  # by an older version of solfa
    return frozenset(keys) if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else None


def read_seen(store: str | os.PathLike[str], index: int) -> dict[str, Seen]:
    """Of which files it is known, by key, what they hold though they are not where, or not of the time, that the store says."""
    try:
        rows = json.loads(_shard_file(store, index, "seen").read_bytes())
        return {key: (str(path), int(size), int(time), str(hashed)) for key, (path, size, time, hashed) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_seen(store: str | os.PathLike[str], index: int, seen: Mapping[str, Seen]) -> None:
    if seen:
        write_whole(_shard_file(store, index, "seen"), json.dumps(seen) + "\n")


def forget_shard(store: str | os.PathLike[str], index: int) -> None:
    """Remove what was planned of a shard, which is not in the store."""
    for ending in ("json", "redo", "left", "seen"):
        _shard_file(store, index, ending).unlink(missing_ok=True)


def read_items(store: str | os.PathLike[str], index: int) -> tuple[SourceItem, ...]:
    """The recordings of a shard, in the order that they have in it. Raises ValueError where they cannot be read."""
    path = _shard_file(store, index, "json")
    try:
        return tuple(_item(row) for row in json.loads(path.read_bytes()))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error


def write_items(store: str | os.PathLike[str], index: int, items: Sequence[SourceItem]) -> None:
    path = _shard_file(store, index, "json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps([_row(item) for item in items]) + "\n")


def read_left(store: str | os.PathLike[str], index: int) -> dict[str, tuple[int, int] | None]:
    """Size and time of the inputs that were left out of a shard, when they were; None: there was no file. Empty where nothing is known."""
    try:
        rows = json.loads(_shard_file(store, index, "left").read_bytes())
        return {key: None if stamp is None else (int(stamp[0]), int(stamp[1])) for key, stamp in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        if exhaustion(error):
            raise
        return {}


def write_left(store: str | os.PathLike[str], index: int, left: Mapping[str, tuple[int, int] | None]) -> None:
    path = _shard_file(store, index, "left")
    if left:
        write_whole(path, json.dumps(left) + "\n")
    else:
        path.unlink(missing_ok=True)


def stamp_of(path: str) -> tuple[int, int] | None:
    """Size and time of change, ns, of a file; None where there is none to be seen."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _shard_file(store: str | os.PathLike[str], index: int, ending: str) -> Path:
    return Path(store) / WORK / "shards" / f"{index:05d}.{ending}"


def _row(item: SourceItem) -> dict[str, Any]:
    """What a line says of an item: what it has in common with one of which nothing is known is left out."""
    plain = SourceItem(item.key, item.source, item.path)
    told = {each.name: getattr(item, each.name) for each in fields(item)}
    return {name: value for name, value in told.items() if name in _ALWAYS or value != getattr(plain, name)}


def _item(row: dict[str, Any]) -> SourceItem:
    notes = row.get("notes")
    if isinstance(notes, list):
        notes = tuple(map(tuple, notes))
    return SourceItem(**{**row, "texts": tuple(row.get("texts", ())), "notes": notes})
