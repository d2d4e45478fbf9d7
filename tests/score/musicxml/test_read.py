import io
import tracemalloc
import zipfile
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score import KeySignature, Metre, Pedal
from solfa.score.musicxml.read import MusicXmlError, read_musicxml
from solfa.score.quantising.quantise import quantise
from solfa.score.sheet.bars import bar_lines


def listed(
    name="Flute", instruments='<midi-instrument id="I1"><midi-program>74</midi-program></midi-instrument>', key="P1"
):
    return f'<score-part id="{key}"><part-name>{name}</part-name>{instruments}</score-part>'


PARTS = f"<part-list>{listed()}</part-list>"


def document(measures, head=PARTS):
    body = "".join(f'<measure number="{i}">{m}</measure>' for i, m in enumerate(measures))
    return f'<?xml version="1.0"?><score-partwise version="4.0">{head}<part id="P1">{body}</part></score-partwise>'.encode()


def note(step="C", octave=4, duration=1, extra="", alter=None):
    change = f"<alter>{alter}</alter>" if alter is not None else ""
    return f"<note>{extra}<pitch><step>{step}</step>{change}<octave>{octave}</octave></pitch><duration>{duration}</duration></note>"


TIME = "<attributes><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
DIVISIONS = "<attributes><divisions>1</divisions></attributes>"


def heard(data):
    return [(round(n.onset, 6), round(n.offset, 6), n.pitch) for n in read_musicxml(data).notes]


def test_notes_chords_and_rests():
    rest = "<note><rest/><duration>1</duration></note>"
    data = document(
        [DIVISIONS + note("C") + note("E", extra="<chord/>") + rest + note("F", alter=1, duration=2), note("B", 3)]
    )
    assert heard(data) == [(0.0, 0.5, 60), (0.0, 0.5, 64), (1.0, 2.0, 66), (2.0, 2.5, 59)]
    assert {n.program for n in read_musicxml(data).notes} == {73}
    assert read_musicxml(data).parts[0].name == "Flute"


def test_backup_and_forward_make_voices():
    data = document(
        [
            DIVISIONS
            + note("C", duration=4)
            + "<backup><duration>4</duration></backup><forward><duration>2</duration></forward>"
            + note("G", duration=2),
            note("D"),
        ]
    )
    assert heard(data) == [(0.0, 2.0, 60), (1.0, 2.0, 67), (2.0, 2.5, 62)]


def test_ties_join_over_bar_lines_and_through_several_notes():
    start, both, stop = '<tie type="start"/>', '<tie type="stop"/><tie type="start"/>', '<tie type="stop"/>'
    tied = [
        n.replace("</duration>", f"</duration>{tie}") for n, tie in ((note(), start), (note(), both), (note(), stop))
    ]
    assert heard(document([DIVISIONS + tied[0], tied[1], tied[2] + note()])) == [(0.0, 1.5, 60), (1.5, 2.0, 60)]


def test_tuplets_of_any_kind_fall_on_ticks():
    data = document(
        [
            "<attributes><divisions>315</divisions></attributes>"
            + "".join(note(duration=n) for n in (105, 105, 105, 45, 63))
        ]
    )
    assert [n[0] for n in heard(data)] == pytest.approx([0, 1 / 6, 1 / 3, 0.5, 0.5 + 1 / 14], abs=1e-6)
    assert read_musicxml(data).ticks_per_beat % 315 == 0


def test_tempo_metre_key_transposition_and_pedal():
    head = ("<attributes><divisions>1</divisions><key><fifths>-3</fifths><mode>minor</mode></key>"
            "<time><beats>2+3</beats><beat-type>8</beat-type></time>"
            "<transpose><chromatic>-2</chromatic></transpose></attributes>")  # fmt: skip
    pedal = '<direction><direction-type><pedal type="{}"/></direction-type></direction>'
    faster = '<direction><direction-type><words>quick</words></direction-type><sound tempo="120"/></direction>'
    data = document(
        [
            head
            + '<sound tempo="60"/>'
            + pedal.format("start")
            + note("D", 5)
            + faster
            + note("E", 5)
            + pedal.format("stop")
        ]
    )
    score = read_musicxml(data)
    assert [(n.onset, n.offset, n.pitch) for n in score.notes] == [(0.0, 1.0, 72), (1.0, 1.5, 74)]
    assert [(t.time, t.bpm) for t in score.tempi] == [(0.0, 60.0), (1.0, 120.0)]
    assert score.metres == (Metre(0.0, 5, 8),)
    assert score.keys == (KeySignature(0.0, 10, "minor"),)  # C minor written, B flat minor sounding
    assert score.pedals == (Pedal(0.0, 1.5, 0),)


