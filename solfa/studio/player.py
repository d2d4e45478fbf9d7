"""The part of the demo page that plays: a row for each sound with its spectrogram, and the tokens below, in time."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import soundfile
import torch

from solfa.studio.codec_demo import CodecDemo
from solfa.studio.page import Section, data_uri
from solfa.studio.picture import (
    GOLDEN_ANGLE,
    TOKEN_CHROMA,
    TOKEN_LIGHTNESS,
    loudest,
    mel_ticks,
    spectrogram,
    token_css,
    token_matrix,
)
from solfa.studio.text import clock_text, decibel_text

MAX_EXCERPT = 30.0  # seconds on the page; the WAVs beside it are whole
SOUND_BUDGET = 4_800_000  # bytes of FLAC on the page: 6.4 MB as base64, under 8 MB with the pictures
WIDTH, HEIGHT = 1200, 128
CELLS = 16  # frames of the tokens that are written out as numbers
_ICON_PLAY = '<svg class="go" viewBox="0 0 14 14" aria-hidden="true"><path d="M2 .8v12.4L13 7z"/></svg>'
_ICON_PAUSE = (
    '<svg class="pause" viewBox="0 0 14 14" aria-hidden="true"><path d="M2 1h3.6v12H2zM8.4 1H12v12H8.4z"/></svg>'
)


@dataclass(frozen=True)
class _Track:
    name: str
    details: tuple[str, ...]
    samples: torch.Tensor  # [C, S]


def player_section(demo: CodecDemo) -> Section:
    """Original and renditions, one row each with its spectrogram; below them the tokens on the same axis of time."""
    tracks = [_original_track(demo), *_rendition_tracks(demo)]
    sounds = _sounds(tracks, demo.header.sample_rate)
    seconds = sounds.seconds
    top = max(
        loudest(_cut(tracks[0].samples, demo, seconds), demo.header.sample_rate, width=WIDTH, height=HEIGHT), -60.0
    )
    rows = "\n".join(
        _row(track, flac, _spectrum(_cut(track.samples, demo, seconds), demo.header.sample_rate, top), demo, i == 0)
        for i, (track, flac) in enumerate(zip(tracks, sounds.flacs, strict=True))
    )
    excerpt = (
        "" if seconds >= demo.duration else f" The page holds the first {seconds:.1f} s; the files below are whole."
    )
    body = (
        f'<div data-player data-length="{seconds:.6f}">\n{_transport(seconds)}\n{rows}\n{_axis(seconds)}\n'
        f"{_tokens(demo, seconds)}\n</div>"
    )
    note = (
        "Press a row to hear it; while it plays, another row takes over at the same moment. "
        f"Keys: <kbd>space</kbd> plays, <kbd>1</kbd> to <kbd>{len(tracks)}</kbd> switch, "
        "<kbd>←</kbd> <kbd>→</kbd> move. "
        f"All pictures share one scale: 80 dB below the original's loudest moment is black.{excerpt}"
    )
    return Section("Listen", body, note)


def _original_track(demo: CodecDemo) -> _Track:
    rate = demo.header.sample_rate * demo.header.channels * 16
    kind = {1: "mono", 2: "stereo"}.get(demo.header.channels, f"{demo.header.channels} channels")
    details = (f"{demo.header.sample_rate / 1000:.4g} kHz {kind}, 16 bit", f"{rate / 1000:.0f} kbps")
    return _Track("Original", details, demo.original.samples[0])


def _rendition_tracks(demo: CodecDemo) -> list[_Track]:
    return [
        _Track(
            f"{r.codebooks} codebook{'s' * (r.codebooks > 1)}",
            (
                f"{r.bitrate / 1000:.3g} kbps",
                f"SI-SDR {decibel_text(r.scores.si_sdr)} dB",
                f"mel distance {r.scores.log_mel:.2f}",
            ),
            r.audio.samples[0],
        )
        for r in demo.renditions
    ]


@dataclass(frozen=True)
class _Sounds:
    seconds: float
    flacs: list[bytes]


def _sounds(tracks: Sequence[_Track], sample_rate: int) -> _Sounds:
    """The beginning of every track as FLAC: as long as fits the page."""
    total = tracks[0].samples.shape[-1]
    samples = min(total, round(MAX_EXCERPT * sample_rate))
    while True:
        flacs = [_flac(track.samples[:, :samples], sample_rate) for track in tracks]
        size = sum(map(len, flacs))
        if size <= SOUND_BUDGET or samples <= sample_rate // 10:
            return _Sounds(samples / sample_rate, flacs)
        samples = int(samples * min(0.9, 0.97 * SOUND_BUDGET / size))


def _flac(samples: torch.Tensor, sample_rate: int) -> bytes:
    out = io.BytesIO()
    clipped = samples.clamp(-1, 1).T.contiguous().numpy()
    soundfile.write(out, clipped, sample_rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def _cut(samples: torch.Tensor, demo: CodecDemo, seconds: float) -> torch.Tensor:
    return samples[:, : round(seconds * demo.header.sample_rate)]


def _spectrum(samples: torch.Tensor, sample_rate: int, top: float) -> bytes:
    return spectrogram(samples, sample_rate, width=WIDTH, height=HEIGHT, top=top)


def _transport(seconds: float) -> str:
    return (
        f'<div class="transport"><button type="button" class="play">{_ICON_PLAY}{_ICON_PAUSE}<em>Play</em></button>'
        f'<div class="clock"><b>0:00.0</b> <span>/ {clock_text(seconds)}</span></div>'
        '<div class="now">Original</div></div>'
    )


def _row(track: _Track, flac: bytes, picture: bytes, demo: CodecDemo, first: bool) -> str:
    ticks = "".join(
        f'<span class="hz" style="bottom:{place * 100:.1f}%">{hz if hz < 1000 else f"{hz // 1000}k"}</span>'
        for hz, place in mel_ticks(demo.header.sample_rate)
    )
    details = "".join(f"<span>{escape(text)}</span>" for text in track.details)
    return (
        f'<div class="track"><button type="button" class="pick" aria-pressed="{str(first).lower()}">'
        f"<b>{escape(track.name)}</b>{details}</button>"
        f'<div class="picture spectrum"><img alt="Spectrogram: {escape(track.name)}" '
        f'src="{data_uri("image/png", picture)}">{ticks}</div>'
        f'<audio controls preload="auto" src="{data_uri("audio/flac", flac)}"></audio></div>'
    )


def _axis(seconds: float) -> str:
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if s * 10 >= seconds or s == 60)
    marks = [i * step for i in range(int(seconds / step + 1e-6) + 1)]
    if seconds - marks[-1] < step / 2 and len(marks) > 1:
        marks.pop()  # room for the end
    spans = "".join(f'<span style="left:{mark / seconds * 100:.2f}%">{mark:g}</span>' for mark in marks)
    return f'<div class="axis" aria-hidden="true">{spans}<span style="left:100%">{seconds:.4g} s</span></div>'


def _tokens(demo: CodecDemo, seconds: float) -> str:
    """The token matrix on the player's axis of time, and the codes around the moment that is heard as numbers."""
    header = demo.header
    frames = max(1, min(header.frames, math.ceil(seconds * header.frame_rate - 1e-6)))
    tokens = demo.tokens[:, :frames]  # [K, T]
    total = header.codebooks * header.frames
    names = "".join(f"<span>{book}</span>" for book in range(1, header.codebooks + 1))
    facts = {
        "rate": header.frame_rate,
        "angle": GOLDEN_ANGLE,
        "lightness": TOKEN_LIGHTNESS,
        "chroma": TOKEN_CHROMA,
        "codes": tokens.tolist(),
    }
    crisp = ' class="crisp"' if frames <= 900 else ""
    return (
        f"<h2>The tokens</h2>\n"
        f'<p class="note">{total:,} numbers, each below {header.codebook_size:,}: all that the file keeps. A row is a '
        f"codebook, the first the coarsest; a column is a frame of {1000 / header.frame_rate:.3g} ms. Equal numbers "
        f"have equal colours. Below, the numbers around the moment that is heard.</p>\n"
        f'<div class="matrix"><div class="books" aria-hidden="true">{names}</div>'
        f'<div class="picture" style="height:{max(150, 14 * header.codebooks)}px">'
        f'<img{crisp} alt="Token matrix, {header.codebooks} by {frames}" '
        f'src="{data_uri("image/png", token_matrix(tokens))}"></div></div>\n'
        f"{_axis(seconds)}\n{_numbers(tokens)}\n"
        f'<script type="application/json">{json.dumps(facts, separators=(",", ":"))}</script>'
    )


def _numbers(tokens: np.ndarray) -> str:
    shown = tokens[:, :CELLS]
    heads = "".join(f"<td>{frame if frame % 4 == 0 else ''}</td>" for frame in range(shown.shape[1]))
    rows = "".join(
        f"<tr><th>{book + 1}</th>"
        + "".join(
            f'<td data-book="{book}" style="background:{token_css(code)}">{code}</td>' for code in shown[book].tolist()
        )
        + "</tr>"
        for book in range(shown.shape[0])
    )
    return f'<table class="numbers"><thead><tr><th>frame</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
