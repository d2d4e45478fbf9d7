"""`solfa eval codebooks`: how the codes of token files and token stores use their codebooks, and what they tell of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from solfa.cli import report
from solfa.cli.eval_report import LONGEST, Html, show
from solfa.cli.inputs import AUDIO_SUFFIXES, TOKEN_SUFFIXES, expand

if TYPE_CHECKING:
    import numpy as np

    from solfa.codecs.token_format import TokenHeader
    from solfa.eval.code_collection import CodeCollection
    from solfa.eval.evaluation import Evaluation
    from solfa.tokenize_audio.store.format import StoreHead

# A header can claim anything: 32 MB of counts are far more than any codec has codes.
_MOST_CODES = 1 << 22
_PICTURES = (".svg", ".html")

Plot = Annotated[list[Path] | None, Parameter(consume_multiple=(0, 1))]


class _System:
    """The codes of one codec, as they are read: counted, with their names, seconds, and what could not be."""

    def __init__(self) -> None:
        self.head: TokenHeader | StoreHead | None = None
        self.collection: CodeCollection | None = None
        self.seconds = 0.0
        self.failed: list[str] = []

    def add(self, name: str, head: TokenHeader | StoreHead, codes: np.ndarray) -> None:
        """Count one recording, or nothing of it. Raises ValueError for one of another codec, or without codes."""
        from solfa.eval.code_collection import CodeCollection

        if not codes.shape[1]:
            raise ValueError("there are no codes in it to count")
        books, size = head.codebooks, head.codebook_size
        if self.head is None or self.collection is None:
            if books * size > _MOST_CODES:
                raise ValueError(f"{books} codebooks of {size} codes: no more than {_MOST_CODES} codes can be counted")
            self.head, self.collection = head, CodeCollection(books, size)
        elif _codec(head) != _codec(self.head):
            raise ValueError(
                f"codes of {_codec_text(head)}, the first here are of {_codec_text(self.head)}: one codec at a time"
            )
        self.collection.add(name, codes)
        self.seconds += codes.shape[1] / head.frame_rate

    def fail(self, name: str, error: Exception) -> None:
        report.fail(name, error)
        self.failed.append(name)


def codebooks(
    *inputs: str,
    against: str | None = None,
    plot: Plot = None,
    tf_idf: str = "tf_l1,idf_e1",
    ci: report.Flag = False,
    json: report.Flag = False,
    html: Html = None,
) -> int:
    """How well the codes of token files and stores use their codebooks

    Of each recording, then of all together: the share of codes that occur, those that never do, the entropy of a code in
    bits, its perplexity, the entropy's share of the bits that a code takes, how long codes stay, what the one before
    tells, what two codebooks tell of each other, and which codes are typical of which recording (bags of codes, TF-IDF).

    One codec at a time; what is damaged or of another codec is told and left out.

    Example:
        solfa eval codebooks tokens/ --ci
        solfa eval codebooks store/ --plot usage.svg --json

    Parameters
    ----------
    inputs
        Token stores, token files, folders of them, globs, @list.txt, or - for a list on stdin.
    against
        Another store, file or folder, of the same codec or another: recordings of one name are compared.
    plot
        Draw the codebooks and their mutual information in this file (.svg or .html; by default codebooks.svg).
    tf_idf
        Weights of the bags of codes: tf_b, tf_l1, tf_l2, tf_o1 or tf_o2, a comma, idf_b, idf_p, idf_e1, idf_e2 or idf_o.
    ci
        Add 95 % intervals of the means over recordings.
    json
        One JSON document on stdout.
    """
    picture = _picture(plot)
    weights = _weights(tf_idf)
    system = _read(inputs)
    other = None if against is None else _read([against])
    if any(each is not None and each.collection is None for each in (system, other)):
        return report.FAILED  # nothing to measure: what was wrong is told
    found = _evaluation(system, weights)
    compared = None if other is None else _evaluation(other, weights)
    if picture is not None:
        _draw(picture, system, found)
    if not json:
        found = _introduced(system, found)
        compared = None if other is None or compared is None else _introduced(other, compared)
    show(found, against=compared, ci=ci, json=json, html=html)
    return report.FAILED if found.failed or (compared is not None and compared.failed) else report.DONE


def _picture(plot: list[Path] | None) -> Path | None:
    if plot is None:
        return None
    path = plot[0] if plot else Path("codebooks.svg")
    if path.suffix.lower() not in _PICTURES:
        raise report.UsageError(f"--plot {path}: the name must end in {' or '.join(_PICTURES)}")
    return path


def _weights(text: str) -> tuple[str, str]:
    from solfa.eval.bag_of_codes import IDF, TF

    tf, _, idf = text.partition(",")
    if tf not in TF or idf not in IDF:
        raise report.UsageError(f"--tf-idf {text}: one of {', '.join(TF)}, a comma, and one of {', '.join(IDF)}")
    return tf, idf


def _read(inputs: Sequence[str]) -> _System:
    """Every recording that the inputs lead to."""
    from solfa.tokenize_audio.store.place import is_store

    if not inputs:
        raise report.UsageError(
            "no input: name token stores, token files, folders, globs, @list.txt, or - for a list on stdin"
        )
    system = _System()
    for store in filter(is_store, inputs):
        _read_store(store, system)
    files = [name for name in inputs if not is_store(name)]
    items = expand(files, TOKEN_SUFFIXES) if files else []
    with report.progress("count", len(items)) as bar:
        for item in items:
            try:
                if item.problem:
                    raise ValueError(item.problem)
                _read_file(item.path, item.relative, system)
            except (ValueError, OSError) as error:
                system.fail(str(item.path), error)
            bar.advance(1, detail=item.path.name)
    if system.collection is not None:
        _name_items(system.collection)
    return system


def _read_file(path: Path, relative: Path, system: _System) -> None:
    from solfa.codecs.token_file import TokenFile

    with TokenFile(path) as file:
        system.add(relative.as_posix(), file.header, file.read())


def _read_store(name: str, system: _System) -> None:
    """The items of a store. What is wrong with a shard is told once, not for each of its items."""
    from solfa.tokenize_audio.store.store import TokenStore

    told: set[str] = set()
    try:
        store = TokenStore(name)
        keys = store.keys
    except (ValueError, OSError) as error:
        system.fail(name, error)
        return
    with report.progress("count", len(keys)) as bar:
        for item, key in enumerate(keys):
            try:
                system.add(key, store.head, store.codes(item))
            except (ValueError, OSError) as error:
                if report.reason(error) not in told:
                    system.fail(f"{name}: {key}", error)
                told.add(report.reason(error))
            bar.advance(1)


def _name_items(collection: CodeCollection) -> None:
    """Items are named as recordings are, without suffix, where that tells them apart: so a store's are those of a folder of token files."""
    names = [item.name for item in collection.items]
    known = (*AUDIO_SUFFIXES, *TOKEN_SUFFIXES)
    short = [str(PurePath(n).with_suffix("")) if PurePath(n).suffix.lower() in known else n for n in names]
    if len(set(short)) == len(short):
        collection.items = [replace(item, name=name) for item, name in zip(collection.items, short, strict=True)]


