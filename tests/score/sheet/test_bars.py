"""Printable pieces: they sum to bars, say what the symbols say, and stand where a reader expects them."""

from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score.sheet.bars import bar_lines, bars
from solfa.score.sheet.lengths import Metrical
from solfa.score.sheet.notation import BarLength, Key, Sheet, Symbol, Tempo, Voice, beats_of, sheet_score

METRES = [
    (4, 4),
    (3, 4),
    (2, 4),
    (6, 8),
    (9, 8),
    (12, 8),
    (5, 4),
    (7, 8),
    (2, 2),
    (3, 8),
    (5, 8),
    (6, 4),
    (1, 4),
    (11, 16),
]


def sheet_of(spans, metre=(4, 4), upbeat=F(0)):
    symbols = tuple(Symbol(F(onset), F(length), (60,)) for onset, length in spans)
    voice = Voice("a", 0, False, "treble", symbols)
    return Sheet((voice,), (BarLength(F(0), *metre),), upbeat=F(upbeat))


def shown(spans, metre=(4, 4), upbeat=F(0)):
    """Bars as text: n or z, the head's value, dots, brackets, and a tie as "-"."""
    sheet = sheet_of(spans, metre, upbeat)
    result = []
    for bar in bars(sheet, sheet.voices[0]):
        words = []
        for p in bar.pieces:
            head = "Z" if p.whole_bar else f"{'z' if p.is_rest else 'n'}{p.value}"
            bracket = f"({p.tuplet.actual}:{p.tuplet.normal} " if p.tuplet and p.tuplet_start else ""
            words.append(f"{bracket}{head}{'.' * p.dots}{'-' if p.tie_out else ''}{')' if p.tuplet_stop else ''}")
        result.append(" ".join(words))
    return result


@st.composite
def sheets(draw):
    """A voice of random lengths and gaps, plain and in tuplets, under one or two metres."""
    first, second = draw(st.sampled_from(METRES)), draw(st.sampled_from(METRES))
    metres = [BarLength(F(0), *first)]
    upbeat = F(draw(st.integers(0, metres[0].numerator - 1)) * 4, metres[0].denominator)
    metres.append(BarLength(upbeat + draw(st.integers(1, 3)) * metres[0].quarters, *second))
    grain = draw(st.sampled_from([4, 8, 12, 24, 10, 28]))
    now, symbols = F(0), []
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 40)), max_size=25)):
        now += F(max(0, gap - 10), grain)
        pitches = tuple(sorted(draw(st.sets(st.integers(0, 127), min_size=1, max_size=3))))
        symbols.append(Symbol(now, F(length, grain), pitches, 1 + length))
        now += F(length, grain)
    voice = Voice("a", 0, False, "treble", tuple(symbols))
    return Sheet((voice, Voice("b", 0, False, "bass", ())), tuple(metres[: draw(st.integers(1, 2))]), upbeat=upbeat)


@settings(deadline=None, max_examples=150)
@given(sheets(), st.lists(st.fractions(0, 20, max_denominator=8), max_size=3))
def test_pieces_fill_their_bars_and_join_to_the_symbols(sheet, cuts):
    voice = sheet.voices[0]
    joined, now = [], F(0)
    for bar in bars(sheet, voice, cuts):
        assert bar.line.onset == now
        for piece in bar.pieces:
            assert piece.onset == now
            now += piece.duration
            assert not any(piece.onset < cut < now for cut in cuts)
            if piece.is_rest:
                assert not piece.tie_in and not piece.tie_out
            elif piece.tie_in:
                last = joined[-1]
                assert (last.onset + last.duration, last.pitches) == (piece.onset, piece.pitches)
                joined[-1] = Symbol(last.onset, last.duration + piece.duration, last.pitches, last.velocity)
            else:
                joined.append(Symbol(piece.onset, piece.duration, piece.pitches, piece.velocity))
        assert now == bar.line.end
    assert tuple(joined) == voice.symbols


@settings(deadline=None, max_examples=150)
@given(sheets())
def test_heads_dots_and_tuplets_give_the_duration(sheet):
    for bar in bars(sheet, sheet.voices[0]):
        inside = None
        for p in bar.pieces:
            if p.whole_bar:
                continue
            assert p.value.numerator & (p.value.numerator - 1) == 0 == p.value.denominator & (p.value.denominator - 1)
            assert p.dots in (0, 1)
            stretch = F(p.tuplet.normal, p.tuplet.actual) if p.tuplet else 1
            assert p.value * (2 - F(1, 2**p.dots)) * stretch == p.duration
            assert p.tuplet_start == (p.tuplet is not None and inside is None)
            inside = None if p.tuplet_stop else p.tuplet
            assert inside in (None, p.tuplet)
        assert inside is None


@settings(deadline=None, max_examples=50)
@given(sheets())
def test_bars_are_those_of_the_metre_for_every_voice(sheet):
    lines = list(bar_lines(sheet))
    assert (
        [bar.line for bar in bars(sheet, sheet.voices[0])]
        == lines
        == [bar.line for bar in bars(sheet, sheet.voices[1])]
    )
    assert all(line.duration == line.metre.quarters for line in lines if line.number)
    assert [line.number for line in lines] == list(
        range(0 if sheet.upbeat else 1, len(lines) + (0 if sheet.upbeat else 1))
    )


