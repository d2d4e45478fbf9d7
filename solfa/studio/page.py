"""One self-contained HTML page: a title, a sentence, and sections that other modules build.

The page asks nobody for anything: pictures and sounds are inside it, and its content policy forbids the rest.
"""

import base64
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.html")
PLAYER = Path(__file__).with_name("player.js").read_text(encoding="utf-8")  # makes every [data-player] play
ALONE = (
    "default-src 'none'; img-src data:; media-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


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


def page(
    title: str, lede: str, sections: Sequence[Section], footer: str = "", script: str = PLAYER, policy: str = ALONE
) -> str:
    """The whole document. title, lede and footer are plain text. policy: what it may load, its Content-Security-Policy."""
    text = TEMPLATE.read_text(encoding="utf-8")
    parts = {
        "title": escape(title),
        "lede": escape(lede),
        "footer": escape(footer),
        "sections": "\n".join(section.html() for section in sections),
        "script": script,
        "policy": policy,
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


def svg_image(svg: str, name: str) -> str:
    """A drawing as a picture of its own, so that its names and styles stay out of the page. name: plain text."""
    return f'<div class="wide-picture"><img alt="{escape(name)}" src="{data_uri("image/svg+xml", svg.encode())}"></div>'


def figure(caption: str, body: str) -> str:
    """Plain text over HTML."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{body}</figure>"


def table_html(heads: Iterable[str], rows: Iterable[Sequence[str]], text: Container[int] = ()) -> str:
    """A table of HTML cells: the first column and those of `text` to the left, numbers to the right, charts with room of their own."""
    head = "".join(f"<th{' class=left' * (index in text)}>{cell}</th>" for index, cell in enumerate(heads))
    body = "".join(f"<tr>{''.join(_cell(index, cell, text) for index, cell in enumerate(row))}</tr>" for row in rows)
    return f'<div class="table"><table class="data"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(index: int, cell: str, text: Container[int]) -> str:
    kind = "drawn" if cell.startswith("<svg") else "name" if index == 0 else "left" if index in text else ""
    return f'<td class="{kind}">{cell}</td>' if kind else f"<td>{cell}</td>"
