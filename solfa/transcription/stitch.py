"""Recordings of any length, heard segment by segment: codes as they come, notes as they end, in memory that does not grow.

Segments lie on a fixed grid, counted from the start of the recording, so what is found does not depend on the pieces in which codes came;
a stream and a file are read by the same class. The last segment is filled up with padding that is not heard.

Segments overlap, and each speaks for its middle, so that every frame has sound on both sides of it; the first begins in silence before the
recording, without which what is struck at its very start would seem to sound on from before.

Frames (`FrameStitcher`): notes are named segment by segment, those of a later one after those of an earlier one have said who plays
(`Cast`).

Events (`EventStitcher`): the parts that segments speak for follow one another. What sounds at the end of one goes on in the next if its tie
section says so.
"forced" writes that section down for it, from what sounds (MuScriptor's prelude forcing, arXiv 2607.08168): no note is lost or made up at a
seam. "matched" lets each segment say by itself what goes on, as MT3 (Gardner et al., 2021), and keeps what agrees. Forced segments seem to
have to wait for each other; but several are first written side by side without being forced, and where one began as it would have been
forced to, it stands: with the ids of its beginning the rest is what it would have been. Only the others are written again.

Segments in which the codec hears digital silence hold no notes; the model is not asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.score.note import Note
from solfa.transcription.cast import Cast
from solfa.transcription.decoding import USUAL, DecodingOptions, DecodingResult, Task, decode, seed_of
from solfa.transcription.frames import DRUMS, INSTRUMENTS, TENSORS, FrameOptions, FrameOutputs, FrameReader
from solfa.transcription.heard import Heard
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.reading import Dropped, EventReader
from solfa.transcription.segments import PedalSpan, Segment

Source = Callable[[Tensor, list[int]], Tensor]  # codes [B, K, T], and frames of each, to what the model hears of them
Silent = Callable[[Tensor], bool]  # whether codes [K, t] are of digital silence


@dataclass(frozen=True)
class Window:
    """One segment of the grid: codes [K, n], frames `start` to start + n of the recording (below 0 before it); it speaks for its frames
    `kept`. silent: of digital silence; the model is not asked."""

    index: int
    start: int
    tokens: Tensor
    kept: tuple[int, int]
    silent: bool = False


class Windows:
    """Codes as they come to windows of `size` frames, each `size` - 2 * `margin` after the one before.

    silence: codes [K] of a frame of silence; the first window begins with a margin of it. None: it begins with the recording.
    """

    def __init__(self, size: int, margin: int, silence: Tensor | None = None) -> None:
        assert 0 <= 2 * margin < size
        self.size, self.margin, self._silence = size, margin, silence
        self._lead = 0 if silence is None else margin  # frames before the recording
        self.frames = 0  # that have come
        self._held: Tensor | None = None
        self._next = 0  # the window that comes next

    @property
    def _stride(self) -> int:
        return self.size - 2 * self.margin

    def push(self, tokens: Tensor) -> list[Window]:
        """The next codes [K, t], to the windows that are now whole."""
        self.frames += tokens.shape[1]
        if self._held is None:
            self._held = tokens[:, :0]
            if self._silence is not None:
                self._held = self._silence[: tokens.shape[0], None].to(tokens).expand(-1, self._lead)
        self._held = torch.cat([self._held, tokens], 1)
        found = []
        while self._held.shape[1] >= self.size:
            found.append(self._window(self._held[:, : self.size], self.size - self.margin))
            self._held = self._held[:, self._stride :]
        return found

    def finish(self) -> list[Window]:
        """The last window, which speaks for all that is left; none where nothing is."""
        rest = 0 if self._held is None else self._held.shape[1]
        first = self.margin if self._next else self._lead
        held, self._held = self._held, None
        return [self._window(held, rest)] if held is not None and rest > first else []

    def _window(self, tokens: Tensor, end: int) -> Window:
        index, self._next = self._next, self._next + 1
        return Window(index, index * self._stride - self._lead, tokens, (self.margin if index else self._lead, end))


@dataclass(frozen=True)
class Hearing:
    """What a stitcher needs beside its options.

    source: what makes of codes what the model hears (latents, sound, hidden states), for those that do not hear codes. silent: `Silent`.
    silence: codes [K] of a frame of silence, which is heard before the beginning where segments overlap; None is not known.
    instruments: those that play, General MIDI programs, 128 for drums; None is not known. codebooks: how many of the first are read, for
    codes of as many; None is as many as the model has. batch: segments that are heard at once.
    """

    source: Source | None = None
    silent: Silent | None = None
    silence: Tensor | None = None
    instruments: tuple[int, ...] | None = None
    codebooks: int | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 1024:
            raise ValueError(f"batch is {self.batch}: legal are 1 to 1024 segments")
        if self.instruments is not None:
            wrong = [
                each for each in self.instruments if not isinstance(each, Integral) or not 0 <= int(each) < INSTRUMENTS
            ]
            if wrong or not self.instruments:
                raise ValueError(
                    f"instruments {list(self.instruments)}: legal are programs 0 to 127 and 128 for drums, at least one"
                )


PEAKS, ALL = FrameOptions(), Hearing()


@dataclass(frozen=True)
class Account:
    """How a recording was read: its frames, its segments, how many of these were silent.

    Of events: how many segments were written again because their beginnings were not as those before them demand, how many were cut at
    their longest, and what ids were dropped.
    """

    frames: int
    segments: int
    silent: int
    again: int = 0
    cut: int = 0
    dropped: Dropped = field(default_factory=Dropped)


class Stitcher(ABC):
    """Codes in, notes out."""

    def __init__(self, model: TokenTranscriber, hearing: Hearing) -> None:
        self.model, self.hearing, self.rate = model, hearing, model.config.frame_rate
        self._windows = Windows(model.config.segment_frames, model.config.margin, hearing.silence)
        self._waiting: list[Window] = []
        self._segments = self._silent = 0

    def push(self, tokens: Tensor) -> list[Note]:
        """The next codes [K, t], int64, any t; gives the notes that are now known to have ended."""
        self._waiting += self._windows.push(tokens)
        return self._heard(len(self._waiting) // self.hearing.batch)

    def finish(self) -> list[Note]:
        """The end of the recording; gives the rest of its notes."""
        self._waiting += self._windows.finish()
        notes = self._heard(-(-len(self._waiting) // self.hearing.batch))
        return notes + self._end(self._windows.frames / self.rate)

    @property
    def account(self) -> Account:
        """How the recording was read so far."""
        return Account(self._windows.frames, self._segments, self._silent)

    @property
    def pedals(self) -> list[PedalSpan]:
        """The pedals that have ended so far."""
        return []

    @abstractmethod
    def _read(self, windows: list[Window], heard: Heard | None) -> list[Note]:
        """The notes that end in these windows; `heard` has a row for each that is not silent."""

    @abstractmethod
    def _end(self, seconds: float) -> list[Note]:
        """The notes that end with the recording."""

    def _heard(self, batches: int) -> list[Note]:
        notes = []
        for _ in range(batches):
            some, self._waiting = self._waiting[: self.hearing.batch], self._waiting[self.hearing.batch :]
            some = [replace(window, silent=self._is_silent(window)) for window in some]
            loud = [window for window in some if not window.silent]
            self._segments += len(some)
            self._silent += len(some) - len(loud)
            notes += self._read(some, self._hear(loud) if loud else None)
        return notes

    def _is_silent(self, window: Window) -> bool:
        return self.hearing.silent is not None and self.hearing.silent(window.tokens)

    @torch.no_grad()
    def _hear(self, windows: list[Window]) -> Heard:
        """What the model makes of windows, all of one shape."""
        size, config, hearing = self._windows.size, self.model.config, self.hearing
        lengths = [window.tokens.shape[1] for window in windows]
        source = torch.stack([F.pad(window.tokens, (0, size - window.tokens.shape[1])) for window in windows])
        if hearing.source is not None:
            source = hearing.source(source, lengths)
        hint = None
        if hearing.instruments is not None:
            hint = torch.zeros(len(windows), INSTRUMENTS, dtype=torch.bool)
            hint[:, list(hearing.instruments)] = True
        short = None if min(lengths) == size else lengths
        heard = self.model.encode(source, short, hint if config.hints else None, hearing.codebooks)
        # A model that cannot be told what plays is still held to it.
        return heard if hint is None else replace(heard, hint=hint.to(heard.memory.device))


class FrameStitcher(Stitcher):
    """Notes of the frame outputs."""

    def __init__(self, model: TokenTranscriber, options: FrameOptions = PEAKS, hearing: Hearing = ALL) -> None:
        super().__init__(model, hearing)
        self._reader, self._cast = FrameReader(model.config.columns, options, self.rate), Cast()

    def _read(self, windows: list[Window], heard: Heard | None) -> list[Note]:
        notes, row = [], 0
        for window in windows:
            first, last = window.kept
            if window.silent:
                notes += self._reader.push(self._nothing(last - first))
                continue
            assert heard is not None
            outputs = heard.frames.map(lambda x, row=row, first=first, last=last: x[row, first:last])  # type: ignore[misc]
            notes += self._reader.push(outputs.probabilities(), self.model.naming(heard, row, first, self._cast))
            row += 1
        return self._wanted(notes)

    def _end(self, seconds: float) -> list[Note]:
        return self._wanted(self._reader.finish())

    def _nothing(self, frames: int) -> FrameOutputs:
        columns = self.model.config.columns
        zeros: dict[str, Any] = {name: torch.zeros(frames, columns.count) for name in TENSORS}
        return FrameOutputs(**zeros, columns=columns)

    def _wanted(self, notes: list[Note]) -> list[Note]:
        """Those of the instruments that play: pitched notes where only drums do, and drums where they do not, are none."""
        playing = self.hearing.instruments
        if playing is None:
            return notes
        return [note for note in notes if (DRUMS if note.is_drum else note.program) in playing]


class EventStitcher(Stitcher):
    """Notes and pedals of the events that the model writes."""

    def __init__(self, model: TokenTranscriber, options: DecodingOptions = USUAL, hearing: Hearing = ALL) -> None:
        if model.config.vocabulary is None:
            raise ValueError(f"{model.config.name} writes no events: it has frame outputs only")
        super().__init__(model, hearing)
        self.options, self._reader = options, EventReader(model.config.vocabulary)
        self._forced = options.ties == "forced" and model.config.vocabulary.ties
        self._again = self._cut = 0

    @property
    def account(self) -> Account:
        return replace(super().account, again=self._again, cut=self._cut, dropped=self._reader.dropped)

    @property
    def pedals(self) -> list[PedalSpan]:
        return self._reader.pedals

    def _read(self, windows: list[Window], heard: Heard | None) -> list[Note]:
        tasks = [self._task(window) for window in windows]
        loud = [task for task, window in zip(tasks, windows, strict=True) if not window.silent]
        if heard is not None:
            first = torch.tensor([window.kept[0] for window in windows if not window.silent])
            heard = replace(heard, first=first.to(heard.memory.device))
        guesses: Sequence[DecodingResult | None] = [None] * len(loud)
        if heard is not None and (not self._forced or (len(loud) > 1 and self.options.beam == 1)):
            guesses = decode(self.model, heard, loud, self.options, self.hearing.instruments)
        notes, row = [], 0
        for task, window in zip(tasks, windows, strict=True):
            if window.silent:
                notes += self._reader.finish(task.segment.start)
                continue
            assert heard is not None
            result = guesses[row]
            if self._forced:
                result = self._following(task, result, heard, row)
            assert result is not None
            self._cut += not result.ended
            notes += self._reader.push(result.ids, task.segment)
            row += 1
        return notes

    def _following(self, task: Task, guess: DecodingResult | None, heard: Heard, row: int) -> DecodingResult:
        """What is written for a segment once all before it is known."""
        prefix = tuple(self._reader.prefix())
        if len(prefix) >= self.options.longest:  # there is room for what goes on, and for nothing else
            return DecodingResult(prefix, 0.0, False)
        if guess is not None:
            if guess.ids[: len(prefix)] == prefix:
                return guess
            self._again += 1
        one = heard.rows(torch.tensor([row], device=heard.memory.device))
        return decode(self.model, one, [replace(task, prefix=prefix)], self.options, self.hearing.instruments)[0]

    def _task(self, window: Window) -> Task:
        first, last = window.kept
        segment = Segment((window.start + first) / self.rate, (last - first) / self.rate)
        return Task(segment, seed=seed_of(self.options.seed, window.index))

    def _end(self, seconds: float) -> list[Note]:
        return self._reader.finish(seconds)
