"""A sheet as engraved pages, by verovio (the extra `score`): SVG that brings its music symbols along."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from solfa.score.musicxml.write import write_musicxml
from solfa.score.sheet.notation import Sheet

MISSING = 'engraving needs one more package, verovio: pip install "solfa[score]"'
_SIZE = re.compile(r'<svg width="(\d+)px" height="(\d+)px"[^>]*? id="(\w+)"')
_TAG = re.compile(r"(<[^>]+>)")
_NAME = re.compile(r'(\bid="|href="#)')
_GAP = 24  # pixels between pages


def engrave(sheet: Sheet, scale: int = 40) -> list[str]:
    """The pages of the sheet, each an SVG document, cut at the height that its music takes; the same sheet gives the same text.

    scale: percent, 10 to 200; at 40 a page is 840 pixels wide, and a smaller scale puts no more music on it, but draws it smaller.
    Raises ImportError, saying what to install, where verovio is missing; ValueError for a scale out of range and for what MusicXML cannot
    say (see `write_musicxml`), or verovio cannot lay out.
    """
    try:
        import verovio
    except ImportError as error:
        raise ImportError(MISSING) from error
    if not 10 <= scale <= 200:
        raise ValueError(f"scale is {scale}: legal are 10 to 200 (percent)")
    # It keeps where its fonts are thread by thread, and is told by its import in the thread of that one alone.
    verovio.setDefaultResourcePath(str(files("verovio") / "data"))
    verovio.enableLog(verovio.LOG_OFF)  # it writes its remarks on what it reads to stderr
    toolkit = verovio.toolkit()
    toolkit.setOptions({"scale": scale, "xmlIdSeed": 1, "adjustPageHeight": True, "header": "auto", "footer": "none"})
    if not toolkit.loadData(write_musicxml(sheet).decode("utf-8")):
        raise ValueError("verovio could not lay out the sheet")
    return [toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]


def stacked(pages: Sequence[str]) -> str:
    """The pages of `engrave` beneath each other in one SVG document, on white paper whatever the page around it."""
    out, top, width = [], 0, 0
    for number, page in enumerate(pages, start=1):
        size = _SIZE.search(page)
        assert size is not None, page[:200]
        # Pages share names of what they define and of what they repeat (headers): one document needs them apart.
        mark = f"p{number}-"
        apart = "".join(_NAME.sub(rf"\g<1>{mark}", part) if part.startswith("<") else part for part in _TAG.split(page))
        apart = apart.replace(f"#{size[3]}", f"#{mark}{size[3]}")  # in the styles, which go by the page's name
        out.append(apart[apart.index("<svg") :].replace("<svg ", f'<svg y="{top}" ', 1))
        top += int(size[2]) + _GAP
        width = max(width, int(size[1]))
    height = max(0, top - _GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *out, "</svg>"]) + "\n"
