"""The General MIDI instruments: what they are called, how low and high they play, and what they are good for.

Ranges are the comfortable ranges of the real instruments (orchestration handbooks agree to within a few semitones), so that a
composed part sounds on the instrument it is written for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from solfa.score.general_midi import NAMES

# Roles: m melody, c chords, a arpeggio, b bass, p pad (sustained chords), x effect (a few notes of colour)


@dataclass(frozen=True)
class Instrument:
    """One General MIDI program: its plain name, its lowest and highest pitch, and the roles it suits."""

    program: int
    name: str
    low: int
    high: int
    roles: str


_TABLE = """
acoustic grand piano|21|108|mcab;bright piano|21|108|mca;electric grand piano|21|108|mca;honky-tonk piano|28|103|mca
electric piano|28|103|mca;FM electric piano|28|103|mca;harpsichord|29|89|mca;clavinet|36|96|ca
celesta|60|108|ma;glockenspiel|72|108|ma;music box|60|96|ma;vibraphone|53|89|mca
marimba|45|96|mca;xylophone|65|108|ma;tubular bells|60|77|mx;dulcimer|48|84|ma
drawbar organ|36|96|mcp;percussive organ|36|96|mc;rock organ|36|96|mcp;church organ|36|96|mcp
reed organ|36|96|mcp;accordion|53|89|mcp;harmonica|60|84|m;bandoneon|48|88|mcp
nylon-string guitar|40|84|mca;steel-string guitar|40|84|mca;jazz guitar|40|86|mca;clean electric guitar|40|86|mca
muted electric guitar|40|86|ca;overdriven guitar|40|86|mc;distortion guitar|40|86|mc;guitar harmonics|52|96|ax
acoustic bass|28|55|b;fingered electric bass|28|55|b;picked electric bass|28|55|b;fretless bass|28|55|b
slap bass|28|55|b;funk slap bass|28|55|b;synth bass|28|60|b;analog synth bass|28|60|b
violin|55|96|m;viola|48|84|m;cello|36|74|mb;double bass|28|60|b
tremolo strings|36|91|pc;pizzicato strings|36|91|ca;harp|31|98|ca;timpani|41|57|bx
string ensemble|36|91|mpc;slow strings|36|91|pc;synth strings|36|96|pc;analog synth strings|36|96|pc
choir|48|79|mpc;voice oohs|48|79|mp;synth voice|48|84|mp;orchestra hit|48|72|x
trumpet|54|84|m;trombone|40|72|m;tuba|29|57|b;muted trumpet|54|82|m
French horn|41|77|mp;brass section|40|81|mcp;synth brass|40|86|mcp;soft synth brass|40|86|mcp
soprano saxophone|56|87|m;alto saxophone|49|80|m;tenor saxophone|44|75|m;baritone saxophone|37|68|mb
oboe|58|91|m;English horn|52|81|m;bassoon|34|70|mb;clarinet|50|91|m
piccolo|74|103|m;flute|60|96|m;recorder|60|94|m;pan flute|60|96|m
blown bottle|60|96|mp;shakuhachi|55|84|m;whistle|60|96|m;ocarina|60|84|m
square lead|36|96|ma;saw lead|36|96|ma;calliope lead|48|96|ma;chiff lead|48|96|ma
charang lead|40|88|m;voice lead|48|84|m;fifths lead|36|84|m;bass lead|28|72|mb
new age pad|36|91|pc;warm pad|36|91|pc;polysynth pad|36|91|pca;choir pad|36|84|pc
bowed glass pad|36|91|p;metallic pad|36|91|p;halo pad|36|91|p;sweep pad|36|91|p
rain effect|48|84|px;soundtrack effect|36|84|px;crystal effect|60|96|ax;atmosphere effect|36|84|pcx
brightness effect|36|91|pcx;goblins effect|36|84|px;echoes effect|36|91|px;sci-fi effect|36|84|px
sitar|48|77|ma;banjo|48|84|mca;shamisen|50|79|ma;koto|55|84|mca
kalimba|48|79|ma;bagpipes|58|81|m;fiddle|55|96|m;shanai|60|84|m
tinkle bell|72|96|xa;agogo|60|84|x;steel drums|52|84|mca;woodblock|60|84|x
taiko drum|36|60|x;melodic tom|40|64|x;synth drum|40|64|x;reverse cymbal|48|72|x
guitar fret noise|48|72|x;breath noise|48|72|x;seashore|48|72|x;bird tweet|60|84|x
telephone ring|60|72|x;helicopter|48|60|x;applause|48|60|x;gunshot|48|60|x
"""


def _instruments() -> tuple[Instrument, ...]:
    rows = [row.split("|") for line in _TABLE.split("\n") if line for row in line.split(";")]
    return tuple(Instrument(i, name, int(low), int(high), roles) for i, (name, low, high, roles) in enumerate(rows))


INSTRUMENTS: tuple[Instrument, ...] = _instruments()
assert len(INSTRUMENTS) == 128

KITS: dict[int, str] = {
    0: "standard kit",
    8: "room kit",
    16: "power kit",
    24: "electronic kit",
    25: "analog drum machine",
    32: "jazz kit",
    40: "brushes",
    48: "orchestral percussion",
}

# Letters of the table, by the role's name in `Attributes`.
ROLES: dict[str, str] = {
    "melody": "m",
    "counter": "m",
    "chords": "c",
    "arpeggio": "a",
    "bass": "b",
    "pad": "p",
    "effect": "x",
}


_DRUMS = ("drum", "drums", "drum kit", "drum set", "drumkit", "drumset", "percussion")
DRUMS = 128  # the number after the programs that stands for drums
_NOISES = 120  # the sound effects, from guitar fret noise on


def programs_named(name: str) -> tuple[int, ...]:
    """The General MIDI programs that a user names, 128 for drums; none for what names none.

    A number is a program from 0. A name that an instrument has, here or in General MIDI, is that instrument ("cello", "Alto Sax", "Electric
    Piano 1"); else it stands for all that have its words in one of their names ("sax", "electric guitar"), sound effects only if there are
    no others.
    """
    words = _words(name)
    if " ".join(words) in _DRUMS:
        return (DRUMS,)
    if len(words) == 1 and words[0].isdecimal():
        return (int(words[0]),) if int(words[0]) < len(NAMES) else ()
    names = [(each.program, own) for each in INSTRUMENTS for own in (_words(each.name), _words(NAMES[each.program]))]
    found = {program for program, own in names if own == words}
    plain = {word for word in words if not word.isdecimal()}
    if not found and plain:
        found = {program for program, own in names if plain <= set(own)}
        found = {program for program in found if program < _NOISES} or found
    return tuple(sorted(found))


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.lower())


def suited(role: str) -> list[int]:
    """The programs that can play a role."""
    letter = ROLES[role]
    return [instrument.program for instrument in INSTRUMENTS if letter in instrument.roles]


def fold(pitch: int, program: int) -> int:
    """The pitch moved by octaves into the range of a program (all ranges span an octave or more)."""
    instrument = INSTRUMENTS[program]
    while pitch < instrument.low:
        pitch += 12
    while pitch > instrument.high:
        pitch -= 12
    return pitch if pitch >= instrument.low else pitch + 12
