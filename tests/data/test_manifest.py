import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.data.manifest import KNOWN, Entry, ManifestError, read_manifest, write_manifest
from solfa.score.note import Note

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
times = st.floats(0, 1e6)
note = st.builds(
    lambda a, b, pitch, velocity, program, drum: Note(min(a, b), max(a, b), pitch, velocity, program, drum),
    times, times, st.integers(0, 127), st.integers(1, 127), st.integers(0, 127), st.booleans(),
)  # fmt: skip
entry = st.builds(
    Entry,
    id=text,
    audio=text,
    text=st.just("") | text,
    attributes=st.dictionaries(text, value, max_size=3),
    notes=st.none() | text | st.lists(note, max_size=3).map(tuple),
    split=text,
    seconds=st.none() | st.floats(0, 1e9),
    soundfont=st.none() | text,
    renderer=st.none() | text,
    extra=st.dictionaries(text.filter(lambda key: key not in KNOWN), value, max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(entries=st.lists(entry, max_size=4, unique_by=lambda entry: entry.id))
def test_what_is_written_is_read(entries, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    write_manifest(path, entries)
    assert read_manifest(path) == entries
    assert len(path.read_bytes().splitlines()) >= len(entries)


@settings(max_examples=40, deadline=None)
@given(line=value | st.dictionaries(st.sampled_from([*sorted(KNOWN), "other"]), value))
def test_any_json_gives_an_entry_or_an_error_with_its_line(line, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text('{"id": "good", "audio": "a.wav"}\n' + json.dumps(line) + "\n")
    try:
        read = read_manifest(path)
    except ManifestError as error:
        assert "any.jsonl, line 2: " in str(error)
    else:
        assert read[1].id == line["id"] and read[1].audio == line["audio"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"id": "a"}', "no audio"),
        ('{"id": "good", "audio": "b.wav"}', "the id 'good' is that of line 1 too"),
        ('{"id": "a", "audio": "b.wav", "seconds": NaN}', "NaN is no number"),
        ('{"id": "a", "audio": "b.wav", "seconds": -1}', "a number from 0"),
        ('{"id": "a", "audio": "b.wav", "notes": [[0, 1, 60]]}', "it is [onset, offset"),
        ('{"id": "a", "audio": "b.wav", "notes": [[0, 1, 128, 80, 0, false]]}', "legal are 0 to 127"),
        ('{"id": "a", "audio": "b.wav", "notes": [[0, 1, true, 80, 0, false]]}', "it is [onset, offset"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(tmp_path, line, reason):
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"id": "good", "audio": "a.wav"}\n\n' + line + "\n")
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert "manifest.jsonl, line 3: " in str(caught.value) and reason in str(caught.value)


def test_not_text_and_not_there(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with pytest.raises(ManifestError, match="No such file"):
        read_manifest(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(path)


def test_keys_of_others_are_kept(tmp_path):
    path = tmp_path / "manifest.jsonl"
    line = {"id": "a", "audio": "b.wav", "split": "train", "duration": 2.5, "extra": {"mine": 1}}
    path.write_text(json.dumps(line) + "\n")
    entries = read_manifest(path)
    assert entries[0].extra == {"duration": 2.5, "extra": {"mine": 1}}
    write_manifest(path, entries)
    assert json.loads(path.read_text()) == line


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [Entry("a", "a.wav")])
    for bad in ([Entry("a", "a.wav"), Entry("a", "b.wav")], [Entry("b", "b.wav", attributes={"tempo": float("nan")})]):
        with pytest.raises(ManifestError):
            write_manifest(path, bad)
        assert read_manifest(path) == [Entry("a", "a.wav")]
        assert os.listdir(tmp_path) == ["manifest.jsonl"]


def test_an_entry_says_what_it_cannot_be():
    for wrong in (
        {"id": ""},
        {"audio": "a\0b"},
        {"notes": ""},
        {"text": 3},
        {"attributes": []},
        {"extra": {"audio": 1}},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Entry(**{"id": "a", "audio": "b", **wrong})
