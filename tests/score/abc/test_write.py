"""What written ABC looks like."""

import random
import re
from dataclasses import replace
from fractions import Fraction

import pytest

from solfa.score.abc import read_abc, write_abc
from solfa.score.abc.limits import Budget
from solfa.score.sheet.notation import BarLength, Key, Sheet, Symbol, Tempo, Voice, sheet_score

F = Fraction


def voice(*symbols, name="", program=0, drum=False, clef="treble"):
    """Symbols from (onset, duration, pitches) in eighths."""
    made = tuple(Symbol(F(onset, 2), F(duration) / 2, pitches) for onset, duration, pitches in symbols)
    return Voice(name, program, drum, clef, made)


def body(sheet, **options):
    """The lines after the key and the voices' instruments."""
    lines = write_abc(sheet, **options).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("K:"))
    return [line for line in lines[start + 1 :] if not line.startswith(("V:", "%%"))]


def test_one_plain_voice_is_a_plain_tune():
    scale = voice(*((n, 1, (pitch,)) for n, pitch in enumerate((62, 64, 66, 67, 69, 71, 73, 74))), (8, 8, (50, 62)))
    sheet = Sheet((scale,), keys=(Key(F(0), 2, "major"),), tempi=(Tempo(F(0), 96.0),), title="Up")
    assert write_abc(sheet, number=5) == ("%abc-2.1\nX:5\nT:Up\nM:4/4\nL:1/8\nQ:1/4=96\nK:D\nDE FG AB cd | [D,D]8 |]\n")


@pytest.mark.parametrize("onset", [F(3395, 960), F(2401, 480), F(1, 77), F(7919, 1000)])
def test_a_tempo_between_all_places_moves_to_one_that_can_be_written(onset):
    quarters = voice(*((2 * n, 2, (60 + n,)) for n in range(8)))
    sheet = Sheet((quarters,), tempi=(Tempo(F(0), 97.0), Tempo(onset, 100.0)))
    text = write_abc(sheet)
    again = read_abc(text)
    for mine, theirs in zip(sheet_score(again).notes, sheet_score(sheet).notes, strict=True):
        assert mine.pitch == theirs.pitch and mine.onset == pytest.approx(theirs.onset, abs=0.01)
    assert "(" not in text and len(again.tempi) == (1 if onset > F(127, 16) or onset < F(1, 16) else 2)
    moved = replace(sheet, tempi=(sheet.tempi[0], Tempo(F(29, 16), 100.0)))  # a 64th can be written
    assert len(read_abc(write_abc(moved)).tempi) == 2


def test_beams_follow_the_beats_of_the_metre():
    eighths = voice(*((n, 1, (60,)) for n in range(6)))
    for metre, expected in (((6, 8), "CCC CCC"), ((3, 4), "CC CC CC"), ((3, 2), "CCCC CC")):
        assert body(Sheet((eighths,), metres=(BarLength(F(0), *metre),)))[0].startswith(expected)


def test_accidentals_ties_triplets_and_rests():
    line = voice(
        (0, 1, (66,)),
        (1, 1, (66,)),
        (2, 1, (65,)),
        (3, 1, (78,)),
        (4, F(2, 3), (60,)),
        (F(14, 3), F(4, 3), (61,)),
        (6, 4, (73,)),
    )
    assert body(Sheet((line,))) == ["^FF =F^f (3:2:2C ^C2 ^c2- | ^c2 z2 z4 |]"]


def test_an_accidental_is_repeated_where_programs_differ_in_how_far_it_reaches():
    assert body(Sheet((voice((0, 4, (66,)), (4, 2, (77,)), (6, 2, (65,))),)))[0] == "^F2 =f =F |]"
    keys = (Key(F(0), 0, "major"), Key(F(2), 7, "major"))
    assert body(Sheet((voice((0, 4, (66,)), (4, 4, (66,))),), keys=keys))[0] == "^F4 [K:G]^F4 |]"


def test_two_notes_on_one_line_of_a_chord_are_both_marked():
    sheet = Sheet((voice((0, 16, (65, 66))),))
    assert body(sheet) == ["[=F^F]8- | [=F^F]8 |]"]
    assert read_abc(write_abc(sheet)) == sheet


def test_a_note_tied_over_a_change_of_key_keeps_its_name():
    keys = (Key(F(0), 2, "major"), Key(F(4), 8, "major"))
    sheet = Sheet((voice((0, 12, (61,)), (12, 4, (61,))),), keys=keys)
    assert body(sheet) == ["C8- | [K:Ab]^C4 D4 |]"]
    assert read_abc(write_abc(sheet)) == sheet


