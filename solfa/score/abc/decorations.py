"""Decorations (!trill!) and the signs that they are written with, which old tunes use for line breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

_LINE_BREAKS = ("<EOL>", "$", "*", "!", "<none>")
_TOLD = 5
# ABC 2.1, section 4.14. None but the dynamics changes what is read; an ornament is not played.
_NAMES = (
    "trill trill( trill) lowermordent uppermordent mordent pralltriller roll turn turnx invertedturn invertedturnx arpeggio > accent "
    "emphasis fermata invertedfermata tenuto 0 1 2 3 4 5 + plus snap slide wedge upbow downbow open thumb breath pppp ppp pp p mp mf f "
    "ff fff ffff sfz crescendo( <( crescendo) <) diminuendo( >( diminuendo) >) segno coda D.S. D.C. dacoda dacapo fine shortphrase "
    "mediumphrase longphrase editorial courtesy"
)
STANDARD = frozenset(_NAMES.split())


@dataclass(frozen=True)
class Signs:
    """What ! and + mean in music: whether ! ends a line of print (it is then no sign of decorations), and whether +trill+ is one."""

    breaks: bool = False
    plus: bool = False


def parse_linebreak(signs: Signs, words: Sequence[str]) -> Signs:
    """The signs after I:linebreak. Where ! ends lines, decorations are written with +, as the standard has it. Raises ValueError."""
    found = [legal for word in words for legal in _LINE_BREAKS if word.lower() == legal.lower()]
    if not words or len(found) < len(words):
        raise ValueError(f"linebreak {' '.join(words)[:20]!r}: legal are {' '.join(_LINE_BREAKS)}")
    breaks = "!" in found
    return Signs(breaks, signs.plus or breaks)


def parse_decoration(signs: Signs, words: Sequence[str]) -> Signs:
    """The signs after I:decoration. After + both signs may be used; ! ends what I:linebreak ! said. Raises ValueError."""
    if tuple(words) not in (("!",), ("+",)):
        raise ValueError(f"decoration {' '.join(words)[:20]!r}: legal are ! and +")
    return replace(signs, plus=True) if words[0] == "+" else Signs()


SIGNS = {"linebreak": parse_linebreak, "decoration": parse_decoration}  # the instructions that say what the signs are


def left_out(unknown: Mapping[str, int]) -> str:
    """What is said of decorations that the standard does not have; `unknown` maps each, signs and all, to its first line."""
    told = ", ".join(f"{text[:24]} (line {line})" for text, line in list(unknown.items())[:_TOLD])
    more = f" and {len(unknown) - _TOLD} more" if len(unknown) > _TOLD else ""
    return f"decorations that ABC does not have are left out: {told}{more}; if ! ends lines of print, I:linebreak ! has to say so"
