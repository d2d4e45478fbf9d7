"""Reading ABC 2.1: what every symbol means, and where errors are."""

import re
from fractions import Fraction

import pytest

from solfa.score.abc import AbcError, list_tunes, read_abc, write_abc
from solfa.score.sheet.notation import BarLength, Key, Tempo

F = Fraction


def sheet(music, key="C", metre="4/4", more=""):
    return read_abc(f"X:1\nT:t\nM:{metre}\nL:1/8\n{more}K:{key}\n{music}\n")


def notes(music, key="C", metre="4/4", more=""):
    """(onset, duration, pitches) of the first voice, in eighths."""
    return [
        (float(s.onset * 2), float(s.duration * 2), list(s.pitches))
        for s in sheet(music, key, metre, more).voices[0].symbols
    ]


def pitches(music, key="C", more=""):
    return [pitch for _, _, chord in notes(music, key, more=more) for pitch in chord]


def lengths(music, metre="4/4"):
    return [length for _, length, _ in notes(music, metre=metre)]


def test_octaves_lengths_and_rests():
    assert notes("C,, C c c'' z2 x B/ B// B3/2 B/4 B3/") == [
        (0, 1, [36]), (1, 1, [60]), (2, 1, [72]), (3, 1, [96]),
        (7, 0.5, [71]), (7.5, 0.25, [71]), (7.75, 1.5, [71]), (9.25, 0.25, [71]), (9.5, 1.5, [71]),
    ]  # fmt: skip


def test_accidentals_hold_until_the_bar_line():
    assert pitches("^FFf =F | F ^^F __B B _b |", "G") == [66, 66, 78, 65, 66, 67, 69, 69, 82]


def test_how_far_accidentals_reach_can_be_said():
    assert pitches("^Ff F | f=f F") == [66, 78, 66, 77, 77, 65]  # the standard's default: all octaves
    assert pitches("^Ff F | F", more="I:propagate-accidentals octave\n") == [66, 77, 66, 65]
    assert pitches("^Ff F | F", more="%%propagate-accidentals not\n") == [66, 77, 65, 65]
    with pytest.raises(AbcError, match=r"line 5.*legal are not, octave, pitch"):
        sheet("F", more="%%propagate-accidentals bar\n")


@pytest.mark.parametrize(
    ("key", "sharps", "tonic", "mode"),
    [
        ("G", "F", 7, "major"), ("Bb", "be", 10, "major"), ("F#m", "FCG", 6, "minor"), ("C#", "FCGDAEB", 1, "major"),
        ("Abminor", "beadgcf", 8, "minor"), ("D dor", "", 9, "minor"), ("Amixolydian", "FC", 2, "major"), ("ELYD", "FCGDA", 11, "major"),
        ("Bphr", "F", 4, "minor"), ("F# loc", "F", 4, "minor"), ("HP", "FC", 2, "major"), ("none", "", 0, "major"), ("", "", 0, "major"),
        ("D =c ^g", "FG", 2, "major"), ("Dmix=f^g", "G", 7, "major"), ("A exp _b", "b", 9, "major"), ("C clef=bass", "", 0, "major"),
    ],
)  # fmt: skip
def test_keys_and_modes(key, sharps, tonic, mode):
    """sharps: the letters that are sharp, flat ones in small."""
    plain = {"C": 60, "D": 62, "E": 64, "F": 65, "G": 67, "A": 69, "B": 71}
    expected = [plain[letter] + (letter in sharps) - (letter.lower() in sharps) for letter in plain]
    assert pitches("CDEFGAB", key) == expected
    assert sheet("C", key).keys == (Key(F(0), tonic, mode),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4/4", (4, 4)), (" 6/8 ", (6, 8)), ("C", (4, 4)), ("C|", (2, 2)), ("(2+3+2)/8", (7, 8)), ("3+2/8", (5, 8)), ("none", (4, 4)),
        ("2/4+3/8", (7, 8)), ("(3/4 + 1/2)", (5, 4)),
    ],
)  # fmt: skip
def test_metres(text, expected):
    numerator, denominator = expected
    bar = f"C{8 * numerator // denominator}|"
    assert sheet(bar * 2, metre=text).metres == (BarLength(F(0), numerator, denominator),)


