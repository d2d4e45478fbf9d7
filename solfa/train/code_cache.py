"""A folder of sound is tokenized once: its codes are kept beside it, and only what is missing or has changed is encoded."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

from solfa.audio.io import AudioError, read
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.sides import encode_sides
from solfa.codecs.token_file import TokenFile, TokenFileError, write_tokens
from solfa.nn.devices import pick_device
from solfa.progress import Bar
from solfa.train.distributed import group_rank, group_wait
from solfa.train.recordings import Recording

FOLDER = ".solfa-codes"
SOURCE = "source"  # in a token file's metadata: size and time of the sound that it was made of
CHANNELS = ("left", "right")
NAMED = 5  # bad files that a message names


class CodeCache:
    """Token files of the recordings below one folder: `<folder>/.solfa-codes/<codec>-<hash>/<recording>.solfa`.

    They are what `solfa encode` writes, with the first `codebooks` of the codec's. apart: each channel of a recording is encoded by
    itself, in two files, for stereo models of a mono codec; a mono recording is on both sides. place: another folder to keep them in.
    """

    def __init__(self, root: Path, codec: Codec, codebooks: int, apart: bool = False, place: str | None = None) -> None:
        self.root, self.codec, self.codebooks, self.apart = root, codec, codec.check_codebooks(codebooks), apart
        whole = root.resolve()
        mine = f"{whole.name}-{hashlib.sha256(str(whole).encode()).hexdigest()[:8]}"
        folder = Path(place) / mine if place else root / FOLDER
        self.folder = folder / f"{codec.name}-{codec.weights_hash[:12]}"

    def targets(self, audio: Path) -> list[Path]:
        """Where the codes of a recording are kept."""
        try:
            name = audio.resolve().relative_to(self.root.resolve())
        except ValueError:  # a table may name files anywhere
            name = Path("elsewhere") / f"{hashlib.sha256(str(audio.resolve()).encode()).hexdigest()[:16]}-{audio.name}"
        endings = [f".{channel}.solfa" for channel in CHANNELS] if self.apart else [".solfa"]
        return [self.folder / name.with_name(name.name + ending) for ending in endings]

    def fresh(self, audio: Path) -> bool:
        """Whether the codes of a recording are there, of this codec and of the sound as it is now."""
        return audio.is_file() and all(self._fits(target, self.source(audio)) for target in self.targets(audio))

    def source(self, audio: Path) -> str:
        """What the codes are made of: another one than theirs, and they are made anew."""
        return file_stamp(audio)

    def fill(self, recordings: Sequence[Recording], device: str = "auto") -> set[Path]:
        """Encode what is missing; gives the sound files that there are codes of, and warns of the others, with their number.

        Processes that train together share the work, each encodes every n-th file. Raises ValueError where the folder cannot be written.
        """
        rank, world = group_rank()
        missing = [each for each in recordings if not self.fresh(each.audio)]
        problems = self._encode_all(missing[rank::world], device) if missing else {}
        group_wait()
        bad = [each.audio for each in missing if not self.fresh(each.audio)]
        if bad and rank == 0:
            named = "; ".join(f"{path}: {problems.get(path, 'not encoded')}" for path in bad[:NAMED])
            more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            warnings.warn(f"{len(bad)} of {len(recordings)} recordings are skipped: {named}{more}", stacklevel=2)
        return {each.audio for each in recordings} - set(bad)

    def _encode_all(self, recordings: Sequence[Recording], device: str) -> dict[Path, str]:
        """Encodes each; gives what is wrong with those that cannot be."""
        codec = self.codec.to(pick_device(device))
        problems: dict[Path, str] = {}
        with Bar(f"encoding with {codec.name}", len(recordings), quiet=group_rank()[0] > 0) as bar:
            bar.say(f"{self.root}: {len(recordings)} recordings to encode with {codec.name}, kept in {self.folder}")
            for recording in recordings:
                try:
                    self._encode(recording.audio)
                except (AudioError, ValueError) as error:
                    problems[recording.audio] = str(error).removeprefix(f"{recording.audio}: ")
                except OSError as error:
                    if recording.audio.is_file():
                        raise ValueError(
                            f"{self.folder}: cannot be written ({error.strerror}); name another folder with --task.cache"
                        ) from error
                    problems[recording.audio] = "no such file"
                bar.advance(1, recording.audio.name)
        self.codec.to("cpu")
        return problems

    def _encode(self, audio: Path) -> None:
        source, targets = self.source(audio), self.targets(audio)
        targets[0].parent.mkdir(parents=True, exist_ok=True)
        codes = self.encoded(audio)
        for item, target in enumerate(targets):
            # Packed: files that are read at every start are not worth the time of the adaptive coding.
            write_tokens(target, codes, item=item, coding="packed", metadata={SOURCE: source})

    def encoded(self, audio: Path) -> Codes:
        """The codes of a recording, an item a target. Raises ValueError for sound that cannot be encoded."""
        if self.apart:
            return encode_sides(self.codec, read(audio), self.codebooks)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*channels of the input are averaged")  # of every file
            return self.codec.encode_file(audio, self.codebooks)

    def _fits(self, target: Path, source: str) -> bool:
        if not target.is_file():
            return False
        try:
            with TokenFile(target) as file:
                header = file.header
        except (TokenFileError, OSError):
            return False
        mine = (self.codec.name, self.codec.weights_hash, source)
        return (
            header.codec,
            header.weights_hash,
            header.metadata.get(SOURCE),
        ) == mine and header.codebooks >= self.codebooks


def file_stamp(audio: Path) -> str:
    """Size and time of a file."""
    status = audio.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
