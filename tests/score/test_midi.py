"""MIDI in and out, against mido's own reading and against what was written."""

import io
import os
import struct

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score import KeySignature, Metre, Note, Part, Pedal, Score, TempoChange
from solfa.score.midi import MidiError, read_midi, write_midi
from solfa.score.tempo import TempoMap


@st.composite
def scores(draw):
    """Random polyphony on the tick grid, with tempo changes anywhere, in parts that do not nest equal pitches."""
    grid = draw(st.sampled_from([24, 96, 480, 960]))
    changes = draw(st.lists(st.tuples(st.integers(0, 5000), st.integers(20_000, 3_000_000)), max_size=6))
    clock = TempoMap(grid, sorted(dict(changes).items()))
    parts = []
    for index in range(draw(st.integers(1, 17))):
        drum = draw(st.booleans())
        program = draw(st.integers(0, 127))
        spans = draw(
            st.lists(
                st.tuples(st.integers(0, 6000), st.integers(1, 2000), st.integers(0, 127), st.integers(1, 127)),
                min_size=1,
                max_size=5,
            )
        )
        notes = tuple(
            Note(clock.seconds(a), clock.seconds(a + n), pitch, loud, program, drum)
            for a, n, pitch, loud in unnested(spans)
        )
        parts.append(Part(f"part {index}", program, drum, notes))
    pedals = []
    for index in range(len(parts)):
        edges = sorted(draw(st.sets(st.integers(0, 7000), max_size=6)))
        # A drum part has its own channel only within its port, so pedals are on melodic parts here.
        pairs = zip(edges[::2], edges[1::2], strict=False)
        pedals += [Pedal(clock.seconds(a), clock.seconds(b), index) for a, b in pairs if not parts[index].is_drum]
    return Score(tuple(parts), clock.tempi, (Metre(0.0, 7, 8),), (KeySignature(0.0, 3, "minor"),), tuple(pedals), grid)


def unnested(spans):
    """Drop notes that begin or end inside an earlier note of their pitch that outlasts them: first in, first out is then exact."""
    kept = []
    for start, length, pitch, loud in sorted(spans):
        end = start + length
        if all(p != pitch or (s != start and (e < end or e <= start)) for s, e, p, _ in kept):
            kept.append((start, end, pitch, loud))
    return [(start, end - start, pitch, loud) for start, end, pitch, loud in kept]


@settings(deadline=None, max_examples=50)
@given(scores())
def test_written_and_read_again_is_the_same_score(score):
    again = read_midi(write_midi(score))
    assert again.parts == score.parts
    assert again == score


@settings(deadline=None, max_examples=25)
@given(scores())
def test_reading_agrees_with_mido(score):
    """mido plays the file: every note begins at the second that we read (its clock adds floats, so to a microsecond)."""
    data = write_midi(score)
    now, heard = 0.0, []
    for message in mido.MidiFile(file=io.BytesIO(data)):
        now += message.time
        if message.type == "note_on" and message.velocity:
            heard.append((now, message.note, message.velocity))
    ours = sorted((note.onset, note.pitch, note.velocity) for note in read_midi(data).notes)
    assert len(heard) == len(ours)
    for (time, pitch, loud), (onset, our_pitch, our_loud) in zip(sorted(heard), ours, strict=True):
        assert time == pytest.approx(onset, abs=1e-6)
        if sum(abs(onset - other) < 1e-5 for other, _, _ in ours) == 1:
            assert (pitch, loud) == (our_pitch, our_loud)


@given(
    st.integers(1, 32767),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 0xFFFFFF)), max_size=20),
    st.lists(st.integers(0, 10**7), min_size=1, max_size=20),
)
def test_ticks_survive_seconds(grid, changes, ticks):
    clock = TempoMap(grid, sorted(dict(changes).items()))
    for tick in ticks:
        spacing = clock.seconds(tick + 1) - clock.seconds(tick)
        if spacing > 1e-9:
            assert clock.tick(clock.seconds(tick)) == tick


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(20, 300)), max_size=40))
def test_tempo_changes_off_the_grid_do_not_drift(pairs):
    """Each change is written within a tick of its time, however many come before it."""
    tempi = tuple(TempoChange(time, bpm) for time, bpm in sorted(pairs))
    clock = TempoMap.of(tempi, 480)
    for change in tempi:
        assert abs(clock.seconds(clock.tick(change.time)) - change.time) <= 0.5 * 60 / 20 / 480 + 1e-9


