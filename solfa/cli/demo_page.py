"""What `solfa demo` makes: the sounds, the notes and the page with its sections; and what it says about them."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa import __version__
from solfa.cli import report
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.audio.io import Audio
    from solfa.codecs.codec import Codec
    from solfa.music.text_to_music import TextToMusic
    from solfa.score.note import Note
    from solfa.studio.codec_demo import CodecDemo
    from solfa.studio.music_demo import MusicDemo
    from solfa.studio.notes_demo import NotesDemo
    from solfa.studio.page import Section
    from solfa.transcriber import Transcriber

PAGE = "index.html"


@dataclass(frozen=True)
class Made:
    """The demo's parts; None for one that was left out."""

    page: Path
    codec: "CodecDemo"
    music: "MusicDemo | None"
    notes: "NotesDemo | None"


def make(
    coder: "Codec",
    writer: "TextToMusic | str",
    listener: "Transcriber | str",
    recording: "Audio",
    played: "tuple[Note, ...] | None",
    name: str,
    out: Path,
) -> Made:
    """All files of the demo, in the folder `out`. writer, listener: the models, or a line that says why there is none; empty: left out
    without a word. played: the notes of the recording, where they are known."""
    from solfa.files import write_whole
    from solfa.studio.codec_demo import codec_demo
    from solfa.studio.music_demo import music_demo
    from solfa.studio.notes_demo import notes_demo
    from solfa.studio.page import page

    out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"), Bar("demo", None) as bar:
        codec, music, notes = codec_demo(coder, recording, name, out), None, None
        if not isinstance(writer, str):
            music = music_demo(
                writer, out, progress=lambda done, total: bar.advance(0, f"music, {done} of {total} frames")
            )
        if not isinstance(listener, str):
            heard = codec.tokens_path if listener.codec is coder else recording
            notes = notes_demo(listener, heard, played, out, lambda done: bar.advance(0, f"notes, {done:.0f} s"))
        made = Made(out / PAGE, codec, music, notes)
        header = codec.header
        lede = (
            f"{codec.duration:.2f} s of sound, written as {header.codebooks * header.frames:,} tokens by {header.codec} "
            f"and played back from them."
        )
        footer = f"solfa {__version__} · codec {header.codec}, weights {header.weights_hash[:16]} · {header.precision}"
        write_whole(made.page, page(name, lede, _sections(made, writer, listener), footer))
    for missing in (writer, listener):
        if isinstance(missing, str) and missing:
            report.say(missing)
    return made


def _sections(made: Made, writer: object, listener: object) -> "list[Section]":
    """In order; the files stay last."""
    from solfa.studio import music_section, notes_section
    from solfa.studio.codec_section import codec_sections

    others = [take.path for take in made.music.takes] if made.music else []
    *sections, files = codec_sections(made.codec, [*others, *(made.notes.paths if made.notes else [])])
    if made.music:
        sections.append(music_section.music_section(made.music))
    elif writer:
        sections.append(music_section.missing_section(str(writer)))
    if made.notes:
        sections.append(notes_section.notes_section(made.notes))
    elif listener:
        sections.append(notes_section.missing_section(str(listener)))
    return [*sections, files]


def facts(made: Made) -> dict[str, Any]:
    """All of it as JSON."""
    codec = made.codec
    return {
        "page": made.page,
        "tokens": codec.tokens_path,
        "original": codec.original_path,
        "source": codec.source,
        "codec": codec.header.codec,
        "duration": codec.duration,
        "token_bytes": codec.tokens_path.stat().st_size,
        "encode_seconds": codec.encode_seconds,
        "decode_seconds": codec.decode_seconds,
        "renditions": _rows(codec),
        "music": [{"prompt": t.prompt, "seed": t.seed, "path": t.path} for t in made.music.takes] if made.music else [],
        "notes": _notes(made.notes) if made.notes else None,
    }


def _notes(notes: "NotesDemo") -> dict[str, Any]:
    scores = notes.scores
    rates = {"onset": scores.onset, "onset_offset": scores.onset_offset} if scores else {}
    return {
        "model": notes.found.report.model,
        "notes": len(notes.found),
        "played": None if notes.truth is None else len(notes.truth),
        "scores": {
            name: {"precision": row.precision, "recall": row.recall, "f1": row.f1} for name, row in rates.items()
        },
        "midi": notes.midi_path,
        "score": notes.sheet_path,
        "seconds": notes.seconds,
    }


def _rows(made: "CodecDemo") -> list[dict[str, Any]]:
    return [
        {
            "codebooks": r.codebooks,
            "kbps": r.bitrate / 1000,
            "si_sdr": r.scores.si_sdr,
            "log_mel": r.scores.log_mel,
            "stft": r.scores.stft,
            "path": r.path,
        }
        for r in made.renditions
    ]


def show(made: Made) -> None:
    """All of it in lines."""
    codec = made.codec
    size = codec.tokens_path.stat().st_size
    report.out(
        f"{codec.source}: {codec.duration:.2f} s in {size} bytes of tokens, {codec.pcm_bytes / size:.3g} times smaller "
        f"than 16-bit samples"
    )
    report.print_table(_rows(codec), ["codebooks", "kbps", "si_sdr", "log_mel", "stft"])
    for take in made.music.takes if made.music else ():
        report.out(f"{take.prompt} -> {take.path}")
    if made.notes:
        from solfa.studio.notes_section import scores_text

        scores = scores_text(made.notes)
        paths = ", ".join(map(str, made.notes.paths))
        report.out(f"{len(made.notes.found)} notes{f', {scores}' if scores else ''} -> {paths}")
    report.out(f"page: {made.page}")
