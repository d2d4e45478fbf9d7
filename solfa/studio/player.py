"""The part of the demo page that plays: a row for each sound with its spectrogram, and the tokens below, in time."""

import json
import math

import numpy as np

from solfa.studio.codec_demo import CodecDemo, Playback, ScoredRendition
from solfa.studio.page import Section, data_uri
from solfa.studio.picture import (
    GOLDEN_ANGLE,
    TOKEN_CHROMA,
    TOKEN_LIGHTNESS,
    token_css,
    token_matrix,
)
from solfa.studio.text import decibel_text
from solfa.studio.tracks import Excerpt, Track, axis, excerpt, rows, transport

MAX_EXCERPT = 30.0  # seconds on the page; the WAVs beside it are whole
SOUND_BUDGET = 4_800_000  # bytes of FLAC on the page: 6.4 MB as base64, under 8 MB with the pictures
CELLS = 16  # frames of the tokens that are written out as numbers
WIDEST = 16_384  # pixels of a picture of tokens: browsers draw none of 32768


def player_section(demo: Playback, root: str | None = None) -> Section:
    """Original, if there is one, and renditions, a row each with its spectrogram; below them the tokens on the same axis of time.

    root: where the files are served, whole, with a slash at its end; None: the page holds the beginning itself.
    """
    tracks = [*([_original_track(demo)] if isinstance(demo, CodecDemo) else []), *_rendition_tracks(demo)]
    rate = demo.header.sample_rate
    if root is None:
        shown = excerpt(tracks, rate, MAX_EXCERPT, SOUND_BUDGET)
    else:
        shown = Excerpt(demo.duration, [root + path.name for path in demo.paths if path != demo.tokens_path])
    seconds = shown.seconds
    rest = "" if seconds >= demo.duration else f" The page holds the first {seconds:.1f} s; the files below are whole."
    body = (
        f'<div data-player data-length="{seconds:.6f}">\n{transport(seconds, tracks[0].name)}\n'
        f"{rows(tracks, shown, rate, tracks[0].samples)}\n{axis(seconds)}\n"
        f"{_tokens(demo, seconds)}\n</div>"
    )
    note = (
        "Press a row to hear it; while it plays, another row takes over at the same moment. "
        f"Keys: <kbd>space</kbd> plays, <kbd>1</kbd> to <kbd>{len(tracks)}</kbd> switch, "
        "<kbd>←</kbd> <kbd>→</kbd> move. "
        f"All pictures share one scale: 80 dB below the loudest moment of the first is black.{rest}"
    )
    return Section("Listen", body, note)


def _original_track(demo: CodecDemo) -> Track:
    rate = demo.header.sample_rate * demo.header.channels * 16
    kind = {1: "mono", 2: "stereo"}.get(demo.header.channels, f"{demo.header.channels} channels")
    details = (f"{demo.header.sample_rate / 1000:.4g} kHz {kind}, 16 bit", f"{rate / 1000:.0f} kbps")
    return Track("Original", details, demo.original.samples[0])


def _rendition_tracks(demo: Playback) -> list[Track]:
    tracks = []
    for r in demo.renditions:
        details = [f"{r.bitrate / 1000:.3g} kbps"]
        if isinstance(r, ScoredRendition):
            details += [f"SI-SDR {decibel_text(r.scores.si_sdr)} dB", f"mel distance {r.scores.log_mel:.2f}"]
        tracks.append(Track(f"{r.codebooks} codebook{'s' * (r.codebooks > 1)}", tuple(details), r.audio.samples[0]))
    return tracks


def _tokens(demo: Playback, seconds: float) -> str:
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
        f'src="{data_uri("image/png", token_matrix(tokens[:, :: -(-frames // WIDEST)]))}"></div></div>\n'
        f"{axis(seconds)}\n{_numbers(tokens)}\n"
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
