"""What is written is read back the same, and the programs of the abcmidi package agree with both writer and reader."""

import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from fractions import Fraction

import mido
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.score.abc import read_abc, write_abc
from solfa.score.sheet.bars import bar_lines
from solfa.score.sheet.notation import BarLength, Key, Sheet, Symbol, Tempo, Voice

ABCMIDI = pytest.mark.skipif(
    not shutil.which("abc2midi") or not shutil.which("midi2abc"),
    reason="abc2midi and midi2abc are not installed (Debian package abcmidi)",
)
F = Fraction
METRES = [(4, 4), (3, 4), (2, 2), (6, 8), (2, 4), (7, 8), (3, 8), (12, 8), (5, 4)]
# A beat, in how many equal parts it is taken, and how many of them a note has: notes and rests that fit together as in music.
RHYTHMS = [(1, 1), (2, 1), (2, 3), (4, 1), (4, 3), (8, 1), (1, 3), (1, 6), (3, 1), (3, 2), (6, 1), (5, 2), (7, 3)]
UNSAID = st.just(80)
MARKED = [30, 45, 60, 75, 90, 105, 120]


@st.composite
def voices(draw, quarters, velocity):
    """A voice that ends within so many quarters. Triplets and other divisions begin on beats, and fill them."""
    symbols, now = [], F(0)
    for parts, count in draw(st.lists(st.sampled_from(RHYTHMS), max_size=12)):
        length = F(count, parts)
        odd = parts in (3, 5, 6, 7)
        if odd and now.denominator not in (1, parts):
            now = F(int(now) + 1)
        if not odd and now.denominator not in (1, 2, 4, 8):
            now = F(int(now) + 1)
        if now + length > quarters:
            break
        pitches = draw(st.lists(st.integers(21, 108), max_size=3, unique=True))  # none: a rest
        if pitches:
            symbols.append(Symbol(now, length, tuple(sorted(pitches)), draw(velocity)))
        now += length
    drum = draw(st.booleans())
    clef = "percussion" if drum else draw(st.sampled_from(["treble", "bass"]))
    name = draw(st.sampled_from(["", "Piano", "Vl. 1 & 2", '100% "C:\\x"', "é 12"]))
    return Voice(name, draw(st.integers(0, 127)), drum, clef, tuple(symbols))


@st.composite
def sheets(draw, velocity=UNSAID):
    """Sheets with changes of metre, key and tempo anywhere, upbeats, several voices and drums."""
    metres = [BarLength(F(0), *draw(st.sampled_from(METRES)))]
    upbeat = draw(st.sampled_from([F(0), F(0), F(1, 2), F(1), F(1, 4)]))
    now = upbeat
    for metre in draw(st.lists(st.sampled_from(METRES), max_size=2)):
        now += metres[-1].quarters * draw(st.integers(1, 2))
        if metre != (metres[-1].numerator, metres[-1].denominator):
            metres.append(BarLength(now, *metre))
    parts = draw(st.lists(voices(now + metres[-1].quarters, velocity), min_size=1, max_size=3))
    sheet = Sheet(tuple(parts), tuple(metres), upbeat=upbeat, title=draw(st.sampled_from(["", "A tune", "50% \\ & é"])))
    end = list(bar_lines(sheet))[-1].end
    places = st.sampled_from([F(n, 6) for n in range(1, int(end * 6))] + [F(n, 4) for n in range(1, int(end * 4))])
    modes = st.sampled_from(["major", "minor"])
    keys = [Key(F(0), draw(st.integers(0, 11)), draw(modes))]
    for onset in sorted(draw(st.sets(places, max_size=2))):
        key = Key(onset, draw(st.integers(0, 11)), draw(modes))
        if (key.tonic, key.mode) != (keys[-1].tonic, keys[-1].mode):
            keys.append(key)
    tempi = [Tempo(F(0), 120.0)]
    for onset in sorted(draw(st.sets(places, max_size=2))):
        tempi.append(Tempo(onset, draw(st.floats(4, 500).filter(lambda bpm: bpm != tempi[-1].bpm))))
    return replace(sheet, keys=tuple(keys), tempi=tuple(tempi))


def without_velocities(sheet):
    return replace(
        sheet,
        voices=tuple(replace(v, symbols=tuple(replace(s, velocity=80) for s in v.symbols)) for v in sheet.voices),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sheets(), st.integers(1, 5))
