import base64
import importlib.util
import zipfile
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score.midi import read_midi
from solfa.score.musicxml.read import read_musicxml
from solfa.score.musicxml.write import packed_musicxml, write_musicxml
from solfa.score.sheet.bars import bar_lines, bars
from solfa.score.sheet.notation import BarLength, Key, Sheet, Symbol, Tempo, Voice, sheet_score

Q = Fraction


def voice(*symbols, name="Piano", program=0, drums=False, clef="treble"):
    """Symbols as (onset, duration, pitch or pitches) in quarter notes."""
    made = [Symbol(Q(a), Q(b), p if isinstance(p, tuple) else (p,)) for a, b, p in symbols]
    return Voice(name, program, drums, clef, tuple(made))


def notes_of(data):
    return [element for element in ElementTree.fromstring(data).iter("note")]


def said(data, path):
    """The texts of the elements at a path below every note; None where there is none."""
    return [note.findtext(path) for note in notes_of(data)]


GRID = [Q(1), Q(2), Q(3), Q(4), Q(3, 2), Q(1, 2), Q(1, 4), Q(3, 4), Q(1, 3), Q(2, 3), Q(1, 8), Q(5, 2), Q(7), Q(1, 6)]


@st.composite
def random_voice(draw, name="Piano", program=0, drums=False):
    now, symbols = Q(0), []
    pitches = st.integers(0, 127) if drums else st.integers(12, 127)
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            now += draw(st.sampled_from(GRID))
        length = draw(st.sampled_from(GRID))
        chord = draw(st.sets(pitches, min_size=1, max_size=3))
        symbols.append(Symbol(now, length, tuple(sorted(chord)), draw(st.integers(1, 127))))
        now += length
    clef = "percussion" if drums else draw(st.sampled_from(["treble", "bass"]))
    return Voice(name, program, drums, clef, tuple(symbols))


@st.composite
def random_sheet(draw):
    voices = []
    for part in range(draw(st.integers(1, 3))):
        drums, program = draw(st.booleans()), draw(st.integers(0, 127))
        count = draw(st.integers(1, 3))
        voices += [draw(random_voice(f"part {part}", program, drums)) for _ in range(count)]
    metres = [BarLength(Q(0), *draw(st.sampled_from([(4, 4), (3, 4), (6, 8), (7, 8), (2, 2), (5, 4), (1, 8)])))]
    upbeat = draw(st.sampled_from([Q(0), Q(0), metres[0].quarters / 2]))
    if draw(st.booleans()):
        onset = upbeat + draw(st.integers(1, 3)) * metres[0].quarters
        metres.append(BarLength(onset, *draw(st.sampled_from([(2, 4), (9, 8), (4, 4)]))))
    places = st.sampled_from([Q(1), Q(4), Q(3), Q(1, 2), Q(17, 3), Q(8)])
    keys = [Key(Q(0), draw(st.integers(0, 11)), draw(st.sampled_from(["major", "minor"])))]
    keys += [Key(place, draw(st.integers(0, 11)), "minor") for place in sorted(draw(st.sets(places, max_size=2)))]
    bpm = st.floats(10, 400)
    tempi = [Tempo(Q(0), draw(bpm))]
    tempi += [Tempo(place, draw(bpm)) for place in sorted(draw(st.sets(places, max_size=2)))]
    sheet = Sheet(tuple(voices), tuple(metres), (), (), upbeat, draw(st.text(max_size=5)))
    end = max(line.end for line in bar_lines(sheet))  # what comes later is not written
    return replace(sheet, keys=tuple(k for k in keys if k.onset < end), tempi=tuple(t for t in tempi if t.onset < end))


def quarters(sheet):
    """The same sheet at 60, so that seconds are quarter notes."""
    return replace(sheet, tempi=(Tempo(Q(0), 60.0),))


@settings(deadline=None, max_examples=50)
@given(random_sheet())
def test_our_reader_reads_back_what_was_written(sheet):
    found, truth = read_musicxml(write_musicxml(quarters(sheet))), sheet_score(quarters(sheet))
    assert [part.name for part in found.parts] == [part.name for part in truth.parts]
    for ours, theirs in zip(found.parts, truth.parts, strict=True):
        assert (ours.program, ours.is_drum) == (theirs.program, theirs.is_drum)
        assert ours.notes == theirs.notes  # onsets and offsets to the last bit of their floats
    assert found.metres == truth.metres
    assert found.keys == truth.keys


