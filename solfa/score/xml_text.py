"""Text that XML can hold: names come from strangers' MIDI files."""

import re
from html import escape

# What XML 1.0 has no way to write: control characters but tab and line ends, lone surrogates, two non-characters.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal_text(text: str) -> str:
    """The text without characters that XML 1.0 forbids."""
    return _ILLEGAL.sub("", text)


def escaped(text: str) -> str:
    """The text as it stands in an XML element or attribute: legal characters, with & < > and quotes written as entities."""
    return escape(legal_text(text))