def one_part(*notes, **fields):
    return Score((Part("piano", 0, False, notes),), **fields)


def test_equal_pitches_that_overlap_are_paired_first_in_first_out():
    messages = [("note_on", 0, 50), ("note_on", 480, 90), ("note_off", 480, 0), ("note_off", 960, 0)]
    track = mido.MidiTrack([mido.Message(kind, note=60, velocity=loud, time=time) for kind, time, loud in messages])
    assert read_midi(saved([track])).notes == (Note(0.0, 1.0, 60, 50), Note(0.5, 2.0, 60, 90))


def test_a_note_within_another_of_its_pitch_has_a_channel_of_its_own():
    """Two voices in unison, of one part: each note keeps its length."""
    notes = (Note(0.0, 2.0, 60, 50), Note(0.5, 1.5, 60, 90), Note(1.0, 1.25, 60, 70), Note(2.0, 3.0, 60, 60))
    score = one_part(*notes, pedals=(Pedal(0.0, 1.0, 0),))
    again = read_midi(write_midi(score))
    assert again.notes == notes and [part.name for part in again.parts] == ["piano"] * 3
    assert [pedal.part for pedal in again.pedals] == [0, 1, 2]
    plain = one_part(Note(0.0, 2.0, 60), Note(0.5, 2.0, 60), Note(1.0, 3.0, 60), Note(1.0, 4.0, 60), Note(4.0, 5.0, 60))
    assert read_midi(write_midi(plain)).parts == plain.parts  # first in, first out is right


def test_notes_within_others_when_channels_are_used_up():
    notes = tuple(Note(n * 0.5, 60.0 - n * 0.5, 60) for n in range(40))
    again = read_midi(write_midi(one_part(*notes)))
    assert len(again.notes) == 40 and len(again.parts) == 16
    full = Score(tuple(Part(str(n), 0, False, notes[:2]) for n in range(1920)))
    assert len(read_midi(write_midi(full)).parts) == 1920


def test_zero_length_notes_are_one_tick_long():
    tick = 0.5 / 480
    assert read_midi(write_midi(one_part(Note(1.0, 1.0, 60)))).notes == (Note(1.0, 1.0 + tick, 60),)
    track = mido.MidiTrack([mido.Message("note_on", note=60, time=480), mido.Message("note_off", note=60, time=0)])
    assert read_midi(saved([track])).notes == (Note(0.5, 0.5 + tick, 60, 64),)


def test_other_readers_find_every_note_ended_before_the_next_begins():
    """Ends stand before beginnings of their tick, and even a note of no length lasts a tick."""
    data = write_midi(one_part(Note(0.0, 0.5, 60), Note(0.5, 1.0, 60), Note(2.0, 2.0, 60)))
    messages = [m for m in mido.MidiFile(file=io.BytesIO(data)).tracks[1] if m.type.startswith("note")]
    assert [m.type for m in messages] == ["note_on", "note_off"] * 3
    assert [m.time for m in messages] == [0, 480, 0, 480, 960, 1]


def test_repeated_notes_that_touch_stay_apart():
    notes = tuple(Note(index * 0.25, index * 0.25 + 0.25, 60, 60 + index) for index in range(4))
    assert read_midi(write_midi(one_part(*notes))).notes == notes


def test_overlapping_pedals_are_joined():
    score = one_part(Note(0.0, 4.0, 60), pedals=(Pedal(0.0, 1.0, 0), Pedal(0.5, 2.0, 0), Pedal(2.0, 3.0, 0)))
    assert read_midi(write_midi(score)).pedals == (Pedal(0.0, 2.0, 0), Pedal(2.0, 3.0, 0))


def saved(tracks, **fields):
    buffer = io.BytesIO()
    mido.MidiFile(type=1, ticks_per_beat=480, tracks=tracks, **fields).save(file=buffer)
    return buffer.getvalue()


def test_unreleased_notes_end_with_their_track():
    track = mido.MidiTrack([mido.Message("note_on", note=60, velocity=70), mido.MetaMessage("end_of_track", time=960)])
    assert read_midi(saved([track])).notes == (Note(0.0, 1.0, 60, 70),)


def chunk(body, division=480, kind=1, tracks=1, size=None):
    return (
        b"MThd"
        + struct.pack(">IHHH", 6, kind, tracks, division)
        + b"MTrk"
        + struct.pack(">I", len(body) if size is None else size)
        + body
    )


NOTE = chunk(b"\x00\x90\x3c\x50\x83\x60\x80\x3c\x40\x00\xff\x2f\x00")