@settings(deadline=None, max_examples=30)
@given(random_sheet())
def test_tempi_are_read_back_and_notes_with_them(sheet):
    found, truth = read_musicxml(write_musicxml(sheet)), sheet_score(sheet)
    assert [tempo.bpm for tempo in found.tempi] == [tempo.bpm for tempo in truth.tempi]
    assert [tempo.time for tempo in found.tempi] == pytest.approx([tempo.time for tempo in truth.tempi], abs=1e-9)
    for ours, theirs in zip(found.notes, truth.notes, strict=True):
        assert (ours.onset, ours.offset) == pytest.approx((theirs.onset, theirs.offset), abs=1e-9)


FULL = Sheet(
    (
        voice((0, 1, (60, 64, 67)), (1, Q(1, 3), 62), (Q(4, 3), Q(1, 3), 64), (Q(5, 3), Q(1, 3), 66), (2, Q(1, 2), 67),
              (Q(5, 2), Q(1, 4), 66), (Q(11, 4), Q(1, 4), 65), (3, Q(3, 2), 72), (Q(9, 2), Q(1, 2), 73), (5, 3, (61, 70))),
        voice((4, 2, 60), (6, 2, 61)),
        voice((0, 4, (36, 48)), (4, Q(1, 2), 43), (6, 4, 47), clef="bass"),
        voice((0, Q(1, 8), 90), (1, 7, 84), name="Flute", program=73),
        voice((0, Q(1, 2), (36, 42)), (Q(1, 2), Q(1, 2), 38), (1, 1, 99), name="Drums", drums=True, clef="percussion"),
    ),
    metres=(BarLength(Q(0), 4, 4), BarLength(Q(8), 6, 8)),
    keys=(Key(Q(0), 7, "major"), Key(Q(6), 0, "minor")),
    tempi=(Tempo(Q(0), 100.5), Tempo(Q(11, 2), 140.0)),
    title="A & <title>\x00",
)  # fmt: skip


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    """The MusicXML 4.0 schema, which the package `musicxml` carries, beside the two that it imports: of the attributes of xml and xlink."""
    etree = pytest.importorskip("lxml.etree", reason="lxml, which validates, is not installed")
    package = importlib.util.find_spec("musicxml")
    if package is None or package.origin is None:
        pytest.skip("the package musicxml, which carries the schema, is not installed")
    source, folder = Path(package.origin).parent / "generate_classes", tmp_path_factory.mktemp("schema")
    text = (source / "musicxml_4_0.xsd").read_text().replace("http://www.musicxml.org/xsd/", "")
    (folder / "musicxml.xsd").write_text(text)
    for name, space, attributes in (
        ("xml", "http://www.w3.org/XML/1998/namespace", ("lang", "space")),
        ("xlink", "http://www.w3.org/1999/xlink", ("href", "type", "role", "title", "show", "actuate")),
    ):
        rows = "".join(f'<xs:attribute name="{attribute}" type="xs:string"/>' for attribute in attributes)
        head = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{space}">'
        (folder / f"{name}.xsd").write_text(f"{head}{rows}</xs:schema>")
    return etree.XMLSchema(file=str(folder / "musicxml.xsd")), etree


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(b"<mf />", b"<loud />"), (b"<type>eighth<", b"<type>eighths<"), (b"<chord />", b"<voice>1</voice>")],
)
def test_the_schema_is_one_that_refuses(schema, right, wrong):
    rules, etree = schema
    data = write_musicxml(FULL)
    assert right in data and not rules.validate(etree.fromstring(data.replace(right, wrong, 1)))


def test_a_full_sheet_is_valid(schema):
    rules, etree = schema
    rules.assertValid(etree.fromstring(write_musicxml(FULL)))


@settings(deadline=None, max_examples=30)
@given(random_sheet())
def test_every_sheet_is_valid(schema, sheet):
    rules, etree = schema
    data = write_musicxml(sheet)
    rules.assertValid(etree.fromstring(data))
    assert data == write_musicxml(sheet)


def heads(sheet):
    """What is printed: (onset, length, pitches, tied to the next) of every note and chord of each pitched voice."""
    return Counter(
        (float(p.onset), float(p.duration), p.pitches, p.tie_out)
        for voice in sheet.voices
        for bar in bars(sheet, voice)
        for p in bar.pieces
        if not p.is_rest
    )


