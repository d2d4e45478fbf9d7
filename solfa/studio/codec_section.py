"""The demo page's sections on the codec: figures, the player with the tokens, quality, files."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from solfa.studio.chart import line_chart
from solfa.studio.codec_demo import CodecDemo, Playback
from solfa.studio.page import Section
from solfa.studio.player import player_section
from solfa.studio.text import byte_text, decibel_text, factor_text


def codec_sections(demo: CodecDemo, others: Sequence[Path] = ()) -> list[Section]:
    """All sections, in order; the last lists the files, with others that lie beside the page."""
    return [figures_section(demo), player_section(demo), quality_section(demo), files_section(demo, others)]


def figures_section(demo: Playback) -> Section:
    """The main figures, large."""
    best, size = demo.renditions[0], demo.tokens_path.stat().st_size
    items = [
        (
            f"{best.bitrate / 1000:.3g}",
            "kbps",
            f"{best.codebooks} codebooks, {demo.header.frame_rate:.4g} frames a second",
        ),
        (
            factor_text(demo.pcm_bytes / size),
            "times",
            f"smaller: {byte_text(size)} for {byte_text(demo.pcm_bytes)} of 16-bit samples",
        ),
    ]
    decoding = factor_text(demo.duration / max(demo.decode_seconds, 1e-9))
    if isinstance(demo, CodecDemo):
        scores, encoding = demo.renditions[0].scores, factor_text(demo.duration / max(demo.encode_seconds, 1e-9))
        items += [
            (decibel_text(scores.si_sdr), "dB", f"SI-SDR; mel distance {scores.log_mel:.2f}"),
            (encoding, "x real time", f"to encode here; {decoding} to decode"),
        ]
    else:
        items.append((decoding, "x real time", "to decode here"))
    cells = "".join(
        f"<div><dt>{escape(text)}</dt><dd>{value} <small>{unit}</small></dd></div>" for value, unit, text in items
    )
    return Section("", f'<dl class="figures">{cells}</dl>')


def quality_section(demo: CodecDemo) -> Section:
    """Bitrate and quality at each number of codebooks: a table and two curves."""
    rows = "".join(
        f"<tr><td>{r.codebooks}</td><td>{r.bitrate / 1000:.3g}</td><td>{byte_text(r.bitrate * demo.duration / 8)}</td>"
        f"<td>{decibel_text(r.scores.si_sdr)}</td><td>{r.scores.log_mel:.3f}</td><td>{r.scores.stft:.3f}</td></tr>"
        for r in demo.renditions
    )
    heads = "".join(
        f"<th>{text}</th>" for text in ("Codebooks", "kbps", "Size", "SI-SDR, dB", "Mel distance", "STFT distance")
    )
    table = f'<div class="table"><table class="data"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    rates = [r.bitrate / 1000 for r in reversed(demo.renditions)]
    charts = [
        ("SI-SDR in dB over kbps: higher is better", [r.scores.si_sdr for r in reversed(demo.renditions)], ".1f"),
        ("Mel distance over kbps: lower is better", [r.scores.log_mel for r in reversed(demo.renditions)], ".2f"),
    ]
    figures = "".join(
        f"<figure><figcaption>{escape(title)}</figcaption>{line_chart(rates, values, form, title)}</figure>"
        for title, values, form in charts
        if all(map(math.isfinite, values)) and len(values) > 1
    )
    part = "the whole recording" if demo.scored >= demo.duration else f"its first {demo.scored:g} s"
    note = (
        f"Against the original at the codec's rate, over {part}. SI-SDR compares waveforms. Mel distance "
        "is the mean difference of log10 of 80 mel bands at 24 kHz (0.05 is a decibel), STFT distance that of spectra at two "
        "resolutions. "
        "Size counts the codes alone."
    )
    return Section("Bitrate and quality", f'<div class="split">{table}<div>{figures}</div></div>', note)


def files_section(demo: Playback, others: Sequence[Path] = ()) -> Section:
    """Links to what lies beside the page."""
    return Section("Files", files_list([*demo.paths, *others]), "They lie in the folder of this page.")


def files_list(paths: Sequence[Path], root: str = "") -> str:
    """Links to files with their sizes. root: where they are served, with a slash at its end; empty: they lie beside the page."""
    kept = " download" if root else ""
    items = "".join(
        f'<li><a href="{escape(root + path.name)}"{kept}>{escape(path.name)}</a><span>{byte_text(path.stat().st_size)}</span></li>'
        for path in paths
    )
    return f'<ul class="files">{items}</ul>'
