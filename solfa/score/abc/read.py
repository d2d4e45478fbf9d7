"""ABC in. Source: the ABC music standard 2.1 (December 2011), with %%MIDI program and channel as abc2midi has them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeVar

from solfa.score.abc.decorations import SIGNS, STANDARD, Signs, left_out
from solfa.score.abc.double_bars import share_double_bars
from solfa.score.abc.error import AbcError
from solfa.score.abc.fields import (
    VoiceSettings,
    default_unit,
    parse_metre,
    parse_midi,
    parse_tempo,
    parse_unit,
    parse_voice,
)
from solfa.score.abc.keys import AbcKey, parse_key, plain_key
from solfa.score.abc.lexer import tokens
from solfa.score.abc.limits import MAX_VOICES, Budget
from solfa.score.abc.music import Context, VoiceReader
from solfa.score.abc.source import Line, find_tune, split_tunes
from solfa.score.abc.text import unescaped
from solfa.score.abc.timeline import Performance, changes, metres, perform, voices
from solfa.score.sheet.notation import Sheet

DEFAULT_TEMPO = 120.0
_T = TypeVar("_T")
_U = TypeVar("_U")
_Base = tuple[VoiceSettings, Context, Fraction]  # what a voice begins with; the unit length in quarter notes
_SMALL_KEY = re.compile(r"[a-g][#b♯♭]?(m|min|minor|maj|major)?(?=\s|\Z)")


def read_abc(text: str, tune: int | None = None) -> Sheet:
    """Read a tune of an ABC text: the one numbered X:`tune`, or the first.

    Kept: notes, chords, rests and ties in all voices (V:) with their names, clefs and, by %%MIDI program and channel, instruments; keys
    with modes and explicit accidentals, metres, unit lengths and tempi, in the header, on lines of their own and inline; accidentals
    until the bar line; tuplets, broken rhythm, rests of several bars, overlays (&), the octave of a clef; dynamics as velocities
    (!ppp! 30 to !fff! 127, 80 where nothing is said). Repeats and endings are written out; a :| without its |: goes back to the last
    double bar. I:linebreak and I:decoration say what ! and + mean. Left out: grace notes, slurs, decorations, chord symbols, lyrics and
    all text but the title.

    A voice whose notes overlap (overlays, chords of unequal notes) becomes several of one name that follow each other: first what stands
    before any &, then the overlays in order. So does a voice that another %%MIDI program comes in: one for each instrument. The sheet has
    one line of keys, metres and tempi: metres are those of the longest voice, of keys that differ at one time that of the first voice.
    Fields after K: and before the first V: or note hold for all voices. A tempo without its note (Q:120) counts unit lengths, as the
    standard says; abc2midi counts quarters. A warning says so, and what else is left out that changes what sounds, tempi without a number
    (Q:1/4=ca. 120), the order of parts (P: in the header), macros, %%MIDI transpose and drummap, and which decorations are not of the
    standard; and where a key in small letters (K:am) is read as if in capitals.

    Raises AbcError (a ValueError) with line and column for what is not ABC 2.1, and for what is longer than a reader can hold.
    """
    found = find_tune(text, tune)
    reader = _TuneReader(found.start)
    for line in found.lines:
        reader.push(line)
    return reader.finish()


def list_tunes(text: str) -> list[int]:
    """The numbers (X:) of the tunes of an ABC text, in order. Raises AbcError where there are none."""
    return [tune.number for tune in split_tunes(text)]


@dataclass
class _Header:
    """What was said before the first K:."""

    title: str | None = None
    metre: str = ""
    unit: Fraction | None = None
    tempo: Line | None = None
    voices: dict[str, list[Line]] = field(default_factory=dict)  # the V: and %%MIDI lines of each voice
    common: list[Line] = field(default_factory=list)  # %%MIDI lines before any V:


class _TuneReader:
    """Reads the lines of one tune."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._header: _Header | None = _Header()  # None in the body
        self._title = ""
        self._base: _Base | None = None
        self._voices: dict[str, VoiceReader] = {}
        self._current: str | None = None
        self._warned: set[str] = set()
        self._budget = Budget()
        self._reach = "pitch"
        self._signs = Signs()
        self._unknown: dict[str, int] = {}  # decorations, and the line of the first of each

    def push(self, line: Line) -> None:
        """Read a line. Raises AbcError."""
        if line.kind == "music":
            if self._header is not None:
                raise AbcError(
                    line.number,
                    line.column,
                    f"{line.text[:30]!r} before the key: the header is of fields, such as Q:1/4=120, and ends with a line K:",
                )
            for token in tokens(line, lambda: self._signs):
                if token.kind == "decoration" and token.text[1:-1] not in STANDARD:
                    self._unknown.setdefault(token.text, token.line)
                if token.kind == "field":
                    name, text = token.text[1], token.text[3:-1].strip()
                    self._field(Line(token.line, token.column, "field", name, text))
                else:
                    self._voice(line).push(token)
            if self._current is not None:
                self._voices[self._current].end_line()
        elif self._header is not None and line.kind == "field":
            self._head(self._header, line)
        elif line.kind == "field":
            self._field(line)
        elif line.kind == "directive":
            self._directive(line)

    def finish(self) -> Sheet:
        """The sheet. Raises AbcError."""
        if self._header is not None:
            raise AbcError(self._start, 0, "a tune without a key: the header ends with a line K:, if only K:none")
        if self._unknown:
            self._warn(min(self._unknown.values()), left_out(self._unknown))
        played: list[tuple[VoiceReader, Performance]] = []
        budget = Budget()
        for reader in self._voices.values():
            reader.finish()
        share_double_bars([reader.measures for reader in self._voices.values()])
        for reader in self._voices.values():
            played.append((reader, perform(reader.measures, budget)))
        made = [voice for reader, performance in played for voice in voices(performance, reader.settings, self._start)]
        assert self._base is not None
        longest = max((p for _, p in played), key=lambda p: p.end, default=Performance())
        bar_lengths, upbeat = metres(longest.segments)
        if not longest.segments and self._base[1].metre is not None:
            bar_lengths = (replace(bar_lengths[0], **vars(self._base[1].metre)),)
        keys, tempi = changes([p for _, p in played], self._base[1])
        return Sheet(tuple(made), bar_lengths, keys, tempi, upbeat, self._title)

    def _head(self, header: _Header, line: Line) -> None:
        """A field of the header."""
        if line.name == "T" and header.title is None:
            header.title = unescaped(line.text)
        elif line.name == "M":
            header.metre = line.text
            self._checked(line, lambda: parse_metre(line.text))
        elif line.name == "L":
            header.unit = self._unit(line, header.unit)
        elif line.name == "Q":
            header.tempo = line
        elif line.name == "V":
            self._current = self._voice_id(line)
            header.voices.setdefault(self._current, []).append(line)
        elif line.name == "P" and len(line.text) > 1:
            self._warn(line.number, "the order of parts (P:) is not followed: they are read once, as written")
        elif line.name == "I":
            self._directive(line)
        elif line.name == "K":
            self._begin(header, line)
        elif line.name == "m":
            self._warn(line.number, "macros (m:) are not expanded")

    def _begin(self, header: _Header, line: Line) -> None:
        """The first K:, with which the body begins."""
        metre = parse_metre(header.metre)
        unit = header.unit or default_unit(metre)
        tempo = DEFAULT_TEMPO
        if header.tempo is not None:
            tempo = self._tempo(header.tempo, unit, tempo)
        key, rest = self._key(line, plain_key(0, "major"))
        settings = self._checked(line, lambda: parse_voice(VoiceSettings(), rest))
        for directive in header.common:
            settings = self._midi(settings, directive)
        self._base = (settings, Context(key, metre, tempo), unit)
        self._header, self._title, self._current = None, header.title or "", None
        for name, lines in header.voices.items():
            voice = self._open(name, lines[0])
            for each in lines:
                self._set_up(voice, each)

    def _field(self, line: Line) -> None:
        """A field of the body, on a line of its own or inline."""
        if line.name == "V":
            name = self._voice_id(line)
            voice = self._open(name, line)
            self._current = name
            self._set_up(voice, line)
        elif line.name == "I":
            self._directive(line)
        elif line.name == "m":
            self._warn(line.number, "macros (m:) are not expanded")
        elif line.name in "KMLQ":
            if not self._voices:  # it holds for all of them, and opens none
                assert self._base is not None
                self._base = self._changed(line, *self._base)
                return
            voice = self._voice(line)
            voice.settings, context, voice.unit = self._changed(line, voice.settings, voice.context, voice.unit)
            voice.change(context)

    def _changed(self, line: Line, settings: VoiceSettings, context: Context, unit: Fraction) -> _Base:
        """What is in force after a field K:, M:, L: or Q:."""
        if line.name == "K":
            key, rest = self._key(line, context.key)
            settings = self._checked(line, lambda: parse_voice(settings, rest))
            context = replace(context, key=key)
        elif line.name == "M":
            context = replace(context, metre=self._checked(line, lambda: parse_metre(line.text)))
        elif line.name == "L":
            unit = self._unit(line, unit)
        else:
            context = replace(context, tempo=self._tempo(line, unit, context.tempo))
        return settings, context, unit

    def _directive(self, line: Line) -> None:
        """%%MIDI and I:MIDI; others are for typesetting."""
        words = line.text.replace("=", " ", 1).split()
        if words and words[0] == "octave-default":
            raise AbcError(
                line.number,
                line.column,
                "octave-default is not ABC: an octave is written with the note, as in C, C c c'",
            )
        if words and words[0] == "propagate-accidentals":
            self._propagate(line, words[1:])
        if words and words[0] in SIGNS:
            self._signs = self._checked(line, lambda: SIGNS[words[0]](self._signs, words[1:]))
        if not words or words[0] != "MIDI":
            return
        if self._base is not None and not self._voices:
            settings, context, unit = self._base
            self._base = self._midi(settings, line), context, unit
        elif self._header is None:
            voice = self._voice(line)
            voice.settings = self._midi(voice.settings, line)
        elif self._current is not None:
            self._header.voices[self._current].append(line)
        else:
            self._header.common.append(line)

    def _propagate(self, line: Line, words: list[str]) -> None:
        """How far accidentals reach in all voices."""
        if not words or words[0] not in ("not", "octave", "pitch"):
            raise AbcError(
                line.number, line.column, f"propagate-accidentals {line.text[22:42]!r}: legal are not, octave, pitch"
            )
        self._reach = words[0]
        for voice in self._voices.values():
            voice.propagate = self._reach

    def _set_up(self, voice: VoiceReader, line: Line) -> None:
        """What a V: or %%MIDI line says of a voice."""
        if line.name == "V":
            _, _, rest = line.text.replace("\t", " ").partition(" ")
            voice.settings = self._checked(line, lambda: parse_voice(voice.settings, rest))
        else:
            voice.settings = self._midi(voice.settings, line)

    def _midi(self, settings: VoiceSettings, line: Line) -> VoiceSettings:
        words = line.text.replace("=", " ", 1).split()[1:]
        changed = self._checked(line, lambda: parse_midi(settings, words))
        if changed is None:
            self._warn(line.number, f"%%MIDI {words[0]} is not followed")
            return settings
        return changed

    def _tempo(self, line: Line, unit: Fraction, before: float) -> float:
        if re.match(r"\d+(\.\d+)?\Z", line.text):
            self._warn(
                line.number, f"tempo {line.text[:20]} without its note: read as that many unit lengths (L:) a minute"
            )
        tempo = self._checked(line, lambda: parse_tempo(line.text, unit, before))
        if tempo is None:
            self._warn(line.number, f"tempo {line.text[:30]!r} is left out: legal are forms such as 1/4=120")
        return before if tempo is None else tempo

    def _unit(self, line: Line, before: _U) -> Fraction | _U:
        if line.text == "auto":
            self._warn(line.number, "L:auto is left out: it is for typesetting, a unit length is one such as 1/8")
            return before
        return self._checked(line, lambda: parse_unit(line.text))

    def _key(self, line: Line, before: AbcKey) -> tuple[AbcKey, str]:
        text = line.text
        if _SMALL_KEY.match(text):
            text = text[0].upper() + text[1:]
            self._warn(
                line.number, f"key {line.text[:20]!r} is read as {text[:20]!r}: the standard has capital letters"
            )
        return self._checked(line, lambda: parse_key(text, before))

    def _voice(self, line: Line) -> VoiceReader:
        """The voice that music belongs to: the last that V: named, else the first there is."""
        if self._current is None:
            self._current = next(iter(self._voices), "1")
            self._open(self._current, line)
        return self._voices[self._current]

    def _open(self, name: str, line: Line) -> VoiceReader:
        if name not in self._voices:
            if len(self._voices) == MAX_VOICES:
                raise AbcError(line.number, line.column, f"more than {MAX_VOICES} voices")
            assert self._base is not None
            settings, context, unit = self._base
            if not name.isdigit():
                settings = replace(settings, name=name)
            self._voices[name] = VoiceReader(settings, context, unit, self._budget)
            self._voices[name].propagate = self._reach
        return self._voices[name]

    def _voice_id(self, line: Line) -> str:
        words = line.text.split()
        if not words:
            raise AbcError(line.number, line.column, "V: without the name of a voice")
        return words[0]

    def _checked(self, line: Line, parse: Callable[[], _T]) -> _T:
        """What `parse` gives; its ValueError becomes an AbcError at the line."""
        try:
            return parse()
        except AbcError:
            raise
        except ValueError as error:
            raise AbcError(line.number, line.column, str(error)) from error

    def _warn(self, line: int, what: str) -> None:
        """Say once a tune what is not followed."""
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"line {line}: {what}", stacklevel=2)
