"""The part of an evaluation's page on single items: the worst and the best, their sounds, and their notes as piano rolls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import torch

from solfa.audio.io import Audio, info, read
from solfa.eval.evaluation import Evaluation, Item, Measure, worst_first
from solfa.score.note import Note
from solfa.score.roll import piano_roll
from solfa.score.write import READ, read_notes
from solfa.studio.page import Section, svg_image, table_html
from solfa.studio.text import number_text
from solfa.studio.tracks import Track, axis, excerpt, rows, transport

MOST = 5  # items at either end
SOUNDS = 20  # on the page
SOUND_BUDGET = 10_000_000  # bytes of FLAC
MAX_SECONDS = 15.0  # of a sound
MAX_RATE = 48_000
ROLL_SECONDS, ROLL_NOTES = 30.0, 2_000  # of a roll
ROLL_WIDTH = 890.0  # pixels
BETTER = {"higher": "higher is better", "lower": "lower is better", "zero": "0 is best"}


def measure_html(measure: Measure) -> str:
    """Its name, unit and direction."""
    arrow = {"higher": "↑", "lower": "↓", "zero": "→ 0"}[measure.better]
    unit = f" {escape(measure.unit)}" if measure.unit else ""
    return f'{escape(measure.name)}<small title="{BETTER[measure.better]}">{unit} {arrow}</small>'


def ends_section(evaluation: Evaluation, against: Evaluation | None) -> Section | None:
    """The names of the worst and the best, of each measure; those that `items_section` shows have a link."""
    chosen = _chosen(evaluation)
    places = {id(chosen[place]): place for place in _fitting(chosen, against)}
    parts = []
    for index, measure in enumerate(evaluation.measures):
        ranked = worst_first(evaluation, measure)
        if ranked:
            sides = {"worst": ranked[:MOST], "best": ranked[::-1][:MOST]}
            tables = "".join(
                table_html([side, ""], [[_link(i, places), number_text(i.values[measure.name])] for i in items])
                for side, items in sides.items()
            )
            head = f"<details{' open' if index == 0 else ''}><summary>{measure_html(measure)}</summary>"
            parts.append(f'{head}<div class="split">{tables}</div></details>')
    return Section("Worst and best", "\n".join(parts)) if parts else None


def items_section(evaluation: Evaluation, against: Evaluation | None) -> Section | None:
    """Players and rolls of the worst and the best by the first measure, as long as there is room for sounds."""
    chosen = _chosen(evaluation)
    fitting = _fitting(chosen, against)
    parts = []
    for place, files in fitting.items():
        head = f"<h3>{escape(chosen[place].name)}</h3>{_values(evaluation, chosen[place])}"
        body = files_html(files, SOUND_BUDGET // len(fitting))
        parts.append(f'<div class="item" id="item-{place}">{head}\n{body}</div>')
    if not parts:
        return None
    which = "All items" if len(chosen) == len(evaluation.items) else f"The worst {MOST} and the best {MOST} items"
    note = f"{which} by {escape(evaluation.measures[0].name)}, from the worst on."
    if any(not _has_notes(path) for files in fitting.values() for path in files.values()):
        note += " Press a row to hear it."
    left = sum(bool(item.files) for item in chosen) - len(parts)
    note += f" {left} of them would be over {SOUNDS} sounds, and are left out." if left else ""
    return Section("Listen and look", "\n".join(parts), note)


def _chosen(evaluation: Evaluation) -> list[Item]:
    """The worst and the best items by the first measure, from the worst on."""
    ranked = worst_first(evaluation, evaluation.measures[0]) if evaluation.measures else []
    return ranked if len(ranked) <= 2 * MOST else [*ranked[:MOST], *ranked[-MOST:]]


def _fitting(chosen: Sequence[Item], against: Evaluation | None) -> dict[int, dict[str, Path]]:
    """The files of the items that there is room for, by place; both ends get the same room. The other system's files are beside them."""
    others = {} if against is None else {item.name: item.files for item in against.items}
    found: dict[int, dict[str, Path]] = {}
    sounds = 0
    for place in dict.fromkeys(place for i in range(len(chosen)) for place in (i, len(chosen) - 1 - i)):
        files = dict(chosen[place].files)
        theirs = others.get(chosen[place].name, {}).items()
        for label, path in theirs:
            if label != "reference" and path not in files.values():  # both have the same references
                files[f"{label}, against"] = path
        sounds += sum(not _has_notes(path) for path in files.values())
        if sounds > SOUNDS:
            break
        if files:
            found[place] = files
    return dict(sorted(found.items()))


def _has_notes(path: Path) -> bool:
    return path.name.lower().endswith(READ)


