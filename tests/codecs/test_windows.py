"""Windows depend on the recording alone, never on how it arrived."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.codecs.windows import in_order, pool, windows

contexts = st.tuples(st.integers(0, 3), st.integers(0, 3))


def joined(parts: list[torch.Tensor], chunk: int, context: tuple[int, int], hop: int) -> list[torch.Tensor]:
    return [
        torch.cat([w.data.flatten(), torch.tensor([*w.span, w.units])]) for w in windows(parts, chunk, *context, hop)
    ]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 5), contexts, st.integers(1, 4))
def test_same_windows_however_it_is_cut(sizes: list[int], chunk: int, context: tuple[int, int], hop: int) -> None:
    total = sum(sizes)
    sound = torch.arange(1.0, total + 1)[None]
    if total == 0:
        with pytest.raises(ValueError, match="no samples"):
            joined(list(sound.split(sizes, -1)), chunk, context, hop)
        return
    cut = joined(list(sound.split(sizes, -1)), chunk, context, hop)
    whole = joined([sound], chunk, context, hop)
    assert len(cut) == len(whole) and all(torch.equal(a, b) for a, b in zip(cut, whole, strict=True))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), contexts, st.integers(1, 4))
def test_every_window_has_one_shape_and_the_middles_are_the_recording(
    total: int, chunk: int, context: tuple[int, int], hop: int
) -> None:
    sound = torch.arange(1.0, total + 1)[None]
    cut = list(windows([sound], chunk, *context, hop))
    assert {w.data.shape for w in cut} == {(1, (sum(context) + chunk) * hop)}
    assert sum(w.units for w in cut) == -(-total // hop)
    middle = torch.cat([w.data[:, context[0] * hop : (context[0] + w.units) * hop] for w in cut], -1)
    assert torch.equal(middle[:, :total], sound) and not middle[:, total:].any()
    for w in cut:
        inside = torch.zeros(w.data.shape[-1], dtype=torch.bool)
        inside[w.span[0] : w.span[1]] = True
        assert torch.equal(w.data[0] != 0, inside)


@settings(deadline=None)
@given(st.integers(1, 80), st.integers(1, 5), contexts, st.integers(1, 4), st.integers(0, 9))
def test_windows_from_a_later_one_on(total: int, chunk: int, context: tuple[int, int], hop: int, first: int) -> None:
    sound = torch.arange(1.0, total + 1)[None]
    every = list(windows([sound], chunk, *context, hop))
    first = min(first, len(every) - 1)
    rest = sound[:, max(0, first * chunk - context[0]) * hop :]
    later = list(windows(rest.split(7, -1), chunk, *context, hop, first))
    assert len(later) == len(every) - first
    for a, b in zip(later, every[first:], strict=True):
        assert torch.equal(a.data, b.data) and (a.span, a.units) == (b.span, b.units)


def test_results_come_in_order_each_on_one_thread() -> None:
    cut = list(windows([torch.arange(100.0)[None]], 3, 1, 1))
    seen = list(in_order(cut, lambda w: (w.data[0, 1].item(), torch.get_num_threads()), pool(3), 3))
    assert seen == [(float(i), 1) for i in range(0, 100, 3)]


def test_workers_keep_to_one_core_whatever_is_set_elsewhere() -> None:
    """Also those that begin to compute after it; and threads that are not workers keep what was set."""
    before, others = torch.get_num_threads(), []
    try:
        torch.set_num_threads(5)
        workers = pool(4)
        fresh = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
        fresh.start()
        fresh.join()
        torch.set_num_threads(6)
        together = threading.Barrier(4)  # so that each of them has an item
        assert list(workers.map(lambda _: (together.wait(), torch.get_num_threads())[1], range(4))) == [1] * 4
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
    assert others == [5]


def test_no_more_is_computed_than_was_asked_for() -> None:
    done: list[int] = []
    results = in_order(range(100), lambda i: done.append(i) or i, pool(2), 2)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    results.close()
    assert pool(2).submit(len, done).result() <= 7  # those that wait are not begun


def test_an_error_in_a_worker_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order([1, 0], lambda i: 1 // i, pool(2), 2))


def test_parts_may_share_one_buffer() -> None:
    sound, buffer = torch.arange(60.0)[None], torch.empty(1, 10)

    def parts():  # type: ignore[no-untyped-def]
        for start in range(0, 60, 10):
            yield buffer.copy_(sound[:, start : start + 10])

    ours = [window.data for window in list(windows(parts(), 7, 2, 1))]
    theirs = [window.data for window in windows([sound], 7, 2, 1)]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
