"""The codec that solfa trains itself: a VQ-VAE over frames (MDCT, ConvNeXt blocks) or over samples (SEANet).

The VQ-VAE is van den Oord et al. (2017); the residual quantizer with EMA codebooks is that of SoundStream (Zeghidour et al., 2021).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa import checkpoint
from solfa.audio.sinc import RESAMPLERS
from solfa.codecs.codec import CodeBlock, Codec, Read
from solfa.codecs.quantizers import Quantized, QuantizerConfig, build_quantizer
from solfa.codecs.segments import SegmentConfig, decode_segments, encode_segments
from solfa.codecs.stacks import end_of, stream_stages, window_stages
from solfa.codecs.stages import Stage, WindowStage, run_range, run_stages
from solfa.codecs.stream import DecodeStream, EncodeStream, StreamState
from solfa.nn.fast import fast
from solfa.nn.frames import FrameConfig, FrameDecoder, FrameEncoder
from solfa.nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from solfa.nn.unmade import unmade

KIND = "codec"
SUMS, CODES, COUNTS = ".embed_avg", ".embed", ".cluster_size"  # buffers of an EMA codebook
MAX_PARAMETERS = 1 << 30  # a stranger's config may not ask for more


@dataclass(frozen=True)
class VQVAEConfig:
    """Exactly one of `frames` and `seanet` says what the encoder and the decoder are made of.

    latent_dim: D, channels of the latents. chunk: frames of a canonical window (see `codecs.codec`).
    decoder: the decoder's shape, where it is not the encoder's (DAC).
    segment: for codecs that see one segment of the sound at a time (EnCodec 48 kHz); a 'time_group_norm' needs it.
    resampler: what brings sound of another rate to the codec's: "soxr", or, as EnCodec and DAC themselves do, "torchaudio" or "julius".
    Raises ValueError for fields that are out of range or do not go together.
    """

    name: str = "vqvae"
    sample_rate: int = 24_000  # Hz
    channels: int = 1
    latent_dim: int = 128
    frames: FrameConfig | None = None
    seanet: SEANetConfig | None = None
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    chunk: int = 500
    decoder: SEANetConfig | None = None
    segment: SegmentConfig | None = None
    resampler: str = "soxr"

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.seanet is None):
            raise ValueError("a VQ-VAE needs exactly one of frames and seanet")
        if not 1_000 <= self.sample_rate <= 768_000:
            raise ValueError(f"sample_rate is {self.sample_rate}: it must lie between 1000 and 768000 Hz")
        for name, most in (("channels", 8), ("latent_dim", 8192), ("chunk", 100_000)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 1 and {most}")
        if self.resampler not in RESAMPLERS:
            raise ValueError(f"resampler is {self.resampler!r}: it must be one of {', '.join(RESAMPLERS)}")
        if self.seanet is None:
            if self.decoder is not None or self.segment is not None:
                raise ValueError("decoder and segment are for a VQ-VAE with a seanet: leave them None with frames")
            return
        for name, part in (("seanet", self.seanet), ("decoder", self.decoder or self.seanet)):
            if part.channels != self.channels or part.dimension != self.latent_dim:
                raise ValueError(
                    f"{name} has {part.channels} channels and dimension {part.dimension}: "
                    f"they must be those of the codec, {self.channels} and {self.latent_dim}"
                )
            if part.hop != self.seanet.hop or part.causal != self.seanet.causal:
                raise ValueError("the decoder's hop and causality must be those of the seanet")
            if part.norm == "time_group_norm" and self.segment is None:
                raise ValueError(
                    f"the norm of {name} is 'time_group_norm', which sees the whole sound: it needs a segment"
                )

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
        self.chunk, self.segment, self.resampler = config.chunk, config.segment, config.resampler
        self.encoder: FrameEncoder | SEANetEncoder
        self.decoder: FrameDecoder | SEANetDecoder
        if config.frames is not None:
            self.encoder = FrameEncoder(config.frames, config.channels, config.latent_dim)
            self.decoder = FrameDecoder(config.frames, config.channels, config.latent_dim)
        else:
            assert config.seanet is not None
            self.encoder, self.decoder = SEANetEncoder(config.seanet), SEANetDecoder(config.decoder or config.seanet)
        self.quantizer = build_quantizer(config.quantizer, config.latent_dim)

    @property
    def encode_context(self) -> int:
        """Frames beside a frame that its codes depend on; ValueError where all do (an LSTM, 'time_group_norm')."""
        return self.encoder.context

    @property
    def decode_context(self) -> int:
        """Frames beside a frame that its sound depends on; ValueError where all do."""
        return self.decoder.context

    def forward(self, samples: Tensor, codebooks: Tensor | int | None = None) -> tuple[Tensor, Quantized]:
        """Samples [B, C, T * hop] to their reconstruction, of the same shape, and what the quantizer did."""
        quantized = self.quantizer(self.encoder(samples), codebooks)
        return self.decoder(quantized.latents), quantized

    def encode_parts(self, parts: Iterable[Tensor], codebooks: int) -> Iterator[CodeBlock]:
        if self.segment is not None:
            coded = encode_segments(parts, self.segment, lambda x: self.encode_whole(x, codebooks), self._workers())
            yield from (CodeBlock(tokens, scale) for tokens, scale in coded)
        else:
            stages = self._quantized(window_stages(fast(self.encoder), self.chunk), codebooks)
            yield from (CodeBlock(tokens) for tokens in run_stages(parts, stages, self._workers()))

    def decode_samples(
        self, read: Read, samples: int, start: int = 0, stop: int | None = None, scales: Tensor | None = None
    ) -> Iterator[Tensor]:
        stop = self.check_range("samples", samples, start, stop)
        workers = self._workers()
        if self.segment is None:
            stages = self._dequantized(window_stages(fast(self.decoder), self.chunk))
            return run_range(read, stages, samples, start, stop, workers)
        decode, hop = self.decode_whole, self.hop
        return decode_segments(read, self.segment, decode, hop, samples, scales, start, stop, workers)

    @torch.no_grad()
    def encode_whole(self, samples: Tensor, codebooks: int | None = None) -> Tensor:
        """Codes [k, T] of a recording or a segment [C, S] by one run of the network, which `encode` equals but for near-ties."""
        size = samples.shape[-1]
        x = F.pad(samples, (0, -size % self.hop))[None].to(self.device)
        latents = fast(self.encoder)(x, (0, end_of(self.encoder, size, self.hop)))
        return self.quantizer.encode(latents, codebooks)[0].cpu()

    @torch.no_grad()
    def decode_whole(self, tokens: Tensor) -> Tensor:
        """Samples [C, T * hop] of codes [k, T] by one run of the network."""
        return fast(self.decoder)(self.quantizer.decode(tokens[None].to(self.device)))[0].float().cpu()

    def stream(self, direction: Any = "encode", codebooks: int | None = None, state: StreamState | None = None) -> Any:
        if direction not in ("encode", "decode"):
            raise ValueError(f"direction is {direction!r}: it must be 'encode' or 'decode'")
        if self.segment is not None:
            raise ValueError(
                f"{self.name} codes segment by segment and has no stream: encode_blocks takes what there is"
            )
        k = self.check_codebooks(codebooks)
        shape = self.device, self.channels, k, self.hop, state
        if direction == "encode":
            return EncodeStream(self._quantized(stream_stages(fast(self.encoder), self.chunk), k), *shape)
        return DecodeStream(self._dequantized(stream_stages(fast(self.decoder), self.chunk)), *shape)

    def _workers(self) -> int:
        return torch.get_num_threads() if self.device.type == "cpu" else 1

    def _quantized(self, stages: list[Stage], codebooks: int) -> list[Stage]:
        """The stages of the encoder, and then the quantizer."""
        last = stages[-1]
        if isinstance(last, WindowStage):
            return [*stages[:-1], replace(last, after=lambda latents: self.quantizer.encode(latents, codebooks))]
        return [*stages, WindowStage(lambda latents, span: self.quantizer.encode(latents, codebooks), self.chunk)]

    def _dequantized(self, stages: list[Stage]) -> list[Stage]:
        """The quantizer, and then the stages of the decoder."""

        def latents(tokens: Tensor) -> Tensor:
            return self.quantizer.decode(tokens.to(self.device))

        first = stages[0]
        if isinstance(first, WindowStage):
            run = first.run
            return [replace(first, run=lambda tokens, span: run(latents(tokens), span)), *stages[1:]]
        step = first.step
        return [replace(first, step=lambda tokens, state, last: step(latents(tokens), state, last)), *stages[1:]]

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
    with unmade():
        count = sum(p.numel() for p in VQVAE(config).parameters())
    if count > MAX_PARAMETERS:
        raise ValueError(f"{folder}: its configuration asks for {count} parameters, more than {MAX_PARAMETERS}")
    model = VQVAE(config, stored.weights_hash)
    ours = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(SUMS)}
    tensors = checkpoint.fitted(ours, stored.tensors, str(folder))
    for name in [name for name in model.state_dict() if name.endswith(SUMS)]:
        book = name.removesuffix(SUMS)
        tensors[name] = tensors[book + CODES] * tensors[book + COUNTS].unsqueeze(-1)
    model.load_state_dict(tensors)
    return model.eval()
