"""DAC, the Descript Audio Codec (arXiv 2306.06546, Kumar et al., 2023), as configurations of the one VQ-VAE.

The presets carry all codebooks of the released models; fewer of them are a lower bitrate. What is not as in `descript-audio-codec`:

- Long sounds. Its `compress` cuts them into pieces without padding, whose codes are not those of the whole sound. Ours come from
  windows with real sound on both sides (8 frames to encode, 10 to decode), and are those of the whole, whatever its length.
- Length. At 24 and 16 kHz its decoder gives 8 samples fewer than n * 320. Ours gives as many as went in, and equals it where it gives
  any (see `SEANetDecoder`).
- Level. Its `compress` brings a sound to -16 LUFS before it encodes, and back after; its `encode`, like ours, takes it as it is.
- Channels. DAC is mono. Its `compress` codes the channels of a sound one by one, as so many sounds; ours averages them, with a
  warning. To code them one by one, make them items of the batch:

      codes = codec.encode(audio.samples.transpose(0, 1))  # [1, C, S] -> [C, 1, S]
      stereo = codec.decode(codes).samples.transpose(0, 1)
"""

from __future__ import annotations

from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAEConfig
from solfa.nn.seanet import SEANetConfig


def dac_44khz() -> VQVAEConfig:
    """44.1 kHz, 86.13 frames a second, 9 codebooks: 7.75 kbit/s."""
    return _dac("dac-44khz", 44_100, (8, 8, 4, 2), codebooks=9)


def dac_44khz_16kbps() -> VQVAEConfig:
    """44.1 kHz, 86.13 frames a second, 18 codebooks: 15.5 kbit/s. Its latents have 128 channels, those of the others 1024."""
    return _dac("dac-44khz-16kbps", 44_100, (8, 8, 4, 2), codebooks=18, latent_dim=128)


def dac_24khz() -> VQVAEConfig:
    """24 kHz, 75 frames a second, 32 codebooks: 24 kbit/s."""
    return _dac("dac-24khz", 24_000, (8, 5, 4, 2), codebooks=32)


def dac_16khz() -> VQVAEConfig:
    """16 kHz, 50 frames a second, 12 codebooks: 6 kbit/s."""
    return _dac("dac-16khz", 16_000, (8, 5, 4, 2), codebooks=12)


def _dac(
    name: str, sample_rate: int, ratios: tuple[int, ...], *, codebooks: int, latent_dim: int = 1024
) -> VQVAEConfig:
    return VQVAEConfig(
        name=name,
        sample_rate=sample_rate,
        latent_dim=latent_dim,
        seanet=_stack(latent_dim, ratios, n_filters=64, last_kernel_size=3),
        decoder=_stack(latent_dim, ratios, n_filters=96, final_tanh=True, symmetric=True),
        quantizer=QuantizerConfig("factorized", codebooks, 1024, dim=8, commitment=0.25, dropout=0.5),
        chunk=256,  # 6 % of a window is context to encode, 8 % to decode
        resampler="julius",
    )


def _stack(
    latent_dim: int,
    ratios: tuple[int, ...],
    *,
    n_filters: int,
    last_kernel_size: int = 7,
    final_tanh: bool = False,
    symmetric: bool = False,
) -> SEANetConfig:
    """What encoder and decoder share: Snake, units of kernel 7 with dilations 1, 3 and 9, true shortcuts, zero padding."""
    return SEANetConfig(
        dimension=latent_dim,
        ratios=ratios,
        n_filters=n_filters,
        last_kernel_size=last_kernel_size,
        residual_kernel_size=7,
        n_residual_layers=3,
        dilation_base=3,
        compress=1,
        true_skip=True,
        activation="snake",
        causal=False,
        final_tanh=final_tanh,
        symmetric=symmetric,
    )
