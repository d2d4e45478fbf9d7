"""EnCodec against the `encodec` package: the same random weights, there and back; equal codes, equal sound.

`encodec` has no 32 kHz model: MusicGen's is its blocks with AudioCraft's numbers.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import encodec.modules as m
import pytest
import torch
from encodec import EncodecModel
from encodec.quantization import ResidualVectorQuantizer
from torch import Tensor

from solfa.codecs.encodec import encodec_24khz, encodec_32khz, encodec_48khz
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights.encodec_keys import from_original, to_original

PRESETS = {"24khz": encodec_24khz, "48khz": encodec_48khz, "32khz": encodec_32khz}


def narrow(config: VQVAEConfig) -> VQVAEConfig:
    """4 filters, 5 codebooks of 16; ratios, kernels, padding and segments stay."""
    seanet = replace(config.seanet, n_filters=4, dimension=8)
    quantizer = replace(config.quantizer, codebooks=5, codebook_size=16)
    return replace(config, latent_dim=8, seanet=seanet, quantizer=quantizer, chunk=7)


def reference(config: VQVAEConfig) -> EncodecModel:
    """Their model of the same shape, with random weights and codebooks that random sound makes use of."""
    torch.manual_seed(0)
    net, quantizer, segment = config.seanet, config.quantizer, config.segment
    shape = {
        "channels": net.channels,
        "dimension": net.dimension,
        "n_filters": net.n_filters,
        "ratios": list(net.ratios),
        "norm": net.norm,
        "causal": net.causal,
        "true_skip": net.true_skip,
        "pad_mode": net.pad_mode,
    }
    model = EncodecModel(
        m.SEANetEncoder(**shape),
        m.SEANetDecoder(**shape),
        ResidualVectorQuantizer(net.dimension, quantizer.codebooks, quantizer.codebook_size),
        [1.5, 24.0],
        config.sample_rate,
        config.channels,
        segment is not None and segment.normalize,
        None if segment is None else segment.samples / config.sample_rate,
    )
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("bias"):
                tensor.normal_(0, 0.03)
            elif name.endswith("weight_g"):
                tensor.mul_(1.5)  # else the sound fades from layer to layer, and codes depend on little but biases
        rest = model.encoder(0.3 * torch.randn(4, config.channels, 40_000)).transpose(1, 2).flatten(0, 1)
        for layer in model.quantizer.vq.layers:
            layer._codebook.embed.normal_(0, 0.3 * float(rest.std())).add_(rest.mean(0))
            layer._codebook.inited.fill_(1)
            rest = rest - layer._codebook.decode(layer._codebook.encode(rest))
    return model.eval()


@cache
def pair(name: str, full: bool = False) -> tuple[EncodecModel, VQVAE]:
    config = replace(PRESETS[name](), chunk=5) if full else narrow(PRESETS[name]())
    theirs, ours = reference(config), VQVAE(config).eval()
    ours.load_state_dict(from_original(theirs.state_dict()))
    return theirs, ours


def noise(channels: int, samples: int) -> Tensor:
    return 0.3 * torch.randn(1, channels, samples, generator=torch.Generator().manual_seed(samples))


@torch.inference_mode()
def check(theirs: EncodecModel, ours: VQVAE, samples: int) -> Tensor:
    x = noise(ours.channels, samples)
    frames = theirs.encode(x)
    codes = ours.encode(x)
    assert torch.equal(codes.tokens, torch.cat([tokens for tokens, _ in frames], -1)), samples
    if ours.config.segment is not None:
        torch.testing.assert_close(codes.scales, torch.cat([scale for _, scale in frames], 1))
    torch.testing.assert_close(ours.decode(codes).samples, theirs.decode(frames)[..., :samples], rtol=0, atol=1e-5)
    return codes.tokens


@pytest.mark.parametrize("samples", [1, 2, 319, 320, 321, 6720, 16_320, 20_011])
@pytest.mark.parametrize("name", PRESETS)
def test_codes_and_sound(name: str, samples: int) -> None:
    tokens = check(*pair(name), samples)
    assert samples < 5000 or len(tokens.unique()) > 12


@pytest.mark.parametrize("samples", [47_519, 47_520, 47_521, 48_000, 48_001, 100_000])
def test_segments_of_48khz(samples: int) -> None:
    check(*pair("48khz"), samples)


@pytest.mark.parametrize("name", PRESETS)
def test_full_size(name: str, same: Callable[..., None]) -> None:
    theirs, ours = pair(name, True)
    tokens = check(theirs, ours, 7000)
    assert tokens.shape == (1, ours.codebooks, math.ceil(7000 / ours.hop)) and len(tokens.unique()) > 25
    same(to_original(ours.state_dict()), theirs.state_dict())
    pair.cache_clear()  # they are large


@pytest.mark.parametrize("name", PRESETS)
def test_ours_in_theirs(name: str) -> None:
    """Back: a model of ours with new weights, loaded by theirs."""
    config = narrow(PRESETS[name]())
    theirs = reference(config)
    torch.manual_seed(1)
    ours = VQVAE(config).eval()
    state = {key: torch.randn(t.shape) * 0.2 if t.dtype == torch.float32 else t for key, t in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict(to_original(ours.state_dict()))
    check(theirs, ours, 9000)


def test_the_bandwidth_is_a_number_of_codebooks() -> None:
    theirs, ours = pair("24khz")
    x = noise(1, 5000)
    per_codebook = 75 * math.log2(16) / 1000
    for codebooks in (1, 3, 5):
        theirs.bandwidth = codebooks * per_codebook
        with torch.inference_mode():
            assert torch.equal(ours.encode(x, codebooks=codebooks).tokens, theirs.encode(x)[0][0])
    theirs.bandwidth = None


@pytest.mark.parametrize(
    ("model", "name"), [("encodec_model_24khz", "encodec-24khz"), ("encodec_model_48khz", "encodec-48khz")]
)
def test_a_file_of_their_weights(model: str, name: str, tmp_path: Path, same: Callable[..., None]) -> None:
    """Their own full-size model, its state dict saved as they publish it: we see which it is."""
    torch.manual_seed(0)
    theirs = getattr(EncodecModel, model)(pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "weights.th")
    ours = load_codec(tmp_path / "weights.th")
    assert ours.name == name and ours.codebooks == theirs.quantizer.n_q
    same(to_original(ours.state_dict()), theirs.state_dict())
