"""The demo page's section on transcription: a piano roll of what was heard beside the truth, the score, and how near it is."""

from html import escape
from pathlib import Path

from solfa.score.roll import piano_roll
from solfa.studio.notes_demo import NotesDemo, pitched
from solfa.studio.page import Section, figure, svg_image
from solfa.studio.text import factor_text

TITLE = "Notes from tokens"
WIDTH = 890.0  # pixels of the time axis of a roll that is not long
SLOWEST, FASTEST = 24.0, 80.0  # pixels a second
SCORE_BUDGET = 2_000_000  # bytes of a score on the page


def notes_section(demo: NotesDemo) -> Section:
    """What was heard, as a roll and as a score."""
    figures = [
        figure("Piano roll: colour is the instrument, strength the loudness", svg_image(_roll(demo), "Piano roll"))
    ]
    if demo.sheet is not None and demo.sheet_path is not None:
        figures.append(figure(_about_sheet(demo), _score(demo.sheet_path)))
    return Section(TITLE, "\n".join(figures), _note(demo))


def missing_section(why: str) -> Section:
    """Where there is no model: the line that says so, in plain text."""
    return Section(TITLE, "", escape(why))


def scores_text(demo: NotesDemo) -> str:
    """How near the notes are to the truth, in plain text; empty where that is not known."""
    if demo.truth is None or demo.scores is None:
        return ""
    onset = demo.scores.onset
    return (
        f"onset F1 {onset.f1:.3f} against the {onset.reference} notes that were played (precision {onset.precision:.3f}, recall "
        f"{onset.recall:.3f}; with offsets F1 {demo.scores.onset_offset.f1:.3f})"
    )


def _note(demo: NotesDemo) -> str:
    report, count = demo.found.report, len(demo.found)
    drums = count - len(pitched(demo.found))
    said = [
        f"What {escape(report.model)} read off the tokens of {escape(report.codec)}, and nothing else: {count} notes"
        f"{f', {drums} of them drums' if drums else ''}, at {factor_text(demo.factor)} times real time.",
        *(f"{escape(line)}." for line in demo.found.remarks),
    ]
    scores = scores_text(demo)
    said.append(f"{escape(scores[0].upper() + scores[1:])}." if scores else "What was really played is not known here.")
    return " ".join(said)


def _roll(demo: NotesDemo) -> str:
    names = {(part.is_drum, part.program): part.name for part in reversed(demo.found.played.parts)}
    pace = min(FASTEST, max(SLOWEST, WIDTH / max(demo.found.report.seconds, 1.0)))
    titles = ("heard", "played" if demo.truth is not None else "")
    names |= {
        kind: demo.found.names[kind[1]] for kind in _kinds(demo) - names.keys() if not kind[0] and demo.found.names
    }
    return piano_roll(demo.found.notes, demo.truth, titles=titles, names=names, pixels_per_second=pace)


def _kinds(demo: NotesDemo) -> set[tuple[bool, int]]:
    """The instruments of the truth."""
    return {(note.is_drum, note.program) for note in demo.truth or ()}


def _about_sheet(demo: NotesDemo) -> str:
    assert demo.sheet is not None
    tempo, metre = demo.sheet.sheet.tempi[0].bpm, demo.sheet.sheet.metres[0]
    about = (
        f"The score of what was heard: tempo {tempo:.4g} ({demo.sheet.tempo}), {metre.numerator}/{metre.denominator} "
        f"({demo.sheet.metre})"
    )
    return f"{about}. In ABC notation: {demo.unengraved}" if demo.unengraved else about


def _score(path: Path) -> str:
    if path.stat().st_size > SCORE_BUDGET:
        return f"<p>Too long for this page: it lies beside it, as {escape(path.name)}.</p>"
    if path.suffix == ".svg":
        return svg_image(path.read_text(encoding="utf-8"), "The engraved score")
    return f'<pre class="abc"><code>{escape(path.read_text(encoding="utf-8"))}</code></pre>'