@pytest.mark.parametrize(
    ("text", "bpm"),
    [
        ("1/4=120", 120), ("3/8=60", 90), ("1/4 3/8 = 40", 100), ('"Lively" 1/2=50', 100), ('1/4=66.5 "ca."', 66.5),
        ('"Andante"', 88), ('"Con moto"', 120), ("C=120", 60), ("C3=40", 60), (" 1 / 4 = 100", 100),
    ],
)  # fmt: skip
def test_tempi(text, bpm):
    assert sheet("C", more=f"Q:{text}\n").tempi == (Tempo(F(0), bpm),)


def test_a_tempo_without_its_note_counts_unit_lengths_and_says_so():
    with pytest.warns(UserWarning, match="line 5: tempo 160 without its note"):
        assert sheet("C", more="Q:160\n").tempi == (Tempo(F(0), 80.0),)


@pytest.mark.parametrize("where", ["X:1\n{}\nK:C\nC|D|\n", "X:1\nK:C\n{}\nC|D|\n", "X:1\nK:C\nC|\n{}\nD|\n"])
@pytest.mark.parametrize("field", ["L:auto", "Q:1/4=ca. 120"])
def test_a_tempo_and_a_unit_that_say_no_number_leave_what_was(where, field):
    with pytest.warns(UserWarning, match="is left out"):
        assert read_abc(where.format(field)) == read_abc("X:1\nK:C\nC|D|\n")


@pytest.mark.parametrize(("small", "key"), [("g", "G"), ("am", "Am"), ("f#min", "F#min"), ("bb major", "Bb major")])
def test_keys_in_small_letters_are_read_with_a_word(small, key):
    with pytest.warns(UserWarning, match=f"key '{small}' is read as '{key}'"):
        assert sheet("CFB|", key=small) == sheet("CFB|", key=key)
    with pytest.warns(UserWarning, match=f"key '{small}' is read as '{key}'"):
        assert sheet(f"[K:{small}]CFB|") == sheet(f"[K:{key}]CFB|")


def test_the_default_unit_length_depends_on_the_metre():
    for metre, expected in (("2/4", F(1, 4)), ("3/4", F(1, 2)), ("6/8", F(1, 2)), ("none", F(1, 2))):
        assert read_abc(f"X:1\nM:{metre}\nK:C\nC").voices[0].symbols[0].duration == expected


def test_chords_ties_and_unequal_chords():
    assert notes("[CEG]2 [C2E2]/ C-C [CE]-[CE]2 A-|A") == [
        (0, 2, [60, 64, 67]), (2, 1, [60, 64]), (3, 2, [60]), (5, 3, [60, 64]), (8, 2, [69]),
    ]  # fmt: skip
    # What overlaps is a second voice of the same name: here the C of a chord of which only E is tied on.
    first, second = sheet("[CE-]E").voices
    assert [(s.onset, s.duration, s.pitches) for s in first.symbols] == [(0, 1, (64,))]
    assert [(s.onset, s.duration, s.pitches) for s in second.symbols] == [(0, F(1, 2), (60,))]
    assert [[s.pitches for s in v.symbols] for v in sheet("[C2E4]D").voices] == [[(64,)], [(60,), (62,)]]


def test_a_tied_note_keeps_its_accidental_over_the_bar_line():
    assert notes("^F4-|F4 F") == [(0, 8, [66]), (8, 1, [65])]
    assert notes("[^FA]-|[FA] F") == [(0, 2, [66, 69]), (2, 1, [65])]
    assert notes("^F4-|G F4") == [(0, 4, [66]), (4, 1, [67]), (5, 4, [65])]


def test_a_tie_ties_only_what_follows_at_once():
    assert notes("C-D C z C") == [(0, 1, [60]), (1, 1, [62]), (2, 1, [60]), (4, 1, [60])]


def test_a_new_key_ends_the_accidentals_of_the_bar():
    assert pitches("^F [K:D]F [K:C]F") == [66, 66, 65]


def test_of_keys_that_differ_between_voices_the_first_voice_has_the_say():
    assert sheet("V:1\nC8|[K:F]B8|\nV:2\n[K:D]F8|[K:G]F8|").keys == (Key(F(0), 0, "major"), Key(F(4), 5, "major"))


def test_broken_rhythm():
    assert lengths("A>B A<B A>>B A<<<B [CE]>z2 A2 > B2") == [1.5, 0.5, 0.5, 1.5, 1.75, 0.25, 0.125, 1.875, 1.5, 3, 1]


