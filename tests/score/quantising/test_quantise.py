"""From seconds to a sheet: exact where tempo and metre are given, found where they are not, sound on anything."""

import random
from dataclasses import replace
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.data.composer.attributes import sample_attributes
from solfa.data.composer.compose import compose
from solfa.data.composer.theory import bar_of
from solfa.score import KeySignature, Metre, Note, Part, Score, TempoChange
from solfa.score.midi import read_midi, write_midi
from solfa.score.quantising.performed import performed_score
from solfa.score.quantising.quantise import QuantiseOptions, quantise
from solfa.score.sheet.bars import bar_lines, bars
from solfa.score.sheet.notation import BarLength, Key, Sheet, Symbol, Tempo, Voice, sheet_score
from solfa.score.tempo import TempoMap, microseconds, written_bpm

METRES = [(4, 4), (3, 4), (6, 8), (2, 4), (7, 8), (12, 8), (5, 4), (2, 2)]


def to_sheet(score, options=None):
    return quantise(score, options).sheet


def facts(score):
    """Notes without their velocity, which a chord has one of."""
    return [sorted((n.onset, n.offset, n.pitch, n.program, n.is_drum) for n in part.notes) for part in score.parts]


def played(notes, seed, spread=0.015):
    """Notes as a player places them: every onset a little off (15 ms, standard deviation), the ends twice as much."""
    rng = random.Random(seed)
    result = []
    for note in notes:
        onset = max(0.0, note.onset + rng.gauss(0.0, spread))
        result.append(replace(note, onset=onset, offset=max(onset + 0.02, note.offset + rng.gauss(0.0, 2 * spread))))
    return result


@st.composite
def sheets(draw):
    """Random voices on duple, triple and quintuple grids under tempo changes, metre changes and an upbeat."""
    tempi = {F(0): draw(st.floats(30, 300))}
    tempi |= {F(place, 4): draw(st.floats(30, 300)) for place in draw(st.lists(st.integers(1, 60), max_size=3))}
    first = BarLength(F(0), *draw(st.sampled_from(METRES)))
    upbeat = F(draw(st.integers(0, first.numerator - 1)) * 4, first.denominator)
    metres = [first]
    if draw(st.booleans()):
        second = draw(st.sampled_from([metre for metre in METRES if metre != (first.numerator, first.denominator)]))
        metres.append(BarLength(upbeat + first.quarters * draw(st.integers(2, 3)), *second))
    keys = (Key(F(0), draw(st.integers(0, 11)), draw(st.sampled_from(["major", "minor"]))),)
    voices = []
    for index in range(draw(st.integers(1, 4))):
        grain, now, symbols = draw(st.sampled_from([1, 2, 4, 8, 3, 6, 12, 5])), F(0), []
        for gap, length in draw(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 12)), min_size=1, max_size=12)):
            now += F(max(0, gap - 3), grain)
            pitches = tuple(sorted(draw(st.sets(st.integers(20, 100), min_size=1, max_size=4))))
            symbols.append(Symbol(now, F(length, grain), pitches, draw(st.integers(1, 127))))
            now += F(length, grain)
        if grain == 5:  # fifths count as a grid where notes begin on them, not where they only end there
            symbols += [Symbol(now + F(n, 5), F(1, 5), (60,)) for n in range(5)]
        drum = draw(st.booleans())
        name, program = f"part {index // 2}", draw(st.sampled_from([0, 40, 73]))
        voices.append(Voice(name, program, drum, "percussion" if drum else "treble", tuple(symbols)))
    changes = tuple(Tempo(onset, bpm) for onset, bpm in sorted(tempi.items()))
    return Sheet(tuple(voices), tuple(metres), keys, changes, upbeat)


@settings(deadline=None, max_examples=80)
@given(sheets())
def test_quantised_music_comes_back_exactly(sheet):
    score = sheet_score(sheet)
    result = quantise(score)
    assert result.exact and result.error == 0.0 and result.merged == 0
    assert (result.tempo, result.metre, result.key) == ("given", "given", "given")
    again = sheet_score(result.sheet)
    assert facts(again) == facts(score)
    assert again.tempi == score.tempi
    assert (result.sheet.metres, result.sheet.upbeat, result.sheet.keys) == (sheet.metres, sheet.upbeat, sheet.keys)


