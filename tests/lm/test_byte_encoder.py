"""The encoder of texts as bytes, against transformers' T5."""

import math

import pytest
import torch
from transformers import T5Config, T5EncoderModel

from solfa.lm.conditioners.byte_encoder import BUCKETS, ByteEncoder

SHAPE = {"width": 24, "layers": 3, "heads": 4, "hidden": 40}


def theirs(**changes: int) -> T5EncoderModel:
    shape = SHAPE | changes
    config = T5Config(
        vocab_size=384,
        d_model=shape["width"],
        d_kv=shape["width"] // shape["heads"],
        d_ff=shape["hidden"],
        num_layers=shape["layers"],
        num_heads=shape["heads"],
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config).eval()


@pytest.mark.parametrize("length", [1, 9, 300])  # as far as the last class of distances, and beyond
@torch.no_grad()
def test_it_gives_what_transformers_gives(length: int) -> None:
    torch.manual_seed(length)
    ours, reference = ByteEncoder(384, **SHAPE).eval(), theirs()
    for weight in reference.parameters():
        weight.normal_(0.0, 0.5)
    names = dict(reference.named_parameters())
    assert list(dict(ours.named_parameters())) == list(names)
    ours.load_state_dict(names)
    ids, mask = torch.randint(0, 384, (3, length)), torch.ones(3, length, dtype=torch.bool)
    mask[1, length // 2 + 1 :] = False
    expected = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(ours(ids, mask)[mask], expected[mask], atol=2e-5, rtol=1e-4)
    alone = ours(ids[1:2, : length // 2 + 1], mask[1:2, : length // 2 + 1])
    torch.testing.assert_close(alone[0], ours(ids, mask)[1, : length // 2 + 1], atol=2e-5, rtol=1e-4)


def test_it_starts_as_transformers_starts() -> None:
    """The same spread of every matrix, since attention is not scaled: seven sigmas."""
    shape = {"width": 128, "layers": 2, "heads": 4, "hidden": 256}
    ours = dict(ByteEncoder(384, **shape).named_parameters())
    for name, weight in theirs(**shape).named_parameters():
        spread, other = float(weight.detach().std()), float(ours[name].detach().std())
        if weight.ndim == 1:
            assert torch.equal(weight, ours[name])
        else:
            assert math.isclose(spread, other, rel_tol=7 / math.sqrt(weight.numel())), name
    assert ours["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"].shape == (BUCKETS, 4)
