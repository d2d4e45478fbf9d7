"""The demo page's section on music from prompts: a row for each, with its words, its seed and its spectrogram."""

from html import escape

from solfa.studio.music_demo import MusicDemo
from solfa.studio.page import Section
from solfa.studio.text import factor_text
from solfa.studio.tracks import Track, axis, excerpt, rows, transport

LONGEST = 30.0  # seconds of a take on the page
SOUND_BUDGET = 1_600_000  # bytes of FLAC
TITLE = "Music from words"


def music_section(demo: MusicDemo) -> Section:
    """The takes, one row each, on one axis of time."""
    tracks = [Track(take.prompt, (f"seed {take.seed}",), take.audio.samples[0]) for take in demo.takes]
    rate = demo.takes[0].audio.sample_rate
    shown = excerpt(tracks, rate, LONGEST, SOUND_BUDGET)
    loud = max((track.samples for track in tracks), key=lambda samples: float(samples.abs().max()))
    body = (
        f'<div data-player data-length="{shown.seconds:.6f}">\n{transport(shown.seconds, tracks[0].name)}\n'
        f"{rows(tracks, shown, rate, loud)}\n{axis(shown.seconds)}\n</div>"
    )
    first = demo.takes[0]
    command = f'solfa generate "{first.prompt}" --duration {first.audio.duration:g} --seed {first.seed}'
    note = (
        f"Each row is a prompt, and what {escape(demo.model)} wrote for it, token by token; the codec played the tokens. "
        f"Nothing was recorded. Made here at {factor_text(demo.factor)} times real time, all in one batch. The same words and "
        f"seed give the same music: <code>{escape(command)}</code>"
    )
    return Section(TITLE, body, note)


def missing_section(why: str) -> Section:
    """Where there is no model: the line that says so, in plain text."""
    return Section(TITLE, "", escape(why))
