"""Compose a score from its attributes.

Pure functions of `Attributes`: equal attributes give equal scores in any process on any machine. Randomness comes in streams named
after their purpose (`harmony.stream`), so that a change to the drums leaves the melody as it was.
"""

from __future__ import annotations

from solfa.data.composer.attributes import CENTRES, Attributes, Voice
from solfa.data.composer.bass import bass
from solfa.data.composer.drums import drums
from solfa.data.composer.genres import GENRES
from solfa.data.composer.harmony import Plan, plan, stream
from solfa.data.composer.instruments import INSTRUMENTS, KITS
from solfa.data.composer.melody import Line, Tone, melody
from solfa.data.composer.patterns import accompany, held
from solfa.data.composer.performance import Hand, pedals, perform, tempo_map
from solfa.data.composer.piano import piano
from solfa.data.composer.rhythm import busyness
from solfa.data.composer.theory import MINOR_MODES, step
from solfa.data.composer.voicing import bass_line, four_parts, voicings
from solfa.score.score import KeySignature, Metre, Part, Pedal, Score

_SOFT_PEDAL = frozenset({0, 1, 2, 4, 5, 11})  # instruments that are played with a pedal


def compose(attributes: Attributes, steady: bool = False) -> Score:
    """The score of these attributes: about `attributes.seconds` long, in at most eight parts. `steady` keeps one tempo throughout."""
    frame = plan(attributes)
    clock = tempo_map(frame, attributes, steady)
    score_parts: list[Part] = []
    score_pedals: list[Pedal] = []
    for index, (voice, hands) in enumerate(_hands(frame, attributes)):
        name = KITS[voice.program] if voice.role == "drums" else f"{voice.role}: {INSTRUMENTS[voice.program].name}"
        score_parts.append(perform(frame, attributes, hands, name, voice.program, clock, index))
        if _pedalled(attributes, voice):
            score_pedals += pedals(frame, clock, index)
    mode = "minor" if attributes.mode in MINOR_MODES else "major"
    return Score(
        parts=tuple(score_parts),
        tempi=clock.tempi,
        metres=(Metre(0.0, *attributes.metre),),
        keys=(KeySignature(0.0, attributes.tonic, mode),) if attributes.instruments else (),
        pedals=tuple(score_pedals),
    )


def _pedalled(attributes: Attributes, voice: Voice) -> bool:
    """Pianos and the like are pedalled in piano textures and in slow, quiet genres; never in dry ones."""
    if voice.program not in _SOFT_PEDAL or voice.role not in ("melody", "chords", "arpeggio", "pad"):
        return False
    return attributes.texture in ("piano arpeggios", "block-chord piano", "nocturne piano") or (
        attributes.genre in ("ballad", "ambient", "lullaby", "romantic piano", "film score")
        and attributes.texture != "alberti piano"
    )


def _hands(frame: Plan, attributes: Attributes) -> list[tuple[Voice, list[Hand]]]:
    """What every voice plays."""
    texture = attributes.texture
    if texture in ("chorale", "counterpoint"):
        lines = _chorale(frame, attributes) if texture == "chorale" else _counterpoint(frame, attributes)
        result = [
            (voice, [Hand(voice.role, tones)]) for voice, tones in zip(attributes.instruments, lines, strict=True)
        ]
    elif texture.endswith("piano") or texture == "piano arpeggios":
        voice = attributes.instruments[0]
        right, left = piano(frame, attributes, _line(attributes, voice, "melody"))
        result = [(voice, [Hand("melody", right), Hand("left hand", left)])]
    else:
        result = _ensemble(frame, attributes) if attributes.instruments else []
    if attributes.drums:
        style = GENRES[attributes.genre].drums or "pop"
        level = busyness(attributes.density, attributes.tempo)
        result.append((Voice("drums", attributes.kit), [Hand("drums", drums(frame, style, attributes.seed, level))]))
    return result


