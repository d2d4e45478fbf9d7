"""Each dataset from a tiny made-up copy of its published layout: what is read, how it is split, and what one bad file costs."""

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from solfa.data.manifest import Entry, read_manifest, write_manifest
from solfa.data.readers import DATASETS, find_dataset, read_dataset
from solfa.score.midi import write_midi
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score, score_of_notes


def put(path: Path, data: str | bytes = b"sound") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def midi(path: Path, *notes: Note, pedal: tuple[float, float] | None = None) -> None:
    score = score_of_notes(notes)
    if pedal:
        part = Part("p", notes[0].program, notes[0].is_drum, notes)
        score = Score((part,), pedals=(Pedal(*pedal, 0),))
    put(path, write_midi(score))


MAESTRO_COLUMNS = (
    "canonical_composer",
    "canonical_title",
    "split",
    "year",
    "midi_filename",
    "audio_filename",
    "duration",
)
MAESTRO_ROWS = [
    ("Alban Berg", "Sonata, Op. 1", "train", "2018", "2018/a.midi", "2018/a.wav", "698.66"),
    ("Frédéric Chopin", 'Étude "Winter"', "validation", "2004", "2004/b.midi", "2004/b.wav", "12.5"),
    ("Franz Liszt", "Étude", "test", "2006", "2006/c.midi", "2006/c.wav", "3"),
]


def maestro(place: Path) -> Path:
    home = place / "maestro-v3.0.0"
    for row in MAESTRO_ROWS:
        put(home / row[5])
        midi(home / row[4], Note(0.5, 1.0, 60, 99))
    with open(home / "maestro-v3.0.0.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([MAESTRO_COLUMNS, *MAESTRO_ROWS])
    columns = {name: {str(i): row[n] for i, row in enumerate(MAESTRO_ROWS)} for n, name in enumerate(MAESTRO_COLUMNS)}
    put(home / "maestro-v3.0.0.json", json.dumps(columns))
    return home


def maps(place: Path) -> Path:
    pieces = {"ENSTDkCl": ["chpn_op66"], "ENSTDkAm": ["alb_se2"], "AkPnBcht": ["chpn_op66", "mz_311_1"]}
    for piano, names in pieces.items():
        for name in names:
            stem = place / piano / "MUS" / f"MAPS_MUS-{name}_{piano}"
            put(stem.with_suffix(".wav"))
            put(stem.with_suffix(".txt"), "OnsetTime\tOffsetTime\tMidiPitch\r\n1.5\t2.25\t64\r\n0.5\t1\t60\r\n\r\n")
    put(place / "ENSTDkCl/ISOL/NO/MAPS_ISOL_NO_F_S0_M23_ENSTDkCl.wav")
    return place


def musicnet(place: Path) -> Path:
    head = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"
    for split, number in (("train", "1727"), ("train", "1728"), ("test", "2303")):
        put(place / f"musicnet/{split}_data/{number}.wav")
        rows = "44100,66150,41,76,0.0,0.5,Eighth\n0,22050,1,60,0.0,0.5,Dotted Quarter\n"
        put(place / f"musicnet/{split}_labels/{number}.csv", head + rows)
    put(
        place / "musicnet_metadata.csv",
        "id,composer,composition,movement,ensemble,source,transcriber,catalog_name,seconds\n"
        '1727,Schubert,Piano Quintet in A major,"2. Andante, slow",Piano Quintet,EA,a@b,OP114,447\n',
    )
    return place / "musicnet"


def slakh_track(folder: Path, uuid: str, suffix: str = ".flac") -> None:
    stem = "    inst_class: X\n    integrated_loudness: -12.8\n    midi_saved: true\n"
    put(
        folder / "metadata.yaml",
        f"UUID: {uuid}\naudio_dir: stems\nmidi_dir: MIDI\nnormalized: true\nstems:\n"
        f"  S00:\n    audio_rendered: true\n    is_drum: false\n    program_num: 30\n    plugin_name: elektrik.nkm\n{stem}"
        f"  S01:\n    audio_rendered: true\n    is_drum: true\n    program_num: 128\n    plugin_name: kit.nkm\n{stem}"
        f"  S02:\n    audio_rendered: false\n    is_drum: false\n    program_num: 120\n    plugin_name: None\n{stem}",
    )
    put(folder / f"mix{suffix}")
    midi(folder / "MIDI/S00.mid", Note(0.0, 0.5, 52, 77), pedal=(0.25, 2.0))
    midi(folder / "MIDI/S01.mid", Note(1.0, 1.1, 38, 100, is_drum=True))
    midi(folder / "all_src.mid", Note(0.0, 9.0, 99))


def slakh(place: Path) -> Path:
    home = place / "slakh2100_flac_redux"
    tracks = [
        ("train/Track00001", "aa"),
        ("train/Track00002", "bb"),
        ("train/Track00003", "aa"),
        ("validation/Track01501", "cc"),
        ("test/Track01876", "bb"),
        ("omitted/Track00004", "aa"),
    ]
    for name, uuid in tracks:
        slakh_track(home / name, uuid)
    return home


def urmp(place: Path) -> Path:
    for piece, parts in (("01_Jupiter", ("vn", "vc")), ("34_Fugue", ("tpt", "tpt", "hn", "tbn"))):
        home = place / "Dataset" / "_".join((piece, *parts))
        put(home / f"AuMix_{home.name}.wav")
        for i, part in enumerate(parts, 1):
            put(home / f"AuSep_{i}_{part}_{piece}.wav")
            put(home / f"Notes_{i}_{part}_{piece}.txt", f"{i}.25\t\t440.000\t\t0.5\n{i}.75 \t 262.1 \t 1\n")
            put(home / f"F0s_{i}_{part}_{piece}.txt", "0.0\t0.0\n")
    put(place / "Dataset/Supplementary_Files/readme.txt")
    return place / "Dataset"


def guitarset(place: Path) -> Path:
    for stem in ("00_BN1-129-Eb_comp", "05_SS3-84-Bb_solo"):
        put(place / f"audio_mono-mic/{stem}_mic.wav")
        strings = [
            {"namespace": "pitch_contour", "data": {"time": [0.0], "value": [{}]}},
            {"namespace": "note_midi", "annotation_metadata": {"data_source": "0"}, "data": []},
            {
                "namespace": "note_midi",
                "annotation_metadata": {"data_source": "1"},
                "data": [{"time": 0.5, "duration": 0.25, "value": 51.98, "confidence": None}],
            },
        ]
        put(place / f"annotation/{stem}.jams", json.dumps({"annotations": strings, "file_metadata": {}}))
    return place


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "maestro": maestro,
    "maps": maps,
    "musicnet": musicnet,
    "slakh": slakh,
    "urmp": urmp,
    "guitarset": guitarset,
}


