"""Notes and pedals to the event tokens of a segment, by the rules of MT3 (Gardner et al., 2021).

    [tie section] [shift [program] [velocity] pitch | shift [velocity] drum | shift [program] pedal]... eos

- Times are rounded to steps as Python rounds. A shift counts from the segment's start; more steps than one shift says are said by several,
  and none stand behind the last event.
- The tie section declares what sounds from before, by program and pitch, without velocities. A note that ends on the first step is declared
  and ended; one that begins on it is not declared.
- A program or velocity in force is not said again in the same segment; the first of each always is.
- Of drums there are hits only.

Where we differ from MT3's code: notes of one pitch and program that overlap are trimmed first, always (MT3 does so for Slakh alone: they
cannot be said); after the last event of a recording nothing is tied (MT3 ties what the last step ended); programs are mapped to their
classes before events are put in order; a note of no length lasts 10 ms (MT3 refuses it).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from solfa.score import Note
from solfa.transcription.segments import MIN_DURATION, PEDAL, PedalSpan, Segment
from solfa.transcription.vocabulary import Vocabulary

_NONE = -1  # no id: nothing is to be said
_FAR = 2.0**53  # steps: what is later is here, where no segment reaches
_SPAN = np.dtype(
    [("drum", bool), ("program", "i8"), ("pitch", "i8"), ("onset", "f8"), ("offset", "f8"), ("velocity", "i8")]
)


class EventWriter:
    """The events of one recording, put in order once, and written segment by segment.

    What the vocabulary cannot say is left out: pitches and programs outside of its ranges, drums and pedals where it has none. Notes of
    one pitch and program that overlap are trimmed, the longer of two that begin together stays; overlapping pedals of a program are one.
    """

    def __init__(self, notes: Iterable[Note], pedals: Iterable[PedalSpan], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        spans = _spans(notes, pedals, vocabulary)
        lasting = spans[~spans["drum"]]  # in order of program and pitch
        self._keys = list(zip(lasting["program"].tolist(), lasting["pitch"].tolist(), strict=True))
        self._onsets, self._offsets = _steps(lasting["onset"], vocabulary), _steps(lasting["offset"], vocabulary)
        self._events = _events(spans, vocabulary)
        self._steps = [event[0] for event in self._events]
        self._shifts = vocabulary.ids("shift")

    def segment(self, segment: Segment) -> list[int]:
        """The ids of a segment, from its tie section to the end token."""
        vocabulary, shifts, longest = self.vocabulary, self._shifts, self.vocabulary.max_shift
        first, last = segment.steps(vocabulary.steps_per_second)
        ids: list[int] = []
        program_now, velocity_now, now = _NONE, _NONE, first
        if vocabulary.ties:
            sounding = self.sounding(first)
            ids = tie_section(sounding, vocabulary)
            if sounding and vocabulary.granularity != "flat":
                program_now = vocabulary.id("program", sounding[-1][0])
        inside = slice(bisect_left(self._steps, first), bisect_left(self._steps, last))
        for step, program, velocity, what in self._events[inside]:
            if step != now:
                now = step
                whole, rest = divmod(step - first, longest)
                if whole:
                    ids += [shifts[longest]] * whole
                if rest:
                    ids.append(shifts[rest])
            if program not in (_NONE, program_now):
                program_now = program
                ids.append(program)
            if velocity not in (_NONE, velocity_now):
                velocity_now = velocity
                ids.append(velocity)
            ids.append(what)
        ids.append(vocabulary.eos)
        return ids

    def sounding(self, step: int) -> list[tuple[int, int]]:
        """(program, pitch) of what began before a step and does not end before it, sorted; PEDAL is the pitch of pedals."""
        found = np.flatnonzero((self._onsets < step) & (self._offsets >= step))
        return [self._keys[index] for index in found]


def encode_segment(
    notes: Iterable[Note], pedals: Iterable[PedalSpan], segment: Segment, vocabulary: Vocabulary
) -> list[int]:
    """The ids of one segment of a recording; for more segments of it, keep an `EventWriter`.

    notes, pedals: of the whole recording, or all that sound in the segment, with what ends them where it overlaps them.
    """
    return EventWriter(notes, pedals, vocabulary).segment(segment)


def tie_section(sounding: Iterable[tuple[int, int]], vocabulary: Vocabulary) -> list[int]:
    """The tie section that declares these (program, pitch), sorted; a program is said once for all its pitches."""
    ids: list[int] = []
    last = None
    for program, pitch in sounding:
        if program != last and vocabulary.granularity != "flat":
            last = program
            ids.append(vocabulary.id("program", program))
        ids.append(vocabulary.id("pedal", 1) if pitch == PEDAL else vocabulary.id("pitch", pitch))
    ids.append(vocabulary.id("tie", 0))
    return ids


@lru_cache(maxsize=16)
def _tables(vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """Of each kind the ids of the values 0 to 127, _NONE where there is none; of velocities their bins', of programs their classes'."""
    tables = {"class": np.array([vocabulary.program_of(program) for program in range(128)], np.int64)}
    for kind in ("pitch", "drum", "velocity", "program", "pedal"):
        said = {"velocity": vocabulary.bin_of, "program": vocabulary.program_of}.get(kind, int)
        found = [vocabulary.find(kind, said(value)) for value in range(128)]
        tables[kind] = np.array([_NONE if id is None else id for id in found], np.int64)
    if vocabulary.granularity == "flat":
        tables["program"][:] = _NONE
    return tables


def _steps(times: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Times in seconds, or in steps already where all are put on the grid first, in steps. rint rounds as Python does."""
    steps = times if vocabulary.order != "mt3" else np.rint(times * vocabulary.steps_per_second)
    return np.minimum(steps, _FAR).astype(np.int64)


