"""The process that encodes: `python -m solfa.tokenize_audio.engines.worker STORE WORK OWN`, a line in a shard, lines of JSON out.

It reads numbers of shards from stdin and says on stdout what becomes of them. When stdin ends, whoever gave it work is gone (a process
that is killed closes its pipes): it stops at once, so that no worker outlives a run.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from solfa.parent import TERMINATED, unwind

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec
    from solfa.tokenize_audio.work.report import ShardReport, Step

WORK = "solfa.tokenize_audio.work.shard:encode_shard"  # what a worker calls: module:function

EncodeShard = Callable[..., "ShardReport"]


class Bench:
    """What one worker needs for any shard: the job, its codec, loaded once, a decoding process, and the function that does the work.

    own: what is this run's own of the job (`Job.own`), whatever another run has written down.
    Raises ValueError where the store has no job, or the codec is not the one that the job was planned with.
    """

    def __init__(self, store: str, work: str = WORK, own: Mapping[str, Any] = MappingProxyType({})) -> None:
        import torch

        from solfa.codecs.registry import load_codec
        from solfa.tokenize_audio.work.encoding import make_decoder
        from solfa.tokenize_audio.work.job import Job

        module, _, name = work.partition(":")
        self.encode_shard: EncodeShard = getattr(import_module(module), name)
        job = Job.load(store)
        if job is None:
            raise ValueError(f"{store}: no job is planned there, or this machine does not see the folder")
        self.job = job = replace(job, **own)
        torch.set_num_threads(1)
        self.codec: Codec = load_codec(job.codec, job.device)
        job.head.check_codec(self.codec, store)
        self.decoder = make_decoder(job, self.codec)

    def run(self, shard: int, progress: Callable[[Step], None]) -> dict[str, Any]:
        """Encode a shard. Gives a message: {"kind": "done", "report": ...}, or "failed", or "busy" where another process has the shard."""
        from solfa.tokenize_audio.work.locks import Locked

        try:
            report = self.encode_shard(self.job, shard, self.codec, progress, self.decoder)
            return {"kind": "done", "report": asdict(report)}
        except Locked as error:
            return {"kind": "busy", "text": str(error)}
        except Exception as error:
            return {"kind": "failed", **told(error)}


def counted(step: Step) -> dict[str, Any]:
    """A step as a message."""
    failed = int(step.done and step.reason is not None)
    return {"kind": "progress", "files": int(step.done), "seconds": step.seconds, "failed": failed}


def told(error: BaseException) -> dict[str, Any]:
    """An error as one line. halt: it is one that the next shard would meet too: of the machine, or of the store as a whole."""
    words = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif not isinstance(error, (OSError, ValueError)):
        words = f"{type(error).__name__}: {words}"
    return {"text": " ".join(words.split()), "halt": isinstance(error, (OSError, ValueError))}


def main(store: str, work: str, own: str = "{}") -> None:
    """Load the codec, say ready, and encode the shards that stdin names until it ends; what goes wrong is said, never raised."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no message
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with lock:
            print(json.dumps(message), file=out, flush=True)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, _leave)
    tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    warnings.showwarning = lambda message, *_, **__: say({"kind": "note", "text": " ".join(str(message).split())})
    try:
        bench = Bench(store, work, json.loads(own))
    except Exception as error:
        say({"kind": "fatal", **told(error)})
        return
    say({"kind": "ready"})
    for shard in iter(tasks.get, None):
        say(bench.run(shard, lambda step: say(counted(step))))


def _listen(tasks: queue.SimpleQueue[int]) -> None:
    for line in sys.stdin:
        tasks.put(int(line))
    unwind()  # the main thread blames no file for it


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: what tidies up is not interrupted
    sys.exit(TERMINATED)


def report_from(document: dict[str, Any]) -> ShardReport:
    """The report that a worker has sent."""
    from solfa.tokenize_audio.work.report import Failure, ShardReport

    failures = tuple(Failure(**entry) for entry in document["quarantined"])
    return ShardReport(**{**document, "quarantined": failures, "changed": tuple(document["changed"])})


if __name__ == "__main__":
    main(*sys.argv[1:])
