"""A codec's networks as ONNX files: an encoder, samples to codes, and a decoder, codes to samples.

The graphs take any batch and any length, and compute what `VQVAE.encode_whole` and `decode_whole` compute, what is padded at the ends
of the sound included: a sound whose length is no multiple of the hop is filled up with zeros or, where the network reflects, layer by
layer. docs/export.md says what is not in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from solfa import __version__
from solfa.codecs.codec import Codec
from solfa.codecs.vqvae import VQVAE
from solfa.files import check_replaceable, write_whole

if TYPE_CHECKING:
    from onnx import ModelProto

    from solfa.codecs.onnx.graph import Graph

MAX_BYTES = (1 << 31) - (1 << 24)  # of the weights of one file: the format ends at 2 GiB


@dataclass(frozen=True)
class Exported:
    """The files that `export_onnx` wrote."""

    encoder: Path
    decoder: Path


def export_onnx(codec: Codec, folder: str | Path, codebooks: int | None = None) -> Exported:
    """Write encoder.onnx and decoder.onnx into the folder, each whole or not at all; files of these names are replaced.

    codebooks: how many the encoder gives and the decoder takes; all by default. What the files are of stands in their metadata.
    Raises ValueError for a codec that is not one of solfa's own networks or has a quantizer without codebooks, for an illegal number of
    codebooks, and for weights beyond the format's 2 GiB; ImportError where the package onnx is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError('export to ONNX needs more packages: pip install "solfa[export]"') from error
    if not isinstance(codec, VQVAE):
        raise ValueError(f"{codec.name} is a network of another package: only solfa's own can be exported")
    k = codec.check_codebooks(codebooks)
    if k % codec.quantizer.step:
        raise ValueError(f"codebooks is {k}: those of {codec.name} go by {codec.quantizer.step}")
    models = {"encoder": _encoder(codec, k), "decoder": _decoder(codec, k)}
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = {name: Path(folder) / f"{name}.onnx" for name in models}
    for name, model in models.items():
        onnx.checker.check_model(model)
        check_replaceable(files[name])
        write_whole(files[name], model.SerializeToString())
    return Exported(**files)


def _encoder(codec: VQVAE, codebooks: int) -> ModelProto:
    from solfa.codecs.onnx import quantizers, stacks
    from solfa.codecs.onnx.graph import FLOAT, INT, Graph

    graph = Graph("encoder")
    takes = {"samples": (FLOAT, ("batch", codec.channels, "samples"))}
    sound, scales = "samples", None
    if codec.segment is not None and codec.segment.normalize:
        mono = graph.add("ReduceMean", sound, axes=[1])  # [B, 1, S]
        power = graph.add("ReduceMean", graph.add("Mul", mono, mono), axes=[2])
        scale = graph.add("Add", graph.add("Sqrt", power), graph.scalar(1e-8))
        sound, scales = graph.add("Div", sound, scale), graph.reshape(scale, -1)
    codes = quantizers.encode(graph, codec.quantizer, stacks.encoder(graph, codec.encoder, sound), codebooks)
    gives: dict[str, tuple[str, int, tuple[str | int, ...]]] = {"codes": (codes, INT, ("batch", codebooks, "frames"))}
    if scales is not None:
        gives["scales"] = (scales, FLOAT, ("batch",))
    _check_size(graph)
    return graph.model(takes, gives, _facts(codec, codebooks, "encoder"))


def _decoder(codec: VQVAE, codebooks: int) -> ModelProto:
    from solfa.codecs.onnx import quantizers, stacks
    from solfa.codecs.onnx.graph import FLOAT, INT, Graph

    graph = Graph("decoder")
    takes: dict[str, tuple[int, tuple[str | int, ...]]] = {"codes": (INT, ("batch", codebooks, "frames"))}
    samples = stacks.decoder(graph, codec.decoder, quantizers.decode(graph, codec.quantizer, "codes", codebooks))
    if codec.segment is not None and codec.segment.normalize:
        takes["scales"] = (FLOAT, ("batch",))
        samples = graph.add("Mul", samples, graph.reshape("scales", -1, 1, 1))
    _check_size(graph)
    gives = {"samples": (samples, FLOAT, ("batch", codec.channels, "samples"))}
    return graph.model(takes, gives, _facts(codec, codebooks, "decoder"))


def _check_size(graph: Graph) -> None:
    if graph.bytes > MAX_BYTES:
        raise ValueError(
            f"the weights of the {graph.name} are {graph.bytes} bytes: an ONNX file holds at most {MAX_BYTES}"
        )


def _facts(codec: VQVAE, codebooks: int, part: str) -> dict[str, str]:
    facts: dict[str, object] = {
        "part": part,
        "codec": codec.name,
        "weights_hash": codec.weights_hash,
        "sample_rate": codec.sample_rate,
        "channels": codec.channels,
        "hop": codec.hop,
        "codebooks": codebooks,
        "codebook_size": codec.codebook_size,
        "producer": f"solfa {__version__}",
    }
    if codec.segment is not None:
        facts |= {"segment_samples": codec.segment.samples, "segment_stride": codec.segment.stride}
    return {name: str(value) for name, value in facts.items()}
