"""ONNX files: onnxruntime gives the codes of our own networks, and their sound, for any batch and length."""

import dataclasses
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from solfa.codecs.codec import Codec
from solfa.codecs.dac import dac_24khz
from solfa.codecs.export import Exported, export_onnx
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.registry import load_codec
from solfa.codecs.segments import SegmentConfig, fade, overlap_add
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.nn.seanet import SEANetConfig

SMALL = QuantizerConfig(codebooks=3, codebook_size=16, kmeans_iters=0)
FRAMES = VQVAEConfig("tiny", 8_000, latent_dim=8, frames=FrameConfig(20, 12, 2, 2, 3, 4), quantizer=SMALL, chunk=7)
ENCODEC = SEANetConfig(dimension=8, n_filters=4, ratios=(3, 2), lstm_layers=2, pad_mode="reflect")
PLAIN = dataclasses.replace(ENCODEC, lstm_layers=0, pad_mode="zero", residual_kernel_size=7, n_residual_layers=2)
# DAC's own stack with a stride of 5, thinner: Snake, tanh, a decoder that ends early.
DAC = dataclasses.replace(
    dac_24khz(),
    latent_dim=8,
    seanet=dataclasses.replace(dac_24khz().seanet, dimension=8, n_filters=4, ratios=(5, 2)),
    decoder=dataclasses.replace(dac_24khz().decoder, dimension=8, n_filters=4, ratios=(5, 2)),
    quantizer=QuantizerConfig("factorized", 3, 16, dim=4),
)
SEANET = dataclasses.replace(FRAMES, frames=None, seanet=ENCODEC)
CONFIGS = {
    "frames": FRAMES,
    "frames-stereo": dataclasses.replace(FRAMES, channels=2),
    "encodec-24khz": SEANET,
    "encodec-32khz": dataclasses.replace(SEANET, seanet=dataclasses.replace(ENCODEC, causal=False, true_skip=True)),
    "causal-zero": dataclasses.replace(SEANET, seanet=PLAIN),
    "dac": DAC,
}
SEGMENT = dataclasses.replace(
    SEANET,
    channels=2,
    seanet=dataclasses.replace(ENCODEC, channels=2, causal=False, norm="time_group_norm"),
    segment=SegmentConfig(60, 54, True),
)
# 1 to 5 are shorter than what is reflected; the rest lie on, before and after the ends of frames.
LENGTHS = [1, 2, 5, 6, 7, 19, 20, 21, 59, 800, 1801]


class Foreign(Codec):
    """A codec that is not made of our networks."""

    name = "foreign"

    def encode_parts(self, parts, codebooks):
        yield from ()

    def decode_samples(self, read, samples, start=0, stop=None, scales=None):
        yield from ()


def build(config: VQVAEConfig) -> VQVAE:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        codec = VQVAE(config, "0" * 64).eval()
        for name, tensor in codec.state_dict().items():
            if name.endswith("alpha"):
                tensor.normal_()
            elif name.endswith("conv.bias"):
                tensor.normal_(std=0.01)  # more, and it outweighs the sound
    return codec


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(path: Path, **inputs: torch.Tensor) -> list[torch.Tensor]:
    found = session(path).run(None, {name: value.numpy() for name, value in inputs.items()})
    return [torch.from_numpy(value) for value in found]


def sound(batch: int, channels: int, samples: int) -> torch.Tensor:
    return torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(samples)) * 0.3


