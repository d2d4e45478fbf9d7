"""EnCodec, and two codecs of its kind, as configurations of the one VQ-VAE.

EnCodec is arXiv 2210.13438 (Défossez et al., 2022), SoundStream arXiv 2107.03312 (Zeghidour et al., 2021), HiFi-Codec arXiv 2305.02765
(Yang et al., 2023). The presets of EnCodec carry all codebooks of the released models; fewer of them are a lower bandwidth.
"""

from __future__ import annotations

from dataclasses import replace

from solfa.codecs.codec import SegmentConfig
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAEConfig
from solfa.nn.seanet import SEANetConfig


def _rvq(codebooks: int, codebook_size: int) -> QuantizerConfig:
    return QuantizerConfig(codebooks=codebooks, codebook_size=codebook_size, kmeans_iters=50, commitment=1.0)


def encodec_24khz() -> VQVAEConfig:
    """24 kHz mono, causal, 75 frames a second: 2, 4, 8, 16 or 32 codebooks are 1.5, 3, 6, 12 or 24 kbit/s."""
    return VQVAEConfig(
        name="encodec-24khz",
        sample_rate=24_000,
        seanet=SEANetConfig(lstm_layers=2, pad_mode="reflect"),
        quantizer=_rvq(32, 1024),
        chunk=75,
        resampler="torchaudio",
    )


def encodec_48khz() -> VQVAEConfig:
    """48 kHz stereo in segments of 1 s that overlap by 1 %: 2, 4, 8 or 16 codebooks are 3, 6, 12 or 24 kbit/s (the overlap not counted)."""
    return VQVAEConfig(
        name="encodec-48khz",
        sample_rate=48_000,
        channels=2,
        seanet=SEANetConfig(channels=2, lstm_layers=2, norm="time_group_norm", causal=False, pad_mode="reflect"),
        quantizer=_rvq(16, 1024),
        chunk=150,
        segment=SegmentConfig(samples=48_000, stride=47_520, normalize=True),
        resampler="torchaudio",
    )


def encodec_32khz() -> VQVAEConfig:
    """MusicGen's: 32 kHz mono, not causal, 50 frames a second, 4 codebooks of 2048: 2.2 kbit/s."""
    return VQVAEConfig(
        name="encodec-32khz",
        sample_rate=32_000,
        seanet=SEANetConfig(
            n_filters=64, ratios=(8, 5, 4, 4), true_skip=True, lstm_layers=2, causal=False, pad_mode="reflect"
        ),
        quantizer=_rvq(4, 2048),
        chunk=50,
        resampler="julius",  # AudioCraft's, which it was trained with
    )


def soundstream(codebooks: int = 8, codebook_size: int = 1024) -> VQVAEConfig:
    """SoundStream at 24 kHz, causal, 75 frames a second. Its paper trades 8 x 1024 for 16 x 32 and 80 x 2: all are 6 kbit/s.

    The latents are as wide as the last block, 512. In training every item uses a number of codebooks drawn at random.
    """
    encoder = SEANetConfig(
        dimension=512,
        last_kernel_size=3,
        residual_kernel_size=7,
        n_residual_layers=3,
        dilation_base=3,
        compress=1,
        true_skip=True,
        norm="none",
    )
    return VQVAEConfig(
        name="soundstream",
        sample_rate=24_000,
        latent_dim=512,
        seanet=encoder,
        decoder=replace(encoder, last_kernel_size=7),
        quantizer=replace(_rvq(codebooks, codebook_size), dropout=1.0),
        chunk=75,
    )


def hificodec() -> VQVAEConfig:
    """HiFi-Codec at 24 kHz: two groups of channels with two residual codebooks each, 3 kbit/s.

    The quantizer is the paper's contribution, and follows it; encoder and decoder are EnCodec's, where the released code has HiFi-GAN's.
    """
    return VQVAEConfig(
        name="hificodec",
        sample_rate=24_000,
        latent_dim=512,
        seanet=SEANetConfig(dimension=512, lstm_layers=2, causal=False, pad_mode="reflect"),
        quantizer=replace(_rvq(4, 1024), kind="grouped", groups=2),
        chunk=75,
    )