@pytest.mark.filterwarnings("ignore:line 6. a bar of")  # they do not fill their bars
def test_tuplets():
    assert lengths("(3ABC (2AB (4ABCD (3:2:2A2B (3::2AB (5:4ABcde") == pytest.approx(
        [2 / 3] * 3 + [1.5] * 2 + [0.75] * 4 + [4 / 3, 2 / 3] + [2 / 3] * 2 + [0.8] * 5
    )
    assert lengths("(5ABcde", "4/4")[0] == pytest.approx(0.4)
    assert lengths("(5ABcde", "6/8")[0] == pytest.approx(0.6)
    assert lengths("(3A>BC (3:2:4 (A[Bd] z)c D") == pytest.approx([1, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 1])


def test_rests_of_bars():
    assert notes("Z C8 | Z2 | C8", metre="4/4")[1][0] == 32
    assert notes("Z C6", metre="3/4") == [(6, 6, [60])]
    with pytest.raises(AbcError, match=r"line 6, column 1: Z rests for whole bars"):
        sheet("Z", metre="none")


@pytest.mark.parametrize(
    ("music", "order"),
    [
        ("|: C | D :| E", "CDCDE"), ("C | D :| E :|", "CDCDEE"), ("|: C :: D :|", "CCDD"), ("|: C ::| D", "CCCD"),
        ("|: C |1 D :|2 E | F |]", "CDCEF"), ("|: C |[1 D :| [2 E || |: F :|", "CDCEFF"), ("C |1,3 D :|2 E :|4 F |", "CDCECDCF"),
        ("|: C |1-2 D :|3 E |", "CDCDCE"), ("|: C |1 D |2 E |", "CDCE"), ("|: C |1 D :| E", "CDCE"), ("|: C |: D :|", "CDD"),
        ("C |: D :|: E :|", "CDDEE"), ("|: C :||: D :|]", "CCDD"), ("|: C D |\n| E :|", "CDECDE"),
    ],
)  # fmt: skip
def test_repeats_and_endings_are_written_out(music, order):
    names = dict(zip((60, 62, 64, 65), "CDEF", strict=True))
    assert "".join(names[pitch] for pitch in pitches(music)) == order


@pytest.mark.parametrize(
    ("music", "order"),
    [
        ("C | D || E | F :|", "CDEFEF"), ("C | D |] E | F :|", "CDEFEF"), ("C | D [| E | F :|", "CDEFEF"),
        ("C | D |\n||E | F :|", "CDEFEF"), ("C | D [|] E | F :|", "CDEFCDEF"),
        ("C | D .| E | F :|", "CDEFCDEF"), ("|: C | D || E | F :|", "CDEFCDEF"),
        ("|: C :| D || E :|", "CCDEE"), ("C || D :| E :|", "CDDEE"), ("C || D |1 E :|2 F || C :|", "CDEDFCC"),
        ("|: C |1 D :|2 E || F | C :|", "CDCEFCFC"), ("|: C |1 D :|2 E | F |] C :|", "CDCEFCC"), ("|: C |1 D [|2 E [| F |", "CDCEF"),
        ("|: C |1 D || E | F :|", "CDEFEF"), ("C | D ||1 E :|2 F |]", "CDECDF"), ("|: C || D |1 E :|2 F |] C :|]", "CDECDFCC"),
        ("C | D |]", "CD"), ("C | D |]\nE | F |]", "CDEF"),
    ],
)  # fmt: skip
def test_double_bars_end_endings_and_repeats_go_back_to_them(music, order):
    names = dict(zip((60, 62, 64, 65), "CDEF", strict=True))
    assert "".join(names[pitch] for pitch in pitches(music)) == order


def test_a_second_ending_ends_with_its_double_bar():
    common = [67, 69, 71, 72, 74]
    assert pitches("|:GABc|d4|1 B2A2:|2 B2G2||\ngfed|c4:|") == [
        *common,
        71,
        69,
        *common,
        71,
        67,
        *[79, 77, 76, 74, 72] * 2,
    ]


def test_voices_repeat_together_where_only_one_has_the_double_bar():
    tune = sheet("V:1\nC8|D8||E8|F8:|\nV:2\nC4C4|D8|E8|F8:|")
    assert [[s.pitches[0] for s in v.symbols][-4:] for v in tune.voices] == [[64, 65, 64, 65]] * 2


