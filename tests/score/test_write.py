import importlib.util
import json
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from solfa.score import KeySignature, Metre, Note, Part, Pedal, Score, TempoChange, write
from solfa.score.midi import MidiError
from solfa.score.quantising.quantise import QuantiseOptions, quantise
from solfa.score.write import (
    READ,
    WRITTEN,
    SheetWarning,
    check_writable,
    note_suffix,
    read_abc_file,
    read_notes,
    write_notes,
)

QUARTER = 0.625  # seconds, at 96


def tune(shift=0.0, stretch=1.0):
    """Eight bars of a melody over a bass, a beat 0.625 s long."""
    melody = [60, 62, 64, 65, 67, 69, 71, 72] * 4
    upper = [
        Note(shift + i * QUARTER * stretch, shift + (i + 1) * QUARTER * stretch, p, 90) for i, p in enumerate(melody)
    ]
    lower = [
        Note(shift + i * 4 * QUARTER * stretch, shift + (i + 1) * 4 * QUARTER * stretch, 36 + i % 2 * 7)
        for i in range(8)
    ]
    return sorted([*upper, *lower])


def exact(notes):
    """A score whose tempo says what the notes are."""
    return Score(
        (Part("Piano", 0, False, tuple(notes)),),
        (TempoChange(0.0, 96.0),),
        (Metre(0.0, 4, 4),),
        (KeySignature(0.0, 0, "major"),),
    )


def rounded(notes):
    return [(round(n.onset, 6), round(n.offset, 6), n.pitch, n.program, n.is_drum) for n in notes]


@pytest.mark.parametrize("suffix", READ)
def test_what_is_written_is_read(suffix, tmp_path):
    score = exact(tune())
    path = tmp_path / f"take{suffix}"
    write_notes(score, path)
    found = read_notes(path)
    assert rounded(found.notes) == rounded(score.notes)
    if suffix != ".abc":  # which has marks for loudness only
        assert [n.velocity for n in found.notes] == [n.velocity for n in score.notes]
    if suffix in (".json", ".jsonl"):
        assert found.tempi == ()
    else:
        assert [round(t.bpm, 3) for t in found.tempi] == [96.0]
        assert (found.metres, found.keys) == (score.metres, score.keys)


def test_staves_of_a_list_of_notes_are_called_by_their_instruments(tmp_path):
    """As those of a MIDI file that names none; two kits are told apart."""
    notes = [replace(note, program=40) for note in tune()] + [
        Note(n / 2, n / 2 + 0.1, 38, 80, n % 2 * 8, True) for n in range(20)
    ]
    for name in ("duo.abc", "duo.mid", "duo.musicxml"):
        write_notes(notes, tmp_path / name)
    voices = read_abc_file(tmp_path / "duo.abc").voices
    assert list(dict.fromkeys(voice.name for voice in voices)) == ["Violin", "Drums", "Drums 2"]
    parts = ElementTree.parse(tmp_path / "duo.musicxml").iter("part-name")
    assert [part.text for part in parts] == ["Violin", "Drums", "Drums 2"]
    assert {part.name for part in read_notes(tmp_path / "duo.mid").parts} == {"Violin", "Drums"}


def test_names_are_read_in_any_letters(tmp_path):
    write_notes(tune(), tmp_path / "A.JSON")
    assert len(json.loads((tmp_path / "A.JSON").read_text())) == len(tune())
    assert read_notes(tmp_path / "A.JSON").notes == tuple(tune())
    assert note_suffix("x.y.Roll.SVG") == ".roll.svg" and note_suffix("troll.svg") == ".svg"


def test_midi_keeps_the_notes_and_has_the_tempo_found(tmp_path):
    played = tune(shift=0.3, stretch=60 / 96 / QUARTER * 96 / 83)  # at 83, and not from the beginning of a bar
    found = write_notes(played, tmp_path / "a.mid")
    score = read_notes(tmp_path / "a.mid")
    assert found.tempo == "found"
    assert [(n.pitch, n.velocity) for n in score.notes] == [(n.pitch, n.velocity) for n in played]
    for ours, theirs in zip(score.notes, played, strict=True):
        assert (ours.onset, ours.offset) == pytest.approx((theirs.onset, theirs.offset), abs=2e-3)
    inside = [t.bpm for t in score.tempi if t.time > 0.2]
    assert inside and all(bpm == pytest.approx(83, rel=0.02) for bpm in inside)
    assert score.metres[-1].numerator == 4 and score.keys[0] == KeySignature(0.0, 0, "major")


def test_a_score_with_tempi_stays_as_it_is(tmp_path):
    score = replace(exact(tune(shift=0.1)), pedals=(Pedal(0.5, 1.0, 0),), ticks_per_beat=960)
    assert write_notes(score, tmp_path / "a.mid") is None
    again = read_notes(tmp_path / "a.mid")
    assert again.ticks_per_beat == 960 and len(again.pedals) == 1
    assert [n.pitch for n in again.notes] == [n.pitch for n in score.notes]
    assert [n.onset for n in again.notes] == pytest.approx([n.onset for n in score.notes], abs=1e-3)
    assert write_notes(score, tmp_path / "a.mid", options=QuantiseOptions(key=(7, "major"))).key == "given"
    assert read_notes(tmp_path / "a.mid").keys == (KeySignature(0.0, 7, "major"),)


