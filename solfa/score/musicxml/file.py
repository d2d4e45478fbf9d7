"""MusicXML files as trees: unzipping and parsing, with what a stranger's file may ask for bounded."""

from __future__ import annotations

import io
import zipfile
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MAX_BYTES = 32 << 20
MAX_DEPTH = 64
_CONTAINER = "META-INF/container.xml"


class MusicXmlError(ValueError):
    """A MusicXML file that cannot be read; the message says why."""


def read_tree(data: bytes) -> Element:
    """The root element of the bytes of a .musicxml or .mxl file.

    Entity declarations are refused (they can expand without end), and so are documents of more than 32 MiB, packed or
    unpacked, and nesting deeper than 64.
    """
    return _parse(_unpacked(data))


def _unpacked(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise MusicXmlError(f"larger than {MAX_BYTES} bytes")
    if data[:4] != b"PK\x03\x04":
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            container = _parse(_member(archive, _CONTAINER))
            root = container.find(".//{*}rootfile")
            if root is None or not root.get("full-path"):
                raise MusicXmlError(f"{_CONTAINER} names no score")
            return _member(archive, str(root.get("full-path")))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError, OSError) as error:
        if isinstance(error, MusicXmlError):
            raise
        raise MusicXmlError(f"a damaged or unusual .mxl archive: {error}") from error
    except Exception as error:  # zlib.error and its like have no common base
        raise MusicXmlError(f"a damaged .mxl archive: {error}") from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        details = archive.getinfo(name)
    except KeyError:
        raise MusicXmlError(f"the archive holds no {name}") from None
    with archive.open(details) as file:
        data = file.read(MAX_BYTES + 1)  # what it unpacks to, whatever its header says
    if len(data) > MAX_BYTES:
        raise MusicXmlError(f"{name} unpacks to more than {MAX_BYTES} bytes")
    return data


def _parse(data: bytes) -> Element:
    builder = TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise MusicXmlError(f"elements nested deeper than {MAX_DEPTH}")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def entity(name: str, *_: object) -> None:
        raise MusicXmlError(f"it declares the entity {name!r}: entities are refused")

    # A namespace (container.xml has one) stays in front of the name, as ElementTree writes it.
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = lambda name, attributes: start(_named(name), attributes)
    parser.EndElementHandler = lambda name: end(_named(name))
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MusicXmlError(f"not well-formed XML: {error}") from error
    return builder.close()


def _named(name: str) -> str:
    return "{" + name if "}" in name else name