def test_an_upbeat_and_repeats_within_a_bar():
    tune = sheet("|: G | c2 d2 e2 f2 | g4 f3 :|: g | c8 | c6 z :|")
    assert tune.upbeat == F(1, 2)
    assert tune.metres == (BarLength(F(0), 4, 4),)


def test_irregular_bars_are_bars_of_their_own_metre():
    assert sheet("C8 | C6 | C8 | C10 | C8 |").metres == tuple(
        BarLength(F(onset), *metre)
        for onset, metre in ((0, (4, 4)), (4, (3, 4)), (7, (4, 4)), (11, (5, 4)), (16, (4, 4)))
    )
    assert sheet("C8 | C16 | C8 |").metres == (BarLength(F(0), 4, 4),)  # a bar line left out
    with pytest.warns(UserWarning, match="line 6: a bar of 23/6 quarter notes, which no metre has"):
        assert sheet("C8 | (3CCC C5 (3:2:1C | C8 |").metres == (BarLength(F(0), 4, 4),)


def test_fields_within_the_tune():
    tune = sheet("C8 | [K:D][M:3/4] F4 [Q:1/4=90] F2 |\nL:1/4\nF2 [L:1/16]F4 |\nK:Am\nM:C|\n F16 |")
    assert [(s.onset, s.duration, s.pitches[0]) for s in tune.voices[0].symbols] == [
        (0, 4, 60), (4, 2, 66), (6, 1, 66), (7, 2, 66), (9, 1, 66), (10, 4, 65),
    ]  # fmt: skip
    assert tune.metres == (BarLength(F(0), 4, 4), BarLength(F(4), 3, 4), BarLength(F(10), 2, 2))
    assert tune.keys == (Key(F(0), 0, "major"), Key(F(4), 2, "major"), Key(F(10), 9, "minor"))
    assert tune.tempi == (Tempo(F(0), 120.0), Tempo(F(6), 90.0))


def test_a_repeat_brings_back_the_tempo_that_was():
    assert sheet("|: C8 | [Q:1/4=60] C8 :|").tempi == tuple(
        Tempo(F(n), bpm) for n, bpm in ((0, 120), (4, 60), (8, 120), (12, 60))
    )


def test_voices_names_clefs_and_instruments():
    tune = read_abc(
        'X:1\nL:1/4\n%%MIDI program 5\nV:T name="Tenor &quot;o&quot;" clef=treble-8\nV:2 nm=Drums perc\nK:C\nV:T\n%%MIDI program 40\n'
        "CD|\nV:2\n[I:MIDI channel 10]C,,\n[V:T]E [V:2] D,, [V:B bass octave=-1] C\nK:C clef=alto transpose=2\nC"
    )
    assert [(v.name, v.clef, v.program, v.is_drum) for v in tune.voices] == [
        ('Tenor "o"', "treble", 40, False), ("Drums", "percussion", 5, True), ("B", "treble", 5, False),
    ]  # fmt: skip
    assert [[s.pitches[0] for s in v.symbols] for v in tune.voices] == [[48, 50, 52], [36, 38], [48, 50]]


@pytest.mark.parametrize("voice", ["V:T", "V:T clef=bass", "[V:T]", ""])
def test_fields_between_the_key_and_the_first_voice_open_none_and_hold_for_all(voice):
    music = f"{voice}\nCDEF GA|\n".lstrip() + ("V:U\nFEDC GA|" if voice else "")
    said = "M:3/4\nQ:1/4=90\n%%MIDI program 40\nK:G\nL:1/8\n"
    found = read_abc(f"X:1\nM:4/4\nL:1/4\nK:C\n{said}{music}\n")
    assert found == read_abc(f"X:1\nM:3/4\nL:1/8\nQ:1/4=90\n%%MIDI program 40\nK:G\n{music}\n")
    assert [each.name for each in found.voices] == (["T", "U"] if voice else [""])
    assert {each.program for each in found.voices} == {40} and found.tempi == (Tempo(F(0), 90.0),)


