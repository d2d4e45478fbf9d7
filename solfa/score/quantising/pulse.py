"""A pulse found from onsets: the times that a listener would tap, by dynamic programming over time and period.

The notes are seen as a Poisson process whose rate is high on the taps, lower on their halves, lower still on quarters and thirds. The
path of taps with the greatest likelihood, under a prior for the period and for its change from tap to tap, is found exactly on a grid of
10 ms (a semi-Markov Viterbi search; compare D. Ellis, Beat tracking by dynamic programming, 2007, and A. T. Cemgil's rhythm models, 2003).
The level may be a half or a double of the beat: metre.py decides that, from what is played on the taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from solfa.score.note import Note

FRAME = 0.01  # seconds
PERIODS = (0.28, 0.92)  # seconds: a range of more than three, so that a level of any metre lies within
TOGETHER = 0.035  # onsets nearer than this are one event
SPREAD = 0.022  # seconds, standard deviation of onsets around their place
STIFFNESS = 6.0  # of the taps, against notes that pull at them
# Places within a tap's period and how many events are expected there.
_RATES = (
    (0.0, 0.85),
    (1 / 2, 0.42),
    (1 / 4, 0.13),
    (3 / 4, 0.15),
    (1 / 3, 0.05),
    (2 / 3, 0.07),
    (1 / 6, 0.01),
    (5 / 6, 0.02),
)
_NOISE = 0.02  # events expected anywhere in a period
_CENTRE, _WIDTH = 0.55, 0.45  # the prior of the period: seconds, and standard deviation of its logarithm
_DRIFT = 0.035  # standard deviation of the logarithm of the ratio of two periods that follow one another
_REACH = 4  # how many steps of 2.7 % a period may differ from the last
_LONGEST_GAP = 10.0  # seconds without a note that are tracked through; longer ones are shortened to this


@dataclass(frozen=True)
class Events:
    """Notes that begin together, in order."""

    times: np.ndarray  # [E] seconds: the mean of the onsets
    weights: np.ndarray  # [E] about 1: more for loud, long, low and many notes
    index: np.ndarray  # [N] which event each note (as given) belongs to


def find_events(notes: Sequence[Note]) -> Events:
    """Group notes by onset. A group never spans more than twice `TOGETHER`."""
    onsets = np.array([note.onset for note in notes], dtype=np.float64)
    order = np.argsort(onsets, kind="stable")
    index = np.zeros(len(notes), dtype=np.int64)
    current, first, last = -1, -1.0, -1.0
    for place in order:
        onset = onsets[place]
        if current < 0 or onset - last > TOGETHER or onset - first > 2 * TOGETHER:
            current, first = current + 1, onset
        last = onset
        index[place] = current
    count = np.bincount(index, minlength=current + 1)
    times = np.bincount(index, onsets, current + 1) / np.maximum(count, 1)
    strength = np.array([0.4 + note.velocity / 127 + 0.5 * min(note.duration, 1.0) for note in notes])
    weights = np.bincount(index, strength, current + 1)
    weights = np.sqrt(weights / np.median(weights)) if len(weights) else weights
    return Events(times, np.clip(weights, 0.4, 2.0), index)


def find_pulse(events: Events) -> np.ndarray:
    """The times of the taps [P], rising, from before the first event to after the last.

    At least two of them. With fewer than two events nothing can be found: ValueError.
    """
    if len(events.times) < 2:
        raise ValueError(f"{len(events.times)} onsets: a pulse needs two or more")
    squeezed = _squeezed(events.times)
    frames = np.round((squeezed - squeezed[0]) / FRAME).astype(np.int64) + round(PERIODS[1] / FRAME)
    taps = _viterbi(frames, events.weights)
    taps = _smoothed(taps * FRAME, frames * FRAME, events.weights)
    return _unsqueezed(taps - frames[0] * FRAME + squeezed[0], squeezed, events.times)


def _squeezed(times: np.ndarray) -> np.ndarray:
    """Times with long silences shortened."""
    gaps = np.minimum(np.diff(times), _LONGEST_GAP)
    return times[0] + np.concatenate([[0.0], np.cumsum(gaps)])


def _unsqueezed(taps: np.ndarray, squeezed: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The taps in real time. A silence that was shortened is filled up with taps of the period before it."""
    removed = np.concatenate([[0.0], np.cumsum(np.diff(times) - np.diff(squeezed))])
    after = np.clip(np.searchsorted(squeezed, taps + TOGETHER, side="right") - 1, 0, len(times) - 1)
    real = taps + removed[after]
    result = [real[:1]]
    for before, now in pairwise(real):
        count = max(1, round((now - before) / PERIODS[1])) if now - before > 2 * PERIODS[1] else 1
        result.append(before + (now - before) * np.arange(1, count + 1) / count)
    return np.concatenate(result)


def _periods() -> np.ndarray:
    """Periods in frames, about 3 % apart."""
    low, high = (seconds / FRAME for seconds in PERIODS)
    return np.unique(np.round(np.exp(np.linspace(np.log(low), np.log(high), 44))).astype(np.int64))


def _gain(away: np.ndarray, period: float) -> np.ndarray:
    """The logarithm of the rate of events `away` seconds after a tap (before the next, or a little earlier than either)."""
    rate = np.full(away.shape, _NOISE / period)
    for place, expected in _RATES:
        for whole in (0.0, 1.0):
            rate += (
                expected
                * np.exp(-0.5 * ((away - (whole + place) * period) / SPREAD) ** 2)
                / (SPREAD * np.sqrt(2 * np.pi))
            )
    return np.log(rate)