def test_what_was_found_before_is_used(tmp_path):
    found = quantise(tune(), QuantiseOptions(tempo=48.0, metre=(3, 4), title="Waltz"))
    assert write_notes(tune(), tmp_path / "a.musicxml", found=found) is found
    root = ElementTree.fromstring((tmp_path / "a.musicxml").read_bytes())
    assert (root.findtext(".//beats"), root.findtext(".//work-title")) == ("3", "Waltz")
    write_notes(tune(), tmp_path / "b.musicxml", options=QuantiseOptions(tempo=48.0, metre=(3, 4), title="Waltz"))
    assert (tmp_path / "a.musicxml").read_bytes() == (tmp_path / "b.musicxml").read_bytes()


def test_the_score_and_the_roll(tmp_path):
    write_notes(exact(tune()), tmp_path / "a.roll.svg")
    roll = (tmp_path / "a.roll.svg").read_text()
    assert roll.count('class="note"') == len(tune()) and ">Piano<" in roll
    pytest.importorskip("verovio")
    write_notes(exact(tune()), tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert sum("note" in element.get("class", "").split() for element in root.iter()) == len(tune())


def test_without_verovio_the_roll_is_named(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(write, "find_spec", lambda name: None if name == "verovio" else real(name))
    for act in (check_writable, lambda path: write_notes(tune(), path)):
        with pytest.raises(ImportError, match=r'pip install "solfa\[score\]", or write a piano roll, .*a\.roll\.svg'):
            act(tmp_path / "a.svg")
    check_writable(tmp_path / "a.roll.svg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITTEN)
def test_no_notes_make_a_file_all_the_same(suffix, tmp_path):
    if suffix == ".svg":
        pytest.importorskip("verovio")
    for index, source in enumerate(([], Score(()), exact([]))):
        path = tmp_path / f"{index}{suffix}"
        write_notes(source, path)
        assert path.stat().st_size > 0 or suffix == ".jsonl"
        if suffix in READ:
            assert read_notes(path).notes == ()


def test_too_few_notes_for_a_tempo_are_said(tmp_path):
    with pytest.warns(UserWarning, match="too few notes to find a tempo in: 120 is assumed"):
        found = write_notes([Note(0.0, 1.0, 60)], tmp_path / "a.mid")
    assert found.tempo == "assumed"


def test_notes_that_a_sheet_has_no_place_for_are_said(tmp_path):
    tremolo = [Note(n * 0.02, n * 0.02 + 0.02, 60) for n in range(29)]
    options = QuantiseOptions(tempo=60.0, metre=(4, 4))
    with pytest.warns(SheetWarning, match=r"^\d+ of 29 notes fall on others of the same pitch at this tempo") as caught:
        found = write_notes(tremolo, tmp_path / "a.abc", options=options)
    assert len(caught) == 1 and str(caught[0].message) == found.remarks[0]
    assert int(found.remarks[0].split()[0]) == found.merged == 29 - len(read_notes(tmp_path / "a.abc").notes) > 0
    with warnings.catch_warnings(action="error"):
        assert len(read_notes_of(tremolo, tmp_path / "a.mid", options)) == 29  # as they were played: nothing is lost
        write_notes(exact(tune()), tmp_path / "b.abc")


def read_notes_of(notes, path, options):
    write_notes(notes, path, options=options)
    return read_notes(path).notes


@pytest.mark.parametrize("suffix", [".mid", ".abc", ".musicxml"])
def test_longer_than_a_day(suffix, tmp_path):
    for source in ([Note(0.0, 1.0, 60), Note(9e4, 9e4 + 1, 60)], exact([Note(9e4, 9e4 + 1, 60)])):
        with pytest.raises(ValueError, match="longest"):
            write_notes(source, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_more_ticks_than_midi_can_count(tmp_path):
    fast = replace(exact([Note(0.0, 1.0, 60), Note(80_000.0, 80_001.0, 60)]), tempi=(TempoChange(0.0, 60_000.0),))
    with pytest.raises(MidiError, match="ticks without an event"):
        write_notes(fast, tmp_path / "a.mid")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "a.wav", ".mid", "a.midx", "a.abc.gz"])
def test_other_endings_are_named(name, tmp_path):
    with pytest.raises(ValueError, match=r"legal are \.mid, .*\.jsonl"):
        write_notes([], tmp_path / name)
    with pytest.raises(ValueError, match=r"legal are \.mid"):
        read_notes(tmp_path / name)
    with pytest.raises(ValueError, match="legal are"):
        read_notes(tmp_path / "a.svg")


def test_a_folder_of_the_name_stays(tmp_path):
    (tmp_path / "a.mid").mkdir()
    with pytest.raises(ValueError, match="not a regular file"):
        write_notes(tune(), tmp_path / "a.mid")


@pytest.mark.parametrize("suffix", READ)
def test_damaged_files_are_named(suffix, tmp_path):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"no music at all\n")
    with pytest.raises(ValueError, match=rf"bad\{suffix}"):
        read_notes(path)
    with pytest.raises(FileNotFoundError):
        read_notes(tmp_path / f"none{suffix}")