def test_of_keys_at_one_time_the_first_part_has_the_say():
    """A mode that is not said is none: most programs write it, some only in one part."""
    key = "<attributes><divisions>1</divisions><key><fifths>{}</fifths>{}</key></attributes>"
    head = f"<part-list>{listed('A', '')}{listed('B', '', 'P2')}</part-list>"
    minor, major = "<mode>minor</mode>", "<mode>major</mode>"
    for first, second, tonic, mode in [
        ((1, minor), (1, major), 4, "minor"),
        ((1, minor), (1, ""), 4, "minor"),
        ((1, ""), (1, minor), 4, "minor"),
        ((-3, major), (0, ""), 3, "major"),  # timpani, which are written without
        ((-3, ""), (0, minor), 3, "major"),
    ]:
        parts = "".join(
            f'<part id="P{i}"><measure>{key.format(*each)}{note(duration=4)}</measure></part>'
            for i, each in ((1, first), (2, second))
        )
        score = read_musicxml(f"<score-partwise>{head}{parts}</score-partwise>".encode())
        assert score.keys == (KeySignature(0.0, tonic, mode),), (first, second)


def test_long_decimals_and_programs_of_none_are_read():
    """As music21 and MuseScore 1 write them."""
    none = '<midi-instrument id="I1"><midi-program>0</midi-program><midi-unpitched>0</midi-unpitched></midi-instrument>'
    head = f"<part-list>{listed('Flute', none)}</part-list>"
    score = read_musicxml(
        document([DIVISIONS + '<sound tempo="133.33333333333334"/>' + note(duration="4.0000000001")], head)
    )
    assert score.parts[0].program == 0 and score.tempi[0].bpm == pytest.approx(400 / 3, abs=1e-6)
    with pytest.raises(MusicXmlError, match="not a number of at most nine digits before its point"):
        read_musicxml(document([DIVISIONS + note(duration="1234567890.5")]))


def test_directions_stand_where_their_offsets_say():
    pedal = '<direction><direction-type><pedal type="{}"/></direction-type><offset>{}</offset></direction>'
    tempo = "<direction><direction-type><words>x</words></direction-type><offset{}>-2</offset><sound tempo='60'>{}</sound></direction>"
    start = DIVISIONS + note(duration=4) + pedal.format("start", -4) + pedal.format("stop", -1)
    for sound, own, at in (("", "", 2.0), (' sound="yes"', "", 1.0), ("", "<offset>-3</offset>", 0.5)):
        score = read_musicxml(document([start + tempo.format(sound, own) + note(duration=4)]))
        assert [(t.time, t.bpm) for t in score.tempi][-1] == (at, 60.0)
        assert score.pedals[0].onset == 0.0


def test_a_metronome_mark_counts_in_its_own_unit():
    mark = "<metronome><beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>80</per-minute></metronome>"
    mark = f"<direction><direction-type>{mark}</direction-type></direction>"
    assert read_musicxml(document([DIVISIONS + mark + note()])).tempi[0].bpm == pytest.approx(120.0)


def test_parts_stay_together_where_one_leaves_a_bar_short():
    head = f"<part-list>{listed('A', '')}{listed('B', '', 'P2')}</part-list>"
    first, second, third = DIVISIONS + note(duration=4), note(duration=1), note("D")
    upper = "".join(f"<measure>{m}</measure>" for m in (first, second, third))
    lower = "".join(f"<measure>{m}</measure>" for m in (DIVISIONS + note("G"), note("G", duration=4), note("A")))
    data = f'<score-partwise>{head}<part id="P1">{upper}</part><part id="P2">{lower}</part></score-partwise>'
    assert [n[0] for n in heard(data.encode())] == [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]