@settings(deadline=None, max_examples=25)
@given(sheets())
def test_and_through_a_midi_file(sheet):
    """A MIDI file pairs overlapping notes of one pitch first in, first out, so the file's own reading is what must come back."""
    score = read_midi(write_midi(sheet_score(sheet)))
    assert facts(sheet_score(to_sheet(score))) == facts(score)


@settings(deadline=None, max_examples=25)
@given(sheets())
def test_sheets_are_printable_and_voices_hold_all_notes(sheet):
    score = sheet_score(sheet)
    for options in (QuantiseOptions(), QuantiseOptions(find=True), QuantiseOptions(clean=True, voices=3)):
        result = quantise(score, options)
        pitches = []
        for voice in result.sheet.voices:
            total = sum((bar.line.duration for bar in bars(result.sheet, voice)), F(0))
            assert total == sum((p.duration for bar in bars(result.sheet, voice) for p in bar.pieces), F(0))
            pitches += [pitch for symbol in voice.symbols for pitch in symbol.pitches]
        # Only notes of one pitch and place become one, and those are counted.
        assert len(pitches) + result.merged == len(score.notes)
        assert set(pitches) == {note.pitch for note in score.notes}


def test_lengths_are_cleaned_but_onsets_stay():
    """A scale of eighths, detached, one with a pedal held over it."""
    notes = [Note(i * 0.25, i * 0.25 + 0.2, 60 + i, 80, 40) for i in range(16)]
    notes[3] = replace(notes[3], offset=3.9)
    score = Score((Part("violin", 40, False, tuple(notes)),), (TempoChange(0.0, 120.0),), (Metre(0.0, 4, 4),))
    (voice,) = to_sheet(score, QuantiseOptions(voices=1)).voices
    assert [(s.onset, s.duration) for s in voice.symbols] == [(F(i, 2), F(1, 2)) for i in range(16)]


def test_four_fifths_of_a_length_are_a_touch_not_a_quintuplet():
    notes = tuple(Note(n * 0.5, n * 0.5 + 0.4, 60 + n) for n in range(8))
    score = Score((Part("a", 0, False, notes),), (TempoChange(0.0, 120.0),), (Metre(0.0, 4, 4),))
    assert {s.duration for s in to_sheet(score).voices[0].symbols} == {1}


def test_a_rest_that_is_meant_stays():
    notes = tuple(Note(beat * 0.5, beat * 0.5 + 0.46, 67, 80, 73) for beat in (0, 1, 3, 4, 7))
    score = Score((Part("flute", 73, False, notes),), (TempoChange(0.0, 120.0),), (Metre(0.0, 4, 4),))
    (voice,) = to_sheet(score).voices
    assert [(s.onset, s.duration) for s in voice.symbols] == [(0, 1), (1, 1), (3, 1), (4, 1), (7, 1)]