@pytest.mark.filterwarnings("ignore:.*after the last bar")  # the drums made the sheet longer
@settings(deadline=None, max_examples=12)
@given(random_sheet())
def test_music21_reads_the_same_heads(sheet):
    converter = pytest.importorskip("music21.converter")
    sheet = replace(sheet, voices=tuple(v for v in sheet.voices if not v.is_drum) or (voice((0, 1, 60)),))
    found = Counter()
    for element in converter.parse(write_musicxml(sheet).decode(), format="musicxml").flatten().notes:
        onset, length = float(element.offset), float(element.duration.quarterLength)
        tied = element.tie is not None and element.tie.type in ("start", "continue")
        found[onset, length, tuple(sorted(p.midi for p in element.pitches)), tied] += 1
    assert {(round(a, 6), round(b, 6), *rest) for a, b, *rest in found} == {
        (round(a, 6), round(b, 6), *rest) for a, b, *rest in heads(sheet)
    }
    assert sum(found.values()) == sum(heads(sheet).values())


def test_music21_reads_the_time_line():
    pytest.importorskip("music21")
    from music21 import clef, converter, key, meter, tempo

    score = converter.parse(write_musicxml(FULL).decode(), format="musicxml")
    first = score.parts[0].flatten()
    assert [(float(k.offset), k.tonic.name, k.mode) for k in first[key.Key]] == [(0, "G", "major"), (6, "C", "minor")]
    assert [(float(t.offset), t.ratioString) for t in first[meter.TimeSignature]] == [(0, "4/4"), (8, "6/8")]
    assert [(float(t.offset), t.getQuarterBPM()) for t in first[tempo.MetronomeMark]] == [(0, 100), (5.5, 140)]
    clefs = [type(part.flatten()[clef.Clef].first()).__name__ for part in score.parts]
    assert clefs == ["TrebleClef", "BassClef", "TrebleClef", "PercussionClef"]


def test_verovio_plays_the_same_notes():
    verovio = pytest.importorskip("verovio")
    toolkit = verovio.toolkit()
    sheet = replace(FULL, tempi=(Tempo(Q(0), 60.0),), voices=FULL.voices[:4])
    assert toolkit.loadData(write_musicxml(sheet).decode())
    found = read_midi(base64.b64decode(toolkit.renderToMIDI()))
    truth = sheet_score(sheet)
    ours, theirs = (
        sorted((n.pitch, n.onset, n.offset) for n in truth.notes),
        sorted((n.pitch, n.onset, n.offset) for n in found.notes),
    )
    assert [pitch for pitch, *_ in theirs] == [pitch for pitch, *_ in ours]
    for (_, *times), (_, *truth_times) in zip(theirs, ours, strict=True):
        assert times == pytest.approx(truth_times, abs=0.015)  # verovio ends notes a tick early


def test_a_piano_has_two_staves_and_a_flute_one():
    root = ElementTree.fromstring(write_musicxml(FULL))
    assert [name.text for name in root.iter("part-name")] == ["Piano", "Flute", "Drums"]
    piano, flute, _ = root.iter("part")
    assert piano.findtext(".//staves") == "2" and flute.find(".//staves") is None
    seats = {(note.findtext("voice"), note.findtext("staff")) for note in piano.iter("note")}
    assert seats == {("1", "1"), ("2", "1"), ("5", "2")}
    assert flute.find(".//staff") is None
    # The second voice is silent in the first bar: it is not written there, and stems are the engraver's.
    first, second = list(piano)[:2]
    assert {n.findtext("voice") for n in first.iter("note")} == {"1", "5"} and first.find(".//stem") is None
    assert {(n.findtext("voice"), n.findtext("stem")) for n in second.iter("note") if n.findtext("staff") == "1"} == {
        ("1", "up"),
        ("2", "down"),
    }


def test_accidentals_hold_for_the_bar_in_all_voices_of_a_staff():
    upper = voice((0, 1, 66), (1, 1, 66), (2, 1, 65), (3, 2, 66), (5, 1, 66), (6, 1, 78))
    lower = voice((0, 2, 60), (2, 1, 66), (3, 1, 61), (4, 4, 61))
    data = write_musicxml(Sheet((upper, lower), keys=(Key(Q(0), 9, "major"),)))  # F, C and G are sharp
    shown = [
        (n.findtext("pitch/step"), n.findtext("accidental")) for n in notes_of(data) if n.find("pitch") is not None
    ]
    assert shown[:4] == [("F", None), ("F", None), ("F", "natural"), ("F", "sharp")]
    assert shown[4:8] == [("C", "natural"), ("F", "sharp"), ("C", "sharp"), ("F", None)]  # the lower voice; the tie
    assert shown[8:] == [("F", None), ("F", None), ("C", None)]  # another bar, another octave


