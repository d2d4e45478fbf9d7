"""Planes coded by a code LM: what it guesses, from all frames before and the codebooks below, is one more guess of the adaptive model.

So a recording that repeats itself, or is of a kind that the LM was not trained on, is coded at least about as well as without it.
"""

import numpy as np

from solfa.codecs.entropy.adaptive import AdaptiveModel
from solfa.codecs.entropy.integer_lm import IntegerLM, LMNetwork
from solfa.codecs.entropy.range_coder import RangeDecoder, RangeEncoder

_SHARES_AT_ONCE = 1 << 19  # bounds the memory: planes times frames times codes of a codebook


class LMCoding:
    """A `Coding` by a code LM; every block begins with an empty past."""

    chained = True

    def __init__(self, lm: IntegerLM) -> None:
        self.lm = lm

    def encode(self, blocks: np.ndarray) -> list[bytes]:
        return [plane for part in self._parts(*blocks.shape[:2]) for plane in self._encode(blocks[part])]

    def decode(self, planes: list[list[bytes]], todo: np.ndarray, codes: np.ndarray) -> np.ndarray:
        good = np.empty_like(todo)
        for part in self._parts(*todo.shape):
            good[part] = self._decode(planes[part], todo[part], codes[part])
        return good

    def _parts(self, blocks: int, books: int) -> list[slice]:
        step = max(1, _SHARES_AT_ONCE // (books * self.lm.config.codebook_size))
        return [slice(start, start + step) for start in range(0, blocks, step)]

    def _encode(self, blocks: np.ndarray) -> list[bytes]:
        count, books, frames = blocks.shape
        network, size = self.lm.first(books), self.lm.config.codebook_size
        state, before = network.start(count), np.full((count, books, 1), size)
        model, coder = AdaptiveModel(books * count, size, hinted=True), RangeEncoder(books * count)  # rows [K * B]
        step = max(1, _SHARES_AT_ONCE // (count * books * size))
        for at in range(0, frames, step):
            codes = blocks[:, :, at : at + step].astype(np.int64)  # [B, K, f]
            heard, state = network.hear(np.concatenate([before, codes[:, :, :-1]], 2), state)
            before = codes[:, :, -1:]
            shares: list[np.ndarray] = []
            lower: np.ndarray | None = None
            for k in range(books):
                shares.append(network.shares(k, heard, lower))  # [B, f, N]
                lower = _told(network, k, codes[:, k], lower)
            together = np.concatenate(shares)  # [K * B, f, N]
            for t, frame in enumerate(codes.transpose(2, 1, 0).reshape(-1, books * count)):
                model.weigh()
                model.hint(together[:, t])
                coder.push(*model.share(frame), model.total)
                model.learn(frame)
        data = coder.finish()
        return [data[k * count + block] for block in range(count) for k in range(books)]

    def _decode(self, planes: list[list[bytes]], todo: np.ndarray, codes: np.ndarray) -> np.ndarray:
        count, books, frames = codes.shape
        network, size = self.lm.first(books), self.lm.config.codebook_size
        state, before = network.start(count), np.full((count, books, 1), size)
        model = AdaptiveModel(books * count, size, hinted=True)
        coders = [RangeDecoder([block[k] for block in planes]) for k in range(books)]
        frame = np.empty((books, count), np.int64)
        for t in range(frames):
            heard, state = network.hear(before, state)
            model.weigh()
            lower: np.ndarray | None = None
            for k, coder in enumerate(coders):
                rows = slice(k * count, (k + 1) * count)
                model.hint(network.shares(k, heard, lower)[:, 0], rows)
                found, start, share = model.find(coder.target(model.total[rows]), rows)
                coder.take(start, share)
                frame[k] = np.where(todo[:, k], found, codes[:, k, t])
                lower = _told(network, k, frame[k][:, None], lower)
            model.learn(frame.reshape(-1))
            codes[:, :, t] = frame.T
            before = codes[:, :, t : t + 1]
        return np.stack([coder.ended() for coder in coders], 1)


def _told(network: LMNetwork, codebook: int, codes: np.ndarray, lower: np.ndarray | None) -> np.ndarray | None:
    """What the codebooks up to this one tell the next; nothing if there is none."""
    if codebook == network.codebooks - 1:
        return lower
    told = network.tell(codebook, codes)
    return told if lower is None else lower + told