def test_a_sheet_is_read_back_exactly(sheet, bars_per_line):
    assert read_abc(write_abc(sheet, bars_per_line=bars_per_line)) == sheet


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sheets(velocity=st.integers(1, 127)))
def test_velocities_are_read_back_to_within_a_mark(sheet):
    again = read_abc(write_abc(sheet))
    assert without_velocities(again) == without_velocities(sheet)
    for voice, written in zip(again.voices, sheet.voices, strict=True):
        for symbol, true in zip(voice.symbols, written.symbols, strict=True):
            assert abs(symbol.velocity - max(true.velocity, 16)) < 15


def test_velocities_of_the_marks_are_read_back_exactly():
    symbols = tuple(Symbol(F(n), F(1), (60,), velocity) for n, velocity in enumerate([*MARKED, 60, 120, 30, 105]))
    again = read_abc(write_abc(Sheet((Voice("", 0, False, "treble", symbols),))))
    assert [symbol.velocity for symbol in again.voices[0].symbols] == [symbol.velocity for symbol in symbols]


def played(path):
    """(onset, end, pitch) of every track with notes: quarter notes to a tick of 1/480, the onset as late as abc2midi has it."""
    tracks = []
    for track in mido.MidiFile(path).tracks:
        now, on, notes = 0, {}, []
        for event in track:
            now += event.time
            if event.type == "note_on" and event.velocity:
                on.setdefault(event.note, []).append(now)
            elif event.type in ("note_on", "note_off"):
                notes.append((on[event.note].pop(0), now, event.note))
        tracks += [sorted(notes)] if notes else []
    return tracks


