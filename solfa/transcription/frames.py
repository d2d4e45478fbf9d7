"""What a model hears frame by frame, and the notes in it: peaks of the onset output, each held until its frame output falls.

An onset at x, in frames from the start, stands at the frame nearest to it, and `shift` says how far from that it is, so times are finer
than frames. An end at x stands at the frame nearest to it, too: the note sounds in all frames before. Drums have columns of their own,
behind those of the pitches: a kick drum is not a low C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from torch import Tensor

from solfa.score.note import Note
from solfa.transcription.segments import MIN_DURATION

Array = np.ndarray
Programs = Callable[[Array, Array], Array]  # frames and columns of n notes, int64 [n] each, to their programs, 0 to 128
DRUMS = 128  # the program of a drum
INSTRUMENTS = DRUMS + 1  # the General MIDI programs, and drums
_BEGUN = np.dtype([("column", "i8"), ("frame", "i8"), ("time", "f8"), ("velocity", "i8"), ("program", "i8")])


@dataclass(frozen=True)
class Columns:
    """What the P columns of an output stand for: the pitches from `lowest` to `highest`, then the drum keys from `lowest_drum` on.

    Without drum columns (highest_drum one below lowest_drum) a drum is a pitch whose instrument is DRUMS.
    """

    lowest: int = 21
    highest: int = 108
    lowest_drum: int = 35
    highest_drum: int = 81

    def __post_init__(self) -> None:
        if not 0 <= self.lowest <= self.highest <= 127:
            raise ValueError(f"pitches {self.lowest} to {self.highest}: legal are 0 to 127, lowest first")
        if not 0 <= self.lowest_drum <= self.highest_drum + 1 <= 128:
            raise ValueError(
                f"drums {self.lowest_drum} to {self.highest_drum}: legal are 0 to 127, lowest first, or none (35 to 34)"
            )

    @property
    def pitched(self) -> int:
        """How many columns are pitches; the drums' come after them."""
        return self.highest - self.lowest + 1

    @property
    def count(self) -> int:
        """P, all of them."""
        return self.pitched + self.highest_drum - self.lowest_drum + 1

    def keys(self, columns: Array) -> Array:
        """MIDI numbers of columns: pitches, or percussion keys."""
        return columns + np.where(columns < self.pitched, self.lowest, self.lowest_drum - self.pitched)

    def of(self, keys: Array, drum: Array) -> Array:
        """Columns of MIDI numbers, -1 where there is none; `drum` (bool) says which are percussion keys."""
        apart = drum & (self.count > self.pitched)
        low, high = np.where(apart, self.lowest_drum, self.lowest), np.where(apart, self.highest_drum, self.highest)
        return np.where((keys >= low) & (keys <= high), keys - low + apart * self.pitched, -1)


@dataclass(frozen=True)
class FrameOutputs:
    """Of T frames and P columns: [B, T, P] of a batch, [T, P] of one recording.

    As a model gives them all but the shifts are logits; `probabilities` are what notes are read from.
    """

    onset: Tensor  # [..., T, P] a note begins
    frame: Tensor  # [..., T, P] it sounds
    offset: Tensor  # [..., T, P] the first frame in which it no longer does
    velocity: Tensor  # [..., T, P] as a share of 127, where one begins
    shift: Tensor  # [..., T, P] frames from this one to the onset, where one begins: -0.5 to 0.5
    columns: Columns = Columns()

    def map(self, change: Callable[[Tensor], Tensor]) -> FrameOutputs:
        """The same with every tensor changed, as in `outputs.map(lambda x: x[0, 10:20])`: a row's frames 10 to 19."""
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in TENSORS}
        return replace(self, **changed)

    def probabilities(self) -> FrameOutputs:
        """Of logits, in float32; the shifts are held to their range."""
        ready = self.map(lambda x: x.detach().float().sigmoid())
        return replace(ready, shift=self.shift.detach().float().clamp(-0.5, 0.5))


TENSORS = tuple(field.name for field in fields(FrameOutputs) if field.name != "columns")