def test_a_tied_accidental_ends_with_its_tie():
    sheet = Sheet((voice((0, 3, 60), (3, 2, 66), (5, 1, 66), (6, 1, 65), (7, 1, 60)),))
    assert said(write_musicxml(sheet), "accidental") == [None, "sharp", None, "sharp", "natural", None]


def test_a_new_key_within_a_bar_ends_what_was_said():
    sheet = Sheet(
        (voice((0, 1, 66), (1, 1, 66), (2, 1, 66), (3, 1, 66)),), keys=(Key(Q(0), 0, "major"), Key(Q(2), 7, "major"))
    )
    assert said(write_musicxml(sheet), "accidental") == ["sharp", None, "sharp", None]


def test_the_other_voice_is_heeded():
    upper, lower = voice((0, 1, 61), (2, 1, 61)), voice((1, 1, 60), (3, 1, 61))
    assert [a for a in said(write_musicxml(Sheet((upper, lower))), "accidental") if a] == ["sharp", "sharp", "natural"]


def test_a_tie_keeps_its_name_in_another_key():
    sheet = Sheet((voice((0, 8, 66)),), keys=(Key(Q(0), 2, "major"), Key(Q(4), 1, "major")))
    assert said(write_musicxml(sheet), "pitch/step") == ["F", "F"]
    assert said(write_musicxml(replace(sheet, voices=(voice((0, 4, 66), (4, 4, 66)),))), "pitch/step") == ["F", "G"]


def test_beams_follow_the_beats_and_break_at_rests():
    sheet = Sheet(
        (voice(*[(Q(i, 2), Q(1, 2), 60) for i in range(3)], (2, Q(3, 4), 60), (Q(11, 4), Q(1, 4), 60), (3, 1, 62)),)
    )
    marks = [[(b.get("number"), b.text) for b in note.iter("beam")] for note in notes_of(write_musicxml(sheet))]
    assert marks == [
        [("1", "begin")], [("1", "end")], [], [], [("1", "begin")], [("1", "end"), ("2", "backward hook")], [],
    ]  # fmt: skip
    six = Sheet((voice(*[(Q(i, 2), Q(1, 2), 60) for i in range(6)]),), metres=(BarLength(Q(0), 6, 8),))
    assert said(write_musicxml(six), "beam") == ["begin", "continue", "end"] * 2


def test_triplets():
    data = write_musicxml(Sheet((voice(*[(Q(i, 3), Q(1, 3), 60) for i in range(3)]),)))
    three = notes_of(data)[:3]
    assert [note.findtext("type") for note in three] == ["eighth"] * 3
    ratio = ("time-modification/actual-notes", "time-modification/normal-notes")
    assert [tuple(map(n.findtext, ratio)) for n in three] == [("3", "2")] * 3
    marks = [[t.get("type") for t in note.iter("tuplet")] for note in three]
    assert marks == [["start"], [], ["stop"]]