PITCH = st.tuples(st.integers(0, 30), st.integers(1, 30))  # quarter notes: onset and length


def played(events, controls=(), end=4000):
    """The (onset, offset) in quarter notes of pitch 60: events are (quarters, whether it begins), controls (quarters, number)."""
    messages = [(at, 1, mido.Message("note_on", note=60, velocity=80 * on)) for at, on in events]
    messages += [(at, 0, mido.Message("control_change", control=number)) for at, number in controls]
    track, now = mido.MidiTrack(), 0
    for at, _, message in [*sorted(messages, key=lambda each: each[0]), (end, 0, mido.MetaMessage("end_of_track"))]:
        track.append(message.copy(time=round(480 * (at - now))))
        now = at
    return [(note.onset * 2, note.offset * 2) for note in read_midi(saved([track])).notes]


@pytest.mark.parametrize("missing", range(6))
def test_a_missing_end_touches_one_note_only(missing):
    events = [(4 * n, True) for n in range(6)] + [(4 * n + 2, False) for n in range(6) if n != missing]
    expected = [(4 * n, 4 * n + 2) for n in range(6)]
    expected[missing] = (4 * missing, 4 * missing + 4 if missing < 5 else 30)
    with pytest.warns(UserWarning, match="never released: 1;"):
        assert played(events, end=30) == expected


def test_where_ends_are_missing_the_notes_that_overlap_before_keep_theirs():
    events = [(0, True), (1, True), (2, False), (3, False), (8, True), (10, True), (11, False)]
    with pytest.warns(UserWarning, match="never released: 1;"):
        assert played(events) == [(0, 2), (1, 3), (8, 10), (10, 11)]


@settings(deadline=None, max_examples=40)
@given(st.lists(PITCH, max_size=8))
@pytest.mark.filterwarnings("error")
def test_as_many_ends_as_beginnings_are_paired_first_in_first_out(spans):
    onsets, offsets = sorted(a for a, _ in spans), sorted(a + b for a, b in spans)
    events = [(at, False) for at in offsets] + [(at, True) for at in onsets]  # of one tick ends stand first
    assert sorted(played(events)) == sorted(zip(onsets, offsets, strict=True))


@pytest.mark.parametrize("number", [120, 123])
@pytest.mark.filterwarnings("error")
def test_all_notes_off_releases_what_sounds_on_its_channel(number):
    assert played([(0, True), (8, True), (9, False)], [(4, number)]) == [(0, 4), (8, 9)]
    assert played([(0, True), (1, False)], [(4, number), (5, number)]) == [(0, 1)]
    assert played([(0, True), (1, False), (2, True)], [(4, number)]) == [(0, 1), (2, 4)]


def test_all_notes_off_at_the_end_hides_no_missing_end():
    with pytest.warns(UserWarning, match="never released: 1;"):
        assert played([(0, True), (4, True), (5, False)], [(100, 123)]) == [(0, 4), (4, 5)]


def test_a_channel_is_silenced_from_any_track_and_no_other_channel_is():
    def track(*messages):
        return mido.MidiTrack(messages)

    tracks = [
        track(mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=960)),
        track(mido.Message("note_on", note=60, channel=1), mido.Message("note_off", note=60, channel=1, time=960)),
        track(mido.Message("control_change", control=123, time=480)),
    ]
    assert [note.offset for part in read_midi(saved(tracks)).parts for note in part.notes] == [0.5, 1.0]


@pytest.mark.parametrize(
    "sign",
    [b"\x59\x02\x09\x00", b"\x59\x02\x00\xff", b"\x59\x00", b"\x58\x04\x04\x07\x18\x08", b"\x58\x04\x00\x02\x18\x08"],
)
def test_metres_and_keys_that_there_are_not_are_left_out_with_a_word(sign):
    body = b"\x00\xff" + sign + b"\x00\x90\x3c\x50\x83\x60\x80\x3c\x40\x00\xff" + sign + b"\x00\xff\x2f\x00"
    with pytest.warns(UserWarning, match=r"left out, 0\.000 s: (metre|key signature) .* \(and 1 more\)"):
        assert read_midi(chunk(body)) == read_midi(NOTE)


@pytest.mark.parametrize("cut", range(1, 8))
def test_of_a_track_that_is_cut_short_the_notes_are_kept(cut):
    with pytest.warns(UserWarning, match=f"says it has 13 bytes, but {13 - cut} are left: what is there is read"):
        notes = read_midi(NOTE[:-cut]).notes
    assert [(note.onset, note.pitch) for note in notes] == [(0.0, 60)]
    assert cut > 4 or notes == read_midi(NOTE).notes