def test_triplets_are_chosen_by_the_beat():
    """Eighths, triplets and sixteenths in turn, played 15 ms off: each beat gets its own division."""
    places = [
        F(beat * 12 + part * 12 // count, 12)
        for beat in range(48)
        for count in [(2, 3, 4)[beat % 3]]
        for part in range(count)
    ]
    notes = played([Note(float(p) * 0.6, float(p) * 0.6 + 0.1, 60 + i % 12) for i, p in enumerate(places)], 1)
    sheet = to_sheet(notes, QuantiseOptions(tempo=100.0, metre=(3, 4), start=0.0))
    onsets = {s.onset for s in sheet.voices[0].symbols}
    assert sum(place in onsets for place in places) >= 0.95 * len(places)


def test_a_given_tempo_finds_its_phase():
    notes = [Note(0.7 + i * 0.5 + 0.25 * (i % 4 == 3), 1.0 + i * 0.5, 60 + i % 5) for i in range(32)]
    result = quantise(notes, QuantiseOptions(tempo=120.0, metre=(4, 4)))
    assert (result.tempo, result.metre, result.key) == ("given", "given", "found")
    assert (result.start - 0.7) % 0.5 == pytest.approx(0.0, abs=0.02) or (result.start - 0.7) % 0.5 == pytest.approx(
        0.5, abs=0.02
    )
    assert [tempo.bpm for tempo in result.sheet.tempi] == [120.0]
    begun = quantise(notes, QuantiseOptions(tempo=120.0, metre=(3, 4), start=0.7))
    assert begun.start == pytest.approx(0.7) and begun.sheet.upbeat == 0


@pytest.mark.parametrize(
    "notes",
    [
        [],
        [Note(3.0, 4.0, 60)],
        [Note(3.0, 3.0, 60)],
        [Note(0.0, 1.0, 60), Note(1.0, 2.0, 62)],
        [Note(1.0, 2.0, 40 + n) for n in range(40)],
        [Note(1.0, 2.0, 60)] * 20,
        [Note(n * 0.001, n * 0.001, 60 + n % 12) for n in range(500)],
        [Note(n * 40.0, n * 40.0 + 10.0, 60 + n % 12) for n in range(8)],
        [*(Note(n * 0.5, n * 0.5 + 0.5, 60) for n in range(6)), Note(40_000.0, 40_001.0, 60)],
        [Note(n * 0.25, n * 0.25, 36 + n % 7, is_drum=True) for n in range(32)],
        [Note(0.3 * n**1.3, 0.3 * n**1.3 + 0.2, 0 if n % 2 else 127, 1, 127) for n in range(40)],
    ],
    ids=["none", "one", "no length", "two", "a cluster", "one pitch", "fast", "slow", "far", "drums", "slowing"],
)
def test_degenerate_input_gives_a_printable_sheet(notes):
    result = quantise(notes)
    written = [p for v in result.sheet.voices for s in v.symbols for p in s.pitches]
    assert len(written) + result.merged == len(notes)
    if len({note.onset for note in notes}) < 4:
        assert result.tempo == result.metre == "assumed"
    else:
        assert result.tempo == result.metre == "found"
    for voice in result.sheet.voices:
        assert sum(1 for _ in bars(result.sheet, voice)) > 0
    assert write_midi(performed_score(notes, result)) and write_midi(sheet_score(result.sheet))


def test_ten_thousand_notes():
    rng = random.Random(2)
    onsets = [rng.uniform(0, 900) for _ in range(10_000)]
    notes = [Note(t, t + rng.expovariate(2), rng.randint(21, 108), rng.randint(1, 127)) for t in onsets]
    result = quantise(notes)
    assert sum(len(s.pitches) for v in result.sheet.voices for s in v.symbols) + result.merged == 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tempo": 2.0}, "tempo of 2.0"),
        ({"metre": (4, 3)}, "metre"),
        ({"key": (12, "major")}, "key"),
        ({"voices": 0}, "voices 0"),
        ({"start": float("nan")}, "start"),
    ],
)
def test_what_is_not_legal_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        QuantiseOptions(**options)


def test_a_day_is_the_longest():
    with pytest.raises(ValueError, match="86400"):
        to_sheet([Note(0.0, 100_000.0, 60)])


def test_metres_in_bars_that_no_metre_is_as_long_as_begin_at_a_bar_line():
    notes = tuple(Note(n * 0.5, n * 0.5 + 0.5, 60) for n in range(16))
    metres = (Metre(0.0, 4, 4), Metre(2.6, 3, 4))
    with pytest.warns(UserWarning, match="1 of 2 metres begin within bars that no metre is as long as"):
        sheet = to_sheet(Score((Part("a", 0, False, notes),), (TempoChange(0.0, 120.0),), metres))
    assert sheet.metres == (BarLength(F(0), 4, 4), BarLength(F(4), 3, 4))
    assert len(list(bars(sheet, sheet.voices[0]))) == 5


def counted(metres, quarters=16):
    """A score of quarter notes, half a second each, under these metres at these quarters."""
    notes = tuple(Note(n * 0.5, n * 0.5 + 0.5, 60) for n in range(quarters))
    metres = tuple(Metre(float(onset) * 0.5, above, below) for onset, above, below in metres)
    return Score((Part("a", 0, False, notes),), (TempoChange(0.0, 120.0),), metres)


def ends(sheet):
    return [line.end for line in bar_lines(sheet)]