def _spans(notes: Iterable[Note], pedals: Iterable[PedalSpan], vocabulary: Vocabulary) -> np.ndarray:
    """What the vocabulary can say, by key and time, in seconds or steps; of a key one after the other."""
    tables, flat = _tables(vocabulary), vocabulary.granularity == "flat"
    rows = [(note.is_drum, note.program, note.pitch, note.onset, note.offset, note.velocity) for note in notes]
    spans = np.array(rows + _pedal_rows(pedals, vocabulary), _SPAN)
    pitch, program, drum = spans["pitch"], spans["program"], spans["drum"]
    sayable = np.where(drum, tables["drum"][pitch], tables["pitch"][pitch]) != _NONE
    spans = spans[(sayable | (pitch == PEDAL)) & (drum | flat | (tables["program"][program] != _NONE))]
    kit = 0 if vocabulary.order != "mt3" else spans["program"]  # no token says it: MT3 alone puts it in order
    spans["program"] = np.where(spans["drum"], kit, tables["class"][spans["program"]])
    least = MIN_DURATION
    if vocabulary.order != "mt3":
        least = 1.0
        for name in ("onset", "offset"):
            spans[name] = np.minimum(np.rint(spans[name] * vocabulary.steps_per_second), _FAR)
    brief = spans["drum"] | (spans["offset"] <= spans["onset"])
    spans["offset"] = np.where(brief, spans["onset"] + least, spans["offset"])
    return _apart(spans)


def _apart(spans: np.ndarray) -> np.ndarray:
    spans = spans[np.lexsort([spans[name] for name in ("velocity", "offset", "onset", "pitch", "program", "drum")])]
    key = (spans["drum"] * 128 + spans["program"]) * 256 + spans["pitch"]
    meets = (key[1:] == key[:-1]) & (spans["onset"][1:] < spans["offset"][:-1])
    spans["offset"][:-1][meets] = spans["onset"][1:][meets]
    return spans[spans["offset"] > spans["onset"]]


def _pedal_rows(pedals: Iterable[PedalSpan], vocabulary: Vocabulary) -> list[tuple[bool, int, int, float, float, int]]:
    """Rows of the pedals, where the vocabulary has any; those of a program that overlap are one."""
    rows: list[tuple[bool, int, int, float, float, int]] = []
    said = [(vocabulary.program_of(pedal.program), pedal.onset, pedal.offset) for pedal in pedals]
    for program, onset, offset in sorted(said) if vocabulary.has("pedal") else ():
        if rows and rows[-1][1] == program and onset < rows[-1][4]:
            onset, offset = rows[-1][3], max(rows.pop()[4], offset)
        rows.append((False, program, PEDAL, onset, offset, 0))
    return rows


def _events(spans: np.ndarray, vocabulary: Vocabulary) -> list[tuple[int, int, int, int]]:
    """(step, id of program, of velocity, of what begins or ends), in the order in which they are written; _NONE for no such id."""
    ends = spans[~spans["drum"]]
    both = np.concatenate([ends, spans])
    begins = np.arange(len(both)) >= len(ends)
    drum, program, pitch = both["drum"], both["program"], both["pitch"]
    time = np.where(begins, both["onset"], both["offset"])
    places: Sequence[np.ndarray] = (pitch, program, drum, begins)  # the last one decides first
    if vocabulary.order == "muscriptor":
        places = (pitch, begins, program, drum)
    order = np.lexsort([*places, time])

    tables, pedal = _tables(vocabulary), pitch == PEDAL
    programs = np.where(drum, _NONE, tables["program"][program])
    velocities = np.where(begins, tables["velocity"][both["velocity"]], vocabulary.id("velocity", 0))
    velocities[pedal] = _NONE
    what = np.where(drum, tables["drum"][pitch], tables["pitch"][pitch])
    what[pedal] = tables["pedal"][begins[pedal].astype(int)]
    columns = [_steps(time, vocabulary), programs, velocities, what]
    return list(zip(*(column[order].tolist() for column in columns), strict=True))
