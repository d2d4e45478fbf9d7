"""Names of released tensors: every layout to ours and back, with nothing lost and no number changed."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

from solfa.codecs.dac import dac_24khz, dac_44khz
from solfa.codecs.encodec import encodec_24khz, encodec_32khz, encodec_48khz
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights import dac_keys, encodec_keys
from solfa.codecs.weights.weight_norm import fuse, legacy, modern, unfuse


def same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def thin(config: VQVAEConfig, dimension: int = 16) -> VQVAEConfig:
    """The same geometry with few channels and small codebooks."""
    quantizer = replace(config.quantizer, codebooks=3, codebook_size=16)
    seanet = replace(config.seanet, n_filters=4, dimension=dimension)
    decoder = config.decoder and replace(config.decoder, n_filters=3, dimension=dimension)
    return replace(config, latent_dim=dimension, seanet=seanet, decoder=decoder, quantizer=quantizer)


def weights(config: VQVAEConfig) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: torch.rand(t.shape).to(t.dtype) for name, t in VQVAE(config).state_dict().items()}


@pytest.mark.parametrize("preset", [encodec_24khz, encodec_48khz, encodec_32khz])
def test_encodec_there_and_back(preset) -> None:
    ours = weights(thin(preset()))
    same(encodec_keys.from_transformers(encodec_keys.to_transformers(ours)), ours)
    same(encodec_keys.from_original(encodec_keys.to_original(ours)), ours)


@pytest.mark.parametrize("norm", ["weight_norm", "time_group_norm"])
@pytest.mark.parametrize("shortcut", [True, False])
def test_encodec_has_the_names_and_shapes_of_transformers(norm: str, shortcut: bool) -> None:
    preset = encodec_48khz() if norm == "time_group_norm" else encodec_24khz()
    preset = replace(preset, seanet=replace(preset.seanet, true_skip=not shortcut))
    small = {"num_filters": 4, "hidden_size": 16, "codebook_dim": 16, "codebook_size": 16, "target_bandwidths": [0.9]}
    shape = {"norm_type": norm, "use_conv_shortcut": shortcut, "audio_channels": preset.channels}
    model = EncodecModel(EncodecConfig(**small, **shape))
    theirs = model.state_dict()
    assert shapes(encodec_keys.to_transformers(weights(thin(preset)))) == shapes(theirs)
    same(encodec_keys.to_transformers(encodec_keys.from_transformers(theirs)), theirs)
    same(encodec_keys.from_transformers(legacy(theirs)), encodec_keys.from_transformers(theirs))


def test_dac_has_the_names_and_shapes_of_transformers() -> None:
    small = {"encoder_hidden_size": 4, "decoder_hidden_size": 48, "n_codebooks": 3, "codebook_size": 16}
    theirs = DacModel(DacConfig(**small)).state_dict()
    ours = dac_keys.from_transformers(theirs)
    assert shapes(ours) == shapes(VQVAE(thin(dac_44khz(), 64)).state_dict())
    same(dac_keys.to_transformers(ours), theirs)


@pytest.mark.parametrize("preset", [dac_44khz, dac_24khz])
def test_dac_there_and_back(preset) -> None:
    ours = weights(thin(preset()))
    original = dac_keys.to_original(ours)
    same(dac_keys.from_original(original), ours)
    fused = dac_keys.to_transformers(ours)
    same(dac_keys.to_transformers(dac_keys.from_transformers(fused)), fused)  # bit for bit, through g and v
    same(fuse({"x" + name.removeprefix("encoder.block.0"): t for name, t in original.items() if "encoder.block.0." in name}),
         {"x.weight": fused["encoder.conv1.weight"], "x.bias": fused["encoder.conv1.bias"]})  # fmt: skip


def test_full_size_counts() -> None:
    """252 tensors of EnCodec on both sides; 301 of DAC's original are 223 in transformers."""
    with torch.device("meta"):
        encodec, dac = VQVAE(encodec_24khz()).state_dict(), VQVAE(dac_44khz()).state_dict()
    assert len(encodec_keys.to_original(encodec)) == len(encodec_keys.to_transformers(encodec)) == 252
    assert (len(dac_keys.to_original(dac)), len(dac_keys.to_transformers(dac))) == (301, 223)


def test_original_names_of_encodec() -> None:
    names = encodec_keys.to_original(weights(thin(encodec_48khz())))
    for name in (
        "encoder.model.0.conv.conv.weight",
        "encoder.model.1.block.1.conv.norm.weight",
        "encoder.model.1.shortcut.conv.conv.bias",
        "encoder.model.13.lstm.weight_ih_l1",
        "decoder.model.0.conv.conv.weight",
        "decoder.model.3.convtr.convtr.weight",
        "decoder.model.3.convtr.norm.bias",
        "decoder.model.15.conv.conv.weight",
        "quantizer.vq.layers.2._codebook.inited",
    ):
        assert name in names


def test_a_number_in_a_name_cannot_ask_for_memory() -> None:
    with pytest.raises(ValueError, match="at most 1024"):
        dac_keys.from_original({"encoder.block.99999999999.weight_g": torch.ones(1)})


@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 9), st.integers(-6, 6), st.integers(0, 99))
def test_weight_norm_gives_a_fused_weight_back_exactly(
    out: int, width: int, kernel: int, power: int, seed: int
) -> None:
    weight = torch.randn(out, width, kernel, generator=torch.Generator().manual_seed(seed)) * 10.0**power
    parts = unfuse({"a.weight": weight}, ["a"])
    assert torch.equal(fuse(parts)["a.weight"], weight)
    conv = torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(width, out, kernel, bias=False))
    conv.load_state_dict({name.removeprefix("a."): tensor for name, tensor in parts.items()})
    assert torch.equal(conv.weight, weight)
    same(modern(legacy(parts)), parts)


def test_original_names_of_dac() -> None:
    """Units of one stage have equal shapes: only their names tell them apart."""
    ours = weights(thin(dac_44khz()))
    original, fused = dac_keys.to_original(ours), dac_keys.to_transformers(ours)
    for here, there, elsewhere in (
        ("encoder.layers.7.block.1.conv.bias", "encoder.block.2.block.1.block.1.bias", "encoder.block.1.res_unit2.conv1.bias"),
        ("encoder.layers.9.alpha", "encoder.block.2.block.3.alpha", "encoder.block.1.snake1.alpha"),
        ("decoder.layers.9.block.2.alpha", "decoder.model.2.block.3.block.2.alpha", "decoder.block.1.res_unit2.snake2.alpha"),
        ("decoder.layers.7.conv.bias", "decoder.model.2.block.1.bias", "decoder.block.1.conv_t1.bias"),
        ("quantizer.books.2.codebook.weight",) + ("quantizer.quantizers.2.codebook.weight",) * 2,
    ):  # fmt: skip
        assert torch.equal(original[there], ours[here]) and torch.equal(fused[elsewhere], ours[here])
