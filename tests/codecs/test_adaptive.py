import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.codecs.entropy.adaptive import MAX_SIZE, AdaptiveModel, decode_planes, encode_planes
from solfa.codecs.entropy.range_coder import RangeEncoder


def music(frames: int, size: int, seed: int = 0) -> np.ndarray:
    """Codes [4, F]: notes that repeat, leaning to low codes, noise, one code only."""
    rng = np.random.default_rng(seed)
    notes = np.repeat(rng.integers(0, size, 9)[rng.integers(0, 9, frames)], 4)[:frames]
    low = (rng.random(frames) ** 3 * size).astype(int)
    return np.stack([notes, low, rng.integers(0, size, frames), np.full(frames, size - 1)])


def naive(plane: list[int], size: int, hints: np.ndarray | None = None) -> bytes:
    """docs/token-file.md, followed by hand: one plane, a count for each code, an independent encoder. hints: [F, N]."""
    evidence = [8192, 1024, 1024, 1024, 1024, 1024] if hints is None else [4096, *[1024] * 5, 16384]
    recent = np.zeros(size, int)
    ever = np.zeros(size, int)
    last: dict[int, int] = {}
    other: dict[int, int] = {}
    coder = RangeEncoder(1)
    for t, code in enumerate(plane):
        before = plane[t - 1] if t else -1
        guesses = [before, last.get(before, -1), other.get(before, -1)]
        parts = np.zeros((len(evidence), size), np.int64)
        parts[0] = max(1, 256 * evidence[0] // size)
        parts[1] = 256 * evidence[1] // max(1, min(t, 32)) * recent
        parts[2] = 256 * evidence[2] // max(1, t) * ever
        for i, guess in enumerate(guesses):
            if guess >= 0:
                parts[3 + i, guess] = 256 * evidence[3 + i]
        if hints is not None:
            parts[6] = 256 * evidence[6] * hints[t].astype(int) // int(hints[t].sum())
        ends = parts.sum(0).cumsum()
        size_of = parts[:, code].sum()
        coder.push(np.array([ends[code] - size_of]), np.array([size_of]), ends[-1:])
        evidence = [e + 1024 * int(p) // int(size_of) for e, p in zip(evidence, parts[:, code], strict=True)]
        if sum(evidence) > 128 * 1024:
            evidence = [max(e // 2, 256) for e in evidence]
        ever[code] += 1
        recent[code] += 1
        if t >= 32:
            recent[plane[t - 32]] -= 1
        if last.get(before, -1) != code:
            other[before] = last.get(before, -1)
        last[before] = code
    return coder.finish()[0]


@pytest.mark.parametrize("size", [2, 3, 40, 1000])
def test_bytes_are_the_naive_models(size: int) -> None:
    planes = music(180, size)
    assert encode_planes(planes, size) == [naive(row.tolist(), size) for row in planes]


@pytest.mark.parametrize("size", [3, 40])
def test_a_language_models_guess_joins_in(size: int) -> None:
    planes = music(150, size)
    hints = (np.random.default_rng(0).integers(1, 1 << 18, (150, 4, size)) >> 12 * (np.arange(size) % 2)) + 1.0
    model, coder = AdaptiveModel(4, size, hinted=True), RangeEncoder(4)
    for t, codes in enumerate(planes.T):
        model.weigh()
        model.hint(hints[t, :3], slice(0, 3))  # some rows at a time
        model.hint(hints[t, 3:], slice(3, 4))
        start, share = model.share(codes)
        for rows in (slice(0, 1), slice(1, 4)):
            places = start[rows] + share[rows] - 1
            found = model.find(places, rows)
            assert [part.tolist() for part in found] == [codes[rows].tolist(), start[rows].tolist(), share[rows].tolist()]
        coder.push(start, share, model.total)
        model.learn(codes)
    assert coder.finish() == [naive(row.tolist(), size, hints[:, i]) for i, row in enumerate(planes)]


@settings(max_examples=40, deadline=None)
@given(
    size=st.one_of(st.integers(2, 70), st.integers(2, MAX_SIZE)),
    rows=st.integers(0, 5),
    frames=st.integers(0, 60),
    seed=st.integers(0, 99),
)
def test_any_codes_come_back(size: int, rows: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    planes = (rng.random((rows, frames)) ** rng.integers(1, 9, (rows, 1)) * size).astype(np.int64)
    codes, good = decode_planes(encode_planes(planes, size), frames, size)
    np.testing.assert_array_equal(codes, planes)
    assert good.all() and codes.dtype == np.int32


def test_a_plane_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    planes = music(100, 64)
    alone = [encode_planes(row[None], 64)[0] for row in planes]
    assert encode_planes(planes, 64) == alone
    monkeypatch.setattr("solfa.codecs.entropy.adaptive._CODES_AT_ONCE", 250)  # two planes at a time
    assert encode_planes(planes, 64) == alone
    np.testing.assert_array_equal(decode_planes(alone, 100, 64)[0], planes)


def test_what_repeats_is_small_and_noise_is_hardly_larger() -> None:
    notes, low, noise, one = (8 * len(data) / 2000 for data in encode_planes(music(2000, 1024), 1024))
    assert notes < 2.5 and low < 9.3 and one < 0.15
    assert 10 <= noise < 10.2  # the token file stores such a plane packed


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.binary(max_size=60), min_size=1, max_size=4), size=st.integers(2, 3000))
def test_any_bytes_give_codes_and_only_an_encoders_are_good(data: list[bytes], size: int) -> None:
    codes, good = decode_planes(data, 25, size)
    assert codes.min() >= 0 and codes.max() < size
    again = encode_planes(codes, size)
    assert good.tolist() == [bytes(a) == item.rstrip(b"\0") for a, item in zip(again, data, strict=True)]
