"""`solfa demo`: a recording to tokens and back, and a page that plays and shows it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from solfa.cli import load, report
from solfa.cli.demo_page import facts, make, show
from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.audio.io import Audio
    from solfa.score.note import Note

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "demo.flac"
PLAYED = BUNDLED.with_suffix(".mid")  # its notes
LONGEST = 600.0  # seconds: every rendition is held in memory


def demo(
    file: Path | None = None,
    *,
    out: Annotated[Path, Parameter(alias="-o")] = Path("demo"),
    codec: str = "solfa-24khz",
    start: float = 0.0,
    duration: float | None = None,
    music: str = "solfa-music",
    notes: str = "solfa-notes",
    device: report.Device = "auto",
    json: report.Flag = False,
) -> int:
    """A recording to tokens and back, and a page that plays and shows it

    Writes one HTML page that needs nothing else, the token file, and the recording as WAVs: as the codec heard it, and
    played from 1, 2, 4 and all codebooks; music that a model wrote from three prompts; and the notes that another model heard in
    the recording's tokens, as MIDI and as a score (engraved where verovio is installed, else in ABC notation).
    Files of an earlier demo in the same folder are replaced.

    Example:
        solfa demo
        solfa demo take.wav -o shown/ --start 30 --duration 15

    Parameters
    ----------
    file
        A recording: WAV, FLAC, OGG, MP3. A piece that comes with solfa by default.
    out
        The folder to write to.
    codec
        A name that `solfa models` lists, or a checkpoint folder.
    start
        Begin here, in seconds.
    duration
        Take this many seconds, at most 600; to the end of the recording by default.
    music
        The model that writes music: a name that `solfa models` lists, or a checkpoint folder; none leaves that section out.
    notes
        The model that hears notes: a name that `solfa models` lists, or a checkpoint folder; none leaves that section out.
    device
        Where the codec and the models run; auto takes CUDA if it is there.
    json
        One JSON object on stdout.
    """
    if not start >= 0 or (duration is not None and not 0 < duration <= LONGEST):
        raise UsageError(
            f"--start {start} --duration {duration}: seconds, the duration above 0 and at most {LONGEST:g}"
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"-o {out} is a file: name a folder")
    source = file or BUNDLED
    place = report.device(device)
    coder = load.checked_codec(codec, place)
    writer, listener = load.writer(music, coder, place), load.listener(notes, coder, place)
    try:
        recording = _read(source, start, duration)
        played = _played(start, recording.duration) if file is None else None
        made = make(coder, writer, listener, recording, played, source.name, out)
    except (ValueError, OSError) as error:
        report.fail(str(source), error)
        return report.FAILED
    if json:
        report.print_json(facts(made))
    else:
        show(made)
    return report.DONE


def _read(source: Path, start: float, duration: float | None) -> "Audio":
    from solfa.audio.io import info, read

    length = info(source).duration
    if duration is None and length - start > LONGEST:
        report.say(f"{source}: {length:.0f} s long; the demo takes {LONGEST:g} s of it (--start and --duration choose)")
    return read(source, start=start, duration=duration or LONGEST)


def _played(start: float, duration: float) -> "tuple[Note, ...]":
    """The notes of that stretch of the piece that comes with solfa, as long as they sound, from its beginning."""
    from solfa.data.render import excerpt
    from solfa.score.midi import read_midi
    from solfa.score.pedal import pedal_extended

    return tuple(excerpt(pedal_extended(read_midi(PLAYED)), start, duration).notes)
