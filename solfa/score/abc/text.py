"""Titles and names as ABC writes them."""

from __future__ import annotations

import html
import re
import unicodedata

_ACCENTS = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "c": "\u0327"}
_ESCAPE = re.compile(r"\\(?:([`'^~\"c])([A-Za-z])|u([0-9A-Fa-f]{4})|(.))|(&[a-z]{2,8};)")


def unescaped(text: str) -> str:
    """A text of ABC as it is meant: \\% \\& and \\\\ , accents such as \\'e, \\u00e9, and named entities such as &eacute;."""

    def plain(match: re.Match[str]) -> str:
        accent, letter, code, other, entity = match.groups()
        if accent is not None:
            return unicodedata.normalize("NFC", letter + _ACCENTS[accent])
        if code is not None:
            return (
                "\ufffd" if code[:2].lower() in ("d8", "d9", "da", "db", "dc", "dd", "de", "df") else chr(int(code, 16))
            )
        return html.unescape(entity) if other is None else other

    return _ESCAPE.sub(plain, text)


def escaped(text: str) -> str:
    """A text on one line that `unescaped` gives back: white space becomes single blanks, and what ABC would read as a sign is marked."""
    plain = "".join(" " if unicodedata.category(letter)[0] in "ZC" else letter for letter in text)
    return re.sub(r"[\\\\%&]", lambda match: "\\" + match.group(), " ".join(plain.split())).replace('"', "&quot;")
