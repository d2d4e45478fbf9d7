"""step == batch for the causal stacks, and the states and spans themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.nn.conv import Conv1d
from solfa.nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from solfa.nn.streaming import Span, StreamState, pad_reflect

SMALL = SEANetConfig(n_filters=2, dimension=3, ratios=(5, 2))

configs = st.builds(
    SEANetConfig,
    channels=st.integers(1, 2),
    dimension=st.just(3),
    n_filters=st.just(2),
    ratios=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    kernel_size=st.integers(1, 7),
    last_kernel_size=st.integers(1, 7),
    residual_kernel_size=st.integers(1, 4),
    n_residual_layers=st.integers(0, 2),
    true_skip=st.booleans(),
    lstm_layers=st.integers(0, 2),
    norm=st.sampled_from(["none", "weight_norm"]),
    activation=st.sampled_from(["elu", "snake"]),
    pad_mode=st.sampled_from(["zero", "reflect"]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs, frames=st.integers(0, 12), seed=st.integers(0, 99))
def test_steps_equal_the_whole(step_equals_batch, config, frames, seed):
    torch.manual_seed(seed)
    encoder, decoder = SEANetEncoder(config).double(), SEANetDecoder(config).double()
    first = encoder.first_step
    x = torch.randn(2, config.channels, (first + frames) * config.hop, dtype=torch.float64)
    step_equals_batch(encoder, x, unit=config.hop, first=first, seed=seed)
    first = decoder.first_step
    step_equals_batch(decoder, torch.randn(2, 3, first + frames, dtype=torch.float64), first=first, seed=seed)


@settings(max_examples=40, deadline=None)
@given(config=configs, samples=st.integers(1, 400), cut=st.integers(0, 400))
def test_the_last_step_may_be_ragged(config, samples, cut):
    """It then ends as the whole does: layer by layer, by zeros or by a reflection, also where all of it is shorter than a border."""
    torch.manual_seed(samples)
    encoder = SEANetEncoder(config).double()
    first = encoder.first_step * config.hop
    x = torch.randn(1, config.channels, samples, dtype=torch.float64)
    cut = min(cut, samples - 1) // config.hop * config.hop
    parts, state = [], encoder.start(1)
    if cut >= first:
        begun, state = encoder.step(x[..., :cut], state)
        parts.append(begun)
    end, _ = encoder.step(x[..., cut if parts else 0 :], state, last=True)
    torch.testing.assert_close(torch.cat([*parts, end], -1), encoder.layers(x), rtol=0, atol=1e-10)


def test_a_reflection_at_the_end_may_reach_back_over_a_step():
    """A kernel as long as its stride remembers nothing for its outputs, but the reflection of a ragged end needs what was."""
    torch.manual_seed(0)
    conv = Conv1d(1, 1, 5, stride=5, causal=True, pad_mode="reflect").double()
    x = torch.randn(1, 1, 16, dtype=torch.float64)
    begun, state = conv.step(x[..., :15], conv.start(1, torch.device("cpu"), torch.float64))
    end, _ = conv.step(x[..., 15:], state, last=True)
    torch.testing.assert_close(torch.cat([begun, end], -1), conv(x), rtol=0, atol=1e-12)


def test_encodec_streams_from_its_seventh_frame_on(step_equals_batch):
    torch.manual_seed(0)
    config = SEANetConfig(n_filters=2, dimension=4, lstm_layers=2, pad_mode="reflect")
    encoder = SEANetEncoder(config).double()
    assert encoder.first_step == 7  # its last convolution reflects six frames
    x = torch.randn(1, 1, 12 * 320, dtype=torch.float64)
    step_equals_batch(encoder, x, unit=320, first=7)
    with pytest.raises(ValueError, match="more than 6"):
        encoder.step(x[..., : 6 * 320], encoder.start(1))
    assert SEANetEncoder(replace(config, pad_mode="zero")).first_step == 1


def test_a_stream_resumes_from_any_state_it_was_in():
    torch.manual_seed(0)
    encoder = SEANetEncoder(replace(SMALL, lstm_layers=1)).double()
    x = torch.randn(2, 1, 60, dtype=torch.float64)
    _, middle = encoder.step(x[..., :30], encoder.start(2))
    once, _ = encoder.step(x[..., 30:], middle)
    again, _ = encoder.step(x[..., 30:], middle.map(torch.Tensor.clone))
    assert torch.equal(once, again)
    torch.testing.assert_close(once, encoder(x)[..., 3:], rtol=0, atol=1e-12)


def test_states_start_on_the_weights_dtype_or_the_one_asked_for():
    def dtypes(state: StreamState) -> set[torch.dtype]:
        return {t.dtype for t in state.tensors}.union(*(dtypes(part) for part in state.parts))

    encoder = SEANetEncoder(SMALL)
    assert dtypes(encoder.start(1)) == {torch.float32}
    assert dtypes(encoder.double().start(1)) == {torch.float64}
    assert dtypes(encoder.start(1, "cpu", torch.bfloat16)) == {torch.bfloat16}
    assert dtypes(encoder.start(1).map(torch.Tensor.float)) == {torch.float32}


@pytest.mark.parametrize(
    ("change", "word"), [({"causal": False}, "only causal"), ({"norm": "time_group_norm"}, "cannot be streamed")]
)
@pytest.mark.parametrize("model", [SEANetEncoder, SEANetDecoder])
def test_what_cannot_be_streamed_says_so(model, change, word):
    with pytest.raises(ValueError, match=word):
        model(replace(SMALL, **change)).start(1)


def test_a_step_off_the_hop_grid_is_refused():
    encoder = SEANetEncoder(SMALL)
    with pytest.raises(ValueError, match="multiple of 10"):
        encoder.step(torch.zeros(1, 1, 15), encoder.start(1))


@pytest.mark.parametrize("pairs", [[(2, 5), (2, 5)], [(0, 3), (2, 8)], [(0, 8), (0, 8)], [(4, 4), (0, 1)]])
def test_span_masks_whatever_is_outside(pairs):
    x = torch.rand(2, 3, 8) + 1
    outside = torch.ones(2, 8, dtype=torch.bool)
    for item, (start, end) in enumerate(pairs):
        outside[item, start:end] = False
    dirty = x.masked_fill(outside[:, None], torch.nan)
    masked = Span.of(pairs, x.device).mask(dirty)
    assert torch.equal(masked, x.masked_fill(outside[:, None], 0.0))


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 8),
    inside=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    left=st.integers(0, 9),
    right=st.integers(0, 9),
    grid=st.integers(1, 4),
)
def test_a_reflected_span_is_the_reflected_signal(start, inside, left, right, grid):
    """Whatever stands beside it; the same for a batch that shares the span and for one that does not."""
    size = 24
    start -= start % grid
    pairs = [(start, start + n) for n in inside]
    x = torch.full((len(pairs), 2, size), torch.nan)
    expected = torch.zeros(len(pairs), 2, left + size + right + -size % grid)
    for item, (begin, end) in enumerate(pairs):
        x[item, :, begin:end] = torch.rand(2, end - begin) + 1
        if begin < end:
            alone = pad_reflect(x[item, :, begin:end], left, right + -(end - begin) % grid)
            expected[item, :, begin : begin + alone.shape[-1]] = alone
    assert torch.equal(Span.of(pairs, x.device).reflect(x, left, right, grid), expected)
    for item, pair in enumerate(pairs):
        assert torch.equal(Span(*pair).reflect(x[item : item + 1], left, right, grid)[0], expected[item])


def test_span_through_strides():
    for span in (Span(10, 17), Span.of([(10, 17), (0, 20)], torch.device("cpu"))):
        down = span.down(5)
        assert int(torch.as_tensor(down.start).flatten()[0]) == 2
        assert int(torch.as_tensor(down.end).flatten()[0]) == 4  # the frame that begins at 15 is partly inside
        up = down.up(3)
        assert (int(torch.as_tensor(up.start).flatten()[0]), int(torch.as_tensor(up.end).flatten()[0])) == (6, 12)