def test_dynamic_marks_stand_only_where_they_change():
    velocities = (80, 90, 94, 95, 110, 2, 9, 14, 30, 44, 45)
    symbols = tuple(Symbol(F(n, 4), F(1, 4), (60,), velocity) for n, velocity in enumerate(velocities))
    text = body(Sheet((Voice("", 0, False, "treble", symbols),)))[0]
    assert text == "CCC!mf!C !f!C!ppp!CCC CC!pp!C z z4 |]"


def test_marks_for_a_reader_stand_where_the_mean_of_a_bar_changes():
    """A groove with accents keeps its loudness; a bar that is louder as a whole has one mark, and a hand that wavers none."""

    def marks(*bars):
        symbols = (Symbol(F(4 * b + n), F(1), (60,), loud) for b, bar in enumerate(bars) for n, loud in enumerate(bar))
        sheet = Sheet((Voice("", 0, False, "treble", tuple(symbols)),))
        return re.findall(r"!(\w+)!", write_abc(sheet, exact=False)), re.findall(r"!(\w+)!", write_abc(sheet))

    groove = (100, 70, 100, 70)
    assert marks(*[groove] * 8) == ([], ["f", "mp"] * 16)
    assert marks(groove, (120, 110, 120, 110), groove, (60, 50, 60, 50))[0] == ["ff", "mf", "p"]
    assert marks((80,) * 4, (89,) * 4, (71,) * 4)[0] == []


@pytest.mark.parametrize(
    ("metre", "bpm", "exact", "plain"),
    [
        ((4, 4), 120.0, "1/4=120", "1/4=120"),
        ((4, 4), 120.1365, "1/4=120.1365", "1/4=120.14"),
        ((6, 8), 120.0, "3/8=80", "3/8=80"),
        ((12, 8), 120.1365, "1/4=120.1365", "3/8=80.09"),
        ((6, 8), 100.0, "1/4=100", "3/8=66.67"),
        ((3, 4), 90.5, "1/4=90.5", "1/4=90.5"),
        ((7, 8), 90.5, "1/4=90.5", "1/4=90.5"),
    ],
)
def test_tempi_count_the_beats_of_the_metre(metre, bpm, exact, plain):
    symbols = voice((0, 8, (60,)), (8, 8, (62,)))
    sheet = Sheet((symbols,), (BarLength(F(0), *metre),), tempi=(Tempo(F(0), 60.0), Tempo(F(2), bpm)))
    assert f"[Q:{exact}]" in write_abc(sheet) and f"[Q:{plain}]" in write_abc(sheet, exact=False)
    assert read_abc(write_abc(sheet)).tempi == sheet.tempi
    assert read_abc(write_abc(sheet, exact=False)).tempi[1].bpm == pytest.approx(bpm, abs=0.0076)


def test_a_change_of_tempo_may_fall_on_a_note():
    sheet = Sheet(
        (voice((0, 8, (60,))), voice((0, 8, (48,)), clef="bass")), tempi=(Tempo(F(0), 120.0), Tempo(F(1), 66.25))
    )
    assert body(sheet) == ["[V:1] C- [Q:1/4=66.25]C3 |]", "[V:2] C,4 |]"]


def test_voices_parts_and_instruments():
    parts = (
        voice((0, 8, (60,)), name="Piano"), voice((0, 8, (64,)), name="Piano"), voice(name="Piano", clef="bass"),
        voice((0, 8, (38,)), name='Kit "A"', program=8, drum=True, clef="percussion"),
    )  # fmt: skip
    text = write_abc(Sheet(parts, metres=(BarLength(F(0), 4, 4), BarLength(F(4), 3, 4))), bars_per_line=1)
    assert text.splitlines()[4:] == [
        "L:1/8", "Q:1/4=120", "%%score {(1 2) 3} 4", 'V:1 name="Piano" clef=treble', 'V:2 name="Piano" clef=treble',
        'V:3 name="Piano" clef=bass', 'V:4 name="Kit &quot;A&quot;" clef=perc', "K:C",
        "V:1", "%%MIDI program 0", "V:2", "%%MIDI program 0", "V:3", "%%MIDI program 0", "V:4", "%%MIDI channel 10", "%%MIDI program 8",
        "[V:1] C8 |", "[V:2] E8 |", "[V:3] Z |", "[V:4] D,,8 |",
        "[V:1] [M:3/4]Z |]", "[V:2] [M:3/4]Z |]", "[V:3] [M:3/4]Z |]", "[V:4] [M:3/4]Z |]",
    ]  # fmt: skip


