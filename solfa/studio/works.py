"""The studio's jobs: a recording to tokens and back, music from words, notes of either. The library does them, the page shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TypeVar

from solfa.audio.io import Audio, info, read
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.token_file import TokenFile
from solfa.codecs.token_format import MAGIC
from solfa.lm.sampling import SamplingOptions, check_seed
from solfa.music.text_to_music import TextToMusic
from solfa.score.write import write_notes
from solfa.studio.codec_demo import Playback, codec_demo, playback
from solfa.studio.codec_section import figures_section, files_list, quality_section
from solfa.studio.desk import Job, Result
from solfa.studio.notes_demo import notes_demo
from solfa.studio.notes_section import notes_section
from solfa.studio.page import Section
from solfa.studio.player import player_section
from solfa.studio.text import clock_text
from solfa.studio.tracks import Excerpt, Track, axis, rows, transport
from solfa.transcriber import Transcriber

LONGEST = 600.0  # seconds: every rendition is held in memory
SCORED = 60.0  # seconds whose quality is measured
MOST_SAMPLES = 1 << 28  # of all channels of a recording: a gigabyte
MUSIC_NAME, XML_NAME = "music.wav", "notes.musicxml"
Model = TypeVar("Model", TextToMusic, Transcriber)


@dataclass(frozen=True)
class Wish:
    """Music that is asked for. duration: seconds. Raises ValueError for what is out of range."""

    prompt: str
    duration: float = 10.0
    seed: int = 0
    guidance: float = 3.0

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            raise ValueError(f"prompt is {self.prompt!r}: it must be words")
        for name in ("duration", "guidance"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{name} is {value!r}: it must be a number")
        if not 0 < self.duration <= LONGEST:
            raise ValueError(f"duration is {self.duration}: seconds, above 0 and at most {LONGEST:g}")
        check_seed(self.seed)
        SamplingOptions(guidance=self.guidance)


@dataclass(frozen=True)
class Works:
    """The jobs, each with the models that it needs. writer, listener: a model, or a line that says why there is none."""

    codec: Codec
    writer: TextToMusic | str
    listener: Transcriber | str

    def recording(self, job: Job) -> Result:
        """The upload, a recording or a token file: its tokens, and what the codec plays of them."""
        job.progress(None, "reading")
        heard = self._opened(job.upload, job)
        seconds = heard.duration if isinstance(heard, Audio) else heard.samples[0] / heard.sample_rate
        job.progress(0.0, f"{seconds:.1f} s, {'to tokens and back' if isinstance(heard, Audio) else 'to sound'}")

        def progress(done: int, total: int) -> None:
            job.progress(done / total, f"{done} of {total} steps")

        if isinstance(heard, Audio):
            demo = codec_demo(self.codec, heard, job.name, job.folder, progress, SCORED)
            sections = [player_section(demo, job.root), quality_section(demo)]
            return Result(_html(job, demo, sections), tuple(demo.paths), demo.tokens_path, job.upload)
        codec = self._codec_of(heard.weights_hash, heard.codec)
        return _played(job, playback(codec, heard, job.name, job.folder, {"source": job.name}, progress))

    def music(self, job: Job, wish: Wish) -> Result:
        """Music from words."""
        writer = _there(self.writer)

        def progress(done: int, total: int) -> None:
            job.progress(done / total, f"{done} of {total} frames")

        options = SamplingOptions(guidance=wish.guidance)
        asked = wish.prompt, wish.duration, wish.seed
        if writer.stereo:  # two channels' codes by turns, which no token file holds
            return _sounding(job, writer.generate(*asked, options=options, progress=progress))
        codes = writer.codes(*asked, options=options, progress=progress)
        told = {"prompt": wish.prompt[:4096], "seed": str(wish.seed)}
        return _played(job, playback(writer.codec, codes, wish.prompt, job.folder, told))

    def notes(self, job: Job, of: Result | None) -> Result:
        """The notes of the upload, or of what another job made: of its tokens, where they are those that the model reads."""
        listener = _there(self.listener)
        job.progress(None, "reading")
        path = job.upload if of is None else of.sound
        if of is not None and of.tokens is not None:
            with TokenFile(of.tokens) as file:
                path = of.tokens if file.header.weights_hash == listener.codec.weights_hash else of.sound
        source = self._opened(path, job)
        seconds = source.duration if isinstance(source, Audio) else source.samples[0] / source.sample_rate
        demo = notes_demo(
            listener, source, None, job.folder, lambda done: job.progress(min(1.0, done / seconds), f"{done:.0f} s heard")
        )  # fmt: skip
        paths = demo.paths
        if demo.sheet is not None:
            write_notes(demo.found.played, job.folder / XML_NAME, found=demo.sheet)
            paths.append(job.folder / XML_NAME)
        section = replace(notes_section(demo), title=f"Notes of {job.name}")
        html = section.html() + _files(job, paths).html()
        return Result(html, tuple(paths), None, path)

    @property
    def codecs(self) -> list[Codec]:
        """That of the recordings, and those of the models."""
        return [self.codec, *(each.codec for each in (self.writer, self.listener) if not isinstance(each, str))]

    def _codec_of(self, weights_hash: str, name: str) -> Codec:
        """The codec here whose codes these are. ValueError where there is none."""
        for codec in self.codecs:
            if (codec.weights_hash, codec.name) == (weights_hash, name):
                return codec
        here = " and ".join(dict.fromkeys(f"{codec.name} ({codec.weights_hash[:12]})" for codec in self.codecs))
        raise ValueError(f"made by the codec {name} ({weights_hash[:12] or 'no hash'}): here is {here}")

    def _opened(self, path: Path, job: Job) -> Audio | Codes:
        """A recording, or the codes of a token file; of what is longer than `LONGEST` the beginning, which is said."""
        with open(path, "rb") as file:
            is_tokens = file.read(len(MAGIC)) == MAGIC
        if not is_tokens:
            about = info(path)
            samples = round(min(about.duration, LONGEST) * about.sample_rate) * about.channels
            if samples > MOST_SAMPLES:
                raise ValueError(f"{about.channels} channels at {about.sample_rate} Hz have {samples:,} samples: at most "
                                 f"{MOST_SAMPLES:,} are taken")  # fmt: skip
            _say_length(job, about.duration)
            return read(path, duration=LONGEST)
        with TokenFile(path) as tokens:
            header = tokens.header
            codec = self._codec_of(header.weights_hash, header.codec)
            shape = header.sample_rate, header.channels, header.hop, header.codebook_size
            if shape != (codec.sample_rate, codec.channels, codec.hop, codec.codebook_size):
                raise ValueError(f"(sample rate, channels, hop, codebook size) are {shape}: {codec.name} has others")
            _say_length(job, header.duration)
            most = math.ceil(LONGEST * codec.frame_rate)
            return tokens.codes(0, min(tokens.frames, most) if header.duration > LONGEST else None)


def _there(model: Model | str) -> Model:
    """A model; ValueError with the reason where there is none."""
    if isinstance(model, str):
        raise ValueError(model or "the studio was started without a model for it")
    return model


def _say_length(job: Job, seconds: float) -> None:
    if seconds > LONGEST:
        job.said.append(f"{seconds:.0f} s long: the first {LONGEST:g} s are taken")


def _played(job: Job, demo: Playback) -> Result:
    """The page of tokens that were played."""
    html = _html(job, demo, [player_section(demo, job.root)])
    return Result(html, tuple(demo.paths), demo.tokens_path, demo.renditions[0].path)


def _html(job: Job, demo: Playback, sections: Iterable[Section]) -> str:
    header = demo.header
    about = (
        f"{clock_text(demo.duration)} of sound in {header.codebooks * header.frames:,} tokens of {escape(header.codec)}, "
        f"{header.bitrate / 1000:.3g} kbps."
    )
    first = Section(demo.source, figures_section(demo).body, about)
    return "\n".join(section.html() for section in [first, *sections, _files(job, demo.paths, notes=True)])


def _sounding(job: Job, audio: Audio) -> Result:
    """The page of sound alone."""
    path, track = job.folder / MUSIC_NAME, Track(job.name, (), audio.samples[0])
    audio.save(path)
    shown = Excerpt(audio.duration, [job.root + path.name])
    body = (
        f'<div data-player data-length="{shown.seconds:.6f}">\n{transport(shown.seconds, job.name)}\n'
        f"{rows([track], shown, audio.sample_rate, track.samples)}\n{axis(shown.seconds)}\n</div>"
    )
    note = "Two channels of a codec of one: there is no token file of them."
    html = Section(job.name, body, note).html() + _files(job, [path], notes=True).html()
    return Result(html, (path,), None, path)


def _files(job: Job, paths: list[Path], notes: bool = False) -> Section:
    """Links to the files, and a button for the notes of it."""
    button = f'<p><button type="button" class="more" data-notes="{job.id}">Notes of this</button></p>' if notes else ""
    return Section("Files", files_list(paths, job.root) + button)