def _link(item: Item, places: Mapping[int, int]) -> str:
    name = escape(item.name)
    return f'<a href="#item-{places[id(item)]}">{name}</a>' if id(item) in places else name


def _values(evaluation: Evaluation, item: Item) -> str:
    text = ", ".join(
        f"{m.name} {number_text(item.values[m.name])}" for m in evaluation.measures if m.name in item.values
    )
    return f'<p class="note">{escape(text)}</p>'


def files_html(files: Mapping[str, Path], budget: int) -> str:
    """A player and piano rolls of an item's files, by label; what cannot be read is named with its reason.

    Sounds: the first 15 s, as many channels as they have (more than two are mixed to one), at the rate of the first of them, at most
    48 kHz. budget: bytes of FLAC; where it does not hold 15 s, it is less. Files that `read_notes` reads are drawn: the first 30 s.
    """
    tracks: list[tuple[str, Audio, float]] = []
    notes: list[tuple[str, list[Note]]] = []
    remarks = []
    for label, path in files.items():
        try:
            if _has_notes(path):
                found, remark = _beginning(read_notes(path).notes)
                notes.append((label, found))
                remarks += [f"{label}: {remark}"] if remark else []
            else:
                tracks.append((label, read(path, duration=MAX_SECONDS), info(path).duration))
        except (ValueError, OSError) as error:
            remarks.append(f"{label}: {' '.join(str(error).split())}")
    parts = []
    if tracks:
        player, remark = _player(tracks, budget)
        parts.append(player)
        remarks += [remark] if remark else []
    parts += _rolls(notes)
    parts += [f'<p class="note">{escape(remark)}</p>' for remark in remarks]
    return "\n".join(parts)


def _player(sounds: Sequence[tuple[str, Audio, float]], budget: int) -> tuple[str, str]:
    """Rows on one axis of time, and what was cut; shorter sounds end in silence."""
    rate = min(MAX_RATE, sounds[0][1].sample_rate)
    longest = max(audio.duration for _, audio, _ in sounds)
    tracks = []
    for label, audio, seconds in sounds:
        kind = {1: "mono", 2: "stereo"}.get(audio.channels, f"{audio.channels} channels, mixed")
        details = [f"{audio.sample_rate / 1000:.4g} kHz {kind}, {seconds:.4g} s"]
        if audio.sample_rate != rate:
            details.append(f"here at {rate / 1000:.4g} kHz")
        heard = audio if audio.channels <= 2 else audio.to_mono()
        samples = (heard if audio.sample_rate == rate else heard.resample(rate)).samples[0]
        missing = max(0, round(longest * rate) - samples.shape[-1])
        tracks.append(Track(label, tuple(details), torch.nn.functional.pad(samples, (0, missing))))
    end = min(track.samples.shape[-1] for track in tracks)  # resampling rounds
    tracks = [replace(track, samples=track.samples[:, :end]) for track in tracks]
    shown = excerpt(tracks, rate, MAX_SECONDS, budget)
    whole = max(seconds for *_, seconds in sounds)
    cut = f"The page holds the first {shown.seconds:.3g} s." if whole > shown.seconds + 0.05 else ""
    body = (
        f'<div data-player data-length="{shown.seconds:.6f}">\n{transport(shown.seconds, tracks[0].name)}\n'
        f"{rows(tracks, shown, rate, tracks[0].samples)}\n{axis(shown.seconds)}\n</div>"
    )
    return body, cut


def _beginning(notes: Sequence[Note]) -> tuple[list[Note], str]:
    """The notes that are drawn, and what is not."""
    drawn = sorted(note for note in notes if note.onset < ROLL_SECONDS)[:ROLL_NOTES]
    cut = f"the roll shows the first {len(drawn):,} of {len(notes):,} notes, up to {ROLL_SECONDS:g} s"
    return [replace(n, offset=min(n.offset, ROLL_SECONDS)) for n in drawn], cut if len(drawn) < len(notes) else ""


def _rolls(notes: Sequence[tuple[str, list[Note]]]) -> list[str]:
    """Two sets in one roll, the first outlined over the second; any other number one by one."""
    if len(notes) == 2:
        (first, wanted), (second, found) = notes
        return [_roll(found, wanted, (second, first))]
    return [_roll(found, None, (label, "")) for label, found in notes]


def _roll(notes: list[Note], other: list[Note] | None, titles: tuple[str, str]) -> str:
    seconds = max([note.offset for note in (*notes, *(other or ()))], default=1.0)
    pace = min(80.0, max(24.0, ROLL_WIDTH / max(seconds, 1.0)))
    drawing = piano_roll(notes, other, overlaid=other is not None, titles=titles, pixels_per_second=pace)
    return svg_image(drawing, f"Piano roll: {' and '.join(title for title in titles if title)}")
