"""The work of `solfa generate`: some prompts to their files."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from solfa.cli import report
from solfa.cli.prompts import STDOUT, Prompt
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.audio.io import Audio
    from solfa.codecs.codec import Codes
    from solfa.lm.guidance import Beats
    from solfa.lm.sampling import SamplingOptions
    from solfa.music.heard import Recording
    from solfa.music.text_to_music import TextToMusic


@dataclass(frozen=True)
class Job:
    """What is asked for, beside the prompts. continue_from, melody, infill: files, whose sounds are handed over with it.

    bpm, metre: they stand for what the prompts say of them.
    """

    duration: float  # seconds
    seed: int
    options: "SamplingOptions"
    continue_from: Path | None
    melody: Path | None
    infill: tuple[Path, Path] | None
    candidates: int
    stream: bool
    bpm: float | None = None
    metre: str | None = None

    def beat(self, some: "Sequence[Prompt]") -> "Beats":
        """The beats of some prompts."""
        from solfa.lm.conditioners.grid import grid_of

        if (self.bpm, self.metre) == (None, None):
            return "prompt"
        return [grid_of(prompt.text, self.bpm, self.metre) for prompt in some]


@dataclass
class _Clock:
    """How much faster than it plays music is made."""

    started: float = field(default_factory=time.perf_counter)

    def factor(self, seconds: float) -> str:
        return f"{seconds / max(time.perf_counter() - self.started, 1e-9):.2g}x real time"


def make(music: "TextToMusic", job: Job, some: Sequence[Prompt], sounds: "dict[Path, Recording]", bar: Bar) -> None:
    """Writes the files of some prompts."""
    from solfa.audio.io import Audio

    clock, told = _Clock(), 0.0
    texts: list[str | None] = [prompt.text for prompt in some]
    before = sounds[job.continue_from] if job.continue_from else None
    melody = sounds[job.melody] if job.melody else None
    assert melody is None or isinstance(melody, Audio)  # not codes: `generate` refuses those
    if job.stream:
        return _stream(music, job, some[0], before, melody, bar)

    def progress(done: int, total: int) -> None:
        nonlocal told
        seconds = done / total * job.duration * len(some) * (job.candidates if job.infill else 1)
        bar.advance(seconds - told, clock.factor(seconds))
        told = seconds

    pair: tuple[Recording, ...] = ()
    if job.infill:
        pair = sounds[job.infill[0]], sounds[job.infill[1]]
        wishes: dict[str, Any] = {"options": job.options, "progress": progress, "beat": job.beat(some)}
        wishes["candidates"] = job.candidates
        target = some[0].target
        if target.suffix.lower() == ".solfa":
            _save_codes(target, music.infill_codes(*pair, texts[0], job.duration, job.seed, **wishes), 0, some[0], job)
        else:
            _save_sound(target, music.infill(*pair, texts[0], job.duration, job.seed, **wishes))
    else:
        wishes = {"options": job.options, "progress": progress, "beat": job.beat(some)}
        wishes |= {"after": before, "melody": melody}
        if some[0].target.suffix.lower() == ".solfa":
            codes = music.codes(texts, job.duration, job.seed, **wishes)
            for row, prompt in enumerate(some):
                _save_codes(prompt.target, codes, row, prompt, job)
        else:
            made = music.generate(texts, job.duration, job.seed, **wishes)
            for prompt, sound in zip(some, made, strict=True):
                _save_sound(prompt.target, sound)
    for prompt in some:
        seconds = job.duration * len(some)
        length = _length(job, *([before] if before else []), *pair)
        report.out(f"{prompt.short} -> {prompt.target}  {length}, seed {job.seed}, {clock.factor(seconds)}")


def _length(job: Job, *around: "Recording") -> str:
    """How long what is written is, beside the recordings that it goes on from."""
    from solfa.music.heard import seconds_of

    known = sum(map(seconds_of, around))
    return f"{job.duration:.2f} s new, {job.duration + known:.2f} s in all" if around else f"{job.duration:.2f} s"


def _save_sound(target: Path, sound: "Audio") -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    sound.save(target)


def _save_codes(target: Path, codes: "Codes", row: int, prompt: Prompt, job: Job) -> None:
    from solfa.codecs.token_file import write_tokens

    target.parent.mkdir(parents=True, exist_ok=True)
    write_tokens(target, codes, item=row, metadata={"prompt": prompt.text[:4096], "seed": str(job.seed)})


def _stream(
    music: "TextToMusic", job: Job, prompt: Prompt, before: "Recording | None", melody: "Audio | None", bar: Bar
) -> None:
    """One prompt into a WAV, or stdout, piece by piece."""
    from solfa.cli.live_wav import LiveWav

    clock = _Clock()
    told: dict[str, Any] = {"options": job.options, "beat": job.beat([prompt]), "melody": melody, "after": before}
    pieces = music.stream(prompt.text, job.duration, job.seed, **told)
    with _opened(prompt.target) as file:
        wav = LiveWav(file, pieces.sample_rate, pieces.channels, pieces.samples)
        known = pieces.samples / pieces.sample_rate - job.duration  # seconds of the recording that is continued
        heard = 0.0
        for piece in pieces:
            wav.write(piece.samples[0].numpy())
            new = max(0.0, heard + piece.duration - known) - max(0.0, heard - known)
            heard += piece.duration
            bar.advance(new, clock.factor(max(0.0, heard - known)))
    length = _length(job, *([before] if before else []))
    line = f"{prompt.short} -> {prompt.target}  {length}, seed {job.seed}, {clock.factor(job.duration)}"
    report.say(line.replace(f" {STDOUT} ", " stdout ")) if prompt.target == STDOUT else report.out(line)


@contextlib.contextmanager
def _opened(target: Path) -> Iterator[BinaryIO]:
    """The file, which goes away again where the music does not come to its end."""
    if target == STDOUT:
        yield sys.stdout.buffer
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(target, "wb") as file:
            yield file
    except BaseException:
        target.unlink(missing_ok=True)
        raise
