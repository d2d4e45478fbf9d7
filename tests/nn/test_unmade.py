"""Models without memory: shapes as they would be, nothing drawn, and torch's compiler left alone."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from solfa.nn.unmade import unmade

HEAVY = "{'torch._dynamo', 'sympy', 'transformers', 'scipy', 'vector_quantize_pytorch'}"


def test_shapes_are_there_and_no_weight_is():
    before = torch.get_rng_state()
    with unmade():
        layers = [nn.Embedding(5, 3), nn.Conv2d(2, 4, 3), nn.LSTM(3, 2), nn.LayerNorm(7)]
        nn.init.trunc_normal_(layers[0].weight)
    assert torch.equal(torch.get_rng_state(), before)
    made = [nn.Embedding(5, 3), nn.Conv2d(2, 4, 3), nn.LSTM(3, 2), nn.LayerNorm(7)]
    for ours, theirs in zip(layers, made, strict=True):
        weights = dict(ours.named_parameters())
        assert {name: w.shape for name, w in weights.items()} == {n: w.shape for n, w in theirs.named_parameters()}
        assert all(weight.is_meta for weight in weights.values())
    assert not nn.Linear(2, 2).weight.is_meta  # it ends with its block


@pytest.mark.parametrize(
    "line",
    [
        "from solfa.codecs.registry import load_codec; load_codec('solfa-24khz')",
        "from solfa.lm.registry import load_lm; load_lm('solfa-music')",
        "from solfa.transcription.registry import load_transcriber; load_transcriber('solfa-notes')",
    ],
)
def test_what_ships_loads_without_what_it_does_not_need(line):
    """Each of these takes a second or more to import, of the two that a command takes to begin."""
    code = f"import sys; {line}; found = {HEAVY} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)
