"""Who plays: what was heard of a recording's instruments so far, which names those of its next notes.

Named note by note, the notes of one piano are scattered over all instruments that sound like it. But few play in a piece, and one that has
played goes on. So a note's instrument is that of the largest product of what the model hears in it and of the instrument's share of the
notes, of these and those before; the shares are found together with the names, by expectation maximisation.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
ANY = 0.4  # how much of a note's chances are those of all instruments alike: one may begin to play at any time
KEPT = 0.8  # of what was heard before, from one call to the next: the players of minutes ago may have gone
ROUNDS = 10


class Cast:
    """The instruments of a recording, whose notes come in order, some at each call. What they are named depends on nothing later."""

    def __init__(self) -> None:
        self._played: Array | float = 0.0  # how many notes of each program, faded

    def name(self, logits: Array) -> Array:
        """The programs [n] of the next notes, logits [n, programs]: -inf for what cannot be, not all of a row."""
        if not len(logits):
            return np.zeros(0, np.int64)
        heard = logits.astype(np.float64)
        before, played = self._played, np.zeros(heard.shape[1])
        chances = _softmax(heard)
        for _ in range(ROUNDS):
            played = before + chances.sum(0)
            shares = (1 - ANY) * played / played.sum() + ANY / len(played)
            chances = _softmax(heard + np.log(shares))
        self._played = KEPT * (before + chances.sum(0))
        return chances.argmax(1)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