def _line(attributes: Attributes, voice: Voice, name: str, lower: int = 0, easier: int = 0) -> Line:
    """The melodic line for a voice: where the register wants it, as far as the instrument can go."""
    instrument, row = INSTRUMENTS[voice.program], GENRES[attributes.genre]
    centre = CENTRES[attributes.register] - lower
    centre = min(max(centre, instrument.low + 8), instrument.high - 8)
    level = busyness(attributes.density, attributes.tempo)
    if level and row.name in ("ragtime", "baroque", "celtic folk"):
        level = min(3, level + 1)
    level = max(0, level - easier)
    low, high = max(instrument.low, centre - 12), min(instrument.high, centre + 12)
    return Line(name, centre, low, high, level, row.syncopation, not row.swing and attributes.metre[1] == 4)


def _ensemble(frame: Plan, attributes: Attributes) -> list[tuple[Voice, list[Hand]]]:
    """Melody and accompaniment, with voices that wait for their phrase to come in."""
    seed, row = attributes.seed, GENRES[attributes.genre]
    roles = [voice.role for voice in attributes.instruments]
    lowest = next((v for v in attributes.instruments if v.role == "bass"), None)
    low = INSTRUMENTS[lowest.program].low if lowest else 36
    roots = bass_line(frame, low, min(low + 17, INSTRUMENTS[lowest.program].high if lowest else 55))
    lead = _line(attributes, attributes.instruments[0], "melody")
    tune = melody(frame, seed, lead, roots)
    result = []
    for index, voice in enumerate(attributes.instruments):
        rng = stream(seed, "voice", index)
        level = busyness(attributes.density, attributes.tempo)
        if index == 0:
            tones = tune
        elif voice.role == "bass":
            high = min(INSTRUMENTS[voice.program].high, low + 24)
            tones = bass(frame, row.bass, roots, low, high, rng, level)
        elif voice.role == "counter":
            tones = _counter(frame, attributes, voice, tune)
        elif voice.role == "effect":
            tones = [Tone(p.start, frame.bar.length, lead.centre, 0) for p in frame.phrases if rng.random() < 0.6]
            tones = tones or [Tone(0, frame.bar.length, lead.centre, 0)]
        else:
            tones = _chordal(frame, attributes, voice, index, lead, lowest is None)
        if len(roles) > 2 and index > 0:
            tones = _entering(frame, tones, index, attributes)
        result.append((voice, [Hand(voice.role, tones)]))
    if (
        len(roles) == 1
        and "c" in INSTRUMENTS[attributes.instruments[0].program].roles
        and stream(seed, "solo").random() < 0.6
    ):
        voice = attributes.instruments[0]
        result[0][1].append(
            Hand("left hand", _chordal(frame, attributes, Voice("arpeggio", voice.program), 1, lead, True))
        )
    return result


def _chordal(frame: Plan, attributes: Attributes, voice: Voice, index: int, lead: Line, alone: bool) -> list[Tone]:
    """Chords, arpeggios or pads. `alone` says that no bass plays: the chords then stand on their own bass note."""
    instrument, row = INSTRUMENTS[voice.program], GENRES[attributes.genre]
    rng = stream(attributes.seed, "chordal", index)
    level = busyness(attributes.density, attributes.tempo)
    top = min(instrument.high, max(lead.centre - 2, instrument.low + 19))
    bottom = max(instrument.low, top - 21)
    count = 4 if voice.role == "pad" or row.colour in ("ninth", "seventh") else 3
    voiced = voicings(frame.chords, bottom, top, count, rootless=not alone and row.colour == "ninth")
    if alone and instrument.low <= 45:
        roots = bass_line(frame, max(instrument.low, 36), max(instrument.low, 36) + 14)
        voiced = [
            (roots[c.start], *(p for p in v if p > roots[c.start])) for c, v in zip(frame.chords, voiced, strict=True)
        ]
    if voice.role == "pad":
        return held(frame, voiced)
    figures = ("arpeggio", "broken", "cells", "sequence") if row.syncopation > 0.3 else ("arpeggio", "broken")
    style = rng.choice(row.chords if voice.role == "chords" else figures)
    return accompany(frame, style, voiced, attributes.seed, f"{voice.role} {index}", level)


