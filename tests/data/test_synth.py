import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solfa.audio.io import info, read
from solfa.cli.app import run
from solfa.data import collection
from solfa.data.backends import choose_backend
from solfa.data.collection import JOURNAL
from solfa.data.effects import PLAIN
from solfa.data.manifest import read_manifest
from solfa.data.programs import parse_presets
from solfa.data.soundfont import SoundFontError, find_soundfont
from solfa.data.sounds.sound import SOURCES, make_sound
from solfa.data.sounds.speech import choose_engines, make_speech
from solfa.data.synth import Settings, draw_attributes, synthesize
from solfa.score.midi import read_midi

SCORES = Settings(seconds=(4.0, 6.0), options=PLAIN)
SOUNDS = Settings(kind="sounds", seconds=(1.0, 2.0), sample_rate=16000)


@pytest.fixture(scope="module")
def synthesizer() -> None:
    try:
        find_soundfont()
        choose_backend()
    except (SoundFontError, ImportError) as error:
        pytest.skip(str(error))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("synthesizer")
def test_two_processes_write_the_same_bytes_as_one(tmp_path):
    settings = replace(Settings(seconds=(4.0, 5.0)), channels=2, valid=0.3)
    one = synthesize(tmp_path / "one", 3, 11, 1, settings)
    two = synthesize(tmp_path / "two", 3, 11, 2, settings)
    assert one == two and one.entries == 3
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    fewer = synthesize(tmp_path / "fewer", 1, 11, 1, settings)
    assert read_manifest(tmp_path / "fewer/manifest.jsonl") == read_manifest(tmp_path / "one/manifest.jsonl")[:1]
    assert fewer.entries == 1
    synthesize(tmp_path / "other", 1, 12, 1, settings)
    assert tree(tmp_path / "other")["notes/000000.mid"] != tree(tmp_path / "one")["notes/000000.mid"]


@pytest.mark.usefixtures("synthesizer")
def test_the_manifest_says_what_is_there(tmp_path):
    made = synthesize(tmp_path, 2, 5, 1, replace(SCORES, sample_rate=16000, programs="0-7,d0"))
    entries = read_manifest(tmp_path / "manifest.jsonl")
    assert [entry.id for entry in entries] == ["000000", "000001"] and made.entries == 2
    for entry in entries:
        sound = info(tmp_path / entry.audio)
        assert (sound.sample_rate, sound.channels, sound.format) == (16000, 1, "FLAC")
        assert sound.duration == entry.seconds
        assert np.abs(read(tmp_path / entry.audio).samples.numpy()).max() > 0.01
        score = read_midi(tmp_path / entry.notes)
        assert score.notes and abs(score.notes[-1].onset - entry.seconds) < 5
        assert all(part.program in range(8) if not part.is_drum else part.program == 0 for part in score.parts)
        assert entry.text and entry.soundfont and entry.renderer in ("fluidsynth", "tinysoundfont")
        assert entry.attributes["tonic"] in range(12)
        assert ("steady" in entry.attributes) == (len(score.tempi) == 1)
        assert len(entry.extra["soundfont_sha256"]) == 64 and entry.extra["effects"]["reverb"] == 0


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path):
    settings = SOUNDS
    synthesize(tmp_path / "whole", 40, 3, 1, settings)
    killed = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "solfa",
        "synth",
        "-o",
        str(killed),
        "--items",
        "40",
        "--seed",
        "3",
        "--kind",
        "sounds",
    ]
    command += ["--seconds", "1", "2", "--sample-rate", "16000"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and len(list(killed.glob("audio/*.flac"))) < 3:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len((killed / JOURNAL).read_text().splitlines()) - 1
    assert 1 <= done <= 40
    if done < 40:
        assert not (killed / "manifest.jsonl").exists()
    (killed / "audio" / ".0123456789abcdef.tmp").write_bytes(b"half a file")
    with open(killed / JOURNAL, "a") as file:
        file.write('{"entry": {"id": "0000')  # and half a line
    made = synthesize(killed, 40, 3, 1, settings)
    assert made.kept >= done and made.entries == 40
    assert tree(killed) == tree(tmp_path / "whole")


def test_a_damaged_file_is_made_again_and_others_are_kept(tmp_path):
    synthesize(tmp_path, 3, 1, 1, SOUNDS)
    before = tree(tmp_path)
    path = tmp_path / "audio/000001.flac"
    path.write_bytes(before["audio/000001.flac"][:-5])
    kept = (tmp_path / "audio/000000.flac").stat().st_mtime_ns
    assert synthesize(tmp_path, 3, 1, 1, SOUNDS).kept == 2
    assert tree(tmp_path) == before
    assert (tmp_path / "audio/000000.flac").stat().st_mtime_ns == kept
    assert synthesize(tmp_path, 4, 1, 1, SOUNDS).kept == 3


def test_other_settings_need_another_folder_or_the_word_overwrite(tmp_path):
    synthesize(tmp_path / "a", 2, 1, 1, SOUNDS)
    before = tree(tmp_path / "a")
    with pytest.raises(ValueError, match="seed 1, now 2"):
        synthesize(tmp_path / "a", 2, 2, 1, SOUNDS)
    assert tree(tmp_path / "a") == before
    synthesize(tmp_path / "b", 1, 2, 1, SOUNDS)
    synthesize(tmp_path / "a", 1, 2, 1, SOUNDS, overwrite=True)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="other files"):
        synthesize(tmp_path / "c", 1, 1, 1, SOUNDS, overwrite=True)


