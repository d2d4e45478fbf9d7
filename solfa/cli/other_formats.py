"""The files of the original packages, EnCodec's `.ecdc` and DAC's `.dac`, as `encode`, `decode` and `info` meet them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.cli import load, report

if TYPE_CHECKING:
    import numpy as np

    from solfa.codecs.codec import Codec
    from solfa.codecs.other_formats.ecdc_lm import EncodecLM


@dataclass(frozen=True)
class Source:
    """A recording inside a file: its rate (Hz), its length, and the sound from one sample to another, block by block [C, n]."""

    sample_rate: int
    samples: int
    blocks: "Callable[[int, int], Iterator[np.ndarray]]"


def encode(path: Path, target: Path, codec: "Codec", codebooks: int | None, lm: str | None) -> str:
    """A recording to a file of the kind that the target's suffix says; gives a remark."""
    if target.suffix.lower() == ".dac":
        return _encode_dac(path, target, codec, codebooks)
    from solfa.codecs.other_formats.ecdc import check_ecdc_codec, write_ecdc

    check_ecdc_codec(codec.name)
    model = None if lm is None else _language_model(lm, codec.name)
    header = write_ecdc(target, codec.encode_file(path, codebooks), model)
    return _remark(header.duration, header.codebooks, target)


def _encode_dac(path: Path, target: Path, codec: "Codec", codebooks: int | None) -> str:
    from solfa.audio.io import read
    from solfa.codecs.other_formats.dac_file import write_dac
    from solfa.codecs.other_formats.dac_sound import check_dac_codec, compress

    check_dac_codec(codec)
    file = compress(codec, read(path), codebooks)
    write_dac(target, file)
    return _remark(file.duration, file.codebooks, target)


def _remark(seconds: float, codebooks: int, target: Path) -> str:
    return f"{seconds:.2f} s, {codebooks} codebooks, {8 * target.stat().st_size / seconds / 1000:.2f} kbps"


def open_source(path: Path, codec: str | None, device: str, codebooks: int | None, lm: str | None) -> Source:
    """The recording in a `.ecdc` or `.dac` file. codec: a name or folder, where it is not to be what the file says."""
    if path.suffix.lower() == ".dac":
        return _open_dac(path, codec, device, codebooks)
    return _open_ecdc(path, codec, device, codebooks, lm)


def _open_ecdc(path: Path, name: str | None, device: str, codebooks: int | None, lm: str | None) -> Source:
    from solfa.codecs.other_formats.ecdc import read_ecdc, read_ecdc_header

    header = read_ecdc_header(path)
    # A file may not send us to the network: weights that only its header names must be here.
    codec = load.codec(name or header.codec, device, fetch=name is not None)
    model = _language_model(lm or _language_model_here(path, header.codec), header.codec) if header.lm else None
    codes = read_ecdc(path, model, codec)
    tokens = codes.tokens[0, : codec.check_codebooks(codebooks, codes.codebooks)]
    scales = None if codes.scales is None else codes.scales[0]

    def blocks(first: int, last: int) -> "Iterator[np.ndarray]":
        for block in codec.decode_samples(lambda a, b: tokens[:, a:b], header.samples, first, last, scales):
            yield block.numpy()

    return Source(codes.sample_rate, header.samples, blocks)


def _open_dac(path: Path, name: str | None, device: str, codebooks: int | None) -> Source:
    from solfa.codecs.other_formats.dac_file import read_dac
    from solfa.codecs.other_formats.dac_sound import decompress, likely_codecs

    file = read_dac(path)
    if file.recordings != 1:
        raise ValueError(f"holds {file.recordings} recordings of one length: one can be written")
    if name is None:
        likely = likely_codecs(file)
        if not likely:
            raise ValueError(
                f"{file.codebooks} codebooks and {file.frames} frames for {file.duration:.2f} s are no released codec's: "
                "give its own with --codec"
            )
        if len(likely) > 1:
            report.say(
                f"{path}: does not say which codec made it: {likely[0]} is taken, not {' or '.join(likely[1:])} (--codec)"
            )
    codec = load.codec(name or likely[0], device, fetch=name is not None)
    try:
        sound = decompress(codec, file, codebooks).samples[0].numpy()
    except ValueError as error:
        raise ValueError(f"does not decode: {error}") from error
    return Source(file.sample_rate, file.original_length, lambda first, last: iter([sound[:, first:last]]))


@lru_cache(maxsize=1)
def _language_model(path: str, codec: str) -> "EncodecLM":
    from solfa.codecs.other_formats.ecdc_lm import load_ecdc_lm

    return load_ecdc_lm(path, codec)


def _language_model_here(path: Path, codec: str) -> str:
    """Where encodec keeps the weights of the codec's language model; ValueError that says what to do if they are not there."""
    from solfa.codecs.weights.released import ENCODEC_URL, LANGUAGE_MODELS, originals_folder

    name = LANGUAGE_MODELS[codec]
    place = originals_folder("encodec") / name
    if not place.is_file():
        raise ValueError(
            f"compressed with EnCodec's language model, whose weights are not on this machine: download {ENCODEC_URL}{name} to {place}, "
            "or name them with --lm"
        )
    return str(place)


def facts(path: Path) -> dict[str, Any]:
    """What `solfa info` tells of a `.ecdc` or `.dac` file."""
    size = path.stat().st_size
    if path.suffix.lower() == ".ecdc":
        from solfa.codecs.other_formats.ecdc_header import CODEBOOK_SIZE, read_ecdc_header

        header = read_ecdc_header(path)
        return {
            "name": str(path),
            "kind": "ecdc",
            "codec": header.codec,
            "duration": header.duration,
            "bitrate": 8 * size / header.duration,
            "sample_rate": header.model.sample_rate,
            "channels": header.model.channels,
            "samples": header.samples,
            "codebooks": header.codebooks,
            "codebook_size": CODEBOOK_SIZE,
            "frames": header.frames,
            "segments": header.segments,
            "language_model": header.lm,
            "bytes": size,
        }
    from solfa.codecs.other_formats.dac_file import read_dac
    from solfa.codecs.other_formats.dac_sound import likely_codecs

    file = read_dac(path)
    plain = {name: value for name, value in asdict(file).items() if name != "tokens"}
    return {
        "name": str(path),
        "kind": "dac",
        "codec": " or ".join(likely_codecs(file)) or "unknown",
        "duration": file.duration,
        "bitrate": 8 * size / file.duration,
        "recordings": file.recordings,
        "codebooks": file.codebooks,
        "frames": file.frames,
        **plain,
        "bytes": size,
    }