@dataclass(frozen=True)
class FrameOptions:
    """When outputs (probabilities) are notes.

    onset, drum: the least peak that is one. frame: what sounds. offset: the least peak that ends a note, two frames after its onset or
    later; 1 is more than any output. dip: frames of a low frame output that do not yet end a note, if it rises again after them.
    neighbours: a peak is as high as it and the frames on either side of it together, which is how sure the model is of an onset, or an
    offset, in these three: of the note it is often surer than of the frame. Sums may be above 1.
    """

    onset: float = 0.5
    frame: float = 0.5
    offset: float = 0.5
    drum: float = 0.5
    dip: int = 0
    neighbours: bool = False

    def __post_init__(self) -> None:
        for name in ("onset", "frame", "offset", "drum"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: legal are probabilities above 0, 1 at most")
        if not 0 <= self.dip <= 1000:
            raise ValueError(f"dip is {self.dip}: legal are 0 to 1000 frames")


def frame_notes(
    outputs: FrameOutputs,
    options: FrameOptions = FrameOptions(),
    frame_rate: float = 50.0,
    programs: Programs | None = None,
) -> list[Note]:
    """The notes, sorted, of a recording's probabilities [T, P].

    frame_rate: Hz. programs: what names the instrument of each pitched note, from its frame and
    column; without it all are of program 0. Notes last 10 ms at least; drum hits last just that. At the last frame all that sounds ends.
    """
    reader = FrameReader(outputs.columns, options, frame_rate)
    return sorted([*reader.push(outputs, programs), *reader.finish()])


class FrameReader:
    """`frame_notes` of a recording that comes in pieces: any pieces give the same notes, in memory that does not grow.

    It keeps back the last frame of each piece, and `dip` more, until it has seen what follows them.
    """

    def __init__(
        self,
        columns: Columns = Columns(),
        options: FrameOptions = FrameOptions(),
        frame_rate: float = 50.0,
    ) -> None:
        if not 0 < frame_rate < float("inf"):
            raise ValueError(f"frame_rate is {frame_rate}: it must be above 0")
        self.columns, self.options, self.frame_rate = columns, options, frame_rate
        self._least = np.where(np.arange(columns.count) < columns.pitched, options.onset, options.drum)
        self._reset()

    def _reset(self) -> None:
        # The frame that was decided last, and those that are not decided yet; before the recording there is silence.
        self._held = {name: np.zeros((1, self.columns.count), np.float32) for name in TENSORS}
        self._held["program"] = np.zeros((1, self.columns.count), np.int64)
        self._first = -1  # the place of the first of these in the recording
        self._open = np.zeros(0, _BEGUN)

    def push(self, outputs: FrameOutputs, programs: Programs | None = None) -> list[Note]:
        """The next frames [T, P], probabilities; gives the notes that have ended, sorted.

        programs: as of `frame_notes`; frames count from the first of this piece. It is asked at once of what is kept back, too.
        """
        new = {name: getattr(outputs, name).detach().float().cpu().numpy() for name in TENSORS}
        if new["onset"].ndim != 2 or new["onset"].shape[1] != self.columns.count:
            raise ValueError(
                f"outputs of shape {new['onset'].shape}: [T, {self.columns.count}] of one recording are read"
            )
        new["program"] = self._named(new["onset"], programs)
        return self._read(new)

    def finish(self) -> list[Note]:
        """The end of the recording: what ended in the frames kept back, and what sounds still, sorted. The reader is then as new."""
        end, look = self._first + len(self._held["onset"]), 1 + self.options.dip
        notes = self._read({name: np.zeros((look, held.shape[1]), held.dtype) for name, held in self._held.items()})
        notes += self._made(self._open, np.full(len(self._open), end))
        self._reset()
        return sorted(notes)

    def _named(self, onset: Array, programs: Programs | None) -> Array:
        """The programs of all in a new piece [T, P] that may be the beginning of a note; 0 elsewhere."""
        named = np.zeros(onset.shape, np.int64)
        named[:, self.columns.pitched :] = DRUMS
        if programs is not None and len(onset):
            # Nothing is known of the frames before and after the piece: it may be a peak if neither is louder, and both as loud.
            heights = _sums(np.pad(onset, ((1, 1), (0, 0)), mode="edge")) if self.options.neighbours else onset
            may = _rises(np.pad(onset, ((1, 1), (0, 0)))) & (heights >= self._least)
            frames, columns = np.nonzero(may[:, : self.columns.pitched])
            if len(frames):
                named[frames, columns] = np.asarray(programs(frames, columns))
        return named

    def _read(self, new: dict[str, Array]) -> list[Note]:
        """Join what was kept back and what is new, and decide on the frames that enough follows."""
        table = {name: np.concatenate([held, new[name]]) for name, held in self._held.items()}
        count = max(len(table["onset"]) - 2 - self.options.dip, 0)
        notes = self._decide(table, count) if count else []
        self._held, self._first = {name: every[count:].copy() for name, every in table.items()}, self._first + count
        return notes

    def _decide(self, table: dict[str, Array], count: int) -> list[Note]:
        """Notes that end, and hits, in the frames 1 to `count` of those at hand."""
        onset = self._peaks(table["onset"][: count + 2], self._least)
        rows, columns = np.nonzero(onset)
        at = rows + 1, columns
        begun = np.zeros(len(rows), _BEGUN)
        begun["column"], begun["frame"], begun["program"] = columns, rows + 1 + self._first, table["program"][at]
        begun["time"] = (begun["frame"] + table["shift"][at].astype(np.float64)) / self.frame_rate
        begun["velocity"] = np.rint(table["velocity"][at] * 127).clip(1, 127)
        hit = begun["program"] == DRUMS
        waiting = np.concatenate([self._open, begun[~hit]])
        ends = self._ends(waiting, onset, table, count)
        self._open = waiting[ends < 0]
        notes = self._made(waiting[ends >= 0], self._first + ends[ends >= 0])
        return sorted(notes + self._made(begun[hit], begun["frame"][hit]))

    def _ends(self, begun: Array, onset: Array, table: dict[str, Array], count: int) -> Array:
        """The frame at hand where each note ends, -1 where none of those decided: it falls silent, drops, or is struck anew."""
        low = table["frame"][1:] < self.options.frame
        silent = low[:count].copy()
        for ahead in range(1, self.options.dip + 1):
            silent &= low[ahead : count + ahead]
        dropped = self._peaks(table["offset"][: count + 2], self.options.offset)
        size = count + 3  # keys of a column: its frames, from two before those at hand
        keys = begun["column"] * size + np.maximum(begun["frame"] - self._first, -2) + 2
        found = np.minimum(_next(silent | onset, keys + 1, size), _next(dropped, keys + 2, size))
        return np.where(found < (begun["column"] + 1) * size, found % size - 2, -1)

    def _peaks(self, output: Array, least: Array | float) -> Array:
        """Where the frames but the first and the last are peaks that are high enough: bool, two frames fewer."""
        heights = _sums(output) if self.options.neighbours else output[1:-1]
        return _rises(output) & (heights >= least)

    def _made(self, begun: Array, ends: Array) -> list[Note]:
        """Notes that end at these frames of the recording, 10 ms after they began at the earliest; drums just then."""
        onsets, drums = np.maximum(begun["time"], 0.0), begun["program"] == DRUMS
        least = onsets + MIN_DURATION
        offsets = np.where(drums, least, np.maximum(ends / self.frame_rate, least))
        programs = np.where(drums, 0, begun["program"])
        parts = (onsets, offsets, self.columns.keys(begun["column"]), begun["velocity"], programs, drums)
        return [Note(*row) for row in zip(*(part.tolist() for part in parts), strict=True)]


def _sums(output: Array) -> Array:
    """Of each frame but the first and the last, with its neighbours: two frames fewer."""
    return output[:-2] + output[1:-1] + output[2:]


def _rises(output: Array) -> Array:
    """Where the frames but the first and the last rise to a peak, the first frame of a flat one: bool, two frames fewer."""
    here = output[1:-1]
    return (here > output[:-2]) & (here >= output[2:])


def _next(marks: Array, keys: Array, size: int) -> Array:
    """The first key, from each of `keys` on, that is marked; a key is column * size + 3 + row of marks. Else the largest int."""
    rows, columns = np.nonzero(marks)
    marked = np.append(np.sort(columns * size + 3 + rows), np.iinfo(np.int64).max)
    return marked[np.searchsorted(marked, keys)]