def _counter(frame: Plan, attributes: Attributes, voice: Voice, tune: list[Tone]) -> list[Tone]:
    """A second melody: in thirds or sixths with the first, or a calmer line of its own below it."""
    rng = stream(attributes.seed, "counter")
    if rng.random() < 0.4:
        steps = rng.choice((-2, -5)) if len(frame.chords[0].scale) == 7 else -2
        chords = iter(frame.chords)
        chord = next(chords)
        tones = []
        for tone in tune:
            while chord.end <= tone.start:
                chord = next(chords, chord)
                if chord is frame.chords[-1]:
                    break
            tones.append(Tone(tone.start, tone.length, step(tone.pitch, steps, chord.scale), tone.weight - 4))
        return tones
    return melody(frame, attributes.seed, _line(attributes, voice, "counter", lower=9, easier=1))


def _entering(frame: Plan, tones: list[Tone], index: int, attributes: Attributes) -> list[Tone]:
    """Let some voices wait for a later phrase, or rest during one: layers that build up. At least half the piece is played."""
    rng = stream(attributes.seed, "entrance", index)
    phrases = frame.phrases
    if len(phrases) < 3 or rng.random() < 0.5:
        return tones
    if rng.random() < 0.6:
        first = phrases[rng.randrange(1, (len(phrases) + 2) // 2)].start
        return [tone for tone in tones if tone.start >= first] or tones
    silent = phrases[rng.randrange(1, len(phrases) - 1)]
    end = silent.start + silent.bars * frame.bar.length
    return [tone for tone in tones if not silent.start <= tone.start < end] or tones


def _chorale(frame: Plan, attributes: Attributes) -> list[list[Tone]]:
    """Four-part writing, a chord at a time; voices that stay on their note are tied, thirds are now and then filled in."""
    ranges = []
    for voice, (low, high) in zip(attributes.instruments, ((60, 79), (55, 72), (48, 67), (36, 60)), strict=True):
        instrument = INSTRUMENTS[voice.program]
        ranges.append((max(low, instrument.low), min(high, instrument.high)))
    chords = frame.chords
    voiced = four_parts(frame, tuple(ranges))
    rng = stream(attributes.seed, "chorale")
    share = {"sparse": 0.1, "medium": 0.4, "dense": 0.8}[attributes.density]
    lines: list[list[Tone]] = [[] for _ in ranges]
    for number, (chord, pitches) in enumerate(zip(chords, voiced, strict=True)):
        following = voiced[number + 1] if number + 1 < len(voiced) else pitches
        moving = rng.randrange(len(ranges)) if rng.random() < share else -1
        for line, (tones, pitch) in enumerate(zip(lines, pitches, strict=True)):
            leap = following[line] - pitch
            tied = (
                tones and tones[-1].pitch == pitch and tones[-1].end == chord.start and chord.start % frame.bar.length
            )
            if line == moving and abs(leap) in (3, 4) and chord.length >= 480:
                half = chord.length // 2
                passing = step(pitch, 1 if leap > 0 else -1, chord.scale)
                tones.append(Tone(chord.start, half, pitch, 2))
                tones.append(Tone(chord.start + half, chord.length - half, passing, 0))
            elif tied and rng.random() < 0.5:
                tones[-1].length += chord.length
            else:
                tones.append(Tone(chord.start, chord.length, pitch, 3 * frame.bar.strength(chord.start) // 2))
    return lines


def _counterpoint(frame: Plan, attributes: Attributes) -> list[list[Tone]]:
    """Two or three lines: a subject, its answer a bar later and lower, and a running bass."""
    voices = attributes.instruments
    lowest = voices[-1]
    low = max(INSTRUMENTS[lowest.program].low, 36)
    high = min(INSTRUMENTS[lowest.program].high, low + 22)
    roots = bass_line(frame, low, min(high, low + 16))
    level = busyness(attributes.density, attributes.tempo)
    lines = [melody(frame, attributes.seed, _line(attributes, voices[0], "subject"), roots)]
    if len(voices) == 3:
        # The same stream names give the same motifs: an answer to the subject, a bar late.
        answer = melody(frame, attributes.seed, _line(attributes, voices[1], "subject", lower=9))
        lines.append([tone for tone in answer if tone.start >= frame.bar.length])
    lines.append(bass(frame, "running", roots, low, high, stream(attributes.seed, "bass"), level))
    return lines
