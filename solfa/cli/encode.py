"""`solfa encode`: recordings to token files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from solfa.cli import load, other_formats, report
from solfa.cli.convert import convert, plan
from solfa.cli.inputs import AUDIO_SUFFIXES, OTHER_SUFFIXES, TOKEN_SUFFIXES, Input
from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec


def encode(
    *inputs: str,
    out: report.OutPath = None,
    codec: str = "solfa-24khz",
    codebooks: int | None = None,
    coding: Literal["adaptive", "packed"] | None = None,
    lm: str | None = None,
    device: report.Device = "auto",
    jobs: report.Jobs = 1,
    overwrite: report.Flag = False,
) -> int:
    """Recordings to token files: WAV, FLAC, MP3, OGG -> .solfa

    Any sample rate, channel count and length; a file of hours needs little memory. The codes are the same however many
    jobs and threads there are.

    For example:
        solfa encode take.wav
        solfa encode recordings/ -o tokens/ --codebooks 4 -j 8
        solfa encode take.wav --lm runs/code_lm/model
        solfa encode take.wav -o take.ecdc --codec encodec-24khz

    Parameters
    ----------
    inputs
        Files, folders (searched through), globs, @list.txt, or - for a list on stdin.
    out
        The token file for one input; else a folder, in which the inputs' tree is mirrored.
        Beside each input by default. One that ends in .ecdc or .dac is written as the encodec and dac packages write it.
    codec
        A name that `solfa models` lists, a folder or a hub repository; of a MusicGen, the codec that lies inside.
    codebooks
        How many codebooks to keep, from the first: fewer are a lower bitrate. All by default.
    coding
        How codes lie in the file: adaptive is smaller, by what the codec left over, and the default; packed is in whole bits,
        for codebooks above 16384 codes the only one.
    lm
        A language model of the codec's codes, by name or folder (solfa train code_lm), which makes the file smaller still; it
        is needed to decode, and decodes the same on any machine. For a .ecdc file, weights of EnCodec's language model
        (encodec_lm_24khz-1608e3c0.th): another machine can often not read those.
    device
        Where the codec runs; auto takes CUDA if it is there.
    jobs
        Files at a time, each in a process of its own with one thread; 0 is one a core.
    overwrite
        Replace token files that are there.
    """
    planned = plan(inputs, into=out, reads=AUDIO_SUFFIXES, writes=(*TOKEN_SUFFIXES, *OTHER_SUFFIXES))
    place = report.device(device)
    found = load.checked_codec(codec, place, codebooks)
    targets = {item.target.suffix.lower() for item in planned if item.target}
    if coding is not None and targets & set(OTHER_SUFFIXES):
        raise UsageError(
            f"--coding {coding}: it is for .solfa files, {' and '.join(OTHER_SUFFIXES)} have one coding each"
        )
    _check_lm(lm, coding, found, targets)
    return convert("encode", planned, _Encode(codec, place, codebooks, coding, lm), overwrite=overwrite, jobs=jobs)


def _check_lm(lm: str | None, coding: str | None, codec: "Codec", targets: set[str]) -> None:
    """Raises UsageError where the language model is not one for these files and this codec."""
    if lm is None:
        return
    if ".dac" in targets:
        raise UsageError(f"--lm {lm}: a .dac file has no use for a language model")
    if coding is not None:
        raise UsageError(f"--coding {coding} --lm {lm}: a language model is a coding of its own, leave one out")
    if targets & set(TOKEN_SUFFIXES):
        load.checked_lm(lm, codec)


@dataclass(frozen=True)
class _Encode:
    codec: str
    device: str
    codebooks: int | None
    coding: str | None
    lm: str | None

    def __call__(self, item: Input) -> str:
        from solfa.codecs.token_file import write_tokens

        assert item.target is not None
        codec = load.codec(self.codec, self.device)
        if item.target.suffix.lower() in OTHER_SUFFIXES:
            return other_formats.encode(item.path, item.target, codec, self.codebooks, self.lm)
        codes = codec.encode_file(item.path, self.codebooks)
        header = write_tokens(item.target, codes, coding=self.coding, lm=load.lm(self.lm) if self.lm else None)
        stored = 8 * item.target.stat().st_size / header.duration
        rates = f"{header.bitrate / 1000:.2f} kbps in {stored / 1000:.2f}"
        return f"{header.duration:.2f} s, {header.codebooks} codebooks, {rates}"