def test_an_instrument_that_changes_holds_from_there_on():
    """Of a note that is tied over the change too: here nothing is left for program 40."""
    head = "V:1 name=Duo\n%%MIDI program 5\n"
    tune = sheet(
        "V:1\nCDEF G4-|\n%%MIDI program 40\nG4 z4|[I:MIDI program 5]A8 & C8|\nV:2\n%%MIDI channel 10\nC,,8|Z|\n",
        more=head,
    )
    assert [(v.name, v.program, v.is_drum) for v in tune.voices] == [
        ("Duo", 5, False), ("Duo", 5, False), ("", 0, True)
    ]  # fmt: skip
    tune = sheet("CDEF G4|\n%%MIDI program 40\nGABc z4|\n[I:MIDI channel 10]C,,8|\n%%MIDI program 9\n")
    assert [(v.program, v.is_drum, [(s.onset, s.pitches[0]) for s in v.symbols]) for v in tune.voices] == [
        (0, False, [(0, 60), (F(1, 2), 62), (1, 64), (F(3, 2), 65), (2, 67)]),
        (40, False, [(4, 67), (F(9, 2), 69), (5, 71), (F(11, 2), 72)]),
        (40, True, [(8, 36)]),
    ]
    assert read_abc(write_abc(tune)) == tune


def test_overlays():
    tune = sheet("C4 E4 & G8 | C8 | c4-c4 & [EG]2 z6 |")
    assert [[(s.onset, s.duration, s.pitches) for s in v.symbols] for v in tune.voices] == [
        [(0, 2, (60,)), (2, 2, (64,)), (4, 4, (60,)), (8, 4, (72,))],
        [(0, 4, (67,)), (8, 1, (64, 67))],
    ]


def test_the_first_layer_of_every_bar_is_the_first_voice():
    tune = sheet("CDEF & G,4 | GABc & C4 & [E4G2] | [CE]4 & C4 | c4 |]", metre="2/4")
    heard = [[(s.onset, s.duration, s.pitches) for s in v.symbols] for v in tune.voices]
    first = [(F(n, 2), F(1, 2), (pitch,)) for n, pitch in enumerate((60, 62, 64, 65, 67, 69, 71, 72))]
    assert heard == [
        [*first, (4, 2, (60, 64)), (6, 2, (72,))],
        [(0, 2, (55,)), (2, 2, (60,)), (4, 2, (60,))],
        [(2, 2, (64,))],
        [(2, 1, (67,))],
    ]
    assert read_abc(write_abc(tune)) == tune


def test_dynamics_are_velocities():
    assert [s.velocity for s in sheet("C !p!C !trill!C !ff!C").voices[0].symbols] == [80, 60, 60, 120]


@pytest.mark.parametrize(
    "more", ["I:linebreak !\n", "%%linebreak <EOL> !\n", "I:decoration !\nI:linebreak !\nI:decoration +\n"]
)
def test_an_exclamation_mark_may_be_a_line_break(more):
    assert pitches("GABc!dedB!c8|!", more=more) == [67, 69, 71, 72, 74, 76, 74, 71, 72]
    assert [s.velocity for s in sheet("C!+p+C!f!+trill+C+ff+C", more=more).voices[0].symbols if s.pitches[0] == 60] == [
        80,
        60,
        60,
        120,
    ]
    assert pitches(f"G!p!A\n{more}!AB!A") == [67, 69, 69, 71, 69]  # from there on


def test_a_plus_may_be_the_sign_of_decorations():
    assert [s.velocity for s in sheet("C+p+C!f!C+trill+", more="I:decoration +\n").voices[0].symbols] == [80, 60, 105]
    assert pitches("C!p!D", more="I:linebreak $\n") == [60, 62]
    assert pitches("C!p!D", more="I:linebreak <none>\n") == [60, 62]
    with pytest.raises(AbcError, match=r"line 8, column 1: '\+': chords are written"):
        sheet("+p+C", more="I:decoration +\nI:decoration !\n")
    for directive, legal in (
        ("linebreak ;", "<EOL> [$] [*] ! <none>"),
        ("linebreak", "<EOL>"),
        ("decoration $", "! and [+]"),
    ):
        with pytest.raises(AbcError, match=rf"line 5, column \d: {directive.split()[0]}.*legal are {legal}"):
            sheet("C", more=f"I:{directive}\n")


def test_unknown_decorations_are_left_out_and_named_once():
    with pytest.warns(UserWarning) as said:
        assert pitches("GABc!dedB!c\nV:2\nG!dedB!A!zap!B!trill!c!>!d!+!e") == [67, 69, 71, 72, 72]
    assert [str(warning.message) for warning in said] == [
        "line 6: decorations that ABC does not have are left out: !dedB! (line 6), !zap! (line 8); if ! ends lines of print, "
        "I:linebreak ! has to say so"
    ]


