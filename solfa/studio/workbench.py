"""The studio's page: three forms, and the script that sends them and shows what comes back."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path

from solfa.studio.desk import KEPT
from solfa.studio.page import PLAYER, Section, page
from solfa.studio.works import LONGEST, Works

LARGEST = 512_000_000  # bytes of an upload: ten minutes of 24-bit stereo at 96 kHz, and a good deal more
SCRIPT = PLAYER + Path(__file__).with_name("studio.js").read_text(encoding="utf-8")
# The script by its hash: whatever else comes to stand on the page does not run.
HASH = base64.b64encode(hashlib.sha256(f"\n{SCRIPT}".encode()).digest()).decode("ascii")
POLICY = (
    "default-src 'none'; img-src data:; media-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{HASH}'; base-uri 'none'; form-action 'none'"
)


def workbench(works: Works, footer: str) -> str:
    """The page. footer: plain text."""
    lede = "A recording as tokens and back, music from words, and the notes of both. All of it is made on this machine."
    jobs = [
        ("recording", "Recording", _recording(works)),
        ("music", "Music", _music(works)),
        ("notes", "Notes", _notes(works)),
    ]
    forms = [(name, title, section) for name, title, section in jobs if section is not None]
    tabs = "".join(
        f'<button type="button" data-tab="{name}" aria-pressed="{str(not place).lower()}">{title}</button>'
        for place, (name, title, _) in enumerate(forms)
    )
    panels = "".join(
        f'<div class="panel" id="{name}"{" hidden" * (place > 0)}>{section.html()}\n{_STATUS}<div class="result"></div></div>'
        for place, (name, _, section) in enumerate(forms)
    )
    body = f'<nav class="tabs" aria-label="Jobs">{tabs}</nav><noscript><p>This page needs its script.</p></noscript>{panels}'
    return page("Studio", lede, [Section("", body)], footer, SCRIPT, POLICY)


_STATUS = (
    '<div class="status" hidden><p class="say"></p><progress max="1"></progress>'
    '<button type="button" class="more stop">Stop</button></div><p class="problem" role="alert" hidden></p>'
    '<p class="ended" role="status"></p><ul class="said" hidden></ul>'
)


def _recording(works: Works) -> Section:
    codec = works.codec
    note = (
        f"A recording or a <code>.solfa</code> file: its tokens by {escape(codec.name)}, {codec.bitrate / 1000:.3g} kbps, and what "
        f"the codec plays of 1, 2, 4 and all {codec.codebooks} codebooks."
    )
    return Section("Tokens of a recording", _drop("recording"), note)


def _music(works: Works) -> Section | None:
    if isinstance(works.writer, str):
        return Section("Music from words", "", escape(works.writer)) if works.writer else None
    fields = "".join(
        f'<label>{text}<input name="{name}" type="number" min="{least}" max="{most}" step="{step}" value="{usual}" required></label>'
        for text, name, least, most, step, usual in (
            ("Seconds", "duration", 0.1, LONGEST, "any", 10),
            ("Seed", "seed", 0, (1 << 53) - 1, 1, 0),
            ("Guidance", "guidance", 0, 100, "any", 3),
        )
    )
    body = (
        '<form class="job" data-job="music"><label>What to play<textarea name="prompt" rows="2" required>'
        "lively waltz for solo piano in G major, 140 bpm</textarea></label>"
        f'<div class="row">{fields}<button class="go-job">Write</button></div></form>'
    )
    note = (
        f"{escape(works.writer.model.config.name)} writes tokens, the codec plays them. The same words, seconds, seed and guidance "
        "give the same music; more guidance follows the words more closely."
    )
    return Section("Music from words", body, note)


def _notes(works: Works) -> Section | None:
    if isinstance(works.listener, str):
        return Section("Notes", "", escape(works.listener)) if works.listener else None
    note = (
        f"{escape(works.listener.model.config.name)} reads notes off the tokens of a recording or a <code>.solfa</code> file: a piano "
        "roll, a score, MIDI, MusicXML. Of what was made in the other parts, press “Notes of this” there."
    )
    return Section("Notes of a recording", _drop("notes"), note)


def _drop(job: str) -> str:
    limits = f"Up to {LARGEST / 1e6:.0f} MB, of which the first {LONGEST / 60:g} minutes are taken; the last {KEPT} results are kept."
    return (
        f'<form class="job drop" data-job="{job}" data-largest="{LARGEST}"><label><b>Drop a file here, or choose one</b>'
        f'<input type="file" name="file" required></label><p class="note">{limits}</p></form>'
    )
