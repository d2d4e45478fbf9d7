"""The files of one shard to codes, one after another, decoded ahead; bad ones are left out with the reason."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from solfa.codecs.codec import Codec
from solfa.progress import on_a_line
from solfa.tokenize_audio.store.meta_file import check_row
from solfa.tokenize_audio.work.attempts import Attempts
from solfa.tokenize_audio.work.decode import BadSound, Decoder, DecoderDied, Sound, SourceStamp
from solfa.tokenize_audio.work.describe import meta_of
from solfa.tokenize_audio.work.job import Job, stamp_of
from solfa.tokenize_audio.work.report import Step
from solfa.tokenize_audio.work.sources import SourceItem
from solfa.tokenize_audio.work.spool import Spool

STEP = 1.0  # seconds of wall time between two steps within a file
LONGEST_REASON = 500  # letters
Progress = Callable[[Step], None]
T = TypeVar("T")


def make_decoder(job: Job, codec: Codec) -> Decoder:
    """The decoding process for a job: it gives sound as the codec takes it, as far as that needs no torch."""
    rate = codec.sample_rate if codec.resampler == "soxr" else None
    return Decoder(job.timeout, job.memory, mono=codec.channels == 1, rate=rate)


class ShardWork:
    """What it takes to encode the files of a shard. decoder: the caller's, which is kept; None: one is started for it. waited: seconds
    that the codec had to wait for sound."""

    def __init__(
        self,
        job: Job,
        index: int,
        codec: Codec,
        spool: Spool,
        attempts: Attempts,
        progress: Progress | None,
        decoder: Decoder | None = None,
    ) -> None:
        self._kept = decoder
        self.job, self.index, self.codec, self.spool, self.attempts = job, index, codec, spool, attempts
        self._progress = progress
        self._told = time.monotonic()
        self._seconds = 0.0  # of sound that no step has told of
        self.waited = 0.0

    def quiet(self) -> ShardWork:
        """The same, without a word and with a decoder of its own: for a process apart."""
        self._progress = self._kept = None
        return self

    def decoder(self) -> Decoder:
        return make_decoder(self.job, self.codec)

    def encode(self, items: Sequence[SourceItem]) -> None:
        """One after another: each file's codes go to the spool as they come, in bounded memory. The next file is decoded meanwhile.

        Raises OSError where the disk says so and MemoryError; what is wrong with a file goes to the spool.
        """
        with self._decoding() as decoder:
            for item in ahead(decoder, self.described(items)):
                while self._tried(decoder, item):
                    pass

    @contextmanager
    def _decoding(self) -> Iterator[Decoder]:
        if self._kept is None:
            with self.decoder() as decoder:
                yield decoder
            return
        try:
            yield self._kept
        except BaseException:
            self._kept.close()  # who knows what it was asked for
            raise

    def described(self, items: Sequence[SourceItem]) -> Iterator[SourceItem]:
        """The items of which the store can hold what is said; the others are refused."""
        for item in items:
            try:
                check_row(meta_of(item))
            except ValueError as error:
                self.refuse(item, str(error))
                continue
            yield item

    def refuse(self, item: SourceItem, reason: str) -> None:
        """Leave a file out."""
        plain = plain_reason(reason)
        stamp = stamp_of(item.path)
        self.spool.refuse(item.key, plain, None if stamp is None else SourceStamp(*stamp, ""))
        self.step(item, 0.0, done=True, reason=plain)

    def over(self, item: SourceItem) -> None:
        """A file that was encoded by another process."""
        self.step(item, self.spool.records[item.key].seconds, done=True, reason=self.spool.records[item.key].reason)

    def step(self, item: SourceItem, seconds: float, done: bool = False, reason: str | None = None) -> None:
        """Say how far it is, now and then."""
        self._seconds += seconds
        if self._progress and (done or time.monotonic() - self._told > STEP):
            told, self._seconds, self._told = self._seconds, 0.0, time.monotonic()
            self._progress(Step(self.index, item.key, told, done, reason))

    def _tried(self, decoder: Decoder, item: SourceItem) -> bool:
        """Encode the decoder's first file. True: its decoder died, once; it is to be tried again."""
        self.attempts.begin(item.key)
        sound: Sound | None = None
        before = self._seconds
        try:
            sound = self.waiting(decoder.sound)
            self._stream(item, sound)
        except DecoderDied:
            self._seconds = before
            return True
        except BadSound as error:
            self.refuse(item, str(error))
        except (ValueError, RuntimeError) as error:
            if sound is not None:
                sound.drop()
            self.refuse(item, reason_of(error, self.codec))
        except BaseException:
            if sound is not None:
                sound.drop()
            raise
        return False

    def _stream(self, item: SourceItem, sound: Sound) -> None:
        samples = 0

        def parts() -> Iterator[Tensor]:
            nonlocal samples
            for part in self.fitted(sound, self._blocks(sound)):
                samples += part.shape[-1]
                yield part

        self.spool.begin()
        for block in self.codec.encode_parts(parts(), self.job.head.codebooks):
            self.spool.add(block.tokens.numpy())
            self.step(item, block.tokens.shape[-1] / self.codec.frame_rate)
        self.spool.commit(item.key, sound.stamp, samples, sound.seconds)
        self.step(item, 0.0, done=True)

    def fitted(self, sound: Sound, blocks: Iterator[Tensor]) -> Iterator[Tensor]:
        """The blocks [C, n] of a file as the codec takes them."""
        if sound.mixed:
            warnings.warn(f"{self.codec.name} is mono: the channels of the input are averaged", stacklevel=2)
        yield from self.codec.fit(blocks, sound.sample_rate)

    def _blocks(self, sound: Sound) -> Iterator[Tensor]:
        blocks = sound.blocks()
        while (block := self.waiting(lambda: next(blocks, None))) is not None:
            yield torch.from_numpy(block)

    def waiting(self, take: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return take()
        finally:
            self.waited += time.perf_counter() - start


def ahead(decoder: Decoder, items: Iterator[SourceItem]) -> Iterator[SourceItem]:
    """The items, each when the decoder has been asked for it and for the one after it."""
    waiting: SourceItem | None = None
    for item in items:
        decoder.ask(item.path)
        if waiting is not None:
            yield waiting
        waiting = item
    if waiting is not None:
        yield waiting


def plain_reason(text: str) -> str:
    """A reason as a manifest holds it: a line that a terminal can be shown."""
    return on_a_line(" ".join(text.split())[:LONGEST_REASON])


def reason_of(error: Exception, codec: Codec) -> str:
    """Why a file cannot be encoded. What is not the file's fault is raised again."""
    text = str(error).partition("\n")[0]
    if isinstance(error, RuntimeError):
        if "memory" in text:
            raise MemoryError(f"{codec.name} cannot be run: {text}") from error
        if codec.device.type != "cpu" or not text:
            raise error  # a GPU that fails fails for every file
        return f"{codec.name} fails on it ({text})"
    return text