def test_velocities_are_exact_and_marks_are_few():
    rising = [Symbol(Q(i), Q(1), (60,), i + 1) for i in range(127)]
    data = write_musicxml(Sheet((Voice("Piano", 0, False, "treble", tuple(rising)),)))
    assert [note.velocity for note in read_musicxml(data).notes] == list(range(1, 128))
    marks = [mark.tag for mark in ElementTree.fromstring(data).iterfind(".//dynamics/*")]
    assert marks == ["ppp", "pp", "p", "mp", "mf", "f", "ff", "fff"]
    loud = [76, 85, 68, 85, 68]  # of bars: 85 is nearer f, 68 nearer mp, and neither is far from mf
    wavering = [Symbol(Q(i), Q(1), (60,), loud[i // 4]) for i in range(20)]
    data = write_musicxml(Sheet((Voice("Piano", 0, False, "treble", tuple(wavering)),)))
    assert [mark.tag for mark in ElementTree.fromstring(data).iterfind(".//dynamics/*")] == ["mf"]


def test_a_wavering_tempo_sounds_and_is_not_printed():
    tempi = (*(Tempo(Q(i), 100.0 + 20 * (i % 2)) for i in range(8)), Tempo(Q(8), 60.0))
    root = ElementTree.fromstring(write_musicxml(Sheet((voice((0, 12, 60)),), tempi=tempi)))
    assert [float(sound.get("tempo")) for sound in root.iter("sound")] == [tempo.bpm for tempo in tempi]
    assert [mark.text for mark in root.iter("per-minute")] == ["100", "60"]
    six = Sheet((voice((0, 3, 60)),), metres=(BarLength(Q(0), 6, 8),))
    root = ElementTree.fromstring(write_musicxml(six))
    assert root.find(".//beat-unit-dot") is not None and root.findtext(".//per-minute") == "80"


def test_drums_stand_on_a_percussion_staff_with_their_instruments():
    hits = voice((0, 1, (36, 42)), (1, 1, 12), name="Drums", program=8, drums=True, clef="percussion")
    data = write_musicxml(Sheet((hits,)))
    kick, hat, odd = notes_of(data)[:3]
    assert ElementTree.fromstring(data).findtext(".//clef/sign") == "percussion"
    places = [(n.findtext("unpitched/display-step"), n.findtext("unpitched/display-octave")) for n in (kick, hat)]
    assert places == [("F", "4"), ("G", "5")] and hat.findtext("notehead") == "x"
    names = {i.get("id"): i.findtext("instrument-name") for i in ElementTree.fromstring(data).iter("score-instrument")}
    assert [names[n.find("instrument").get("id")] for n in (kick, hat, odd)] == ["bass drum", "closed hi-hat", "key 12"]
    part = read_musicxml(data).parts[0]
    assert part.is_drum and part.program == 8 and [note.pitch for note in part.notes] == [36, 42, 12]


def test_an_upbeat_is_bar_0():
    data = write_musicxml(Sheet((voice((0, 1, 60), (1, 4, 62)),), upbeat=Q(1)))
    bars = list(ElementTree.fromstring(data).iter("measure"))
    assert [(bar.get("number"), bar.get("implicit")) for bar in bars] == [("0", "yes"), ("1", None)]
    assert said(data, "duration") == ["1", "4"]


def test_packed_files_are_the_same_score(tmp_path):
    plain, packed = tmp_path / "a.musicxml", tmp_path / "a.MXL"
    assert write_musicxml(FULL, plain) == plain.read_bytes() == write_musicxml(FULL)
    data = write_musicxml(FULL, packed)
    assert data == packed.read_bytes() == packed_musicxml(plain.read_bytes())
    assert read_musicxml(packed) == read_musicxml(plain)
    with zipfile.ZipFile(BytesIO(data)) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert archive.read("mimetype") == b"application/vnd.recordare.musicxml"
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_cannot_be_written_is_named():
    with pytest.raises(ValueError, match="pitch 11 of 'Piano': the lowest"):
        write_musicxml(Sheet((voice((0, 1, 11)),)))
    with pytest.raises(ValueError, match="without voices"):
        write_musicxml(Sheet(()))
    with pytest.raises(ValueError, match="may not begin before"):
        write_musicxml(Sheet((voice((0, 2, 60), (1, 1, 62)),)))
    odd = [Q(1, n) for n in (101, 103, 107, 109, 113)]
    with pytest.raises(ValueError, match="common measure"):
        write_musicxml(Sheet((voice((0, 1, 60)),), tempi=(Tempo(Q(0), 60.0), *(Tempo(q, 60.0) for q in sorted(odd)))))


def test_changes_after_the_end_are_left_out_with_a_word():
    sheet = Sheet((voice((0, 1, 60)),), keys=(Key(Q(0), 0, "major"), Key(Q(4), 7, "major")))
    with pytest.warns(UserWarning, match="1 changes of key or tempo after the last bar"):
        assert len(read_musicxml(write_musicxml(sheet)).keys) == 1


def test_the_lowest_and_the_highest_pitch_in_every_key():
    for tonic in range(12):
        sheet = Sheet((voice((0, 1, (12, 127))),), keys=(Key(Q(0), tonic, "major"),))
        assert [note.pitch for note in read_musicxml(write_musicxml(sheet)).notes] == [12, 127]


@pytest.mark.parametrize("bpm", [3.6, 3.999, 10_001.0, 60_000_000.0])
def test_the_slowest_and_the_fastest_tempo_are_read_back(bpm):
    sheet = Sheet((voice((0, 1, 60)),), tempi=(Tempo(Q(0), bpm),))
    assert read_musicxml(write_musicxml(sheet)).notes == sheet_score(sheet).notes
