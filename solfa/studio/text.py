"""Numbers as a reader likes them."""

import math


def clock_text(seconds: float) -> str:
    """Seconds as minutes:seconds.tenths, as the page's script writes them."""
    tenths = int(seconds * 10 + 1e-6)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def byte_text(count: float) -> str:
    """A size in bytes, kB (1000 bytes) or MB."""
    if count < 1000:
        return f"{count:.0f} bytes"
    return f"{count / 1000:.3g} kB" if count < 999_500 else f"{count / 1_000_000:.3g} MB"


def decibel_text(value: float) -> str:
    """A level in dB, which may be infinite (equal signals) or none (nothing in common)."""
    return f"{value:.1f}" if math.isfinite(value) else "∞" if value > 0 else "none"


def factor_text(value: float) -> str:
    """A ratio with two or three figures and no exponent."""
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def number_text(value: float) -> str:
    """Four digits, or all before the point up to a million; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"
    return text if "e" in text else text.replace("-", "−")