def measured(lengths, implicit=()):
    """Measures of one note each, of so many sixteenths of a quarter, numbered from 0, in 4/4."""
    head = DIVISIONS.replace(">1<", ">16<") + TIME
    measures = [("" if index else head) + note(duration=length) for index, length in enumerate(lengths)]
    data = document(measures)
    for index in implicit:
        data = data.replace(b'number="%d"' % index, b'number="%d" implicit="yes"' % index)
    return data


def shown(data):
    """The metres that are read, and where the bars of the sheet end, both in sixteenths of a quarter."""
    score = read_musicxml(data)
    metres = [(round(metre.time * 32), metre.numerator, metre.denominator) for metre in score.metres]
    return metres, [line.end * 16 for line in bar_lines(quantise(score).sheet)]


@pytest.mark.parametrize(
    ("lengths", "implicit", "metres", "ends"),
    [
        ([64, 32, 64, 64], (), [(0, 4, 4), (64, 2, 4), (96, 4, 4)], [64, 96, 160, 224]),
        ([16, 64, 64], (), [(0, 1, 4), (16, 4, 4)], [16, 80, 144]),  # an upbeat, said or not
        ([16, 64, 64], (0,), [(0, 1, 4), (16, 4, 4)], [16, 80, 144]),
        ([16, 64, 48], (0,), [(0, 1, 4), (16, 4, 4)], [16, 80, 144]),  # the last may be short
        ([64, 80, 64, 64], (), [(0, 4, 4), (64, 5, 4), (144, 4, 4)], [64, 144, 208, 272]),
        ([64, 80], (), [(0, 4, 4), (64, 5, 4)], [64, 144]),
        ([64, 48, 16, 64], (2,), [(0, 4, 4)], [64, 128, 192]),  # split by a repeat
        ([64, 48, 16, 64], (), [(0, 4, 4), (64, 3, 4), (112, 1, 4), (128, 4, 4)], [64, 112, 128, 192]),
        ([32, 32, 64], (), [(0, 2, 4), (64, 4, 4)], [32, 64, 128]),
        ([64, 128, 64], (), [(0, 4, 4)], [64, 128, 192, 256]),
    ],
)
def test_measures_that_do_not_fill_their_metre_shift_no_other(lengths, implicit, metres, ends):
    assert shown(measured(lengths, implicit)) == (metres, ends)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 127).filter(lambda length: length != 64), min_size=1, max_size=12))
def test_bar_lines_stay_where_a_file_has_them(lengths):
    _, ends = shown(measured([*lengths, 64]))
    assert ends == [sum(lengths[: n + 1]) for n in range(len(lengths))] + [sum(lengths) + 64]


def test_an_upbeat_of_no_metre():
    """A third of a quarter: there is no such metre, so none is said before the first full bar."""
    data = document([DIVISIONS.replace(">1<", ">3<") + TIME + note(duration=1), note(duration=12)])
    assert read_musicxml(data).metres == (Metre(1 / 6, 4, 4),)
    assert quantise(read_musicxml(data)).sheet.upbeat == Fraction(1, 3)


def test_a_tie_across_a_rest_is_two_notes():
    tied = (
        note().replace("</duration>", '</duration><tie type="start"/>'),
        note().replace("</duration>", '</duration><tie type="stop"/>'),
    )
    rest = "<note><rest/><duration>1</duration></note>"
    assert heard(document([DIVISIONS + tied[0] + rest + tied[1]])) == [(0.0, 0.5, 60), (1.0, 1.5, 60)]


