"""`solfa encode`: recordings to token files."""

from dataclasses import dataclass

from solfa.cli import load, report
from solfa.cli.convert import convert, plan
from solfa.cli.inputs import AUDIO_SUFFIXES, TOKEN_SUFFIXES, Input


def encode(
    *inputs: str,
    out: report.OutPath = None,
    codec: str = "solfa-24khz",
    codebooks: int | None = None,
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

    Parameters
    ----------
    inputs
        Files, folders (searched through), globs, @list.txt, or - for a list on stdin.
    out
        The token file for one input; else a folder, in which the inputs' tree is mirrored.
        Beside each input by default.
    codec
        A name that `solfa models` lists, or a checkpoint folder.
    codebooks
        How many codebooks to keep, from the first: fewer are a lower bitrate. All by default.
    device
        Where the codec runs; auto takes CUDA if it is there.
    jobs
        Files at a time, each in a process of its own with one thread; 0 is one a core.
    overwrite
        Replace token files that are there.
    """
    planned = plan(inputs, into=out, reads=AUDIO_SUFFIXES, writes=TOKEN_SUFFIXES)
    place = report.device(device)
    load.checked_codec(codec, place, codebooks)
    return convert("encode", planned, _Encode(codec, place, codebooks), overwrite=overwrite, jobs=jobs)


@dataclass(frozen=True)
class _Encode:
    codec: str
    device: str
    codebooks: int | None

    def __call__(self, item: Input) -> str:
        from solfa.codecs.token_file import write_tokens

        assert item.target is not None
        codes = load.codec(self.codec, self.device).encode_file(item.path, self.codebooks)
        header = write_tokens(item.target, codes)
        return f"{header.duration:.2f} s, {header.codebooks} codebooks, {header.bitrate / 1000:.2f} kbps"