@pytest.mark.parametrize(
    ("metres", "expected"),
    [
        ([(0, 4, 4), (1, 4, 4)], [1, 5, 9, 13, 17]),  # an upbeat, as sequencers write it
        ([(0, 4, 4), (2, 3, 4)], [2, 5, 8, 11, 14, 17]),
        ([(0, 4, 4), (3, 2, 4)], [3, 5, 7, 9, 11, 13, 15, 17]),
        ([(0, 4, 4), (6, 4, 4), (9.5, 4, 4)], [4, 6, 9.5, 13.5, 17.5]),
        ([(0, 4, 4), (1, 4, 4), (2, 3, 4)], [1, 2, 5, 8, 11, 14, 17]),
        ([(F(1, 3), 4, 4)], [F(1, 3), F(13, 3), F(25, 3), F(37, 3), F(49, 3)]),  # no metre is so short
        (
            [(0, 4, 4), (4.002, 4, 4), (8.004, 3, 4), (11.006, 3, 4)],
            [4, 8, 11, 14, 17],
        ),  # beside the bar lines by a tick
        ([(0, 4, 4), (8, 2, 4), (8.004, 3, 4)], [4, 8, 11, 14, 17]),
        ([(0, 1, 4), (1, 4, 4), (13, 1, 4), (14, 4, 4)], [1, 5, 9, 13, 14, 18]),
    ],
)
def test_a_bar_that_a_metre_cuts_short_is_a_short_bar(metres, expected):
    assert ends(to_sheet(counted(metres))) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 63), min_size=1, max_size=12))
def test_bar_lines_stay_where_a_file_has_them(sixteenths):
    """Metres that begin anew at every bar line: bars of 1/16 to 63/16 quarter notes in 4/4, in MIDI."""
    places = [F(sum(sixteenths[:n]), 16) for n in range(len(sixteenths) + 1)]
    score = read_midi(write_midi(counted([(place, 4, 4) for place in places], int(places[-1]) + 5)))
    assert ends(to_sheet(score))[: len(sixteenths)] == places[1:]


def test_parts_of_one_name_stay_apart():
    parts = tuple(Part("violin", 40, False, (Note(0.0, 0.5, pitch, program=40),)) for pitch in (60, 70))
    sheet = to_sheet(Score(parts, (TempoChange(0.0, 120.0),), (Metre(0.0, 4, 4),)))
    assert [voice.name for voice in sheet.voices] == ["violin", "violin 2"]
    assert len(sheet_score(sheet).parts) == 2


@pytest.mark.parametrize("start", [0.0, 0.33, 2.0, 7.77])
def test_a_midi_file_with_the_tempo_found(start):
    """Notes keep their seconds to a tick, and the bars of the file begin where the sheet's do."""
    notes = played(
        [
            Note(start + n * 0.6, start + n * 0.6 + 0.5, 48 if n % 3 == 0 else 60 + n % 5, 100 - n % 3 * 20)
            for n in range(60)
        ],
        5,
    )
    result = quantise(notes, QuantiseOptions(metre=(3, 4)))
    score = read_midi(write_midi(performed_score(notes, result)))
    for note, again in zip(sorted(notes), score.notes, strict=True):
        assert again.onset == pytest.approx(note.onset, abs=0.002)
    clock, metre = TempoMap.of(score.tempi, score.ticks_per_beat), score.metres[-1]
    first = result.start + float(result.sheet.upbeat) * 60 / result.sheet.tempi[0].bpm
    bar = 3 * score.ticks_per_beat
    away = (clock.tick(first) - clock.tick(metre.time)) % bar
    assert (metre.numerator, metre.denominator) == (3, 4)
    assert min(away, bar - away) < 40  # ticks of 480; 20 ms of the first bar line count as nothing


def test_a_score_with_tempi_keeps_its_time_line(pieces):
    score = pieces[0][1]
    assert performed_score(score, quantise(score)) == score
    bare = replace(score, metres=(), keys=())
    assert performed_score(bare, quantise(bare)).keys


@pytest.mark.parametrize("metre", [(1, 1), (1, 32), (32, 4), (7, 16), (5, 8), (3, 2), (12, 16)])
def test_any_legal_metre_may_be_given(metre):
    notes = played([Note(0.2 + n * 0.4, 0.5 + n * 0.4, 60 + n % 7) for n in range(40)], 3)
    for tempo in (None, 150.0):
        sheet = quantise(notes, QuantiseOptions(metre=metre, tempo=tempo)).sheet
        assert (sheet.metres[0].numerator, sheet.metres[0].denominator) == metre
        assert sum(1 for _ in bars(sheet, sheet.voices[0])) >= 1