def test_an_item_that_fails_costs_only_itself(tmp_path, monkeypatch):
    whole = collection.build

    def with_a_fault(out, tasks, identify, make, names, **rest):
        def faulty(task):
            if task == 1:
                raise ValueError("no such chord")
            return make(task)

        return whole(out, tasks, identify, faulty, names, **rest)

    monkeypatch.setattr("solfa.data.synth.build", with_a_fault)
    said = []
    made = synthesize(tmp_path, 3, 1, 1, SOUNDS, on_item=said.append)
    assert (made.entries, made.failed) == (2, 1)
    assert [done.error for done in said] == [None, "no such chord", None]
    assert [entry.id for entry in read_manifest(tmp_path / "manifest.jsonl")] == ["000000", "000002"]


def test_splits_are_drawn_for_each_item():
    settings = Settings(seed=4, valid=0.2, test=0.1)
    splits = [settings.split(index) for index in range(2000)]
    assert splits.count("valid") == pytest.approx(400, abs=60) and splits.count("test") == pytest.approx(200, abs=50)


@pytest.mark.parametrize("programs", ["40", "0-7", "60-127,d25", "drums", "d48"])
def test_attributes_are_drawn_on_presets_that_may_sound(programs):
    presets = parse_presets(programs)
    for seed in range(60):
        drawn = draw_attributes(Settings(), presets, random.Random(seed))
        assert {voice.program for voice in drawn.instruments} <= presets.programs
        assert not drawn.drums or drawn.kit in presets.kits
        assert drawn.drums or drawn.instruments


def test_settings_that_cannot_be_are_named():
    for wrong in (
        {"kind": "songs"},
        {"seconds": (9.0, 3.0)},
        {"channels": 3},
        {"valid": 0.8, "test": 0.5},
        {"programs": "200"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Settings(**wrong)
    with pytest.raises(ValueError, match="items 0"):
        synthesize("unused", 0)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("rate", [8000, 24000])
def test_every_source_of_sound_fills_its_time(source, rate):
    for seed in range(6):
        samples, text, _ = SOURCES[source][0](random.Random(seed), rate * 3, rate)
        again, _, _ = SOURCES[source][0](random.Random(seed), rate * 3, rate)
        assert samples.shape == (rate * 3,) and samples.dtype == np.float32 and np.isfinite(samples).all()
        assert samples.std() > 1e-3 and text, (source, seed)
        assert np.array_equal(samples, again)


def test_mixtures_have_their_channels_and_differ_by_seed():
    sounds = [make_sound(random.Random(seed), 0.5, 16000, 2) for seed in range(12)]
    assert all(sound.samples.shape == (2, 8000) for sound in sounds)
    assert len({sound.samples.tobytes() for sound in sounds}) == 12
    assert any(" together with " in sound.text for sound in sounds)


def test_speech_is_the_same_for_a_seed_and_as_long_as_asked():
    try:
        engines = choose_engines()
    except ImportError as error:
        pytest.skip(str(error))
    for engine in engines:
        a, b = (make_speech(random.Random(8), 2.5, 24000, 1, (engine,)) for _ in range(2))
        assert a.samples.shape == (1, 60000) and np.array_equal(a.samples, b.samples)
        assert a.samples.std() > 1e-3 and a.attributes["spoken"] in a.text
    assert make_speech(random.Random(9), 1.0, 24000, 1, engines).text != a.text


def test_the_command(tmp_path, capsys):
    common = ["--kind", "sounds", "--seconds", "1", "2", "--sample-rate", "16000"]
    assert run(["synth", "-o", str(tmp_path / "a"), "--items", "2", "--seed", "1", *common]) == 0
    assert "2 recordings" in capsys.readouterr().err
    synthesize(tmp_path / "b", 2, 1, 1, SOUNDS)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert run(["synth", "-o", str(tmp_path / "a"), "--items", "2", "--seed", "2", *common]) == 1
    assert "seed 1, now 2" in capsys.readouterr().err
    for idle in (
        ["--max-seconds", "3"],
        ["--kind", "speech", "--programs", "3"],
        ["--from", "x", "--seconds", "5", "9"],
    ):
        assert run(["synth", "-o", str(tmp_path / "a"), *idle]) == 2
    for wrong in (
        ["--items", "0"],
        ["--seconds", "20", "10"],
        ["--programs", "200"],
        ["--modes", "foo"],
        ["--valid", "2"],
    ):
        assert run(["synth", "-o", str(tmp_path / "c"), *wrong]) == 2
