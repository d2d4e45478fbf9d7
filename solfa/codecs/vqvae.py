"""The codec that solfa trains itself: a VQ-VAE over frames (MDCT, ConvNeXt blocks) or over samples (SEANet).

The VQ-VAE is van den Oord et al. (2017); the residual quantizer with EMA codebooks is that of SoundStream (Zeghidour et al., 2021).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solfa import checkpoint
from solfa.codecs.codec import Codec
from solfa.codecs.quantizers import Quantized, QuantizerConfig, build_quantizer
from solfa.nn.frames import FrameConfig, FrameDecoder, FrameEncoder
from solfa.nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder

KIND = "codec"
SUMS, CODES, COUNTS = ".embed_avg", ".embed", ".cluster_size"  # buffers of an EMA codebook
MAX_PARAMETERS = 1 << 30  # a stranger's config may not ask for more


@dataclass(frozen=True)
class VQVAEConfig:
    """Exactly one of `frames` and `seanet` says what the encoder and the decoder are made of.

    latent_dim: D, channels of the latents. chunk: frames of a canonical window (see `codecs.codec`).
    """

    name: str = "vqvae"
    sample_rate: int = 24_000  # Hz
    channels: int = 1
    latent_dim: int = 128
    frames: FrameConfig | None = None
    seanet: SEANetConfig | None = None
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    chunk: int = 500

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.seanet is None):
            raise ValueError("a VQ-VAE needs exactly one of frames and seanet")
        if not 1_000 <= self.sample_rate <= 768_000:
            raise ValueError(f"sample_rate is {self.sample_rate}: it must lie between 1000 and 768000 Hz")
        for name, most in (("channels", 8), ("latent_dim", 8192), ("chunk", 100_000)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 1 and {most}")
        if self.seanet is None:
            return
        if self.seanet.channels != self.channels or self.seanet.dimension != self.latent_dim:
            raise ValueError(
                f"seanet has {self.seanet.channels} channels and dimension {self.seanet.dimension}: "
                f"they must be those of the codec, {self.channels} and {self.latent_dim}"
            )
        if not self.seanet.causal and not self.seanet.masks:
            raise ValueError(
                "a seanet that is not causal must have pad_mode 'zero', no LSTM and no 'time_group_norm': "
                "else the codes of a chunk are not those of the whole file"
            )
        if self.seanet.causal and self.seanet.norm == "time_group_norm":
            raise ValueError("norm is 'time_group_norm': a causal seanet needs 'none' or 'weight_norm'")

    @property
    def hop(self) -> int:
        """Samples a frame."""
        shape = self.frames or self.seanet
        assert shape is not None
        return shape.hop


class VQVAE(Codec):
    """Encoder, quantizer, decoder."""

    def __init__(self, config: VQVAEConfig, weights_hash: str = "") -> None:
        super().__init__()
        self.config = config
        self.name = config.name
        self.weights_hash = weights_hash
        self.sample_rate, self.channels, self.hop = config.sample_rate, config.channels, config.hop
        self.codebooks, self.codebook_size = config.quantizer.codebooks, config.quantizer.codebook_size
        self.chunk = config.chunk
        self.encoder: FrameEncoder | SEANetEncoder
        self.decoder: FrameDecoder | SEANetDecoder
        if config.frames is not None:
            self.encoder = FrameEncoder(config.frames, config.channels, config.latent_dim)
            self.decoder = FrameDecoder(config.frames, config.channels, config.latent_dim)
        else:
            assert config.seanet is not None
            self.encoder, self.decoder = SEANetEncoder(config.seanet), SEANetDecoder(config.seanet)
            self.causal = config.seanet.causal
        self.quantizer = build_quantizer(config.quantizer, config.latent_dim)
        if not self.causal:
            self.encode_context, self.decode_context = self.encoder.context, self.decoder.context

    def forward(self, samples: Tensor, codebooks: Tensor | int | None = None) -> tuple[Tensor, Quantized]:
        """Samples [B, C, T * hop] to their reconstruction, of the same shape, and what the quantizer did."""
        quantized = self.quantizer(self.encoder(samples), codebooks)
        return self.decoder(quantized.latents), quantized

    def encode_window(self, samples: Tensor, span: tuple[int, int], codebooks: int, state: Any) -> tuple[Tensor, Any]:
        if isinstance(self.encoder, SEANetEncoder) and self.causal:
            latents, state = self.encoder.step(samples, state)
        else:
            # The last frame is filled up with zeros, and counts as sound.
            latents = self.encoder(samples, (span[0], -(-span[1] // self.hop) * self.hop))
        return self.quantizer.encode(latents, codebooks), state

    def decode_window(self, tokens: Tensor, span: tuple[int, int], state: Any) -> tuple[Tensor, Any]:
        latents = self.quantizer.decode(tokens)
        if isinstance(self.decoder, SEANetDecoder) and self.causal:
            return self.decoder.step(latents, state)
        return self.decoder(latents, span), state

    def start(self, direction: str) -> Any:
        stack = self.encoder if direction == "encode" else self.decoder
        return stack.start(1) if self.causal and not isinstance(stack, FrameEncoder | FrameDecoder) else None

    def save(
        self, folder: str | Path, metadata: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        """Write the checkpoint folder; dtype: how floating-point weights are stored (they are always computed in float32).

        The running sums of EMA codebooks are left out: they are the codebook times its counts, and `load_vqvae` makes them again.
        """
        state = {name: tensor for name, tensor in self.state_dict().items() if not name.endswith(SUMS)}
        tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        checkpoint.save(folder, KIND, dataclasses.asdict(self.config), tensors, metadata=metadata)


def load_vqvae(folder: str | Path) -> VQVAE:
    """Read a checkpoint folder that `VQVAE.save` wrote; ValueError where anything in it does not fit."""
    stored = checkpoint.load(folder, KIND)
    config = checkpoint.config_from_dict(VQVAEConfig, stored.config)
    with torch.device("meta"):
        count = sum(p.numel() for p in VQVAE(config).parameters())
    if count > MAX_PARAMETERS:
        raise ValueError(f"{folder}: its configuration asks for {count} parameters, more than {MAX_PARAMETERS}")
    model = VQVAE(config, stored.weights_hash)
    ours = {name: tensor.shape for name, tensor in model.state_dict().items() if not name.endswith(SUMS)}
    theirs = {name: tensor.shape for name, tensor in stored.tensors.items()}
    wrong = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if wrong:
        raise ValueError(f"{folder}: {len(wrong)} tensors do not fit the configuration, {wrong[0]} the first")
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.tensors.items()}
    for name in [name for name in model.state_dict() if name.endswith(SUMS)]:
        book = name.removesuffix(SUMS)
        tensors[name] = tensors[book + CODES] * tensors[book + COUNTS].unsqueeze(-1)
    model.load_state_dict(tensors)
    return model.eval()
