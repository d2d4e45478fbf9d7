"""Windows depend on the recording alone, never on how it arrived."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.codecs.windows import in_order, windows


def joined(parts: list[torch.Tensor], chunk: int, context: int, hop: int) -> list[torch.Tensor]:
    return [
        torch.cat([w.data.flatten(), torch.tensor([*w.span, w.units])]) for w in windows(parts, chunk, context, hop)
    ]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 5), st.integers(0, 3), st.integers(1, 4))
def test_same_windows_however_it_is_cut(sizes: list[int], chunk: int, context: int, hop: int) -> None:
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
@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 3), st.integers(1, 4))
def test_every_window_has_one_shape_and_the_middles_are_the_recording(
    total: int, chunk: int, context: int, hop: int
) -> None:
    sound = torch.arange(1.0, total + 1)[None]
    cut = list(windows([sound], chunk, context, hop))
    assert {w.data.shape for w in cut} == {(1, (chunk + 2 * context) * hop)}
    assert sum(w.units for w in cut) == -(-total // hop)
    middle = torch.cat([w.data[:, context * hop : (context + w.units) * hop] for w in cut], -1)
    assert torch.equal(middle[:, :total], sound) and not middle[:, total:].any()
    for w in cut:
        inside = torch.zeros(w.data.shape[-1], dtype=torch.bool)
        inside[w.span[0] : w.span[1]] = True
        assert torch.equal(w.data[0] != 0, inside)


def test_results_come_in_order_each_on_one_thread() -> None:
    before = torch.get_num_threads()
    cut = list(windows([torch.arange(100.0)[None]], 3, 1))
    seen = list(in_order(cut, lambda w: (w.data[0, 1].item(), torch.get_num_threads()), workers=3))
    assert seen == [(float(i), 1) for i in range(0, 100, 3)]
    assert torch.get_num_threads() == before