def test_of_a_file_with_fewer_tracks_than_it_says_those_that_are_there_are_kept():
    promising = NOTE[:10] + b"\x00\x02" + NOTE[12:]
    with pytest.warns(UserWarning, match="promises 2 tracks, the file ends after 1: what is there is read"):
        assert read_midi(promising) == read_midi(NOTE)


@pytest.mark.parametrize("before", [b"", b"LIST\x03\x00\x00\x00abc\x00"])
@pytest.mark.filterwarnings("error")
def test_a_file_within_riff_is_the_same_score(before):
    inner = before + b"data" + struct.pack("<I", len(NOTE)) + NOTE
    assert read_midi(b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"RMID" + inner) == read_midi(NOTE)


def named(kind, name, *instruments):
    """The names of the parts of a track: a name, and the (channel, program) of notes in it."""
    head = b"\x00\xff\x03" + bytes([len(name)]) + name
    notes = b"".join(
        bytes([0, 0xC0 | channel, program, 0, 0x90 | channel, 60, 80, 10, 0x80 | channel, 60, 0])
        for channel, program in instruments
    )
    return [part.name for part in read_midi(chunk(head + notes + b"\x00\xff\x2f\x00", kind=kind)).parts]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (b"Fl\xf6te", "Flöte"),
        ("Flöte".encode(), "Flöte"),
        ("ピアノ".encode(), "ピアノ"),
        (b"", "Violin"),
        (b" ", "Violin"),
    ],
)
def test_names_of_parts_are_utf_8_or_else_latin_1(name, read):
    assert named(1, name, (0, 40)) == [read]


def test_the_name_of_a_track_of_several_instruments_is_no_instrument():
    assert named(1, b"Song", (0, 40), (1, 65), (9, 8)) == ["Violin", "Alto Sax", "Drums"]
    assert named(1, b"Song", (0, 40), (0, 65)) == ["Violin", "Alto Sax"]
    assert named(0, b"Song", (0, 40)) == ["Violin"]
    assert named(1, b"Solo", (0, 40)) == ["Solo"]


def test_a_program_in_another_track_counts_from_its_tick_on():
    programs = mido.MidiTrack(
        [mido.Message("program_change", program=40, time=0), mido.Message("program_change", program=73, time=480)]
    )
    tune = mido.MidiTrack(
        [m for _ in range(2) for m in (mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=480))]
    )
    score = read_midi(saved([tune, programs]))
    assert [(part.program, len(part.notes)) for part in score.parts] == [(40, 1), (73, 1)]


def test_metre_and_key_said_in_every_track_are_read_once():
    tracks = [
        mido.MidiTrack([mido.MetaMessage("time_signature", numerator=3), mido.MetaMessage("key_signature", key="Bbm")])
        for _ in range(3)
    ]
    score = read_midi(saved(tracks))
    assert score.metres == (Metre(0.0, 3, 4),)
    assert score.keys == (KeySignature(0.0, 10, "minor"),)


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_every_key_comes_back(tonic, mode):
    score = one_part(Note(0.0, 1.0, 60), keys=(KeySignature(0.0, tonic, mode),))
    assert read_midi(write_midi(score)).keys == score.keys


def test_drums_are_on_channel_ten_and_melodies_are_not():
    parts = [Part(f"p{i}", i, False, (Note(0.0, 1.0, 60, program=i),)) for i in range(15)]
    data = write_midi(Score((*parts, Part("kit", 8, True, (Note(0.0, 1.0, 36, 80, 8, True),)))))
    channels = [
        m.channel for track in mido.MidiFile(file=io.BytesIO(data)).tracks for m in track if m.type == "note_on"
    ]
    assert sorted(channels) == list(range(16))
    assert channels[-1] == 9


def test_more_parts_than_a_file_can_hold_is_an_error():
    parts = tuple(Part("p", 0, False, (Note(0.0, 1.0, 60),)) for _ in range(1921))
    with pytest.raises(MidiError, match="1920"):
        write_midi(Score(parts))