def test_a_bomb_is_not_unpacked():
    bomb = packed(bytes(160 << 20))
    tracemalloc.start()
    with pytest.raises(MusicXmlError, match="unpacks to more"):
        read_musicxml(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_timewise_is_the_same_score():
    first = f'<measure><part id="P1">{DIVISIONS}{note()}</part></measure>'
    wise = f'<score-timewise>{PARTS}{first}<measure><part id="P1">{note("G")}</part></measure></score-timewise>'
    assert read_musicxml(wise.encode()) == read_musicxml(document([DIVISIONS + note(), note("G")]))


def test_drums_take_the_keys_of_their_instruments():
    kit = (
        '<midi-instrument id="{}"><midi-channel>10</midi-channel><midi-unpitched>{}</midi-unpitched></midi-instrument>'
    )
    head = f"<part-list>{listed('Drums', kit.format('K', 37) + kit.format('S', 39))}</part-list>"
    hit = '<note><unpitched/><duration>1</duration><instrument id="{}"/></note>'
    part = read_musicxml(document([DIVISIONS + hit.format("K") + hit.format("S")], head)).parts[0]
    assert part.is_drum and [n.pitch for n in part.notes] == [36, 38]


def test_grace_notes_take_no_time_and_dynamics_count():
    loud = "<direction><direction-type><dynamics><ff/></dynamics></direction-type></direction>"
    grace = "<note><grace/><pitch><step>B</step><octave>4</octave></pitch></note>"
    score = read_musicxml(document([DIVISIONS + note() + loud + grace + note("D")]))
    assert [(n.onset, n.pitch, n.velocity) for n in score.notes] == [(0.0, 60, 80), (0.5, 62, 108)]


def repeated(times=2):
    return f'<barline location="right"><repeat direction="backward" times="{times}"/></barline>'


FORWARD = '<barline location="left"><repeat direction="forward"/></barline>'


def ending(number, music, stop="stop", more=""):
    return (
        f'<barline location="left"><ending number="{number}" type="start"/></barline>{music}'
        f'<barline location="right"><ending number="{number}" type="{stop}"/>{more}</barline>'
    )


BACK = '<repeat direction="backward"/>'
# Sections of measures, each with a bar line of its own, and the order in which they are played.
SECTIONS = {
    "plain": (["{}", "{}"], [0, 1]),
    "repeat": ([FORWARD + "{}", "{}" + repeated()], [0, 1, 0, 1]),
    "three times": ([FORWARD + "{}" + repeated(3)], [0, 0, 0]),
    "endings": ([FORWARD + "{}", ending(1, "{}", more=BACK), ending(2, "{}", "discontinue")], [0, 1, 0, 2]),
    "long endings": (
        [FORWARD + "{}", ending("1, 2", "{}", more=BACK), '<barline><ending number="3" type="start"/></barline>{}',
         '{}<barline><ending number="3" type="discontinue"/></barline>'],
        [0, 1, 0, 1, 0, 2, 3],
    ),
    "one ending": ([FORWARD + "{}", ending(1, "{}", more=BACK)], [0, 1, 0]),
}  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(sorted(SECTIONS)), min_size=1, max_size=6))
def test_repeats_and_endings_are_written_out(names):
    measures, order = [], []
    for name in names:
        forms, played = SECTIONS[name]
        order += [len(measures) + number for number in played]
        measures += forms
    pitches = ["CDEFGAB"[index % 7] + str(2 + index // 7) for index in range(len(measures))]
    music = [form.format(note(pitch[0], pitch[1], 4)) for form, pitch in zip(measures, pitches, strict=True)]
    plain = [note(pitches[index][0], pitches[index][1], 4) for index in order]
    score = read_musicxml(document([SIGNS + music[0], *music[1:]]))
    assert score == read_musicxml(document([SIGNS + plain[0], *plain[1:]]))


SIGNS = (
    "<attributes><divisions>1</divisions><key><fifths>1</fifths></key><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
    '<sound tempo="90" dynamics="50"/>'
)


def test_a_repeat_without_its_beginning_goes_back_to_the_end_of_the_one_before():
    music = [note("C", 4, 4) + repeated(), note("D", 4, 4), note("E", 4, 4) + repeated(), note("F", 4, 4)]
    assert [pitch for *_, pitch in heard(document([SIGNS + music[0], *music[1:]]))] == [60, 60, 62, 64, 62, 64, 65]


def test_a_repeat_brings_back_what_was_in_force():
    """Divisions, transposition, loudness, tempo, key and metre, said where it goes back to or long before."""
    first = SIGNS + note("C", 4, 4)
    other = (
        "<attributes><divisions>2</divisions><key><fifths>3</fifths></key><time><beats>3</beats><beat-type>4</beat-type></time>"
        '<transpose><chromatic>2</chromatic></transpose></attributes><sound tempo="120" dynamics="100"/>'
    )
    again = SIGNS.replace("</divisions>", "</divisions><transpose><chromatic>0</chromatic></transpose>")
    score = read_musicxml(
        document([first, FORWARD + note("D", 4, 4), other + note("E", 4, 6) + repeated(), note("F", 4, 6)])
    )
    plain = [
        first,
        note("D", 4, 4),
        other + note("E", 4, 6),
        again + note("D", 4, 4),
        other + note("E", 4, 6),
        note("F", 4, 6),
    ]
    assert score == read_musicxml(document(plain))


def test_a_repeat_splits_no_bar_and_no_tie():
    """An upbeat and the bar that leaves it out are one where the repeat joins them; a tie goes on into each ending."""
    upbeat, full, rest = note("C", 4, 1), note("D", 4, 4), note("E", 4, 3)
    split = document([SIGNS + upbeat, full, rest + repeated(), full])
    plain = document([SIGNS + upbeat, full, rest + upbeat, full, rest, full])
    first, implicit = b'number="0"', b'number="0" implicit="yes"'
    assert shown(split.replace(first, implicit)) == shown(plain.replace(first, implicit))
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    tied = [
        FORWARD + note("C", 4, 4, start),
        ending(1, note("C", 4, 4, stop), more=BACK),
        ending(2, note("C", 4, 4, stop)),
    ]
    tied[0] = TIME + DIVISIONS + tied[0]
    assert heard(document(tied)) == [(0.0, 4.0, 60), (4.0, 8.0, 60)]


@pytest.mark.parametrize(
    ("measures", "reason"),
    [
        ([note() * 200 + repeated(99)], "more than 1000 notes"),
        ([note() + repeated(99)] * 40, "more than 1000 notes"),
        ([repeated(99)] * 40, "add more than 1000 measures"),
        ([note() + repeated(100)], "a repeat of '100' times: legal are 1 to 99"),
        ([note() + repeated("9" * 5000)], "a repeat of '9999"),
        ([ending("1-100", note())], "an ending of number '1-100'"),
        ([ending("0", note())], "an ending of number '0'"),
    ],
)
def test_repeats_without_end_are_an_error(measures, reason, monkeypatch):
    """The limits are 500,000 notes and 100,000 measures; here less, for speed."""
    monkeypatch.setattr("solfa.score.musicxml.read.MAX_NOTES", 1000)
    monkeypatch.setattr("solfa.score.musicxml.repeats.MAX_REPEATED", 1000 if "measures" in reason else 100_000)
    with pytest.raises(MusicXmlError, match=reason):
        read_musicxml(document([DIVISIONS, *measures]))


@pytest.mark.parametrize("sign", ['dacapo="yes"', 'dalsegno="1"'])
def test_da_capo_is_warned_of(sign):
    with pytest.warns(UserWarning, match="da capo and dal segno are not followed"):
        read_musicxml(document([note() + f"<sound {sign}/>"] * 2))


@pytest.mark.parametrize(
    ("measure", "plain"),
    [
        ("<note><pitch><step>C</step><alter/><octave>4</octave></pitch><duration>1</duration></note>", note()),
        ("<attributes><transpose><diatonic>1</diatonic></transpose></attributes>" + note(), note()),
        ("<attributes><transpose><chromatic/><octave-change/></transpose></attributes>" + note(), note()),
        ('<sound tempo="Allegro"/>' + note(), note()),
        ('<sound dynamics="loud"/>' + note(), note()),
        (note().replace("<note", '<note dynamics="abc"', 1), note()),
    ],
)  # fmt: skip
def test_what_says_nothing_is_passed_over(measure, plain):
    assert read_musicxml(document([measure])) == read_musicxml(document([plain]))


@pytest.mark.parametrize("wise", [False, True])
def test_errors_name_the_part_and_the_measure(wise):
    broken = "<note><pitch><step>C</step><octave>4</octave></pitch><type>whole</type></note>"
    data = document([note(), note(), note(), broken])
    if wise:
        data = (
            "<score-timewise>" + PARTS + "".join(
                f'<measure number="{n}"><part id="P1">{each}</part></measure>' for n, each in enumerate([note(), note(), broken], 1)
            ) + "</score-timewise>"
        ).encode()  # fmt: skip
    with pytest.raises(MusicXmlError, match=r"^part 'P1', measure 3: duration is None"):
        read_musicxml(data)


@pytest.mark.parametrize(
    ("mode", "tonic", "kind"),
    [("major", 0, "major"), ("ionian", 0, "major"), ("lydian", 0, "major"), ("mixolydian", 0, "major"), ("none", 0, "major"),
     ("minor", 9, "minor"), ("aeolian", 9, "minor"), ("dorian", 9, "minor"), ("phrygian", 9, "minor"), ("locrian", 9, "minor")],
)  # fmt: skip
def test_modes_are_named_by_their_third(mode, tonic, kind):
    key = f"<attributes><key><fifths>0</fifths><mode>{mode}</mode></key></attributes>"
    assert read_musicxml(document([key + note()])).keys == (KeySignature(0.0, tonic, kind),)


def packed(document_bytes, container=None, name="score.xml"):
    """The same bytes at any time of day: the archive's names carry no date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if container is not False:
            text = (
                container
                or f'<container xmlns="urn:x"><rootfiles><rootfile full-path="{name}"/></rootfiles></container>'
            )
            archive.writestr(zipfile.ZipInfo("META-INF/container.xml"), text, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo(name), document_bytes, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def test_packed_files_are_the_same_score(tmp_path):
    data = document([DIVISIONS + note()])
    path = tmp_path / "song.mxl"
    path.write_bytes(packed(data))
    assert read_musicxml(path) == read_musicxml(packed(data)) == read_musicxml(data)


PRIMES = (10007, 10009, 10037, 10039, 10061)
BOMB = b'<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><score-partwise>&b;</score-partwise>'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "well-formed"),
        (b"<a><b></a>", "well-formed"),
        (b"<opus/>", "opus"),
        (BOMB, "entity"),
        (b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><score-partwise>&x;</score-partwise>', "entity"),
        (b"<a>" * 100, "deeper"),
        (packed(b" " * (33 << 20)), "unpacks to more"),
        (packed(b"", container=False), "container"),
        (packed(b"", container="<container/>"), "names no score"),
        (packed(b"<score-partwise/>")[:60], "archive"),
        (document([DIVISIONS + note(duration="1e999999999")]), "not a number"),
        (document([DIVISIONS + note(duration=-1)]), "duration of -1"),
        (document([DIVISIONS + note(step="H")]), "'H'"),
        (document([DIVISIONS + note(octave=99)]), "octave"),
        (document(["<attributes><divisions>0</divisions></attributes>"]), "divisions of 0"),
        (document(['<sound tempo="0"/>']), "tempo of 0"),
        (document(["<attributes><time><beats>3</beats><beat-type>7</beat-type></time></attributes>"]), "3/7"),
        (document([DIVISIONS + note(duration=999999999)]), "longest"),
        (document(["".join(f"<attributes><divisions>{d}</divisions></attributes>{note()}" for d in PRIMES)]), "common measure"),
    ],
)  # fmt: skip
def test_malformed_files_are_named(data, reason, tmp_path):
    with pytest.raises(MusicXmlError, match=reason):
        read_musicxml(data)
    path = tmp_path / "bad.musicxml"
    path.write_bytes(data)
    with pytest.raises(MusicXmlError, match=r"bad\.musicxml"):
        read_musicxml(path)


SEED_FILE = document([DIVISIONS + note() + note("E", extra="<chord/>"), note("G", duration=2)])
SEED_ARCHIVE = packed(SEED_FILE)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([SEED_FILE, SEED_ARCHIVE]),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=4),
)
def test_damaged_files_give_a_score_or_an_error(data, changes):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    try:
        read_musicxml(bytes(damaged))
    except MusicXmlError:
        return