@pytest.mark.parametrize(
    ("spans", "metre", "expected"),
    [
        ([], (4, 4), ["Z"]),
        ([], (7, 8), ["Z"]),
        ([(0, 4)], (4, 4), ["n4"]),
        ([(0, F(7, 2)), (F(7, 2), 1)], (4, 4), ["n2- n1. n1/2-", "n1/2 z1/2 z1 z2"]),
        ([(F(1, 2), 3)], (4, 4), ["z1/2 n1.- n1. z1/2"]),  # the middle of the bar is shown
        ([(0, F(1, 2)), (F(1, 2), 1)], (4, 4), ["n1/2 n1 z1/2 z2"]),  # leaning over a weak beat is not
        ([(0, 1), (3, 1)], (4, 4), ["n1 z1 z1 n1"]),  # a rest does not lean over the middle
        ([(0, 2)], (6, 8), ["n1.- n1/2 z1/2 z1/2"]),
        ([(0, 1), (1, 1), (2, 1)], (3, 4), ["n1 n1 n1"]),
        ([(0, 1), (1, 1), (2, 1)], (6, 8), ["n1 n1/2- n1/2 n1"]),
        ([(0, F(5, 2))], (3, 4), ["n2- n1/2 z1/2"]),
        ([(0, F(7, 2))], (7, 8), ["n2- n1."]),
        ([(F(n, 3), F(1, 3)) for n in range(3)], (2, 4), ["(3:2 n1/2 n1/2 n1/2) z1"]),
        ([(F(2 * n, 3), F(2, 3)) for n in range(3)], (4, 4), ["(3:2 n1 n1 n1) z2"]),
        ([(F(4 * n, 3), F(4, 3)) for n in range(3)], (4, 4), ["(3:2 n2 n2 n2)"]),
        ([(0, F(2, 3)), (F(2, 3), F(2, 3))], (2, 4), ["(3:2 n1 n1 z1)"]),
        ([(0, F(2, 3)), (F(2, 3), F(4, 3))], (3, 4), ["(3:2 n1 n2) z1"]),
        ([(0, F(1, 2)), *((F(1, 2) + F(n, 6), F(1, 6)) for n in range(3))], (1, 4), ["n1/2 (3:2 n1/4 n1/4 n1/4)"]),
        ([(F(n, 5), F(1, 5)) for n in range(5)], (1, 4), ["(5:4 n1/4 n1/4 n1/4 n1/4 n1/4)"]),
    ],
)
def test_what_a_reader_expects(spans, metre, expected):
    assert shown(spans, metre) == expected


def test_an_upbeat_is_the_end_of_a_bar():
    assert shown([(0, 1), (1, 1)], (3, 4), F(1)) == ["n1", "n1 z1 z1"]
    assert shown([(0, F(1, 3))], (2, 4), F(1, 3)) == ["(3:2 n1/2)", "Z"]


def test_changes_are_told_by_the_bar_they_begin_in():
    sheet = sheet_of([(0, 8)])
    keys = (Key(F(0), 0, "major"), Key(F(4), 7, "major"))
    tempi = (Tempo(F(0), 90.0), Tempo(F(3), 80.0), Tempo(F(5), 70.0))
    sheet = Sheet(sheet.voices, sheet.metres, keys, tempi)
    lines = list(bar_lines(sheet))
    assert [line.keys for line in lines] == [keys[:1], keys[1:]]
    assert [line.tempi for line in lines] == [tempi[:2], tempi[2:]]
    assert [line.new_metre for line in lines] == [True, False]


def test_beats():
    assert beats_of(BarLength(F(0), 7, 8)) == [0, 1, 2]
    assert beats_of(BarLength(F(0), 9, 8)) == [0, F(3, 2), 3]
    assert beats_of(BarLength(F(0), 2, 2)) == [0, 2]
    for numerator, denominator in METRES:
        metre = BarLength(F(0), numerator, denominator)
        levels = [Metrical(metre).level(beat) for beat in beats_of(metre)]
        assert levels[0] == 3 and all(level in (1, 2) for level in levels[1:])


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (sheet_of([(0, 2), (1, 1)]), "before the last has ended"),
        (sheet_of([(0, 0)]), "a length above 0"),
        (sheet_of([(-1, 1)]), "before the last has ended"),
        (sheet_of([(0, F(1, 2048))]), "1024th"),
        (sheet_of([(0, 1)], upbeat=4), "upbeat"),
        (Sheet((), (BarLength(F(0), 4, 4), BarLength(F(3), 3, 4))), "bar lines only"),
    ],
)
def test_what_cannot_be_printed_is_named(sheet, message):
    with pytest.raises(ValueError, match=message):
        for voice in (*sheet.voices, Voice("", 0, False, "treble", ())):
            list(bars(sheet, voice))


def test_a_sheet_in_seconds():
    sheet = sheet_of([(0, 1), (1, F(1, 3))], (3, 4), F(1))
    second = Voice("a", 0, False, "bass", (Symbol(F(2), F(1), (40, 44), 99),))
    drums = Voice("kit", 0, True, "percussion", (Symbol(F(0), F(1, 2), (36,)),))
    tempi = (Tempo(F(0), 60.0), Tempo(F(1), 120.0))
    score = sheet_score(Sheet((*sheet.voices, second, drums), sheet.metres, (Key(F(0), 9, "minor"),), tempi, F(1)))
    assert [part.name for part in score.parts] == ["a", "kit"]
    assert [(n.onset, n.offset, n.pitch) for n in score.parts[0].notes] == [
        (0.0, 1.0, 60), (1.0, 7 / 6, 60), (1.5, 2.0, 40), (1.5, 2.0, 44),
    ]  # fmt: skip
    assert [(m.time, m.numerator, m.denominator) for m in score.metres] == [(0.0, 1, 4), (1.0, 3, 4)]
    assert score.parts[1].notes[0].is_drum and score.keys[0].tonic == 9
