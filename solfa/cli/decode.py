"""`solfa decode`: token files to recordings."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from solfa.cli import load, other_formats, report
from solfa.cli.convert import convert, plan
from solfa.cli.inputs import OTHER_SUFFIXES, TOKEN_SUFFIXES, Input
from solfa.cli.report import UsageError

if TYPE_CHECKING:
    import numpy as np

    from solfa.codecs.codec import Codec
    from solfa.codecs.token_file import TokenFile, TokenHeader

WRITES = (".wav", ".flac")


def decode(
    *files: str,
    out: report.OutPath = None,
    codebooks: int | None = None,
    start: float = 0.0,
    end: float | None = None,
    codec: str | None = None,
    lm: str | None = None,
    on_damage: Literal["error", "zero"] = "error",
    device: report.Device = "auto",
    jobs: report.Jobs = 1,
    overwrite: report.Flag = False,
) -> int:
    """Token files to recordings: .solfa, .ecdc, .dac -> WAV, FLAC

    A recording has exactly as many samples as went into its token file. Files of the encodec package (.ecdc) and of
    descript-audio-codec (.dac) sound as those packages play them.

    For example:
        solfa decode take.solfa -o again.wav
        solfa decode take.ecdc
        solfa decode take.solfa -o middle.flac --start 60 --end 90 --codebooks 4

    Parameters
    ----------
    files
        Files, folders (searched through), globs, @list.txt, or - for a list on stdin.
    out
        The .wav or .flac for one input; else a folder, in which the inputs' tree is mirrored and WAVs are written.
        Beside each input by default.
    codebooks
        How many codebooks to play, from the first; all that are in the file by default.
    start
        Play from here, in seconds.
    end
        Play up to here, in seconds; to the end by default.
    codec
        A folder or hub repository of the codec, where it is not one that `solfa models` lists; of a MusicGen, the model that
        wrote the file. For .dac files, which do not say what made them, also a name, where their length leaves a choice.
    lm
        The folder of the language model, for .solfa files that were encoded with one that is not in the package; or
        weights of EnCodec's, for a .ecdc file that it compressed, where encodec has not fetched them.
    on_damage
        A damaged .solfa file: error refuses it; zero plays what is whole, with code 0 in the place of what is not. (Of the
        others only the shape can be checked.)
    device
        Where the codec runs; auto takes CUDA if it is there.
    jobs
        Files at a time, each in a process of its own with one thread; 0 is one a core.
    overwrite
        Replace recordings that are there.
    """
    if codebooks is not None and codebooks < 1:
        raise UsageError(f"--codebooks {codebooks}: at least 1")
    if not start >= 0 or (end is not None and not end > start):
        raise UsageError(f"--start {start} --end {end}: seconds, the start at least 0 and the end after it")
    planned = plan(files, into=out, reads=(*TOKEN_SUFFIXES, *OTHER_SUFFIXES), writes=WRITES)
    place = report.device(device)
    if codec is not None:
        load.checked_codec(codec, place)
    work = _Decode(codec, place, codebooks, start, end, lm, on_damage)
    return convert("decode", planned, work, overwrite=overwrite, jobs=jobs)


@dataclass(frozen=True)
class _Decode:
    codec: str | None
    device: str
    codebooks: int | None
    start: float  # seconds
    end: float | None  # seconds
    lm: str | None
    on_damage: str

    def __call__(self, item: Input) -> str:
        from solfa.audio.io import write_blocks
        from solfa.codecs.token_file import TokenFile

        assert item.target is not None
        if item.path.suffix.lower() in OTHER_SUFFIXES:
            source = other_formats.open_source(item.path, self.codec, self.device, self.codebooks, self.lm)
            part = source.blocks(*self._range(source.samples, source.sample_rate))
            samples = write_blocks(item.target, part, source.sample_rate)
            return f"{samples / source.sample_rate:.2f} s at {source.sample_rate} Hz"
        with TokenFile(item.path, self.on_damage, load.lm(self.lm) if self.lm else None) as file:
            codec = _codec_of(file.header, self.codec, self.device)
            rate = file.header.sample_rate
            samples = write_blocks(item.target, self._sound(codec, file), rate)
            flaws = [*file.flaws, *map(str, file.damaged)] if self.on_damage == "zero" else []
        for flaw in flaws:
            report.say(f"{item.path}: {flaw}")
        return f"{samples / rate:.2f} s at {rate} Hz"

    def _sound(self, codec: "Codec", file: "TokenFile") -> "Iterator[np.ndarray]":
        """The samples from start to end, block by block: [C, n]."""
        import torch

        header = file.header
        length = codec.samples_in(file.frames, header.samples)
        first, last = self._range(length, header.sample_rate)
        books = codec.check_codebooks(self.codebooks, header.codebooks)

        def read(start: int, stop: int) -> torch.Tensor:
            return torch.from_numpy(file.read(start, stop, books)).long()

        scales = file.scales
        weights = None if scales is None else torch.from_numpy(scales)
        for block in codec.decode_samples(read, length, first, last, weights):
            yield block.numpy()

    def _range(self, length: int, rate: int) -> tuple[int, int]:
        """The samples to play, of a recording of so many."""
        first = round(min(self.start * rate, length))  # before it is rounded: infinity has no integer
        last = length if self.end is None else round(min(self.end * rate, length))
        if not first < last:
            raise ValueError(f"holds {length / rate:.2f} s, nothing at {self.start:.2f} s")
        return first, last


def _codec_of(header: "TokenHeader", named: str | None, device: str) -> "Codec":
    """The codec that made the file: `named`, where the user says so, or by the name in its header."""
    codec = load.codec(named, device) if named is not None else _codec_by_header(header.codec, device)
    theirs = header.weights_hash, header.sample_rate, header.channels, header.hop, header.codebook_size
    ours = codec.weights_hash, codec.sample_rate, codec.channels, codec.hop, codec.codebook_size
    if theirs != ours or header.codebooks > codec.codebooks:
        made = f"{header.codec} with the weights {header.weights_hash[:12] or '(no hash)'}"
        raise ValueError(f"made by {made}: {codec.name} here has {codec.weights_hash[:12]} and cannot play it")
    return codec


def _codec_by_header(name: str, device: str) -> "Codec":
    """Only the user names folders and sends us to the network: what a file names must be listed, or a repository in the hub's cache."""
    from solfa.codecs.registry import list_codecs
    from solfa.foreign import hub
    from solfa.lm.registry import released_lms

    entries = {entry.name: entry for entry in list_codecs()}
    if name in entries and entries[name].folder is None:
        carried = ", as the folder of any MusicGen does" if name in {lm.codec for lm in released_lms()} else ""
        raise ValueError(
            f"the weights of {name} are not on this machine: {entries[name].how}, or name a folder or repository that "
            f"holds them with --codec{carried}"
        )
    repo = hub.is_repo(name)
    in_cache = repo and hub.cached(name) is not None and not Path(name).exists()  # it may not mean a folder of that name
    if in_cache or (name in entries and not repo):
        return load.codec(name, device, fetch=False)
    raise ValueError(
        f"made by the codec {name!r}, not one of {', '.join(entries)}, nor a repository in the cache of the hub: "
        "give its folder or repository with --codec"
    )