def performance(seed, first, count=24):
    """Notes about half a second apart, from `first` (seconds) on."""
    rng = random.Random(seed)
    onsets = [first + n * 0.5 + rng.uniform(-0.04, 0.04) for n in range(count)]
    return [Note(max(on, 0.0), max(on, 0.0) + rng.uniform(0.1, 0.4), 50 + n) for n, on in enumerate(onsets)]


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(st.just(5.0), st.floats(5.0, 70.0), st.floats(5.0, 1000.0)),
    st.one_of(st.none(), st.tuples(st.integers(1, 32), st.sampled_from([1, 2, 4, 8, 16, 32]))),
    st.floats(0.0, 80.0),
    st.sampled_from([4, 24]),
    st.integers(0, 99),
)
def test_any_legal_tempo_and_metre_make_a_midi_file_of_the_same_notes(tempo, metre, first, count, seed):
    """To the millisecond, however slow."""
    notes = performance(seed, first, count)
    score = read_midi(write_midi(performed_score(notes, quantise(notes, QuantiseOptions(tempo=tempo, metre=metre)))))
    assert len(score.notes) == len(notes)
    for ours, played in zip(sorted(score.notes, key=lambda note: note.pitch), notes, strict=True):
        assert (ours.onset, ours.offset) == pytest.approx((played.onset, played.offset), abs=1.01e-3)


@pytest.mark.parametrize(("tempo", "metre"), [(5.0, (4, 4)), (1000.0, (32, 1)), (240.0, (32, 1)), (5.0, (1, 32))])
@pytest.mark.parametrize("first", [0.03, 1.2, 4.3, 17.0, 64.1])
def test_the_bar_before_the_first_is_legal_too(tempo, metre, first):
    notes = performance(0, first)
    quantised = quantise(notes, QuantiseOptions(tempo=tempo, metre=metre, start=first))
    score = performed_score(notes, quantised)
    assert all(change.bpm >= 3.57 for change in score.tempi) and score.metres[-1].numerator == metre[0]


def test_the_grid_of_a_midi_file_is_finer_only_where_it_must_be():
    notes = performance(0, 0.0)
    grids = [performed_score(notes, quantise(notes, QuantiseOptions(tempo=bpm))).ticks_per_beat for bpm in (5, 120)]
    assert 480 < grids[0] <= 32767 and grids[1] == 480


@pytest.fixture(scope="module")
def pieces():
    """Sixty composed pieces: (attributes, score), each played 15 ms off its grid."""
    made = []
    for seed in range(60):
        attributes = sample_attributes(random.Random(seed), seconds=20.0)
        made.append((attributes, compose(attributes)))
    return made


@pytest.fixture(scope="module")
def found(pieces):
    return [quantise(played(score.notes, seed)) for seed, (_, score) in enumerate(pieces)]


def true_beats(attributes, score):
    """Seconds of every beat of the composer's bars, and what each is in quarter notes."""
    bar, clock = bar_of(attributes.metre), TempoMap.of(score.tempi, score.ticks_per_beat)
    last = clock.tick(max(note.onset for note in score.notes))
    ticks = [start + place for start in range(0, last, bar.length) for place in bar.beat_starts()]
    ticks = [tick for tick in ticks if tick <= last]
    return np.array([clock.seconds(tick) for tick in ticks]), np.array(ticks) / 480


def shares(pieces, found):
    """How many pieces have the right metre; tempo to 4 %; tempo to 4 % up to a factor of 2, 3 or 3/2; three beats in four within 70 ms."""
    metre = tempo = factor = beats = 0
    for (attributes, score), result in zip(pieces, found, strict=True):
        sheet, timing = result.sheet, result.timing
        metre += (sheet.metres[0].numerator, sheet.metres[0].denominator) == attributes.metre
        seconds, quarters = true_beats(attributes, score)
        heard = timing.at(seconds)
        ratio = float(np.median(np.diff(heard) / np.diff(quarters)))  # quarter notes found to a true one
        tempo += abs(ratio - 1) < 0.04
        factor += any(abs(ratio / known - 1) < 0.04 for known in (1, 2, 1 / 2, 3, 1 / 3, 3 / 2, 2 / 3))
        beat = 1.5 if attributes.metre[1] == 8 and attributes.metre[0] % 3 == 0 else 1.0
        places = np.round((heard - float(sheet.upbeat)) / beat) * beat + float(sheet.upbeat)
        beats += np.mean(np.abs(timing.time(places) - seconds) < 0.07) > 0.75
    return metre, tempo, factor, beats


