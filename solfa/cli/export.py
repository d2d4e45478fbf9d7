"""`solfa export`: a codec's networks as files for other runtimes."""

from pathlib import Path
from typing import Literal

from solfa.cli import load, report


def export(
    codec: str = "solfa-24khz",
    *,
    to: Literal["onnx"] = "onnx",
    out: report.OutPath = None,
    codebooks: int | None = None,
    overwrite: report.Flag = False,
) -> int:
    """A codec's networks as ONNX files

    An encoder, samples to codes, and a decoder, codes to samples, for any batch and length. They give the codes of
    `solfa encode`; resampling, pieces of long recordings and the overlap of segments are left to the caller.
    It needs the extra: pip install "solfa[export]"

    For example:
        solfa export solfa-24khz --to onnx
        solfa export encodec-24khz -o encodec-onnx --codebooks 8

    Parameters
    ----------
    codec
        A name that `solfa models` lists, a folder or a hub repository; of a MusicGen, the codec that lies inside.
    to
        The format.
    out
        The folder for encoder.onnx and decoder.onnx; the codec's name with -onnx by default.
    codebooks
        How many codebooks the encoder gives and the decoder takes, from the first. All by default.
    overwrite
        Replace files that are there.
    """
    try:
        found = load.codec(codec)
        k = found.check_codebooks(codebooks)
    except ValueError as error:
        raise report.UsageError(str(error)) from error
    folder = Path(f"{found.name}-{to}") if out is None else out
    there = next((path for path in (folder / "encoder.onnx", folder / "decoder.onnx") if path.exists()), None)
    if there is not None and not overwrite:
        report.fail(codec, f"{there} is there (--overwrite replaces it, -o writes elsewhere)")
        return report.FAILED
    from solfa.codecs.export import export_onnx

    files = export_onnx(found, folder, codebooks)
    for path in (files.encoder, files.decoder):
        report.out(f"{codec} -> {path}  {k} codebooks, {path.stat().st_size / 1e6:.1f} MB")
    return report.DONE
