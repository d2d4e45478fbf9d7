import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score import Note
from solfa.score.note_lines import NoteLineError, read_note_lines, write_note_lines


@st.composite
def random_notes(draw):
    onset = draw(st.floats(0, 1e6))
    return Note(
        onset,
        onset + draw(st.floats(0, 1e3)),
        draw(st.integers(0, 127)),
        draw(st.integers(1, 127)),
        draw(st.integers(0, 127)),
        draw(st.booleans()),
    )


@settings(deadline=None)
@given(st.lists(random_notes(), max_size=6), st.booleans())
def test_what_is_read_is_what_was_written(notes, array):
    data = write_note_lines(notes, array=array)
    assert read_note_lines(data) == tuple(notes)
    assert data.isascii()
    if array:
        assert len(json.loads(data)) == len(notes)
    else:
        assert [json.loads(line)["pitch"] for line in data.splitlines()] == [note.pitch for note in notes]


def test_a_line_is_as_documented(tmp_path):
    path = tmp_path / "take.jsonl"
    write_note_lines([Note(0.5, 1.0, 60)], path)
    line = '{"onset": 0.5, "offset": 1.0, "pitch": 60, "velocity": 80, "program": 0, "is_drum": false}\n'
    assert path.read_text() == line
    assert read_note_lines(path) == (Note(0.5, 1.0, 60),)


def test_defaults_whole_seconds_empty_lines_and_a_byte_order_mark():
    text = '\ufeff{"onset": 1, "offset": 2, "pitch": 60}\r\n\n \n{"onset":0,"offset":0.5,"pitch":36,"is_drum":true}'
    first, second = read_note_lines(text.encode())
    assert (first, second) == (Note(1.0, 2.0, 60, 80, 0), Note(0.0, 0.5, 36, 80, 0, True))
    assert isinstance(first.onset, float)


def test_an_array_may_be_laid_out_anyhow():
    notes = (Note(0.0, 1.0, 60), Note(1.0, 2.0, 62))
    plain = json.loads(write_note_lines(notes, array=True))
    for layout in (json.dumps(plain), json.dumps(plain, indent=4), "\n " + json.dumps(plain, separators=(",", ":"))):
        assert read_note_lines(layout.encode()) == notes
    assert read_note_lines(b"") == read_note_lines(b"\n\n") == read_note_lines(b"[ ]") == ()


NOTE = '{"onset": 0, "offset": 1, "pitch": 60}'
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (f"{NOTE}\n\nhello", 3, "column 1: not JSON"),
        (f"{NOTE}\n{NOTE[:20]}", 2, "not JSON"),
        (f"{NOTE} {NOTE}", 1, "more than one value"),
        (f"{NOTE}\n7", 2, "7 where a note is due"),
        (f"{NOTE}\n[{NOTE}]", 2, "an array where a note"),
        ('{"onset": 0, "pitch": 60}', 1, "no offset"),
        ('{"onset": 0, "offset": 1, "pitch": 60, "loud": 3}', 1, "unknown key 'loud'"),
        ('{"onset": 0, "offset": 1, "pitch": 60, "pitch": 61}', 1, "twice"),
        ('{"onset": 0, "offset": 1, "pitch": 60.0}', 1, "pitch is 60.0: it must be a whole number"),
        ('{"onset": 0, "offset": 1, "pitch": true}', 1, "pitch is True"),
        ('{"onset": "0", "offset": 1, "pitch": 60}', 1, "onset is '0': it must be a number"),
        ('{"onset": 0, "offset": 1, "pitch": 60, "is_drum": 1}', 1, "is_drum is 1: it must be true or false"),
        ('{"onset": 0, "offset": 1, "pitch": 60, "program": {}}', 1, "program is an object"),
        ('{"onset": 0, "offset": 1, "pitch": 128}', 1, "legal are 0 to 127"),
        ('{"onset": 2, "offset": 1, "pitch": 60}', 1, "onset <= offset"),
        ('{"onset": 0, "offset": 1e999, "pitch": 60}', 1, "1e999 is no number"),
        ('{"onset": 0, "offset": NaN, "pitch": 60}', 1, "NaN is no number"),
        (f'{{"onset": 0, "offset": 1{"0" * 400}, "pitch": 60}}', 1, "too large"),
        (f'{{"onset": 0, "offset": 1{"0" * 9000}, "pitch": 60}}', 1, "digits"),
        (f'{{"onset": {DEEP}', 1, "nested deeper"),
        (f"[\n{NOTE},\n{NOTE}\n", 4, "the end' where a comma"),
        (f"[\n{NOTE}\n{NOTE}]", 3, "where a comma"),
        (f"[\n{NOTE},\n]", 3, "not JSON"),
        (f"[{NOTE}]\n7", 1, "text after"),
        (f'[\n{NOTE},\n{{"onset": 0,\n"offset": ?}}]', 4, "not JSON"),
        (f"[\n{NOTE},\n\n5]", 4, "5 where a note"),
        (DEEP, 1, "nested deeper"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(text, line, reason, tmp_path):
    with pytest.raises(NoteLineError, match=rf"^line {line}\b.*{reason}"):
        read_note_lines(text.encode())
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(NoteLineError, match=rf"bad\.jsonl: line {line}"):
        read_note_lines(path)


def test_text_of_another_encoding():
    with pytest.raises(NoteLineError, match="line 2: not UTF-8"):
        read_note_lines(f"{NOTE}\n".encode() + b"\xff\xfe")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_damaged_lines_give_notes_or_an_error(changes, array):
    damaged = bytearray(write_note_lines([Note(0.0, 1.0, 60), Note(0.5, 1.0, 36, is_drum=True)], array=array))
    for place, value in changes:
        damaged[place % len(damaged)] = value
    try:
        read_note_lines(bytes(damaged))
    except NoteLineError:
        return