def entries(name: str, place: Path) -> dict[str, Entry]:
    """By id; nothing may be left out."""
    bad: list[str] = []
    found = list(read_dataset(name, place, bad))
    assert not bad
    return {entry.id: entry for entry in found}


def test_every_dataset_has_a_layout_here() -> None:
    assert LAYOUTS.keys() == DATASETS.keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_found_and_written_as_a_manifest(tmp_path: Path, name: str) -> None:
    home = LAYOUTS[name](tmp_path)
    assert find_dataset(home) == name == find_dataset(tmp_path)
    inner, outer = entries(name, home), entries(name, tmp_path)
    assert inner.keys() == outer.keys()
    for key, entry in outer.items():
        assert (tmp_path / entry.audio).is_file() and (home / inner[key].audio).is_file()
        assert key.startswith(f"{name}-") and entry.extra["dataset"] == name
        loud = {note.velocity for note in entry.notes} if isinstance(entry.notes, tuple) else set()
        assert entry.extra["velocities"] or loud == {80}
    write_manifest(tmp_path / "manifest.jsonl", outer.values())
    assert read_manifest(tmp_path / "manifest.jsonl") == list(outer.values())


def test_maestro_by_its_csv_and_by_its_json(tmp_path: Path) -> None:
    home = maestro(tmp_path)
    found = entries("maestro", home)
    assert {key: entry.split for key, entry in found.items()} == {
        "maestro-2018-a": "train",
        "maestro-2004-b": "validation",
        "maestro-2006-c": "test",
    }
    first = found["maestro-2018-a"]
    assert (first.audio, first.notes, first.seconds) == ("2018/a.wav", "2018/a.midi", 698.66)
    assert first.attributes["title"] == "Sonata, Op. 1" and first.attributes["year"] == 2018
    (home / "maestro-v3.0.0.csv").unlink()
    assert entries("maestro", home) == found
    rows = [dict(zip(MAESTRO_COLUMNS, row, strict=True)) for row in MAESTRO_ROWS]
    put(home / "maestro-v3.0.0.json", json.dumps(rows))  # as version 1 and 2 have it
    assert entries("maestro", home) == found


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (2, "training", "split 'training'"),
        (3, "MMIV", "year 'MMIV'"),
        (4, "2004/none.midi", "none.midi: no such file"),
        (5, "../b.wav", "below the table's folder"),
        (6, "nan", "duration 'nan'"),
        (6, "-1", "duration '-1'"),
    ],
)
def test_a_bad_row_of_maestro_costs_itself_alone(tmp_path: Path, place: int, value: str, said: str) -> None:
    home = maestro(tmp_path)
    rows = [list(row) for row in MAESTRO_ROWS]
    rows[1][place] = value
    with open(home / "maestro-v3.0.0.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([MAESTRO_COLUMNS, *rows])
    bad: list[str] = []
    assert len(list(read_dataset("maestro", home, bad))) == 2
    (why,) = bad
    assert "maestro-v3.0.0.csv, line 3: " in why and said in why


def test_maps_splits_and_overlap(tmp_path: Path) -> None:
    found = entries("maps", maps(tmp_path))
    assert {key: entry.split for key, entry in found.items()} == {
        "maps-MAPS_MUS-chpn_op66_ENSTDkCl": "test",
        "maps-MAPS_MUS-alb_se2_ENSTDkAm": "test",
        "maps-MAPS_MUS-chpn_op66_AkPnBcht": "overlap",
        "maps-MAPS_MUS-mz_311_1_AkPnBcht": "train",
    }
    for entry in found.values():
        assert entry.notes == (Note(0.5, 1.0, 60), Note(1.5, 2.25, 64))


def test_musicnet_samples_and_programs_from_1(tmp_path: Path) -> None:
    found = entries("musicnet", musicnet(tmp_path))
    assert {key: entry.split for key, entry in found.items()} == {
        "musicnet-1727": "train",
        "musicnet-1728": "train",
        "musicnet-2303": "test",
    }
    assert found["musicnet-1727"].notes == (Note(0.0, 0.5, 60), Note(1.0, 1.5, 76, program=40))
    said = found["musicnet-1727"].attributes
    assert (said["composer"], said["movement"]) == ("Schubert", "2. Andante, slow")
    assert [each["program"] for each in found["musicnet-2303"].attributes["instruments"]] == [0, 40]


def test_musicnet_without_readable_metadata(tmp_path: Path) -> None:
    home = musicnet(tmp_path)
    put(tmp_path / "musicnet_metadata.csv", "identity\n1727\n")
    bad: list[str] = []
    assert len(list(read_dataset("musicnet", home, bad))) == 3
    assert len(bad) == 1 and "line 1: no column id, composer" in bad[0]


def test_slakh_takes_the_stems_that_sound(tmp_path: Path) -> None:
    found = entries("slakh", slakh(tmp_path))
    first = found["slakh-Track00001"]
    assert first.audio.endswith("train/Track00001/mix.flac") and isinstance(first.notes, tuple)
    guitar, drum = first.notes
    assert (guitar.pitch, guitar.velocity, guitar.program, guitar.is_drum) == (52, 77, 30, False)
    assert guitar.offset == pytest.approx(2.0, abs=0.01), "held by the pedal"
    assert (drum.pitch, drum.program, drum.is_drum) == (38, 0, True)
    assert first.attributes["plugins"] == {"S00": "elektrik.nkm", "S01": "kit.nkm"}


def test_slakh_keeps_music_apart_by_its_uuid(tmp_path: Path) -> None:
    assert {key: entry.split for key, entry in entries("slakh", slakh(tmp_path)).items()} == {
        "slakh-Track00001": "train",
        "slakh-Track00003": "train",  # the same music within one split stays
        "slakh-Track00002": "overlap",
        "slakh-Track01501": "validation",
        "slakh-Track01876": "test",
        "slakh-Track00004": "omitted",
    }


def test_babyslakh_has_no_folders_of_splits(tmp_path: Path) -> None:
    slakh_track(tmp_path / "babyslakh_16k/Track00001", "'12'", ".wav")
    (entry,) = entries("slakh", tmp_path).values()
    assert entry.split == "train" and entry.audio == "babyslakh_16k/Track00001/mix.wav"


def test_urmp_parts_and_pitches(tmp_path: Path) -> None:
    found = entries("urmp", urmp(tmp_path))
    duo, fugue = found["urmp-01_Jupiter_vn_vc"], found["urmp-34_Fugue_tpt_tpt_hn_tbn"]
    assert (duo.split, fugue.split) == ("test", "train")
    assert duo.notes == (
        Note(1.25, 1.75, 69, program=40),
        Note(1.75, 2.75, 60, program=40),
        Note(2.25, 2.75, 69, program=42),
        Note(2.75, 3.75, 60, program=42),
    )
    assert isinstance(fugue.notes, tuple) and {note.program for note in fugue.notes} == {56, 57, 60}
    assert len(fugue.notes) == 8


def test_guitarset_strings_and_progressions(tmp_path: Path) -> None:
    found = entries("guitarset", guitarset(tmp_path))
    first, last = found["guitarset-00_BN1-129-Eb_comp"], found["guitarset-05_SS3-84-Bb_solo"]
    assert (first.split, last.split) == ("train", "test")
    assert first.notes == (Note(0.5, 0.75, 52, program=25),)
    assert first.attributes["genre"] == "bossa nova" and first.attributes["bpm"] == 129


HEAD = "OnsetTime\tOffsetTime\tMidiPitch\n"
LABELS = "start_time,end_time,instrument,note\n"
BAD = [
    ("maps", "AkPnBcht/MUS/MAPS_MUS-mz_311_1_AkPnBcht.txt", HEAD + "0\t1\t60\n0\t1\t128\n", "line 3: MidiPitch '128'"),
    ("maps", "AkPnBcht/MUS/MAPS_MUS-mz_311_1_AkPnBcht.txt", HEAD + "2\t1\t60\n", "line 2: a note from 2 to 1 s"),
    ("maps", "AkPnBcht/MUS/MAPS_MUS-mz_311_1_AkPnBcht.txt", HEAD + "2\t3\n", "line 2: 2 values for 3 columns"),
    ("maps", "AkPnBcht/MUS/MAPS_MUS-mz_311_1_AkPnBcht.txt", "0\t1\t60\n", "line 1: '0\\t1\\t60' instead of OnsetTime"),
    ("maps", "AkPnBcht/MUS/MAPS_MUS-mz_311_1_AkPnBcht.txt", None, "no such file"),
    ("musicnet", "musicnet/train_labels/1728.csv", LABELS + "0,1,0,60\n", "line 2: instrument '0'"),
    ("musicnet", "musicnet/train_labels/1728.csv", LABELS + "0,x,1,60\n", "line 2: end_time 'x'"),
    ("musicnet", "musicnet/train_labels/1728.csv", "start_time,note\n0,1\n", "line 1: no column end_time, instrument"),
    ("musicnet", "musicnet/train_labels/1728.csv", b"\xff\xfe", "not text in UTF-8"),
    ("musicnet", "musicnet/train_data/1728.wav", None, "1728.wav: no such file"),
    ("slakh", "slakh2100_flac_redux/train/Track00001/MIDI/S01.mid", None, "S01.mid: no such file, though the stem"),
    ("slakh", "slakh2100_flac_redux/train/Track00001/MIDI/S01.mid", b"MThd", "S01.mid: "),
    ("slakh", "slakh2100_flac_redux/train/Track00001/mix.flac", None, "no mix.flac or mix.wav"),
    ("slakh", "slakh2100_flac_redux/train/Track00001/metadata.yaml", "UUID: a\nstems: [", "not YAML"),
    ("slakh", "slakh2100_flac_redux/train/Track00001/metadata.yaml", "UUID: 2001-99-99", "metadata.yaml: not YAML"),
    ("slakh", "slakh2100_flac_redux/train/Track00001/metadata.yaml", "stems: {}", "a UUID and stems are needed"),
    (
        "slakh",
        "slakh2100_flac_redux/train/Track00001/metadata.yaml",
        "UUID: a\nstems: {S00: {is_drum: false, audio_rendered: true, program_num: 128}}",
        "stem 'S00': program_num 128",
    ),
    (
        "slakh",
        "slakh2100_flac_redux/train/Track00001/metadata.yaml",
        "UUID: a\nstems: {../S0: {is_drum: false, audio_rendered: true, program_num: 1}}",
        "a name such as S00",
    ),
    ("urmp", "Dataset/34_Fugue_tpt_tpt_hn_tbn/Notes_3_hn_34_Fugue.txt", "1 0 1\n", "line 1: frequency '0'"),
    ("urmp", "Dataset/34_Fugue_tpt_tpt_hn_tbn/Notes_3_hn_34_Fugue.txt", "1 440 1\n1 440 inf", "line 2: duration 'inf'"),
    ("urmp", "Dataset/34_Fugue_tpt_tpt_hn_tbn/Notes_3_hn_34_Fugue.txt", "9e4 440 1", "line 1: onset '9e4'"),
    ("urmp", "Dataset/34_Fugue_tpt_tpt_hn_tbn/Notes_3_hn_34_Fugue.txt", "8e4 440 8e4", "line 1: a note from 80000 to"),
    ("urmp", "Dataset/34_Fugue_tpt_tpt_hn_tbn/Notes_3_hn_34_Fugue.txt", None, "parts for tpt tpt hn tbn are needed"),
    ("guitarset", "annotation/05_SS3-84-Bb_solo.jams", "{", "not JSON"),
    ("guitarset", "annotation/05_SS3-84-Bb_solo.jams", '{"annotations": []}', "no annotation of the namespace"),
    (
        "guitarset",
        "annotation/05_SS3-84-Bb_solo.jams",
        '{"annotations": [{"namespace": "note_midi", "data": [{"time": 1, "duration": -1, "value": 50}]}]}',
        "note_midi 0, note 0: -1: legal are",
    ),
    (
        "guitarset",
        "annotation/05_SS3-84-Bb_solo.jams",
        '{"annotations": [{"namespace": "note_midi", "data": [{"time": 1, "duration": 1, "value": NaN}]}]}',
        "not JSON (NaN is no number)",
    ),
    ("guitarset", "audio_mono-mic/05_SS3-84-Bb_solo_mic.wav", None, "no such file"),
]


@pytest.mark.parametrize(("name", "path", "data", "said"), BAD)
def test_one_bad_file_costs_its_recording_alone(
    tmp_path: Path, name: str, path: str, data: str | bytes | None, said: str
) -> None:
    LAYOUTS[name](tmp_path)
    whole = entries(name, tmp_path)
    assert (tmp_path / path).is_file()
    (tmp_path / path).unlink()
    if data is not None:
        put(tmp_path / path, data)
    bad: list[str] = []
    left = list(read_dataset(name, tmp_path, bad))
    assert len(left) == len(whole) - 1 and all(whole[entry.id] == entry for entry in left)
    (why,) = bad
    assert said in why and str(tmp_path) in why
    with pytest.warns(UserWarning, match=f"{len(left)} recordings of {name}; left out: "):
        list(read_dataset(name, tmp_path))


def test_recordings_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    home = urmp(tmp_path)
    reading = read_dataset("urmp", home)
    assert next(reading).id == "urmp-01_Jupiter_vn_vc"
    put(home / "34_Fugue_tpt_tpt_hn_tbn/Notes_1_tpt_34_Fugue.txt", "1 440 1\n")
    assert len(next(reading).notes or ()) == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not list(reading)


def test_wrong_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dataset 'maestros': there are maestro, maps"):
        read_dataset("maestros", tmp_path)
    with pytest.raises(ValueError, match="not maestro in its published layout"):
        read_dataset("maestro", tmp_path)
    assert find_dataset(tmp_path) is None and find_dataset(tmp_path / "none") is None
    maestro(tmp_path)
    slakh(tmp_path)
    with pytest.raises(ValueError, match="holds maestro and slakh"):
        find_dataset(tmp_path)
    assert len(entries("maestro", tmp_path)) == 3
    slakh_track(tmp_path / "babyslakh/Track00001", "aa")
    with pytest.raises(ValueError, match="holds it 2 times, in babyslakh, slakh2100_flac_redux"):
        read_dataset("slakh", tmp_path)
    put(tmp_path / "maestro-v3.0.0/maestro-v3.0.0.csv", "canonical_title\nx\n")
    with pytest.raises(ValueError, match="line 1: no column canonical_composer"):
        list(read_dataset("maestro", tmp_path))