def abc2midi(text, folder):
    """The MIDI file that abc2midi makes of a text. It exits 0 on errors, so its messages are read."""
    (folder / "tune.abc").write_text(text, encoding="utf-8")
    command = ["abc2midi", str(folder / "tune.abc"), "-o", str(folder / "tune.mid")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # A triplet of unequal notes, (3:2:2 c2d, is legal; only the advice not to write one is let pass.
    complaints = re.findall(r"^(?:Error|Warning) in line-char.*(?<!Different length notes in tuple)$", said, re.M)
    assert complaints == [], f"{complaints}\n{text}"
    return folder / "tune.mid"


@ABCMIDI
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(sheet=sheets())
def test_abc2midi_plays_our_notes(tmp_path, sheet):
    sheet = replace(sheet, tempi=tuple(replace(tempo, bpm=float(round(tempo.bpm))) for tempo in sheet.tempi))
    path = abc2midi(write_abc(sheet), tmp_path)
    ours = [
        sorted(
            (symbol.onset * 480, (symbol.onset + symbol.duration) * 480, p)
            for symbol in voice.symbols
            for p in symbol.pitches
        )
        for voice in sheet.voices
        if voice.symbols
    ]
    theirs = played(path)
    assert [len(track) for track in theirs] == [len(track) for track in ours]
    for track, voice in zip(theirs, ours, strict=True):
        for pitch in {note[2] for note in voice}:
            for heard, true in zip(
                [n for n in track if n[2] == pitch], [n for n in voice if n[2] == pitch], strict=True
            ):
                # abc2midi begins notes a tick late and those of a chord ten ticks after each other, and rounds each note of a tuplet.
                assert -6 <= heard[0] - true[0] <= 22 and abs(heard[1] - true[1]) <= 6
    tempi = [event.tempo for event in mido.MidiFile(path).tracks[0] if event.type == "set_tempo"]
    assert tempi == [int(60_000_000 // tempo.bpm) for tempo in sheet.tempi]


@ABCMIDI
def test_abc2midi_plays_instruments_and_drums(tmp_path):
    note = (Symbol(F(0), F(1), (60,)),)
    sheet = Sheet((Voice("Violin", 40, False, "treble", note), Voice("Kit", 8, True, "percussion", note)))
    tracks = mido.MidiFile(abc2midi(write_abc(sheet), tmp_path)).tracks
    programs = [(e.program, e.channel == 9) for track in tracks for e in track if e.type == "program_change"]
    assert programs == [(40, False), (8, True)]


def many(programs, drums=0):
    """A note for each program, and for some drums."""
    note = (Symbol(F(0), F(4), (60,)),)
    melodic = [Voice(f"{i}", program, False, "treble", note) for i, program in enumerate(programs)]
    return Sheet((*melodic, *(Voice(f"kit {i}", 0, True, "percussion", note) for i in range(drums))))


@ABCMIDI
@pytest.mark.parametrize(
    ("programs", "drums"), [([0] * 15, 1), ([0] * 16, 0), ([*range(15), 3, 3, 14], 2), ([5, 6] * 14, 1)]
)
def test_abc2midi_plays_more_voices_than_there_are_channels(tmp_path, programs, drums):
    """Every voice on its instrument; those of one share a channel where they must, never the drums'."""
    sheet = many(programs, drums)
    text = write_abc(sheet)
    assert read_abc(text) == sheet and (text.count("%%MIDI channel") == drums) == (len(programs) <= 15)
    found = []
    for track in mido.MidiFile(abc2midi(text, tmp_path)).tracks:
        changes = {event.channel: event.program for event in track if event.type == "program_change"}
        strikes = [event for event in track if event.type == "note_on" and event.velocity]
        found += [(changes[event.channel], event.channel == 9) for event in strikes]
    assert found == [(program, False) for program in programs] + [(0, True)] * drums


def test_programs_that_must_share_a_channel_are_warned_of():
    sheet = many([*range(15), 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_abc(write_abc(sheet)) == sheet
    sheet = many(range(20, 37))
    with pytest.warns(UserWarning, match="17 programs on the 15 channels that MIDI has for them: 2 share one") as told:
        text = write_abc(sheet)
    assert read_abc(text) == sheet and "%%MIDI channel 10\n" not in text and told[0].filename == __file__


def midi_of(tracks, path, ticks=96):
    """A MIDI file of (onset, duration, pitch) in sixteenths."""
    file = mido.MidiFile(ticks_per_beat=ticks)
    for index, notes in enumerate(tracks):
        events = [(t * ticks // 4, "note_on", p) for t, _, p in notes]
        events += [((t + d) * ticks // 4, "note_off", p) for t, d, p in notes]
        track, now = mido.MidiTrack(), 0
        for tick, kind, pitch in sorted(events, key=lambda event: (event[0], event[1] == "note_on")):
            track.append(mido.Message(kind, note=pitch, velocity=80, channel=index, time=tick - now))
            now = tick
        file.tracks.append(track)
    file.save(path)


def lines():
    """Tracks of notes in sixteenths, each of its own register. The first note is on the beat: midi2abc counts from there."""
    spans = st.lists(
        st.tuples(st.sampled_from([0, 0, 0, 1, 2, 4]), st.sampled_from([1, 2, 3, 4, 6, 8, 20]), st.integers(0, 30))
    )
    return st.lists(spans.filter(bool), min_size=1, max_size=3).map(
        lambda tracks: [sounded(track, 30 + 30 * index) for index, track in enumerate(tracks)]
    )


def sounded(spans, lowest):
    now, notes = 0, []
    for index, (gap, length, pitch) in enumerate(spans):
        now += gap if index else 0
        notes.append((now, length, lowest + pitch))
        now += length
    onset, length, pitch = notes[-1]
    # The last fills its bar: midi2abc forgets accidentals at bar lines only, not where another voice begins.
    return [*notes[:-1], (onset, length + -now % 16, pitch)]


@ABCMIDI
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(tracks=lines(), sharps=st.integers(-5, 5))  # in K:F# it writes the note F# as E
def test_what_midi2abc_writes_is_read(tmp_path, tracks, sharps):
    midi_of(tracks, tmp_path / "in.mid")
    command = [
        "midi2abc",
        str(tmp_path / "in.mid"),
        "-k",
        str(sharps),
        "-nb",
    ]  # 6 + 10 would become C4<C4, which is 4 + 12
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    sheet = read_abc(said.stdout)
    heard = [
        sorted(
            (s.onset * 4, s.duration * 4, pitch)
            for v in sheet.voices
            if v.name == name
            for s in v.symbols
            for pitch in s.pitches
        )
        for name in {voice.name for voice in sheet.voices}
    ]
    assert sorted(note for track in heard for note in track) == sorted(note for track in tracks for note in track)
