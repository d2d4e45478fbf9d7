"""DAC against the `descript-audio-codec` package: the same random weights, there and back; equal codes, equal sound."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from dac import DAC
from torch import Tensor

from solfa.codecs.dac import dac_16khz, dac_24khz, dac_44khz, dac_44khz_16kbps
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights.dac_keys import from_original, to_original

PRESETS = {"44khz": dac_44khz, "44khz-16kbps": dac_44khz_16kbps, "24khz": dac_24khz, "16khz": dac_16khz}
MISSING = {"24khz": 8, "16khz": 8}  # samples that their decoder does not give


def narrow(config: VQVAEConfig) -> VQVAEConfig:
    """4 and 3 filters, 5 codebooks of 16; strides, kernels and dilations stay."""
    width = 16 if config.latent_dim == 128 else 64
    return replace(
        config,
        latent_dim=width,
        seanet=replace(config.seanet, n_filters=4, dimension=width),
        decoder=replace(config.decoder, n_filters=3, dimension=width),
        quantizer=replace(config.quantizer, codebooks=5, codebook_size=16),
        chunk=7,
    )


def reference(config: VQVAEConfig) -> DAC:
    """Their model of the same shape, with random weights that keep the level of the signal."""
    torch.manual_seed(0)
    encoder, decoder, quantizer = config.seanet, config.decoder, config.quantizer
    model = DAC(
        encoder_dim=encoder.n_filters,
        encoder_rates=list(encoder.ratios[::-1]),
        latent_dim=config.latent_dim,
        decoder_dim=decoder.n_filters * 2 ** len(decoder.ratios),
        decoder_rates=list(decoder.ratios),
        n_codebooks=quantizer.codebooks,
        codebook_size=quantizer.codebook_size,
        codebook_dim=quantizer.dim,
        quantizer_dropout=True,
        sample_rate=config.sample_rate,
    ).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("alpha"):
                tensor.uniform_(0.5, 2)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.02)
            elif name.endswith("weight_g"):
                tensor.fill_(0.9 if name.startswith("encoder") else 0.6)
    return model


@cache
def pair(name: str, full: bool = False) -> tuple[DAC, VQVAE]:
    config = replace(PRESETS[name](), chunk=4) if full else narrow(PRESETS[name]())
    theirs, ours = reference(config), VQVAE(config).eval()
    ours.load_state_dict(from_original(theirs.state_dict()))
    return theirs, ours


@torch.inference_mode()
def check(theirs: DAC, ours: VQVAE, samples: int, missing: int, codebooks: int | None = None) -> Tensor:
    x = 0.3 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(samples))
    z, tokens, *_ = theirs.encode(theirs.preprocess(x, theirs.sample_rate), codebooks)
    sound = theirs.decode(z)
    codes = ours.encode(x, codebooks=codebooks)
    assert torch.equal(codes.tokens, tokens), samples
    frames = -(-samples // ours.hop)
    assert sound.shape[-1] == frames * ours.hop - missing
    sound = sound[..., :samples]
    found = ours.decode(codes).samples
    assert found.shape[-1] == samples  # always, also where theirs ends early
    torch.testing.assert_close(found[..., : sound.shape[-1]], sound, rtol=0, atol=1e-5)
    return tokens


@pytest.mark.parametrize("samples", [1, 311, 312, 313, 320, 511, 512, 513, 9_000, 20_011])
@pytest.mark.parametrize("name", PRESETS)
def test_codes_and_sound(name: str, samples: int) -> None:
    tokens = check(*pair(name), samples, MISSING.get(name, 0))
    assert samples < 5000 or len(tokens.unique()) > 12


@pytest.mark.parametrize("name", PRESETS)
def test_full_size(name: str, same: Callable[..., None]) -> None:
    theirs, ours = pair(name, True)
    tokens = check(theirs, ours, 3000, MISSING.get(name, 0))
    assert tokens.shape[1] == ours.codebooks and len(tokens.unique()) > 20
    same(to_original(ours.state_dict()), theirs.state_dict())
    pair.cache_clear()  # they are large


@pytest.mark.parametrize("name", PRESETS)
def test_ours_in_theirs(name: str) -> None:
    """Back: a model of ours with new weights, loaded by theirs."""
    config = narrow(PRESETS[name]())
    theirs = reference(config)
    torch.manual_seed(1)
    ours = VQVAE(config).eval()
    theirs.load_state_dict(to_original(ours.state_dict()))
    check(theirs, ours, 9000, MISSING.get(name, 0))


def test_fewer_codebooks() -> None:
    for codebooks in (1, 3, 5):
        check(*pair("44khz"), 6000, 0, codebooks)


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_of_theirs(name: str, tmp_path: Path, same: Callable[..., None]) -> None:
    """What their `save` writes without torch.package: the arguments are in the file, so every shape loads."""
    theirs, _ = pair(name)
    theirs.save(str(tmp_path / "weights.pth"), package=False)
    ours = load_codec(tmp_path / "weights.pth")
    check(theirs, ours, 3000, MISSING.get(name, 0))
    same(to_original(ours.state_dict()), theirs.state_dict())
    assert load_codec(tmp_path).weights_hash == ours.weights_hash


def test_a_package_of_theirs_is_not_opened(tmp_path: Path) -> None:
    """Their other format holds code: torch.package."""
    theirs, _ = pair("16khz")
    theirs.save(str(tmp_path / "package.pth"), package=True)
    with pytest.raises(ValueError, match=r"package.pth: not opened"):
        load_codec(tmp_path / "package.pth")
