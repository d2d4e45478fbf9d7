"""The General MIDI percussion keys: what they are called, and where a drum staff shows them.

Names and numbers: General MIDI 1 (MIDI Manufacturers Association, RP-003). Places on the staff follow the common drum-set notation (Norman
Weinberg, "Guide to Standardized Drumset Notation", 1998): bass drum in the lowest space, snare in the third, cymbals above, with crosses
for what is not a drum. Keys outside General MIDI stand in the middle of the staff.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PercussionKey:
    """A key's name, its line or space as the treble clef would call it (step A to G, octave), and its notehead in MusicXML's words."""

    name: str
    step: str
    octave: int
    notehead: str


# name | place | notehead (o normal, x, d diamond, t triangle, c circle-x), from key 35 on
_TABLE = """
acoustic bass drum|E4|o;bass drum|F4|o;side stick|C5|x;acoustic snare|C5|o;hand clap|C5|x
electric snare|C5|o;low floor tom|G4|o;closed hi-hat|G5|x;high floor tom|A4|o;pedal hi-hat|D4|x
low tom|B4|o;open hi-hat|G5|c;low-mid tom|D5|o;high-mid tom|D5|o;crash cymbal 1|A5|x
high tom|E5|o;ride cymbal 1|F5|x;Chinese cymbal|B5|x;ride bell|F5|d;tambourine|C5|t
splash cymbal|B5|x;cowbell|E5|t;crash cymbal 2|B5|x;vibraslap|D5|x;ride cymbal 2|F5|x
high bongo|E5|o;low bongo|D5|o;mute high conga|E5|x;open high conga|D5|o;low conga|C5|o
high timbale|E5|o;low timbale|D5|o;high agogo|E5|t;low agogo|D5|t;cabasa|B4|x
maracas|B4|x;short whistle|B5|x;long whistle|B5|x;short guiro|B4|x;long guiro|B4|x
claves|B4|x;high wood block|E5|t;low wood block|D5|t;mute cuica|C5|x;open cuica|C5|o
mute triangle|A5|t;open triangle|A5|t
"""
_HEADS = {"o": "normal", "x": "x", "d": "diamond", "t": "triangle", "c": "circle-x"}


def _keys() -> dict[int, PercussionKey]:
    keys = {}
    for number, row in enumerate(_TABLE.replace("\n", ";").strip(";").split(";"), start=35):
        name, place, head = row.split("|")
        keys[number] = PercussionKey(name, place[0], int(place[1:]), _HEADS[head])
    assert len(keys) == 47
    return keys


_KEYS = _keys()


def percussion_key(number: int) -> PercussionKey:
    """What a percussion key (0 to 127) is called and where it stands; those outside General MIDI are "key 12"."""
    return _KEYS.get(number) or PercussionKey(f"key {number}", "B", 4, "x")
