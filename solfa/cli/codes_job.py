"""The work of `solfa eval codebooks`: the codes of token files and stores, read, counted, and coded where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from solfa.cli import load, report
from solfa.cli.inputs import AUDIO_SUFFIXES, TOKEN_SUFFIXES, expand
from solfa.progress import Bar

if TYPE_CHECKING:
    import numpy as np

    from solfa.codecs.codec import Codes
    from solfa.codecs.entropy.integer_lm import IntegerLM
    from solfa.codecs.token_format import TokenHeader
    from solfa.eval.code_collection import CodeCollection
    from solfa.eval.coding_cost import CodingCosts
    from solfa.tokenize_audio.store.format import StoreHead
    from solfa.tokenize_audio.store.store import TokenStore

# A header can claim anything: 32 MB of counts are far more than any codec has codes.
_MOST_CODES = 1 << 22


@dataclass(frozen=True)
class Coding:
    """Whether recordings are coded to see what that takes, and by which language model, of this name."""

    asked: bool
    name: str | None = None
    lm: IntegerLM | None = None

    def check(self, head: TokenHeader | StoreHead) -> None:
        """Raises UsageError where the language model is not one of this codec's codes; says which codings are not for them."""
        from solfa.tokenize_audio.coding_cost import codings

        if self.lm is not None:
            try:
                self.lm.check_codec(head.codec, head.weights_hash, head.codebooks, head.codebook_size)
            except ValueError as error:
                raise report.UsageError(f"--lm {self.name}: {error}") from error
        if self.asked and codings(head.codebook_size) == ("packed",):
            report.say(f"{codec_text(head)}: codebooks too large for any coding but packed")

    def reader(self, head: TokenHeader) -> IntegerLM | None:
        """The language model that a token file needs in order to be read, if it is this one; else one of the package is looked for."""
        return self.lm if self.lm is not None and head.lm == self.lm.hash else None


class CodeSystem:
    """The codes of one codec, as they are read: counted, with their names, seconds, what coding them takes, and what could not be."""

    def __init__(self, coding: Coding) -> None:
        self.coding = coding
        self.head: TokenHeader | StoreHead | None = None
        self.collection: CodeCollection | None = None
        self.costs: CodingCosts | None = None
        self.seconds = 0.0
        self.failed: list[str] = []

    def add(self, name: str, head: TokenHeader | StoreHead, codes: np.ndarray, whole: Codes | None) -> None:
        """Count one recording, or nothing of it. Raises ValueError for one of another codec, or without codes.

        whole: the same codes as a codec has them, where they are to be coded.
        """
        from solfa.eval.code_collection import CodeCollection
        from solfa.eval.coding_cost import CodingCosts
        from solfa.tokenize_audio.coding_cost import costs

        if not codes.shape[1]:
            raise ValueError("there are no codes in it to count")
        books, size = head.codebooks, head.codebook_size
        if self.head is None or self.collection is None:
            if books * size > _MOST_CODES:
                raise ValueError(f"{books} codebooks of {size} codes: no more than {_MOST_CODES} codes can be counted")
            self.coding.check(head)
            self.head, self.collection = head, CodeCollection(books, size)
            self.costs = CodingCosts(size) if self.coding.asked else None
        elif _codec(head) != _codec(self.head):
            raise ValueError(
                f"codes of {codec_text(head)}, the first here are of {codec_text(self.head)}: one codec at a time"
            )
        found = None if whole is None else costs(whole, self.coding.lm)
        self.collection.add(name, codes)
        if self.costs is not None and found is not None:
            self.costs.add(found)
        self.seconds += codes.shape[1] / head.frame_rate

    def fail(self, name: str, error: Exception) -> None:
        report.fail(name, error)
        self.failed.append(name)


def coding_asked(codings: bool, lm: str | None) -> Coding:
    """What the options ask for. Raises UsageError for a language model that is not there."""
    if lm is None:
        return Coding(codings)
    try:
        return Coding(True, lm, load.lm(lm))
    except ValueError as error:
        raise report.UsageError(f"--lm {lm}: {error}") from error


def read_codes(inputs: Sequence[str], coding: Coding) -> CodeSystem:
    """Every recording that the inputs lead to."""
    from solfa.tokenize_audio.store.place import is_store

    if not inputs:
        raise report.UsageError(
            "no input: name token stores, token files, folders, globs, @list.txt, or - for a list on stdin"
        )
    system = CodeSystem(coding)
    for store in filter(is_store, inputs):
        _read_store(store, system)
    files = [name for name in inputs if not is_store(name)]
    items = expand(files, TOKEN_SUFFIXES) if files else []
    with Bar("count", len(items)) as bar:
        for item in items:
            try:
                if item.problem:
                    raise ValueError(item.problem)
                _read_file(item.path, item.relative, system)
            except report.UsageError:
                raise
            except (ValueError, OSError) as error:
                system.fail(str(item.path), error)
            bar.advance(1, detail=item.path.name)
    if system.collection is not None:
        _name_items(system.collection)
    return system


def _read_file(path: Path, relative: Path, system: CodeSystem) -> None:
    from solfa.codecs.token_file import TokenFile

    with TokenFile(path) as file:
        lm = system.coding.reader(file.header)
    with TokenFile(path, lm=lm) as file:
        whole = file.codes() if system.coding.asked else None
        codes = file.read() if whole is None else whole.tokens[0].numpy()
        system.add(relative.as_posix(), file.header, codes, whole)


def _read_store(name: str, system: CodeSystem) -> None:
    """The items of a store. What is wrong with a shard is told once, not for each of its items."""
    from solfa.tokenize_audio.store.store import TokenStore

    told: set[str] = set()
    try:
        store = TokenStore(name)
        keys = store.keys
    except (ValueError, OSError) as error:
        system.fail(name, error)
        return
    with Bar("count", len(keys)) as bar:
        for item, key in enumerate(keys):
            try:
                codes = store.codes(item)
                system.add(key, store.head, codes, _stored(store, item, codes) if system.coding.asked else None)
            except report.UsageError:
                raise
            except (ValueError, OSError) as error:
                if report.reason(error) not in told:
                    system.fail(f"{name}: {key}", error)
                told.add(report.reason(error))
            bar.advance(1)


def _stored(store: TokenStore, item: int, codes: np.ndarray) -> Codes:
    """An item of a store as a codec has it."""
    import torch

    from solfa.codecs.codec import Codes

    head = store.head
    facts = (head.codec, head.weights_hash, head.sample_rate, head.channels, head.hop, head.codebook_size)
    return Codes(torch.from_numpy(codes.astype("int64"))[None], *facts, (store.meta(item).samples,))


def _name_items(collection: CodeCollection) -> None:
    """Items are named as recordings are, without suffix, where that tells them apart: so a store's are those of a folder of token files."""
    names = [item.name for item in collection.items]
    known = (*AUDIO_SUFFIXES, *TOKEN_SUFFIXES)
    short = [str(PurePath(n).with_suffix("")) if PurePath(n).suffix.lower() in known else n for n in names]
    if len(set(short)) == len(short):
        collection.items = [replace(item, name=name) for item, name in zip(collection.items, short, strict=True)]


def _codec(head: TokenHeader | StoreHead) -> tuple[Any, ...]:
    return head.codec, head.weights_hash, head.sample_rate, head.hop, head.codebooks, head.codebook_size


def codec_text(head: TokenHeader | StoreHead) -> str:
    weights = f" (weights {head.weights_hash[:12]})" if head.weights_hash else ""
    return f"{head.codec}{weights}, {head.codebooks} x {head.codebook_size}"
