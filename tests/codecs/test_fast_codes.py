"""The inference form changes no code: a codec by its plain layers, by the fast form, and by the fast form without compiled kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import solfa.codecs.vqvae as vqvae
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn import kernels
from solfa.nn.seanet import SEANetConfig

DAC = SEANetConfig(
    dimension=16,
    n_filters=16,  # 32 and 64 channels after the first stages: wide enough for the Fourier form
    ratios=(4, 2, 2),
    residual_kernel_size=7,
    n_residual_layers=3,
    dilation_base=3,
    compress=1,
    true_skip=True,
    activation="snake",
    causal=False,
    last_kernel_size=3,
)
ENCODEC = SEANetConfig(dimension=16, n_filters=16, ratios=(4, 2, 2), lstm_layers=2, pad_mode="reflect")
CONFIGS = {
    "dac": VQVAEConfig(
        name="dac",
        latent_dim=16,
        seanet=DAC,
        decoder=replace(DAC, last_kernel_size=7, final_tanh=True),
        quantizer=QuantizerConfig("factorized", codebooks=3, codebook_size=64, dim=4),
        chunk=200,
    ),
    "encodec": VQVAEConfig(
        name="encodec",
        latent_dim=16,
        seanet=ENCODEC,
        quantizer=QuantizerConfig(codebooks=3, codebook_size=64),
        chunk=200,
    ),
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_codes_are_equal_and_sounds_close(name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    codec = VQVAE(CONFIGS[name]).eval()
    sound = torch.randn(1, 1, 16 * 700 + 5) * 0.3
    latents = codec.encoder(sound[..., :6400]).detach()[0].T  # [400, D]
    for key, codebook in codec.named_buffers():
        if key.endswith(".embed"):  # all zeros before training
            codebook.copy_(latents[:: len(latents) // 64][:64])
            latents = 0.5 * (latents - latents.mean(0))  # about what one level leaves to the next
    if not compiled:
        monkeypatch.setattr(kernels, "library", lambda: None)
    codes = codec.encode(sound)
    decoded = codec.decode(codes).samples
    monkeypatch.setattr(vqvae, "fast", lambda stack: stack)
    assert torch.equal(codec.encode(sound).tokens, codes.tokens)
    assert (codec.decode(codes).samples - decoded).abs().max() < 1e-5
    assert len(codes.tokens.unique()) > 16  # the codes say something
