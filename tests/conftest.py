"""What all tests share: examples that hypothesis draws are the same in every run, and no example has a deadline."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("solfa", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("solfa")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach for the network


@pytest.fixture(scope="session")
def tiny_music(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Path]]:
    """tiny_music(stereo=False, **fields): folders of a codec (8 kHz mono, 50 frames a second, 4 codebooks of 16) and of a language model
    of its first three, trained on half a second, if anybody had; both with random weights. fields: others of its LMConfig."""

    def make(stereo: bool = False, **fields: object) -> tuple[Path, Path]:
        import torch

        from solfa.codecs.quantizers import QuantizerConfig
        from solfa.codecs.vqvae import VQVAE, VQVAEConfig, load_vqvae
        from solfa.lm.conditioners.text import ByteTextConfig
        from solfa.lm.model import LMConfig, TokenLM
        from solfa.lm.patterns import delay
        from solfa.lm.patterns import stereo as twice
        from solfa.nn.frames import FrameConfig
        from solfa.nn.transformer import TransformerConfig

        folder = tmp_path_factory.mktemp("music")
        shape = FrameConfig(hop=160, width=16, blocks=1, kernel=3, bands=8)
        books = QuantizerConfig(codebooks=4, codebook_size=16, kmeans_iters=0)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            VQVAE(VQVAEConfig("tiny", 8000, 1, 8, shape, quantizer=books, chunk=25)).save(folder / "codec")
            pattern = twice(delay(3)) if stereo else delay(3)
            config = {
                "name": "tiny-lm",
                "codec": "tiny",
                "weights_hash": load_vqvae(folder / "codec").weights_hash,
                "sample_rate": 8000,
                "frame_rate": 50.0,
                "transformer": TransformerConfig(width=16, layers=2, heads=2),
                "codebooks": pattern.codebooks,
                "codebook_size": 16,
                "pattern": pattern,
                "text": ByteTextConfig(width=8, layers=1, heads=2, hidden=16, longest=96),
                "channels": 2 if stereo else 1,
                "crop_frames": 25,
            }
            TokenLM(LMConfig(**(config | fields))).save(folder / "lm")  # type: ignore[arg-type]
        return folder / "codec", folder / "lm"

    return make


@pytest.fixture(scope="session")
def write_media() -> Callable[..., Path]:
    """write_media(path, samples, rate, codec, pictures=False, **options): a file that libsndfile does not read, by PyAV; without it the
    test is skipped.

    samples: int16 [C, n], put into the container that the name's end says; pictures: as a video; options: of FFmpeg's writer.
    """
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'solfa[av]'")

    def write(path: Path, samples: Any, rate: int, codec: str, pictures: bool = False, **options: str) -> Path:
        layout = {1: "mono", 2: "stereo"}[len(samples)]
        with av.open(str(path), "w", container_options=options) as container:
            video: Any = container.add_stream("mpeg4", rate=25) if pictures else None
            if video is not None:
                video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
            stream: Any = container.add_stream(codec, rate=rate, layout=layout)
            stream.bit_rate = 128_000
            for whole in ("s16", "s16p"):
                if any(each.name == whole for each in stream.codec_context.codec.audio_formats):
                    stream.codec_context.format = whole
            if video is not None:
                for number in range(1 + samples.shape[1] * 25 // rate):
                    picture = av.VideoFrame.from_ndarray(np.full((96, 64), number % 256, np.uint8), format="yuv420p")
                    picture.pts = number
                    container.mux(video.encode(picture))
                container.mux(video.encode(None))
            if not stream.codec_context.is_open:
                stream.codec_context.open()
            size = stream.codec_context.frame_size or 4096
            kind = stream.codec_context.format.name
            resampler = av.AudioResampler(format=kind, layout=layout, rate=rate, frame_size=size)
            sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16p", layout=layout)
            sound.sample_rate, sound.pts = rate, 0
            for frame in [*resampler.resample(sound), *resampler.resample(None)]:
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def tiny_notes(
    tmp_path_factory: pytest.TempPathFactory, tiny_music: Callable[..., tuple[Path, Path]]
) -> Callable[..., tuple[Path, Path]]:
    """tiny_notes(events=True, **fields): folders of that codec and of a transcriber of it with random weights, sharp enough to hear
    something in anything. events: whether it has a decoder. fields: others of its TranscriberConfig."""
    codec, _ = tiny_music()

    def make(events: bool = True, **fields: object) -> tuple[Path, Path]:
        import torch

        from solfa.codecs.vqvae import load_vqvae
        from solfa.transcription.config import TranscriberConfig
        from solfa.transcription.model import TokenTranscriber
        from solfa.transcription.vocabulary import solfa_events

        folder = tmp_path_factory.mktemp("notes")
        config = {
            "name": "tiny-notes",
            "codec": "tiny",
            "weights_hash": load_vqvae(codec).weights_hash,
            "sample_rate": 8000,
            "frame_rate": 50.0,
            "codebooks": 3,
            "codebook_size": 16,
            "width": 16,
            "heads": 2,
            "encoder_layers": 2,
            "conv_layers": 1,
            "kernel": 3,
            "channels": 4,
            "pitch_layers": 1,
            "segment_frames": 25,
            "lowest": 48,
            "highest": 72,
            "decoder_layers": 1 if events else 0,
            "vocabulary": solfa_events() if events else None,
        }
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            model = TokenTranscriber(TranscriberConfig(**(config | fields)))  # type: ignore[arg-type]
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight *= 3
            model.frame_head.bias[0] = 0.0  # onsets are not rare
            model.save(folder / "notes")
        return codec, folder / "notes"

    return make