def test_smpte_time_counts_frames():
    track = b"\x00\x90\x3c\x40" + b"\x83\x74\x80\x3c\x40" + b"\x00\xff\x2f\x00"  # 500 ticks
    for division, seconds in (
        (0xE728, 0.5),
        (0xE764, 0.2),
        (0xE328, 500 * 1001 / 30000 / 40),
    ):  # 25 x 40, 25 x 100, 29.97 x 40
        data = b"MThd" + struct.pack(">IHHH", 6, 0, 1, division) + b"MTrk" + struct.pack(">I", len(track)) + track
        assert read_midi(data).notes[0].offset == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "MThd"),
        (b"RIFF" + bytes(40), "MThd"),
        (chunk(b"\x00\xff\x2f\x00", division=0), "division"),
        (chunk(b"\x00\xff\x2f\x00", division=0x8001), "SMPTE"),
        (chunk(b"\x00\xff\x2f\x00", kind=2), "format 2"),
        (chunk(b"\x00\xff\x2f\x00", kind=9), "format"),
        (chunk(b"\x00\xff\x2f\x00", tracks=0), "without tracks"),
        (chunk(b"\x00\xff\x2f\x00", tracks=2), "ends after 1"),
        (chunk(b"\x00\xff\x2f\x00", size=4_000_000_000), "says it has 4000000000 bytes"),
        (chunk(b"\xff" * 4096), "variable-length"),
        (chunk(b"\xff\xff\xff\xff\x00\x90\x3c\x40"), "variable-length"),
        (chunk(b"\x00\x3c\x40"), "no status"),
        (chunk(b"\x00\x90\x3c"), "cut off"),
        (chunk(b"\x00\x90\xbc\x40"), "legal are 0 to 127"),
        (chunk(b"\x00\xf0\x7f\x01"), "system exclusive"),
        (chunk(b"\x00\xff\x01\x7f\x41"), "meta event"),
        (chunk(b"\x00\xf4"), "0xf4"),
        (chunk(b"\x00"), "between a time and its event"),
        (chunk(b"\x00\xff\x51\x03\x00\x00\x00"), "tempo 0"),
        (chunk(b"\x00\xff\x51\x02\x07\x00"), "2 bytes"),
        (b"RIFF" + bytes(4) + b"RMIDinfo" + bytes(40), "chunk of MIDI"),
        (NOTE[:-1].replace(b"\x90\x3c", b"\x90\xbc"), "legal are 0 to 127"),  # not only cut short
        (chunk(b"\xff\xff\xff\x7f\x90\x3c\x40" * 3 + b"\x00\xff\x2f\x00", division=1), "longest"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # before the fault, of notes
def test_malformed_files_are_named(data, reason, tmp_path):
    with pytest.raises(MidiError, match=reason):
        read_midi(data)
    path = tmp_path / "bad.mid"
    path.write_bytes(data)
    with pytest.raises(MidiError, match=r"bad\.mid"):
        read_midi(path)


SEED_FILE = write_midi(
    Score(
        (
            Part("a", 4, False, (Note(0.0, 1.0, 60, program=4), Note(0.5, 1.5, 64, program=4))),
            Part("d", 0, True, (Note(0.0, 0.5, 36, is_drum=True),)),
        ),
        (TempoChange(0.0, 100.0), TempoChange(0.5, 140.0)), (Metre(0.0, 3, 4),), (KeySignature(0.0, 2, "major"),), (Pedal(0.0, 1.0, 0),),
    )
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # what is damaged may still be read, with a word
@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, len(SEED_FILE) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(SEED_FILE)),
)
def test_damaged_files_give_a_score_or_a_midi_error(changes, cut):
    data = bytearray(SEED_FILE)
    for place, value in changes:
        data[place] = value
    try:
        score = read_midi(bytes(data[:cut]) if changes and cut % 2 else bytes(data))
    except MidiError:
        return
    write_midi(score)


@pytest.mark.filterwarnings("ignore::UserWarning")  # what is damaged may still be read, with a word
@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_after_a_header_give_a_score_or_a_midi_error(body):
    try:
        read_midi(chunk(body))
    except MidiError:
        return


def test_alien_chunks_and_trailing_bytes_are_passed_over():
    plain = chunk(b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40\x00\xff\x2f\x00")
    alien = plain[:14] + b"XFIH" + struct.pack(">I", 3) + b"abc" + plain[14:] + b"junk"
    assert read_midi(alien) == read_midi(plain)


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "out.mid"
    data = write_midi(one_part(Note(0.0, 1.0, 60)), path)
    assert path.read_bytes() == data and read_midi(path) == read_midi(data)

    def broken(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        write_midi(one_part(Note(0.0, 1.0, 72)), path)
    assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["out.mid"]
