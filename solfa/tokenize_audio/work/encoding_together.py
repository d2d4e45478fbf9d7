"""The files of a shard on a GPU: windows of many at once, in batches of one fixed shape (see `codecs.device_batch`)."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import Full, Queue

import torch
from torch import Tensor

from solfa.codecs.codec import Codec
from solfa.codecs.device_batch import DeviceBatch
from solfa.codecs.vqvae import VQVAE
from solfa.parent import cores
from solfa.tokenize_audio.work.decode import BadSound, Decoder, DecoderDied, Sound, SourceStamp
from solfa.tokenize_audio.work.encoding import ShardWork, ahead, reason_of
from solfa.tokenize_audio.work.sources import SourceItem

LANES = 64  # windows in a batch
LONGEST = 300.0  # seconds of a file that is held whole; a longer one is encoded window after window, by itself
MOST_DECODERS = 16


@dataclass(frozen=True)
class Ready:
    """A file that was decoded: its sound [C, S] at the codec's rate, or the reason that there is none; neither: it is a long one."""

    item: SourceItem
    sound: Tensor | None = None
    stamp: SourceStamp | None = None
    seconds: float = 0.0
    reason: str | None = None


def encode_together(work: ShardWork, items: Sequence[SourceItem]) -> None:
    """As `ShardWork.encode`, with the windows of `LANES` files at a time, whatever their lengths.

    Where the GPU's memory does not hold them there are half as many at a time, which is said. A codec that has no batches of windows, and
    files of more than `LONGEST` seconds, go one after another.
    """
    lanes = LANES
    try:
        batch = _batch(work.codec, lanes)
    except ValueError:
        warnings.warn(f"{work.codec.name} has no batches of windows: its files go one after another", stacklevel=2)
        work.encode(items)
        return
    with _Feed(work, items) as feed:
        again: list[Ready] = []
        while True:
            held: dict[int, Ready] = {}
            try:
                for coded in batch.encode(_sounds(work, feed, again, held), work.job.head.codebooks):
                    _keep(work, held.pop(coded.index), coded.data)
                break
            except torch.OutOfMemoryError:
                if lanes == 1:
                    raise
                lanes //= 2
            warnings.warn(
                f"the GPU's memory does not hold {2 * lanes} files: {lanes} are encoded at a time", stacklevel=2
            )
            again = [*held.values(), *again]
            del batch
            torch.cuda.empty_cache()
            batch = _batch(work.codec, lanes)
    work.encode(feed.long)


def _batch(codec: Codec, lanes: int) -> DeviceBatch:
    """Raises ValueError for a codec that has none."""
    if not isinstance(codec, VQVAE):
        raise ValueError(f"{codec.name} is no VQVAE")
    return DeviceBatch(codec, codec.device, lanes)


def _sounds(work: ShardWork, feed: _Feed, again: list[Ready], held: dict[int, Ready]) -> Iterator[Tensor]:
    """The sounds, those of a batch that was too large first; held: those that are not done with, by their place."""
    number = 0
    while (ready := again.pop(0) if again else feed.next()) is not None:
        if ready.reason is not None:
            work.refuse(ready.item, ready.reason)
        elif ready.sound is None:
            feed.long.append(ready.item)
        else:
            held[number] = ready
            number += 1
            yield ready.sound


def _keep(work: ShardWork, ready: Ready, codes: Tensor) -> None:
    assert ready.sound is not None and ready.stamp is not None
    work.spool.begin()
    work.spool.add(codes.numpy())
    work.spool.commit(ready.item.key, ready.stamp, ready.sound.shape[-1], ready.seconds)
    work.step(ready.item, ready.seconds, done=True)


class _Feed:
    """Decoding processes, each with a thread that brings its sound to the codec's rate. long: files for later."""

    def __init__(self, work: ShardWork, items: Sequence[SourceItem]) -> None:
        self._work = work
        self.long: list[SourceItem] = []
        count = min(MOST_DECODERS, cores(), len(items))
        good = list(work.described(items))
        self._queue: Queue[Ready | BaseException | None] = Queue(2 * count)
        self._stop = threading.Event()
        self._running = count
        self._threads = [threading.Thread(target=self._run, args=(good[i::count],), daemon=True) for i in range(count)]

    def __enter__(self) -> _Feed:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def next(self) -> Ready | None:
        """The next file, in the order in which they come; None after the last."""
        while self._running:
            found = self._work.waiting(self._queue.get)
            if isinstance(found, BaseException):
                raise found
            if found is not None:
                return found
            self._running -= 1
        return None

    def _run(self, items: list[SourceItem]) -> None:
        try:
            with self._work.decoder() as decoder:
                for item in ahead(decoder, iter(items)):
                    self._work.attempts.begin(item.key)
                    ready = None
                    while ready is None:
                        if self._stop.is_set():
                            return
                        ready = self._read(decoder, item)
                    self._put(ready)
            self._put(None)
        except BaseException as error:  # raised again by `next`
            self._put(error)

    def _read(self, decoder: Decoder, item: SourceItem) -> Ready | None:
        """None where the decoder died, once: it is to be asked again."""
        codec, sound = self._work.codec, None
        try:
            sound = decoder.sound()
            parts, size = [], 0
            for part in self._work.fitted(sound, _tensors(sound)):
                parts.append(part.clone())
                size += part.shape[-1]
                if size > LONGEST * codec.sample_rate:
                    sound.drop()
                    return Ready(item)
                if self._stop.is_set():
                    return None
            if not size:
                return Ready(item, reason="holds no samples")
            return Ready(item, torch.cat(parts, -1), sound.stamp, sound.seconds)
        except DecoderDied:
            return None
        except BadSound as error:
            return Ready(item, reason=str(error))
        except (ValueError, RuntimeError) as error:
            if sound is not None:
                sound.drop()
            return Ready(item, reason=reason_of(error, codec))

    def _put(self, found: Ready | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(found, timeout=0.1)
                return
            except Full:
                continue


def _tensors(sound: Sound) -> Iterator[Tensor]:
    for block in sound.blocks():
        yield torch.from_numpy(block)