def check(codec: VQVAE, files: Exported, lengths: list[int], codebooks: int) -> None:
    """Codes equal to, and sound within 1e-4 of, what our network gives item by item."""
    encoder, decoder = session(files.encoder), session(files.decoder)
    used = set()
    for batch, samples in enumerate(lengths, start=1):
        x = sound(min(batch, 3), codec.channels, samples)
        ours = torch.stack([codec.encode_whole(item, codebooks) for item in x])
        theirs = torch.from_numpy(encoder.run(None, {"samples": x.numpy()})[0])
        assert torch.equal(theirs, ours) and ours.shape[-1] == -(-samples // codec.hop)
        (played,) = decoder.run(None, {"codes": ours.numpy()})
        assert torch.allclose(torch.from_numpy(played), torch.stack([codec.decode_whole(t) for t in ours]), atol=1e-4)
        used |= set(ours.unique().tolist())
    assert len(used) > 2  # not one code for everything


@pytest.mark.parametrize("name", CONFIGS)
def test_codes_are_equal_and_sound_is_close_for_every_family(name: str, tmp_path: Path) -> None:
    codec = build(CONFIGS[name])
    check(codec, export_onnx(codec, tmp_path), LENGTHS, 3)


@pytest.mark.parametrize(
    "quantizer",
    [
        QuantizerConfig("rvq", 4, 16, dim=4, cosine=True, heads=2),
        QuantizerConfig("rvq", 3, 16, update="gradient"),
        QuantizerConfig("product", 4, 16),
        QuantizerConfig("grouped", 4, 16, groups=2),
        QuantizerConfig("factorized", 3, 16, dim=4),
        QuantizerConfig("simvq", 3, 16, dim=6),
        QuantizerConfig("random_projection", 2, 16, dim=4),
    ],
    ids=lambda config: f"{config.kind}-{config.heads}",
)
def test_every_kind_of_codebook(quantizer: QuantizerConfig, tmp_path: Path) -> None:
    if quantizer.kind in ("rvq", "product", "grouped"):
        quantizer = dataclasses.replace(quantizer, kmeans_iters=0)
    codec = build(dataclasses.replace(FRAMES, quantizer=quantizer))
    check(codec, export_onnx(codec, tmp_path), [1, 41, 700], quantizer.codebooks)


def test_the_shipped_codec(tmp_path: Path) -> None:
    codec = load_codec("solfa-24khz")
    files = export_onnx(codec, tmp_path, codebooks=4)
    t = torch.arange(2 * codec.sample_rate + 77) / codec.sample_rate
    x = 0.3 * torch.sin(2 * torch.pi * 220 * t * (1 + t)) + 0.05 * sound(1, 1, len(t))[0, 0]
    x = x.expand(1, codec.channels, -1).contiguous()
    (codes,) = run(files.encoder, samples=x)
    assert torch.equal(codes[0], codec.encode_whole(x[0], 4)) and torch.equal(
        codes, codec.encode(x, codebooks=4).tokens
    )
    (played,) = run(files.decoder, codes=codes)
    assert torch.allclose(played[0], codec.decode_whole(codes[0]), atol=1e-4)


def test_a_segment_with_its_scale(tmp_path: Path) -> None:
    """What the graphs leave to the caller, cutting and overlap-add, gives with them what the codec gives."""
    codec = build(SEGMENT)
    files = export_onnx(codec, tmp_path)
    x = sound(1, 2, 150)
    codes, ours = codec.encode(x), codec.decode(codec.encode(x)).samples[0]
    found = [run(files.encoder, samples=x[..., offset : offset + 60]) for offset in range(0, 150, 54)]
    assert torch.equal(torch.cat([tokens for tokens, _ in found], -1), codes.tokens)
    assert torch.allclose(torch.cat([scale for _, scale in found]), codes.scales[0], atol=1e-6)
    pieces = [run(files.decoder, codes=tokens, scales=scale)[0][0] for tokens, scale in found]
    together = torch.cat(list(overlap_add(pieces, 54, fade(60))), -1)[:, :150]
    assert torch.allclose(together, ours, atol=1e-4)
    batch = sound(3, 2, 60) * torch.tensor([1.0, 5.0, 0.1])[:, None, None]
    assert torch.equal(run(files.encoder, samples=batch)[0][1:2], run(files.encoder, samples=batch[1:2])[0])


def test_fewer_codebooks_and_what_the_files_say_of_themselves(tmp_path: Path) -> None:
    codec = build(DAC)
    files = export_onnx(codec, tmp_path / "a" / "b", codebooks=2)
    check(codec, files, [33, 400], 2)
    for path in (files.encoder, files.decoder):
        model = onnx.load(path)
        facts = {entry.key: entry.value for entry in model.metadata_props}
        assert facts.pop("producer").startswith("solfa ")
        assert facts == {
            "part": path.stem,
            "codec": "dac-24khz",
            "weights_hash": "0" * 64,
            "sample_rate": "24000",
            "channels": "1",
            "hop": "10",
            "codebooks": "2",
            "codebook_size": "16",
        }
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
        names = [weight.name for weight in model.graph.initializer]
        contents = {weight.raw_data + bytes(weight.dims) for weight in model.graph.initializer}
        assert len(names) == len(contents)  # nothing is stored twice
    assert {path.name for path in files.encoder.parent.iterdir()} == {"encoder.onnx", "decoder.onnx"}


def test_export_changes_nothing_in_the_codec(tmp_path: Path) -> None:
    codec = build(DAC)
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    export_onnx(codec, tmp_path)
    assert before.keys() == codec.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in codec.state_dict().items())


def test_what_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = build(FRAMES)
    with pytest.raises(ValueError, match="between 1 and 3"):
        export_onnx(codec, tmp_path, codebooks=4)
    grouped = build(dataclasses.replace(FRAMES, quantizer=QuantizerConfig("grouped", 4, 16, groups=2)))
    with pytest.raises(ValueError, match="go by 2"):
        export_onnx(grouped, tmp_path, codebooks=3)
    scalar = build(dataclasses.replace(FRAMES, quantizer=QuantizerConfig("fsq", 1, 16, levels=(4, 4))))
    with pytest.raises(ValueError, match="kind 'fsq' cannot be exported"):
        export_onnx(scalar, tmp_path)
    with pytest.raises(ValueError, match="network of another package"):
        export_onnx(Foreign(), tmp_path)
    monkeypatch.setattr("solfa.codecs.export.MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="holds at most 1000"):
        export_onnx(codec, tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "solfa\[export\]"'):
        export_onnx(codec, tmp_path)
    assert not list(tmp_path.iterdir())
