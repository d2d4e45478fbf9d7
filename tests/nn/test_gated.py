"""T5.1.1's blocks: the gated layer as transformers has it, the decoder in steps as at once."""

from __future__ import annotations

import pytest
import torch
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5LayerFF, T5LayerNorm

from solfa.nn.gated import EPSILON, GatedFeed, GatedTransformer
from solfa.nn.transformer import Memory, TransformerConfig


def test_the_feed_forward_layer_is_t5s() -> None:
    """On its weights; the released models have the tanh form of GELU, ours is exact."""
    torch.manual_seed(0)
    config = T5Config(d_model=12, d_ff=20, feed_forward_proj="gated-gelu", dropout_rate=0.0, layer_norm_epsilon=EPSILON)
    config.dense_act_fn = "gelu"
    theirs, ours, x = T5LayerFF(config).eval(), GatedFeed(12, 20), torch.randn(2, 5, 12) * 3
    with torch.no_grad():
        theirs.layer_norm.weight.normal_(1, 0.5)
        ours.norm.weight.copy_(theirs.layer_norm.weight)
        ours.up.weight.copy_(torch.cat([theirs.DenseReluDense.wi_0.weight, theirs.DenseReluDense.wi_1.weight]))
        ours.down.weight.copy_(theirs.DenseReluDense.wo.weight)
        torch.testing.assert_close(x + ours(x), theirs(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
def test_the_decoder_in_steps_as_at_once(positions: str) -> None:
    torch.manual_seed(0)
    decoder = GatedTransformer(TransformerConfig(16, 2, 2, 24, positions)).eval()  # type: ignore[arg-type]
    for weight in decoder.parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, 1, 0.3)
    x, mask = torch.randn(2, 9, 16), torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    memory = Memory(torch.randn(2, 6, 16), mask)
    with torch.no_grad():
        whole, state, parts = decoder(x, memory), decoder.start(2, 9, memory), []
        for part in x.split([3, 1, 1, 4], 1):
            y, state = decoder.advance(part, state)
            parts.append(y)
        torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-5)
        again = decoder(torch.cat([x[:, :5], x[:, 5:] + 1], 1), memory)
        assert torch.allclose(again[:, :5], whole[:, :5], atol=1e-5) and (again[:, 5:] - whole[:, 5:]).abs().max() > 0.1


def test_no_biases_and_no_means() -> None:
    """T5's norm: a common offset is not taken away; and no weight is one number for each output but those of norms."""
    decoder = GatedTransformer(TransformerConfig(16, 1, 2, 24, "rotary"))
    assert {name for name, weight in decoder.named_parameters() if weight.ndim == 1} == {
        "norm.weight",
        "blocks.0.norm_self.weight",
        "blocks.0.norm_cross.weight",
        "blocks.0.gated.norm.weight",
    }
    x = torch.randn(3, 16) + 5
    torch.testing.assert_close(decoder.norm(x), T5LayerNorm(16, EPSILON)(x))
