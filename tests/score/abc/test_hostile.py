"""Any text gives a sheet or an AbcError, in bounded time and memory; a sheet that was read can be written and read again."""

import tracemalloc
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.score.abc import AbcError, list_tunes, read_abc, write_abc
from solfa.score.abc.limits import MAX_SOUNDS, Budget

HEAD = "X:1\nT:x\nM:4/4\nL:1/8\nK:C\n"
MUSIC = [
    "A",
    "B2",
    "c'",
    "d/2",
    "C,",
    "|",
    "|",
    "|:",
    ":|",
    "::",
    "|1",
    ":|2",
    "C-C",
    "[CE-]E",
    "E>F",
    "z",
    "Z",
    "(3ABc",
    "^F",
    "=F",
    "_B4",
    " ",
]
ODD = [
    "[", "]", "[1,3", "(5:4:3", "(", ")", "<<", "&", "&C8", "Z7", "x3", "!f!", "!", '"Am"', '"', "{ab}", "{", "^", "^^", "__", "-", "//",
    "[K:Am]", "[M:3/4]", "[M:7/16]", "[L:1/16]", "[L:3/7]", "[Q:1/4=90]", "[V:2]", "[V:x]", "\n", "\n\n", "K:G\n", "\nM:C|\n", "\nM:none\n",
    "\nV:2 bass\n", "\n%%MIDI program 3\n", "\n%%MIDI channel 10\n", "\nw: la\n", "\nX:2\n", '\nQ:"Allegro"\n', "\nQ:120\n", "$", "y", "~",
    "#", "\\\n", "+", "%c\n", "1", "99999", "[K:", "é", "\x00", ":", "'", ",", "\nP:A\n", "\nI:propagate-accidentals not\n", "`", ".",
    "||", "|]", "[|", "[|]", "||:", ":||", "|2", "&&", " & c4", "[I:MIDI program 40]", "[I:linebreak !]", "[I:decoration +]",
    "!p!", "+f+", "!x!",
]  # fmt: skip


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check(text):
    """Read it; if it can be read, the sheet keeps the promises of a sheet, and survives being written."""
    try:
        sheet = read_abc(text)
    except AbcError as error:
        assert error.line >= 1 and error.column >= 0
        return
    assert sheet.metres[0].onset == 0 and 0 <= sheet.upbeat < sheet.metres[0].quarters
    for before, after in zip(sheet.metres, sheet.metres[1:], strict=False):
        first_bar = before.onset or sheet.upbeat
        assert after.onset >= first_bar and (after.onset - first_bar) % before.quarters == 0
    for voice in sheet.voices:
        end = 0
        for symbol in voice.symbols:
            assert symbol.onset >= end and symbol.duration > 0
            assert (
                symbol.pitches == tuple(sorted(set(symbol.pitches)))
                and 0 <= symbol.pitches[0] <= symbol.pitches[-1] <= 127
            )
            end = symbol.onset + symbol.duration
    try:
        again = read_abc(write_abc(sheet))
    except ValueError as error:
        assert "finer than" in str(error) or "a tuplet of" in str(error)
        return
    assert (again.metres, again.upbeat, again.title) == (sheet.metres, sheet.upbeat, sheet.title)
    assert [[(s.onset, s.duration, s.pitches) for s in v.symbols] for v in again.voices] == [
        [(s.onset, s.duration, s.pitches) for s in v.symbols] for v in sheet.voices
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(MUSIC * 6 + ODD), max_size=25).map("".join))
def test_music_with_odd_things_in_it(music):
    check(HEAD + music)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(alphabet=st.characters(), max_size=60)
    | st.lists(st.sampled_from([*MUSIC, *ODD, HEAD]), max_size=15).map("".join)
)
def test_any_text(text):
    check(text)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from("MLQKVITP"), st.text(alphabet="CDGabm/|=+-0123456789. \"'()xnoeclf", max_size=14))
def test_any_field(name, text):
    check(f"X:1\n{name}:{text}\nK:C\nCD|\n{name}:{text}\nEF|")


@pytest.mark.parametrize(
    ("music", "reason"),
    [
        ("C" * 10001, "more than 10000 notes and rests"),
        ("|:" + "C8|" * 300 + "C " + ":" * 5000 + "|", "more than 10000 notes and rests"),
        ("|: C |1-99 " + "D" * 5000 + ":|", "more than 10000 notes and rests"),
        ("|: C |1-99 D :|" * 500, "more than 10000 notes and rests"),
        ("Z9999|" * 3, "more than 10000 notes and rests"),
        ("[" + "C" * 127 + "]" + "[" + "C" * 129 + "]", "a chord of more than 128 notes"),
        ("C4096" * 600, "more than 1048576 quarter notes"),
        ("".join(f"C/{n} " for n in range(1001, 2001, 2)), "no common measure"),
        ("".join(f"V:{n}\nC\n" for n in range(300)), "more than 256 voices"),
        ("&".join(f"C{n}" for n in range(1, 100)), "more than 64 lines that overlap"),
        ("C" + "9" * 5000, "at most six digits"),
        ("C" + "," * 5000, "MIDI pitch"),
        ("Q:1/4=" + "9" * 5000, "tempo"),
        ("K:C " + "^" * 5000 + "\n", ""),
        ("[K:" * 5000, "single ':'"),
        ("C>" + ">" * 5000 + "D", "broken rhythm"),
    ],
)
def test_bombs(music, reason, monkeypatch):
    """What would grow without end is an error, in little memory. The limit of notes is 200,000; here less, for speed."""
    monkeypatch.setattr("solfa.score.abc.read.Budget", lambda: Budget(10_000))
    tracemalloc.start()
    try:
        if reason:
            with pytest.raises(AbcError, match=reason):
                read_abc(HEAD + music)
        else:
            check(HEAD + music)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("music", ["CzD2|", "[CE]zZ|", "|:Cz:|", "(3CDEz|"])
def test_every_note_and_every_rest_counts_once(music, monkeypatch):
    monkeypatch.setattr("solfa.score.abc.read.Budget", lambda: Budget(40))
    names = {"CzD2|": 13, "[CE]zZ|": 10, "|:Cz:|": 10, "(3CDEz|": 10}
    read_abc(HEAD + music * names[music])
    with pytest.raises(AbcError, match="a tune of more than 40 notes and rests, repeats played out"):
        read_abc(HEAD + music * (names[music] + 1))


def test_the_limit_of_notes():
    assert Budget().most == MAX_SOUNDS == 200_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("C" * 4_000_001, "4000001 characters"),
        ("\n" * 200_001, "200002 lines"),
        ("X:1\nT:a\n" + "+:" + "b" * 9000 + "\n+:b" * 9000, "a field of more than 10000 characters"),
        ("X:12345678901\nK:C\n", "tune number"),
    ],
)
def test_texts_that_are_too_large(text, reason):
    with pytest.raises(AbcError, match=reason):
        list_tunes(text)
