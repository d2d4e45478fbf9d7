"""What is said of a recording, and the words that a crop of it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solfa.data.composer.instruments import INSTRUMENTS
from solfa.data.composer.words import tonic_name
from solfa.data.tables import texts_of
from solfa.lm.conditioners.grid import Grid, grid_in

# Fields that are told as "name: value": composed pieces' names beside MusicGen's, then fields that are told as they are called.
TOLD = (("tempo", "bpm"), ("genre", "genre"), ("mood", "mood"))
ALSO_TOLD = ("moods", "instrument", "keywords")


@dataclass(frozen=True)
class CaptionConfig:
    """How a text is drawn from captions and attributes, as MusicGen merged them (AudioCraft: `merge_text_p` and its kin).

    merge: the share of texts that attributes are added to, as "name: value" in any order, joined by ". ". drop_caption: of those, the
    share whose caption is left out. keep: the share of attributes that are kept. word_dropout: the share of words left out.
    instruments: tell the instruments of composed pieces, which are named in their captions mostly, as an attribute too.

    Where no attribute is kept the caption stays: AudioCraft drops it all the same, and the crop is told nothing.
    """

    merge: float = 0.25
    drop_caption: float = 0.5
    keep: float = 0.5
    word_dropout: float = 0.0
    instruments: bool = False

    def __post_init__(self) -> None:
        for name in ("merge", "drop_caption", "keep", "word_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie in [0, 1]")


@dataclass(frozen=True)
class Said:
    """What may be said of a recording: captions, and attributes in words.

    grid: its beat, where tempo and metre are told; it holds from the first frame on only where `steady` says so.
    """

    texts: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    grid: Grid | None = None
    steady: bool = False

    def __bool__(self) -> bool:
        return bool(self.texts or self.attributes)


def said_of(fields: Mapping[str, Any], instruments: bool = False) -> Said:
    """What the fields of a sidecar, a row of a table or an entry of a manifest say; those that are not known say nothing.

    Captions: text, description, caption, prompt, or a list named captions, descriptions, texts. Attributes: see `in_words`; they may also
    stand in an object named attributes. The beat is that of tempo (bpm) and metre; `downbeat`, seconds, is one of its downbeats, by
    default the beginning; `steady`: true says that the recording keeps this tempo from its first frame to its last.
    """
    nested = fields.get("attributes")
    attributes = {**fields, **(nested if isinstance(nested, Mapping) else {})}
    words = in_words(attributes, instruments)
    grid = _grid(words, attributes.get("downbeat", 0.0))
    return Said(texts_of(fields), words, grid, grid is not None and attributes.get("steady") is True)


def _grid(words: Mapping[str, str], downbeat: Any) -> Grid | None:
    """The beat of a tempo and a metre that are told in numbers."""
    try:
        return grid_in(float(words["bpm"]), words["metre"], float(downbeat))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def in_words(attributes: Mapping[str, Any], instruments: bool = False) -> dict[str, str]:
    """Attributes as they are told: key, bpm, genre, mood, metre, moods, instrument, keywords. Others are not told.

    Of composed pieces: tonic and mode are the key, tempo is bpm, [6, 8] is 6/8; their instruments are told where `instruments` says so.
    """
    words = {}
    tonic, mode = attributes.get("tonic"), attributes.get("mode")
    if isinstance(tonic, int) and isinstance(mode, str):
        words["key"] = f"{tonic_name(tonic % 12, mode)} {mode}"
    elif text := as_text(attributes.get("key")):
        words["key"] = text
    for name, told in TOLD:
        if text := as_text(attributes.get(name)) or as_text(attributes.get(told)):
            words[told] = text
    metre = attributes.get("metre", attributes.get("meter", attributes.get("time_signature")))
    if text := "/".join(map(str, metre)) if isinstance(metre, list | tuple) else as_text(metre):
        words["metre"] = text
    for told in ALSO_TOLD:
        if text := as_text(attributes.get(told)):
            words[told] = text
    text = _instruments(attributes.get("instruments"), instruments)
    if text and "instrument" not in words:
        words["instrument"] = text
    return words


def as_text(value: Any) -> str:
    """A value as it is told: text, a number, or a list of them with commas; "" for what cannot be told, NaN too."""
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(as_text, value)))
    if isinstance(value, float):
        return f"{value:g}" if np.isfinite(value) else ""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _instruments(value: Any, composed: bool) -> str:
    """Named instruments; where `composed`, also those that are given by their program."""
    if not isinstance(value, list | tuple):
        return as_text(value)
    programs = [item.get("program") for item in value if isinstance(item, Mapping)]
    if not programs:
        return as_text(value)
    known = [INSTRUMENTS[p].name for p in programs if isinstance(p, int) and 0 <= p < len(INSTRUMENTS)]
    return ", ".join(dict.fromkeys(known)) if composed else ""


def longest_texts(said: Said) -> list[str]:
    """All that may be drawn, at its longest: each caption with all attributes, in one order."""
    told = [f"{name}: {value}" for name, value in said.attributes.items()]
    return [". ".join([*([text.rstrip(".")] if text else []), *told]) for text in said.texts or ("",)]


def draw_caption(said: Said, config: CaptionConfig, rng: np.random.Generator) -> str | None:
    """One of the captions, merged with attributes or not; None where nothing is left to say."""
    text = said.texts[int(rng.integers(len(said.texts)))] if said.texts else None
    merges = rng.random() < config.merge
    if said.attributes and (merges or text is None):
        kept = [f"{name}: {value}" for name, value in said.attributes.items() if rng.random() < config.keep]
        rng.shuffle(kept)
        if text is not None and not (kept and rng.random() < config.drop_caption):
            kept.insert(0, text.rstrip("."))
        text = ". ".join(kept) or text
    if text is not None and config.word_dropout:
        text = " ".join(word for word in text.split() if rng.random() >= config.word_dropout)
    return text or None
