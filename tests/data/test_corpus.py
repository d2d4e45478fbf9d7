import random
import stat
import zipfile

import pytest

from solfa.audio.io import info
from solfa.cli.app import run
from solfa.data import corpus
from solfa.data.backends import choose_backend
from solfa.data.corpus import CorpusError, Piece, find_pieces, read_piece, render_corpus
from solfa.data.effects import PLAIN
from solfa.data.manifest import read_manifest
from solfa.data.soundfont import SoundFontError, find_soundfont
from solfa.data.synth import Settings
from solfa.score.midi import read_midi, write_midi
from solfa.score.note import Note
from solfa.score.score import score_of_notes

PLAINLY = Settings(options=PLAIN, sample_rate=16000)
XML = b"""<?xml version="1.0"?><score-partwise version="4.0"><part-list><score-part id="P1"><part-name>Flute</part-name></score-part>
</part-list><part id="P1"><measure number="1"><attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time>
</attributes><note><pitch><step>A</step><octave>4</octave></pitch><duration>4</duration></note></measure></part></score-partwise>"""


def song(length: int = 8, program: int = 40) -> bytes:
    return write_midi(score_of_notes([Note(0.5 * i, 0.5 * i + 0.4, 60 + i % 12, 90, program) for i in range(length)]))


@pytest.fixture
def folder(tmp_path):
    try:
        find_soundfont()
        choose_backend()
    except (SoundFontError, ImportError) as error:
        pytest.skip(str(error))
    (tmp_path / "songs" / "deep").mkdir(parents=True)
    (tmp_path / "songs" / "one.mid").write_bytes(song())
    (tmp_path / "songs" / "deep" / "one.MID").write_bytes(song(9, 73))
    (tmp_path / "songs" / "flute.musicxml").write_bytes(XML)
    (tmp_path / "songs" / "broken.mid").write_bytes(song()[:40])
    (tmp_path / "songs" / "notes.txt").write_text("no score")
    return tmp_path / "songs"


def test_a_folder_is_rendered_and_a_bad_file_told(folder, tmp_path):
    said = []
    made = render_corpus(folder, tmp_path / "out", 1, PLAINLY, on_item=said.append)
    assert (made.entries, made.failed) == (3, 1)
    assert [str(done.task) for done in said if done.error] == [str(folder / "broken.mid")]
    entries = {entry.attributes["source"]: entry for entry in read_manifest(tmp_path / "out/manifest.jsonl")}
    assert set(entries) == {"one.mid", "deep/one.MID", "flute.musicxml"}
    assert len({entry.audio for entry in entries.values()}) == 3
    for entry in entries.values():
        assert entry.text and info(tmp_path / "out" / entry.audio).duration == entry.seconds
    score = read_midi(tmp_path / "out" / entries["one.mid"].notes)
    assert [note.pitch for note in score.notes] == [60 + i for i in range(8)]
    assert {part.program for part in score.parts} == {40}


def test_excerpts_and_other_instruments_are_drawn(folder, tmp_path):
    (folder / "long.mid").write_bytes(song(120))
    pieces = [piece for piece in find_pieces(folder) if piece.name in ("long.mid", "one.mid")]
    programs, starts = set(), set()
    for seed in range(4):
        out = tmp_path / f"out{seed}"
        settings = Settings(seed=seed, options=PLAIN, sample_rate=16000, programs="0-63")
        render_corpus(pieces, out, 1, settings, instruments="vary", max_seconds=3)
        for entry in read_manifest(out / "manifest.jsonl"):
            score = read_midi(out / entry.notes)
            assert score.duration <= 3.001 and score.notes[0].onset < 0.01
            programs |= {part.program for part in score.parts}
            starts.add(score.notes[0].pitch)
    assert programs <= set(range(64)) and len(programs) > 3
    assert len(starts) > 1
    with pytest.raises(ValueError, match="max_seconds"):
        render_corpus(pieces, tmp_path / "none", max_seconds=0)


def test_one_pianist_plays_all_parts(folder, tmp_path, capsys):
    command = ["synth", "-o", str(tmp_path / "out"), "--from", str(folder / "deep"), "--instruments", "pianist"]
    command += ["--programs", "0-1,40", "--max-seconds", "3", "--plain", "--sample-rate", "16000"]
    assert run(command) == 0
    (entry,) = read_manifest(tmp_path / "out/manifest.jsonl")
    score = read_midi(tmp_path / "out" / entry.notes)
    assert len(score.parts) == 1 and score.parts[0].program in (0, 1) and score.duration < 3.1
    assert len({note.velocity for note in score.notes}) > 1, "the score's are all 90"
    assert "piano" in entry.text.lower()
    assert run([*command[:7], "--programs", "40"]) == 1
    assert "none of the programs 0 to 7" in capsys.readouterr().err
    with pytest.raises(ValueError, match="keep, vary, pianist"):
        render_corpus(folder, tmp_path / "none", 1, PLAINLY, instruments="organist")