def _codec(head: TokenHeader | StoreHead) -> tuple[Any, ...]:
    return head.codec, head.weights_hash, head.sample_rate, head.hop, head.codebooks, head.codebook_size


def _codec_text(head: TokenHeader | StoreHead) -> str:
    weights = f" (weights {head.weights_hash[:12]})" if head.weights_hash else ""
    return f"{head.codec}{weights}, {head.codebooks} x {head.codebook_size}"


def _evaluation(system: _System, weights: tuple[str, str]) -> Evaluation:
    """What was found, with what is left out said once."""
    head, collection = system.head, system.collection
    assert head is not None and collection is not None
    if not collection.every_pair:
        pairs = "neighbouring ones alone" if collection.pairs.pairs else "none"
        report.say(f"{_codec_text(head)}: all pairs of codebooks take more than 256 MB to count: {pairs}")
    if collection.before is None:
        report.say(
            f"{_codec_text(head)}: codes with those before take more than 256 MB to count: no conditional entropy"
        )
    if collection.bags is None:
        report.say(f"{len(collection.items)} recordings: too many for bags of codes")
    pooled = collection.report()
    settings = {
        "codec": head.codec,
        "weights_hash": head.weights_hash,
        "codebooks": head.codebooks,
        "codebook_size": head.codebook_size,
        "frame_rate": head.frame_rate,
        "seconds": system.seconds,
        "frames": pooled.frames,
        "bitrate": (head.codebook_size - 1).bit_length() * head.codebooks * head.frame_rate,
        "entropy_rate": pooled.entropy_total * head.frame_rate,
    }
    return replace(collection.evaluation(settings, *weights), failed=system.failed)


def _introduced(system: _System, found: Evaluation) -> Evaluation:
    """Says whose codes these are, and leaves rows of recordings out where they are more than a table can show."""
    assert system.head is not None
    facts = found.settings
    report.out(
        f"{_codec_text(system.head)}: {len(found.items)} recordings, {facts['seconds']:.1f} s, {facts['frames']} frames; "
        f"{facts['bitrate']:.6g} bit/s, of which {facts['entropy_rate']:.6g} are needed"
    )
    many = len(found.items) > LONGEST
    return replace(found, tables={n: t for n, t in found.tables.items() if n != "bags_of_codes" or not many})


def _draw(path: Path, system: _System, found: Evaluation) -> None:
    """The codebooks as SVG, or as a page that holds it."""
    from solfa.files import write_whole
    from solfa.tokenize_audio.store.usage_chart import usage_chart

    assert system.head is not None and system.collection is not None
    told = {(row["codebook"], row["with"]): row["share"] for row in found.tables.get("mutual_information", ())}
    title = f"{_codec_text(system.head)}: {len(found.items)} recordings, {found.settings['frames']} frames"
    picture = usage_chart(system.collection.total.counts, system.collection.report(), title, told)
    if path.suffix.lower() == ".html":
        picture = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Codebooks</title>\n{picture}</html>\n'
    write_whole(path, picture)
    report.say(str(path))