def test_what_is_not_notes_is_skipped():
    text = 'X:1\nT:t\nR:reel\nL:1/8\nU:T=!trill!\nK:C % the key\n%%staves [1 2]\n"Am7"~A{gf}.B(c"^slow"d) vuC !fermata!D\\\n'
    text += "w:la la % la\n% a comment\nTE`F $ y2 {/g}G* [r:remark]A |\nW:more\nN: 100\\%\n"
    assert [p for s in read_abc(text).voices[0].symbols for p in s.pitches] == [69, 71, 72, 74, 60, 62, 64, 65, 67, 69]


@pytest.mark.parametrize("letter", ["w", "W", "s", "r", "N", "T", "P"])
@pytest.mark.parametrize("bar", ["|", "|:", ":|"])
def test_a_field_of_text_may_begin_with_a_bar(letter, bar):
    assert sheet(f"CDEF|GABc|\n{letter}:{bar} la la\ncBAG|") == sheet("CDEF|GABc|\ncBAG|")


@pytest.mark.parametrize("note", ["C", "g", "z", "x", "Z"])
def test_a_note_or_rest_may_stand_before_a_repeat_at_the_start_of_a_line(note):
    assert sheet(f"|:DDDD DDD\n{note}:|") == sheet(f"|:DDDD DDD {note}:|")


@pytest.mark.parametrize("bar", ["|", "||", "|]"])
def test_a_bar_line_may_go_on_in_the_next_line(bar):
    assert sheet(f"CDEF GABc{bar} \\\n:cBAG FEDC:|") == sheet(f"CDEF GABc{bar}:cBAG FEDC:|")
    with pytest.raises(AbcError, match="line 7, column 1: a single ':'"):
        sheet(f"CDEF GABc{bar}\n:cBAG FEDC:|")


def test_errors_after_a_bar_line_that_goes_on_are_where_they_were():
    with pytest.raises(AbcError, match="line 7, column 3: accidentals"):
        sheet("CDEF GABc|\\\n:c#BAG")


def test_titles():
    assert read_abc("X:1\nT:Caf\\'e \\u00e9 &eacute; 50\\% \\& \\\\ % no\nT:second\nK:C\n").title == "Café é é 50% & \\"


def test_tunes_of_a_file_are_chosen_by_number():
    text = "%abc\nL:1/4\nfree text\n\nX:3\nT:a\nK:C\nC\n\nsome text CDE\nX:7\nT:b\nK:C\nD|\n%\nE\n\nF"
    assert list_tunes(text) == [3, 7]
    assert [s.duration for s in read_abc(text).voices[0].symbols] == [1]
    assert [s.pitches[0] for s in read_abc(text, 7).voices[0].symbols] == [62, 64]
    with pytest.raises(AbcError, match=r"no tune X:4: there are 3, 7"):
        read_abc(text, 4)


def test_a_fragment_needs_no_number():
    assert [s.pitches[0] for s in read_abc("M:4/4\r\nL:1/4\r\nK:G\r\nFG\r\n").voices[0].symbols] == [66, 67]


@pytest.mark.parametrize(
    ("music", "line", "column", "reason"),
    [
        ("C D#", 6, 4, "accidentals stand before the note"), ("CD\nE F^", 7, 4, "an accidental without a note"),
        ("C [CE", 6, 3, "a chord without its closing ]"), ("C ]", 6, 3, "without a chord"), ("[]", 6, 2, "a chord without notes"),
        ("C {ga", 6, 3, "grace notes without"), ('C "Am', 6, 3, "a text without"), ("C4 2", 6, 4, "a length without a note"),
        ("C0", 6, 1, "more than 0"), ("C/0", 6, 1, "more than 0"), ("C9999999", 6, 1, "at most six digits"),
        ("C5000", 6, 1, "at most 4096"),
        (">C", 6, 1, "without a note before it"), ("C>", 6, 2, "without a note after it"), ("-C", 6, 1, "a tie without a note"),
        ("(1AB", 6, 1, "legal are"), ("C C,,,,,,", 6, 3, "MIDI pitch -12"), ("c''''''", 6, 1, "MIDI pitch 144"),
        ("C : D", 6, 3, "single ':'"),
        ("+CEG+", 6, 1, "written"), ("C é", 6, 3, "no symbol"), ("[K:X]C", 6, 1, "key 'X'"), ("C\nM:4/5", 7, 3, "metre '4/5'"),
        ("C [L:0/4]", 6, 3, "unit length"), ("Q:1/4=1", 6, 3, "legal are 3.5"), ("V:", 6, 3, "V: without"),
        ("V:1 clef=top", 6, 3, "clef"), ("%%MIDI program 128", 6, 3, "0 to 127"), ("Z0", 6, 1, "legal are rests"),
        ("^/C", 6, 1, "microtones"), ("C(&D", 6, 2, "overlays"), ("K:Gzap", 6, 3, "mode 'zap'"), ("[C[E]]", 6, 3, "in a chord"),
        ("|[0 C", 6, 1, "ending"),
        ("C8|D8|\n&& E8|F8|", 7, 1, "'&' before"), ("C8 && E8|", 6, 5, "'&' before"), ("C8|& E8|", 6, 4, "'&' before"),
    ],
)  # fmt: skip
def test_errors_say_where(music, line, column, reason):
    with pytest.raises(AbcError) as caught:
        sheet(music)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