def _likelihood(impulses: np.ndarray, period: int) -> np.ndarray:
    """For a tap at every frame with the last one `period` before: the gain of the events between them. [T]"""
    early = round(min(0.06, period * FRAME / 10) / FRAME)  # events this little after the tap are still its own
    offset = np.arange(-early, period - early)  # frames from the event to the tap
    gain = _gain((period - offset) % period * FRAME, period * FRAME)
    total = np.convolve(impulses, gain)[early:]  # an event counts for the taps from `early` before it on
    return total[: len(impulses)] - sum(expected for _, expected in _RATES) - _NOISE


def likely_phase(events: Events, period: float) -> float:
    """The time (0 to `period` seconds) of a tap, for taps at a known period: that of the greatest likelihood."""
    phases = np.arange(0.0, period, max(period / 400, FRAME / 4))
    away = (events.times[:, None] - phases) % period
    return float(phases[int((events.weights[:, None] * _gain(away, period)).sum(axis=0).argmax())])


def _viterbi(frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The frames of the best path of taps. A tap may come before the first event and after the last."""
    periods = _periods()
    longest, shortest = int(periods[-1]), int(periods[0])
    length = int(frames[-1]) + longest + 1
    impulses = np.zeros(length)
    np.add.at(impulses, frames, weights)
    prior = -0.5 * (np.log(periods * FRAME / _CENTRE) / _WIDTH) ** 2
    gains = np.stack([_likelihood(impulses, int(period)) for period in periods], axis=1)  # [T, Q]
    # The prior counts once a second, whatever the period.
    gains += prior * periods * FRAME * 0.6
    # From which periods each may follow (a band around itself), and at what cost.
    reach = np.arange(-_REACH, _REACH + 1)
    origin = np.clip(np.arange(len(periods))[:, None] + reach, 0, len(periods) - 1)  # [to, from]
    change = -0.5 * (np.log(periods[origin] / periods[:, None]) / _DRIFT) ** 2
    best = np.full((length, len(periods)), -np.inf)
    back = np.zeros((length, len(periods)), dtype=np.int8)
    first = int(frames[0])
    begins = first + longest // 8
    best[: begins + 1] = 0.0  # where a path may begin: up to just after the first event
    for start in range(begins + 1, length, shortest):
        here = np.arange(start, min(start + shortest, length))
        before = best[np.maximum(here[:, None] - periods, 0)[..., None], origin]
        arriving = before + change
        choice = arriving.argmax(axis=2)
        best[here] = np.take_along_axis(arriving, choice[..., None], 2)[..., 0] + gains[here]
        back[here] = np.take_along_axis(origin[None], choice[..., None], 2)[..., 0]
    return _path(best, back, periods, begins, int(frames[-1]))


def _path(best: np.ndarray, back: np.ndarray, periods: np.ndarray, begins: int, last: int) -> np.ndarray:
    """Follow the best path back from a tap at the last event or up to a period after it."""
    # A path must cover the last event: it ends on the first tap at or just before it, or after it.
    ends = np.arange(last, len(best))
    frame_best = best[ends] + 0.0
    frame, period = np.unravel_index(int(np.argmax(frame_best)), frame_best.shape)
    now, state = int(ends[frame]), int(period)
    taps = [now]
    while now > begins:
        previous = int(back[now, state])
        now -= int(periods[state])
        state = previous
        taps.append(now)
    return np.array(taps[::-1], dtype=np.float64)


def _smoothed(taps: np.ndarray, times: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Taps moved to the events beside them, and evened out where the grid of frames or the players were not quite even."""
    nearest = np.clip(np.searchsorted(taps, times), 1, len(taps) - 1)
    nearest -= times - taps[nearest - 1] < taps[nearest] - times
    away = times - taps[nearest]
    near = np.abs(away) < 2.5 * SPREAD
    pull = np.bincount(nearest[near], weights[near], len(taps))
    target = np.bincount(nearest[near], (weights * away)[near], len(taps))
    return taps + _even(pull, target, taps)


def _even(pull: np.ndarray, target: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The shifts x that minimise sum pull x^2 - 2 target x + STIFFNESS * (second differences of taps + x)^2."""
    count = len(taps)
    if count < 3:
        return np.where(pull > 0, target / np.maximum(pull, 1e-9), 0.0)
    bands = np.zeros((3, count))  # main diagonal and the two below it of a symmetric matrix
    bands[0] = pull + 1e-6
    right = target.copy()
    bend = taps[:-2] - 2 * taps[1:-1] + taps[2:]
    for i, a in enumerate((1.0, -2.0, 1.0)):
        right[i : count - 2 + i] -= STIFFNESS * a * bend
        for j, b in enumerate((1.0, -2.0, 1.0)):
            if i >= j:
                bands[i - j, j : count - 2 + j] += STIFFNESS * a * b
    return _solve(bands, right)


def _solve(bands: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve a symmetric positive pentadiagonal system by LDL'."""
    main, one, two = (list(map(float, row)) for row in bands)
    count, x = len(main), list(map(float, right))
    d, e, f = [0.0] * count, [0.0] * count, [0.0] * count
    for i in range(count):
        a = main[i] - (d[i - 1] * e[i - 1] ** 2 if i else 0.0) - (d[i - 2] * f[i - 2] ** 2 if i > 1 else 0.0)
        d[i] = a
        e[i] = (one[i] - (d[i - 1] * e[i - 1] * f[i - 1] if i else 0.0)) / a
        f[i] = two[i] / a
        x[i] -= (e[i - 1] * x[i - 1] if i else 0.0) + (f[i - 2] * x[i - 2] if i > 1 else 0.0)
    for i in range(count - 1, -1, -1):
        x[i] = x[i] / d[i]
        x[i] -= (e[i] * x[i + 1] if i + 1 < count else 0.0) + (f[i] * x[i + 2] if i + 2 < count else 0.0)
    return np.array(x)