def test_beats_and_metre_of_composed_pieces(pieces, found):
    """Of 60 pieces of 20 s: measured are 48, 54, 59 and 55."""
    metre, tempo, factor, beats = shares(pieces, found)
    assert metre >= 46 and tempo >= 52 and factor >= 57 and beats >= 53


def test_keys_of_composed_pieces(pieces, found):
    """Measured: 52 of 56."""
    right = tonal = 0
    for (_, score), result in zip(pieces, found, strict=True):
        if score.keys:
            tonal += 1
            key = result.sheet.keys[0]
            right += (key.tonic, key.mode) == (score.keys[0].tonic, score.keys[0].mode)
    assert right >= 0.9 * tonal


def test_a_score_without_metres_is_counted(pieces):
    """Tempi given, metre found."""
    right = 0
    chosen = [(a, s) for a, s in pieces if a.metre in ((4, 4), (3, 4), (6, 8), (2, 4))][:20]
    for attributes, score in chosen:
        result = quantise(replace(score, metres=(), keys=()))
        assert (result.tempo, result.metre) == ("given", "found")
        right += (result.sheet.metres[0].numerator, result.sheet.metres[0].denominator) == attributes.metre
    assert right >= 14


def test_keys_given_are_kept():
    keys = (KeySignature(0.0, 2, "minor"), KeySignature(2.0, 5, "major"))
    notes = tuple(Note(n * 0.5, n * 0.5 + 0.5, 60) for n in range(8))
    sheet = to_sheet(Score((Part("a", 0, False, notes),), (TempoChange(0.0, 120.0),), (Metre(0.0, 4, 4),), keys))
    assert sheet.keys == (Key(F(0), 2, "minor"), Key(F(4), 5, "major"))
    assert to_sheet(notes, QuantiseOptions(key=(7, "major"))).keys == (Key(F(0), 7, "major"),)


def test_a_tempo_is_written_in_as_few_decimals_as_say_it(pieces):
    assert [written_bpm(microseconds(bpm)) for bpm in (120, 97, 66.5, 3.6)] == [120, 97, 66.5, 3.6]
    assert all(microseconds(written_bpm(length)) == length for length in (1, 7, 617_197, 617_198, 0xFFFFFF))
    for _, score in pieces[:3]:
        for tempo in quantise(score.notes).sheet.tempi:
            assert len(f"{tempo.bpm!r}".partition(".")[2]) <= 4


def test_one_line_on_a_keyboard_that_crosses_the_middle_has_one_staff() -> None:
    line = [60, 59, 57, 55, 57, 59, 60, 62, 64, 62, 60, 59, 57, 55, 53, 52] * 4
    found = quantise([Note(i * 0.5, i * 0.5 + 0.45, pitch) for i, pitch in enumerate(line)])
    assert [len(voice.symbols) for voice in found.sheet.voices] == [64]


def test_notes_in_unison_are_told_from_those_that_fall_together():
    notes = [Note(n / 2, n / 2 + 0.4, 60 + n % 5) for n in range(12)]
    close = [replace(note, onset=note.onset + 0.01) for note in notes[:3]]  # the grid has no place for them
    tempo = QuantiseOptions(tempo=120.0)
    unison = "12 of {} notes sound in unison with another of their part and are one with it"
    fallen = "3 of {} notes fall on others of the same pitch at this tempo and are one with them"
    assert quantise(notes, tempo).remarks == []
    assert quantise([*notes, *notes], tempo).remarks == [unison.format(24)]
    assert quantise([*notes, *close], tempo).remarks == [fallen.format(15)]
    assert quantise([*notes, *close, *notes], tempo).remarks == [unison.format(27), fallen.format(27)]
    strings = [replace(note, program=40) for note in notes]  # another part
    assert quantise([*notes, *strings], tempo).remarks == []