@pytest.mark.parametrize(("length", "unit"), [(F(1, 4), "1/16"), (F(1, 2), "1/8"), (F(1), "1/4")])
def test_the_unit_length_suits_the_notes(length, unit):
    notes = tuple(Symbol(n * length, length, (60,)) for n in range(8))
    assert f"\nL:{unit}\n" in write_abc(Sheet((Voice("", 0, False, "treble", notes),)))


def test_an_upbeat_has_a_bar_of_its_own():
    sheet = Sheet((voice((0, 1, (67,)), (1, 8, (72,))),), upbeat=F(1, 2))
    assert body(sheet) == ["G | c8 |]"]
    assert read_abc(write_abc(sheet)) == sheet


def test_a_sheet_without_voices():
    sheet = Sheet((), metres=(BarLength(F(0), 3, 4),), title="Empty")
    assert read_abc(write_abc(sheet)) == sheet


def test_what_comes_after_the_last_bar_is_left_out_with_a_warning():
    sheet = Sheet((voice((0, 8, (60,))),), tempi=(Tempo(F(0), 120.0), Tempo(F(4), 60.0)))
    with pytest.warns(UserWarning, match="1 changes of key or tempo after the last bar"):
        assert read_abc(write_abc(sheet)).tempi == sheet.tempi[:1]


@pytest.mark.parametrize(
    ("sheet", "reason"),
    [
        (Sheet((voice((0, 2, (60,)), (1, 2, (60,))),)), "the symbol at 1/2"),
        (Sheet((voice((0, 2, (128,))),)), "pitch 128"),
        (Sheet((voice((0, 2, (60,)), program=128),)), "program 128"),
        (Sheet((voice((0, 2, (60,))),), tempi=(Tempo(F(0), 2.0),)), "tempo of 2.0"),
        (Sheet((voice((0, 2, (60,))),), keys=(Key(F(0), 12, "major"),)), "key 12 major"),
    ],
)
def test_what_cannot_be_written(sheet, reason):
    with pytest.raises(ValueError, match=reason):
        write_abc(sheet)
    with pytest.raises(ValueError, match="bars_per_line 0"):
        write_abc(sheet, bars_per_line=0)


def test_what_is_written_can_be_read(monkeypatch):
    """At every limit of the reader a sheet is written and read; what is beyond is refused."""
    monkeypatch.setattr("solfa.score.abc.limits.MAX_SOUNDS", 1000)
    monkeypatch.setattr("solfa.score.abc.read.Budget", lambda: Budget(1000))
    full = [(8 * n, 8, tuple(range(100))) for n in range(9)] + [(72, 4, tuple(range(99)))]  # and a rest in the last bar
    most = Sheet((voice(*full),))
    assert read_abc(write_abc(most)) == most
    with pytest.raises(ValueError, match=r"more than 1000 notes and rests.*read_abc takes no more"):
        write_abc(Sheet((voice(*full), voice((0, 1, (60,))))))
    with pytest.raises(ValueError, match="more than 1000 notes and rests"):
        write_abc(Sheet((voice((0, 10**12, (60,))),)))


def test_voices_bars_and_characters_are_no_more_than_can_be_read(monkeypatch):
    lines = tuple(voice((0, 8, (60,)), program=n % 15) for n in range(257))
    assert read_abc(write_abc(Sheet(lines[:256]))) == Sheet(lines[:256])
    with pytest.raises(ValueError, match=r"257 voices: .* at most 256"):
        write_abc(Sheet(lines))
    long = Sheet((voice((0, 600, (60,))),), metres=(BarLength(F(0), 255, 4),))
    assert read_abc(write_abc(long)) == long
    monkeypatch.setattr("solfa.score.abc.limits.MAX_QUARTERS", 300)
    with pytest.raises(ValueError, match="more than 300 quarter notes"):
        write_abc(long)
    with pytest.raises(ValueError, match="number 10000000000: "):
        write_abc(long, number=10**10)
    monkeypatch.undo()
    monkeypatch.setattr("solfa.score.abc.limits.MAX_CHARACTERS", 1000)
    with pytest.raises(ValueError, match=r"ABC of \d{4} characters: legal are at most 1000"):
        write_abc(replace(long, title="a" * 1000))


def test_every_key_spells_every_pitch():
    """A chromatic line in random order in every key, with leaps of octaves in one bar."""
    pitches = random.Random(0).sample(range(128), 128)
    notes = tuple(Symbol(F(n, 4), F(1, 4), (pitch,)) for n, pitch in enumerate(pitches))
    for mode in ("major", "minor"):
        for tonic in range(12):
            sheet = Sheet((Voice("", 0, False, "treble", notes),), keys=(Key(F(0), tonic, mode),))
            text = write_abc(sheet)
            assert read_abc(text) == sheet
            assert read_abc(text.replace("K:", "I:propagate-accidentals octave\nK:")) == sheet