def test_a_tune_needs_its_header():
    for words in ("CDE|", "3/8=120"):  # music, or a field without its letter
        with pytest.raises(AbcError, match=f"^line 3, column 1: '{re.escape(words)}' before the key"):
            read_abc(f"X:1\nM:4/4\n{words}\nK:C\n")
    with pytest.raises(AbcError, match=r"^line 2: a tune without a key"):
        read_abc("free text\nX:1\nM:4/4\n")
    for text in ("", "\n\n", "CDEF|", "hello"):
        with pytest.raises(AbcError, match="no tune"):
            read_abc(text)


def test_the_dialect_of_language_models_is_an_error_that_says_why():
    """A published recipe prints octave-default and accidentals after notes as if they were ABC."""
    head = "X:1\nM:4/4\nL:1/16\nK:none\n"
    with pytest.raises(
        AbcError, match=r"^line 5, column 3: octave-default is not ABC: an octave is written with the note"
    ):
        read_abc(head + '%%octave-default C4\nV:1 name="Violin"\nE4 F4|')
    with pytest.raises(AbcError, match=r"^line 6, column 3: accidentals stand before the note, as in \^F and _B"):
        read_abc(head + 'V:1 name="Violin"\nF4# G4|')
    sheet = read_abc(
        'X:1\nM: 4/4\nL:1/16\nQ:1/4=67\nK:none\nV:1 name="Violin"\n[E3C3]z [e12g12]|'
    )  # this much of it is ABC
    assert [(s.duration, s.pitches) for s in sheet.voices[0].symbols] == [(F(3, 4), (60, 64)), (3, (76, 79))]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("P:AABB\n", "order of parts"),
        ("m:~G3=G{A}G\n", "macros"),
        ("%%MIDI transpose 3\n", "transpose"),
        ("%%MIDI drummap ^g 42\n", "drummap"),
        ("Q:1/4=ca. 120\n", "tempo '1/4=ca. 120' is left out"),
        ("Q:fast=120\n", "tempo 'fast=120' is left out"),
        ("L:auto\n", "L:auto is left out"),
    ],
)
def test_what_changes_the_sound_and_is_not_followed_is_said(line, said):
    with pytest.warns(UserWarning, match=said):
        sheet("C", more=line)


def test_a_whole_tune():
    tune = read_abc(
        "X:12\nT:The Test Jig\nC:Trad.\nR:jig\nM:6/8\nL:1/8\nQ:3/8=120\nK:Dmix\n"
        '|:A|"D"d2f (afd)|"C"{d}e3 =c2B|~A2A [DF]>GA|1 d3-d2:|2 d3-d3||\n'
        "w:la la la\n|:\\\nf^gg (3fga f|[K:A]g3 a2 g:|]\n"
    )
    assert tune.upbeat == F(1, 2)
    assert tune.tempi == (Tempo(F(0), 180.0),)
    assert tune.keys == (
        Key(F(0), 7, "major"),
        Key(F(55, 2), 9, "major"),
        Key(F(61, 2), 7, "major"),
        Key(F(67, 2), 9, "major"),
    )
    first = [(float(s.onset * 2), s.pitches[0]) for s in tune.voices[0].symbols[:6]]
    assert first == [(0, 69), (1, 74), (3, 78), (4, 81), (5, 78), (6, 74)]