def test_the_command_renders_a_zip_and_fails_with_1_for_a_bad_member(folder, tmp_path, capsys):
    path = tmp_path / "songs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("one.mid", "broken.mid", "deep/one.MID", "notes.txt"):
            archive.write(folder / name, name)
        archive.writestr("__MACOSX/._one.mid", b"junk")
    command = ["synth", "-o", str(tmp_path / "out"), "--from", str(path), "--plain", "--sample-rate", "16000"]
    assert run(command) == 1
    said = capsys.readouterr().err
    assert "songs.zip/broken.mid: " in said and "2 recordings" in said
    assert run([*command, "--items", "1"]) == 1  # broken.mid is the first by name
    render_corpus(folder, tmp_path / "folder", 1, PLAINLY)
    of_zip, of_folder = (
        {entry.id: entry.seconds for entry in read_manifest(tmp_path / name / "manifest.jsonl")}
        for name in ("out", "folder")
    )
    assert of_zip.items() <= of_folder.items()  # the same names give the same items


def test_a_zip_cannot_lead_outside_of_itself(tmp_path):
    for name, attributes in (
        ("../one.mid", 0),
        ("/etc/one.mid", 0),
        ("a\\..\\..\\one.mid", 0),
        ("one.mid", stat.S_IFLNK << 16),
    ):
        path = tmp_path / "odd.zip"
        with zipfile.ZipFile(path, "w") as archive:
            member = zipfile.ZipInfo(name)
            member.external_attr = attributes
            archive.writestr(member, song())
        with pytest.raises(CorpusError, match="points outside"):
            find_pieces(path)


def test_a_member_that_unpacks_to_too_much_is_refused_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_BYTES", 10_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.mid", b"\0" * 5_000_000)
    sizes = []
    plain = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: sizes.append(n) or plain(self, n))
    with pytest.raises(CorpusError, match="larger than"):
        read_piece(find_pieces(path)[0])
    assert sizes == [10_001]


def test_a_damaged_zip_and_an_empty_place_are_told(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK\3\4 no zip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("no score")
    for name, reason in (
        ("bad.zip", "cannot be read"),
        ("empty", "no scores"),
        ("words.txt", "no scores"),
        ("none", "no such"),
    ):
        with pytest.raises(CorpusError, match=reason) as caught:
            find_pieces(tmp_path / name)
        assert name in str(caught.value)
    path = tmp_path / "cut.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.mid", song(100))
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        read_piece(find_pieces(path)[0])


def test_names_of_items_are_plain_and_their_own():
    names = ["A/Song No. 1.mid", "B/Song No. 1.mid", "Österreich – Lied.mid", "....mid", "x" * 300 + ".mid"]
    made = [Piece("p", name).identity for name in names]
    assert len(set(made)) == len(names)
    assert all(len(name) <= 60 and name.strip("abcdefghijklmnopqrstuvwxyz0123456789-") == "" for name in made)


def zipped(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, song(number + 1))
    return path


def test_a_zip_is_opened_once_a_process_and_anew_where_another_file_is_in_its_place(tmp_path, monkeypatch):
    path = zipped(tmp_path / "songs.zip", [f"{number}.mid" for number in range(9)])
    pieces, opened, plain = find_pieces(path), [], zipfile.ZipFile
    monkeypatch.setattr(
        corpus.zipfile, "ZipFile", lambda *given: (len(given) == 1 and opened.append(given)) or plain(*given)
    )
    assert [len(read_piece(piece).notes) for piece in pieces] == list(range(1, 10)) and len(opened) == 1
    monkeypatch.setattr(corpus.os, "getpid", lambda: -1)  # a fork shares the place in a file that was open before
    assert len(read_piece(pieces[4]).notes) == 5 and len(opened) == 2
    zipped(tmp_path / "new.zip", ["gone.mid", "4.mid"]).replace(path)
    assert len(read_piece(pieces[4]).notes) == 2 and len(opened) == 3
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        read_piece(pieces[0])
    path.unlink()
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        read_piece(pieces[4])
    for number in range(9):  # no more are held than are worth it
        read_piece(find_pieces(zipped(tmp_path / f"{number}.zip", ["a.mid"]))[0])
    assert corpus._opened.cache_info().currsize == corpus.OPEN_ZIPS


def test_every_damage_to_a_zip_is_a_corpus_error_that_names_it(tmp_path):
    path, rng, told = tmp_path / "bad.zip", random.Random(0), 0
    whole = zipped(tmp_path / "whole.zip", ["a/é.mid", "b.mid"]).read_bytes()
    directory = whole.index(b"PK\1\2")
    for turn in range(1500):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(directory, len(data)) if turn % 2 else rng.randrange(len(data))] = rng.choice(
                [0, 255, rng.randrange(256)]
            )
        path.write_bytes(data)
        try:
            pieces = find_pieces(path)
        except CorpusError as error:
            assert str(path) in str(error)
            told += 1
            continue
        for piece in pieces:
            try:
                read_piece(piece)
            except ValueError:
                told += 1
    assert told > 100
    for at, value in ((6, 99), (28, 0), (8, 0xFF)):  # a version to come; no name; a name that is no UTF-8
        data = bytearray(whole)
        data[directory + at] = value
        path.write_bytes(data)
        try:
            found = find_pieces(path)
        except CorpusError as error:
            assert str(path) in str(error)
        else:
            assert len(found) <= 2
