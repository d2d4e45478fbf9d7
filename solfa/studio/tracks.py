"""Sounds as rows of the page: a button, a spectrogram, the sound itself; all on one axis of time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import soundfile
import torch

from solfa.studio.page import data_uri
from solfa.studio.picture import loudest, mel_ticks, spectrogram
from solfa.studio.text import clock_text

WIDTH, HEIGHT = 1200, 128
_ICON_PLAY = '<svg class="go" viewBox="0 0 14 14" aria-hidden="true"><path d="M2 .8v12.4L13 7z"/></svg>'
_ICON_PAUSE = (
    '<svg class="pause" viewBox="0 0 14 14" aria-hidden="true"><path d="M2 1h3.6v12H2zM8.4 1H12v12H8.4z"/></svg>'
)


@dataclass(frozen=True)
class Track:
    """What a row is of: samples [C, S], a name, and a few lines below it."""

    name: str
    details: tuple[str, ...]
    samples: torch.Tensor


@dataclass(frozen=True)
class Excerpt:
    """What the page plays of tracks: the addresses of as many sounds, all of so many seconds."""

    seconds: float
    sources: list[str]


def excerpt(tracks: Sequence[Track], sample_rate: int, longest: float, budget: int) -> Excerpt:
    """The first `longest` seconds of all tracks, or as many as fit into that many bytes, as FLAC files that the page holds."""
    total = tracks[0].samples.shape[-1]
    samples = min(total, round(longest * sample_rate))
    while True:
        flacs = [_flac(track.samples[:, :samples], sample_rate) for track in tracks]
        size = sum(map(len, flacs))
        if size <= budget or samples <= sample_rate // 10:
            return Excerpt(samples / sample_rate, [data_uri("audio/flac", flac) for flac in flacs])
        samples = int(samples * min(0.9, 0.97 * budget / size))


def rows(tracks: Sequence[Track], shown: Excerpt, sample_rate: int, loud: torch.Tensor) -> str:
    """The rows of an excerpt. loud: samples [C, S]; their loudest moment is drawn brightest in all pictures."""
    end = round(shown.seconds * sample_rate)
    top = max(loudest(loud[:, :end], sample_rate, width=WIDTH, height=HEIGHT), -60.0)
    pictures = [
        spectrogram(track.samples[:, :end], sample_rate, width=WIDTH, height=HEIGHT, top=top) for track in tracks
    ]
    together = zip(tracks, shown.sources, pictures, strict=True)
    return "\n".join(_row(*parts, sample_rate, first=i == 0) for i, parts in enumerate(together))


def transport(seconds: float, name: str) -> str:
    """The button that plays, the clock, and the name of what is heard first."""
    return (
        f'<div class="transport"><button type="button" class="play">{_ICON_PLAY}{_ICON_PAUSE}<em>Play</em></button>'
        f'<div class="clock"><b>0:00.0</b> <span>/ {clock_text(seconds)}</span></div>'
        f'<div class="now">{escape(name)}</div></div>'
    )


def axis(seconds: float) -> str:
    """Marks of time."""
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if s * 10 >= seconds or s == 60)
    marks = [i * step for i in range(int(seconds / step + 1e-6) + 1)]
    if seconds - marks[-1] < step / 2 and len(marks) > 1:
        marks.pop()  # room for the end
    spans = "".join(f'<span style="left:{mark / seconds * 100:.2f}%">{mark:g}</span>' for mark in marks)
    return f'<div class="axis" aria-hidden="true">{spans}<span style="left:100%">{seconds:.4g} s</span></div>'


def _flac(samples: torch.Tensor, sample_rate: int) -> bytes:
    out = io.BytesIO()
    clipped = samples.clamp(-1, 1).T.contiguous().numpy()
    soundfile.write(out, clipped, sample_rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def _row(track: Track, source: str, picture: bytes, sample_rate: int, first: bool) -> str:
    ticks = "".join(
        f'<span class="hz" style="bottom:{place * 100:.1f}%">{hz if hz < 1000 else f"{hz // 1000}k"}</span>'
        for hz, place in mel_ticks(sample_rate)
    )
    details = "".join(f"<span>{escape(text)}</span>" for text in track.details)
    return (
        f'<div class="track"><button type="button" class="pick" aria-pressed="{str(first).lower()}">'
        f"<b>{escape(track.name)}</b>{details}</button>"
        f'<div class="picture spectrum"><img alt="Spectrogram: {escape(track.name)}" '
        f'src="{data_uri("image/png", picture)}">{ticks}</div>'
        f'<audio controls preload="auto" src="{escape(source)}"></audio></div>'
    )
