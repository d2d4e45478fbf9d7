"""Transcription frame by frame: at each moment, which pitches sound, in the reference and in the estimate.

Three families, which answer to the same name in the literature and differ: mir_eval's `multipitch` measures (frames are moments; a note
sounds at a moment from its onset up to, but without, its offset), MT3's frame measure (frames are stretches of a piano roll; soft notes
of the reference do not count), and the accuracy of whole frames. None of them builds a piano roll: a pitch changes at the ends of notes
only, so a piece takes time by its notes, and memory for a few numbers a frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from solfa.eval.note_matching import Bools, Ints, NoteTable, Rates, note_table, rates
from solfa.score.note import Note

RATE = 100.0  # frames a second: a frame each 10 ms, as in MIREX's multiple-F0 task
ALLOWED_ERRORS = (0, 1, 2)
MAX_FRAMES = 10_000_000  # a day and more at 100 a second
MAX_RATE = 10_000.0
MT3_RATE, MT3_VELOCITY, MT3_SHORTEST = 62.5, 30, 0.05

Counts = NDArray[np.int32]


@dataclass(frozen=True)
class FrameScore(Rates):
    """`Rates` of pitches over all frames, and the errors of Poliner and Ellis (2007), as `mir_eval.multipitch.metrics` gives them.

    accuracy: matched / (reference + estimate - matched), 0 to 1, higher is better.
    substitution, miss, false_alarm: pitches that are wrong in a frame, and those it has too few and too many, as shares of the
        reference's pitches; total is their sum. 0 to no bound, lower is better; all 0 for an empty reference, which is no praise.

    mir_eval gives no F1; here it is that of its precision and recall.
    """

    accuracy: float
    substitution: float
    miss: float
    false_alarm: float
    total: float


@dataclass(frozen=True)
class FrameMeasures:
    """Measures at the `frames` moments 0, 1 / rate, 2 / rate, ... seconds that lie before the end of the last note of either side.

    pitch: by pitch. chroma: by pitch class, whatever the octave; as in mir_eval a class counts in as many octaves as it sounds in.
    exact: the share of frames in which at most 0, 1 and 2 pitches are wrong, missed and extra ones counted alike; 0 to 1, higher is better.
        The measure of frame-wise systems trained on MusicNet; neither mir_eval nor MT3 has it. Frames in which neither side sounds are
        right; the share of no frames at all is 0.
    exact_class: the same of pitch classes, each counted once.
    """

    rate: float
    frames: int
    pitch: FrameScore
    chroma: FrameScore
    exact: tuple[float, ...]
    exact_class: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Stretches:
    """Stretches of frames `first` to `last` - 1 in which one key (pitch or pitch class) does not change; [N] each. The levels are sums
    of what the notes sounding there weigh."""

    key: Ints
    first: Ints
    last: Ints
    reference: Ints
    estimate: Ints

    def __getitem__(self, kept: Bools) -> _Stretches:
        return _Stretches(*(getattr(self, field.name)[kept] for field in fields(self)))


def frame_measures(
    reference: Sequence[Note] | NoteTable, estimate: Sequence[Note] | NoteTable, rate: float = RATE
) -> FrameMeasures:
    """mir_eval's frame measures and the accuracy of whole frames, `rate` frames a second.

    Several notes of one pitch that sound together count once. Equal to `mir_eval.multipitch.metrics` on the moments above; that takes only
    pitches 16 to 111 (20 to 5000 Hz), this takes all. Raises ValueError for a rate that is not above 0 and at most 10,000,
    and for more than 10 million frames.
    """
    sides = note_table(reference), note_table(estimate)
    end = max((float(table.offset.max()) for table in sides if len(table)), default=0.0)
    if not 0 < rate <= MAX_RATE or end * rate > MAX_FRAMES:
        raise ValueError(
            f"{rate:g} frames a second, {end:g} s: legal are rates up to {MAX_RATE:g}, and {MAX_FRAMES} frames at most"
        )
    moments = np.arange(int(np.ceil(end * rate)) + 2) / rate
    spans = [np.stack([np.searchsorted(moments, times) for times in (table.onset, table.offset)]) for table in sides]
    frames = int(np.searchsorted(moments, end))
    pitches = _stretches(sides[0].pitch, sides[1].pitch, spans[0], spans[1])
    own, others = pitches[pitches.reference > 0], pitches[pitches.estimate > 0]
    classes = _stretches(
        own.key % 12, others.key % 12, np.stack([own.first, own.last]), np.stack([others.first, others.last])
    )
    wanted, found, both = _sounding(pitches, frames)
    class_wanted, class_found, class_both = _sounding(classes, frames)
    octaves_apart = (classes.last - classes.first) * np.minimum(classes.reference, classes.estimate)
    return FrameMeasures(
        rate,
        frames,
        _score(wanted, found, int(both.sum(dtype=np.int64))),
        _score(wanted, found, int(octaves_apart.sum())),
        _exact(wanted + found - 2 * both),
        _exact(class_wanted + class_found - 2 * class_both),
    )


def mt3_frame_rates(
    reference: Sequence[Note] | NoteTable,
    estimate: Sequence[Note] | NoteTable,
    rate: float = MT3_RATE,
    velocity: int = MT3_VELOCITY,
    shortest: float = MT3_SHORTEST,
) -> Rates:
    """MT3's frame measure: cells of a piano roll of `rate` columns a second, a note filling columns floor(onset rate) to floor(offset
    rate) - 1.

    Notes shorter than `shortest` seconds last that long. Where notes of one pitch overlap, their velocities add up; a cell of the reference
    counts if the sum is above `velocity`, a cell of the estimate if a note sounds there. MT3 leaves drums out of both sides: so
    must who calls this. Source: `metrics_utils.frame_metrics` of magenta/mt3, with pretty_midi's piano roll.
    """
    if not 0 < rate <= MAX_RATE:
        raise ValueError(f"{rate:g} frames a second: legal are rates above 0, up to {MAX_RATE:g}")
    sides = note_table(reference), note_table(estimate)
    spans = []
    for table in sides:
        end = np.where(table.offset - table.onset < shortest, table.onset + shortest, table.offset)
        spans.append((np.stack([table.onset, end]) * rate).astype(np.int64))
    found = _stretches(sides[0].pitch, sides[1].pitch, spans[0], spans[1], sides[0].velocity)
    length, loud, heard = found.last - found.first, found.reference > velocity, found.estimate > 0
    return rates(int(length[loud & heard].sum()), int(length[loud].sum()), int(length[heard].sum()))


def _stretches(
    wanted: Ints, found: Ints, wanted_span: Ints, found_span: Ints, weight: Ints | None = None
) -> _Stretches:
    """The stretches of all keys, from the keys [N] and the first and last frames [2, N] of each side's notes; those of the reference
    weigh `weight`, or 1."""
    weight = np.ones(len(wanted), np.int64) if weight is None else weight
    ones = np.ones(len(found), np.int64)
    keys = np.concatenate([wanted, wanted, found, found])
    times = np.concatenate([*wanted_span, *found_span])
    span = int(times.max(initial=0)) + 1
    changes, place = np.unique(keys * span + times, return_inverse=True)
    levels = np.zeros((2, len(changes)), np.int64)
    middle = 2 * len(wanted)
    np.add.at(levels[0], place[:middle], np.concatenate([weight, -weight]))
    np.add.at(levels[1], place[middle:], np.concatenate([ones, -ones]))
    reference, estimate = np.cumsum(levels, 1)[:, :-1]
    # After the last change of a key both levels are 0, so what follows up to the next key's first change does not count.
    some = (reference > 0) | (estimate > 0)
    key, first = np.divmod(changes[:-1][some], span)
    return _Stretches(key, first, changes[1:][some] - key * span, reference[some], estimate[some])


def _depth(first: Ints, last: Ints, frames: int) -> Counts:
    """How many of the stretches each frame lies in."""
    steps = np.bincount(first, minlength=frames + 1) - np.bincount(last, minlength=frames + 1)
    return np.cumsum(steps)[:frames].astype(np.int32)


def _sounding(found: _Stretches, frames: int) -> Iterator[Counts]:
    """How many keys sound in each frame: in the reference, in the estimate, in both."""
    wanted, heard = found.reference > 0, found.estimate > 0
    for mask in (wanted, heard, wanted & heard):
        yield _depth(found.first[mask], found.last[mask], frames)


def _score(wanted: Counts, found: Counts, matched: int) -> FrameScore:
    total, heard = int(wanted.sum(dtype=np.int64)), int(found.sum(dtype=np.int64))
    known = rates(matched, total, heard)
    shares = [0.0, 0.0, 0.0, 0.0]
    if total:
        common = int(np.minimum(wanted, found).sum(dtype=np.int64))
        shares = [
            part / total
            for part in (common - matched, total - common, heard - common, total + heard - common - matched)
        ]
    accuracy = matched / (total + heard - matched) if total + heard else 0.0
    return FrameScore(known.precision, known.recall, known.f1, matched, total, heard, accuracy, *shares)


def _exact(wrong: Counts) -> tuple[float, ...]:
    return tuple(float((wrong <= allowed).mean()) if len(wrong) else 0.0 for allowed in ALLOWED_ERRORS)
