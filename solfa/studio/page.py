"""One self-contained HTML page: a title, a sentence, and sections that other modules build.

The page asks nobody for anything: pictures and sounds are inside it, and its content policy forbids the rest.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Section:
    """A part of the page. `body` is HTML whose text has been escaped; the title is plain text, empty for none."""

    title: str
    body: str
    note: str = ""  # HTML under the title

    def html(self) -> str:
        head = f"<h2>{escape(self.title)}</h2>" if self.title else ""
        note = f'<p class="note">{self.note}</p>' if self.note else ""
        return f"<section>\n{head}{note}\n{self.body}\n</section>"


def page(title: str, lede: str, sections: Sequence[Section], footer: str = "") -> str:
    """The whole document. title, lede and footer are plain text."""
    text = TEMPLATE.read_text(encoding="utf-8")
    parts = {
        "title": escape(title),
        "lede": escape(lede),
        "footer": escape(footer),
        "sections": "\n".join(section.html() for section in sections),
    }
    head, *rest = text.split("{{")
    pieces = [head]
    for piece in rest:  # one pass, so that braces in what is filled in stay as they are
        name, _, tail = piece.partition("}}")
        pieces += [parts[name], tail]
    return "".join(pieces)


def data_uri(kind: str, data: bytes) -> str:
    """Bytes of a MIME type as an address that is its own content."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
