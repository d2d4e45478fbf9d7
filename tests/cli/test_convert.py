"""`solfa encode` and `solfa decode`, from files to files."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

import solfa
from solfa.cli.app import run
from solfa.codecs.token_file import read_tokens


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_encode_writes_what_the_codec_gives_for_any_jobs(
    tmp_path: Path, tiny: Path, recordings: Path, capsys: pytest.CaptureFixture
) -> None:
    """And a bad input does not hold up the rest."""
    (recordings / "bad.wav").write_bytes(b"no sound")
    arguments = [str(recordings), str(recordings / "none.wav"), "--codec", str(tiny)]
    for jobs in ("1", "2"):
        assert run(["encode", *arguments, "-o", str(tmp_path / jobs), "-j", jobs]) == 1
        shown = capsys.readouterr()
        failures = [line.split(": ")[0] for line in shown.err.splitlines() if line.startswith(str(recordings))]
        assert failures == [f"{recordings}/none.wav", f"{recordings}/bad.wav"]
        assert shown.err.splitlines()[-1] == "2 done, 2 failed, 0 skipped"
        done = [line.split(" -> ")[0] for line in shown.out.splitlines()]
        assert done == [f"{recordings}/a.wav", f"{recordings}/sub/b.flac"]
    assert tree(tmp_path / "1") == tree(tmp_path / "2")
    assert sorted(tree(tmp_path / "1")) == ["a.solfa", "sub/b.solfa"]
    expected = solfa.load_codec(tiny).encode_file(recordings / "sub/b.flac")
    written = read_tokens(tmp_path / "1/sub/b.solfa")
    assert torch.equal(written.tokens, expected.tokens)
    assert written.samples == expected.samples == (7257,)  # ceil(20001 * 8000 / 22050)


def test_decode_gives_back_every_sample(tmp_path: Path, tiny: Path, recordings: Path) -> None:
    tokens, sound = tmp_path / "a.solfa", tmp_path / "a.wav"
    assert run(["encode", str(recordings / "a.wav"), "-o", str(tokens), "--codec", str(tiny)]) == 0
    assert run(["decode", str(tokens), "-o", str(sound), "--codec", str(tiny)]) == 0
    codec = solfa.load_codec(tiny)
    expected = codec.decode(read_tokens(tokens)).samples[0].clamp(-1, 1)
    found = solfa.read(sound).samples[0]
    assert found.shape == expected.shape == (1, 9_877)
    assert (found - expected).abs().max() <= 1 / 32768


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.4), (0.1234, 0.1235), (0.26, 1.1), (0.5, None), (1.2, 99.0)])
def test_a_part_is_that_part_of_the_whole(
    tmp_path: Path, tiny: Path, recordings: Path, start: float, end: float | None
) -> None:
    tokens = tmp_path / "a.solfa"
    common = ["--codec", str(tiny), "--overwrite", "--codebooks", "3"]
    run(["encode", str(recordings / "a.wav"), "-o", str(tokens), *common])
    assert run(["decode", str(tokens), "-o", str(tmp_path / "whole.wav"), *common]) == 0
    until = [] if end is None else ["--end", str(end)]
    assert run(["decode", str(tokens), "-o", str(tmp_path / "part.wav"), "--start", str(start), *until, *common]) == 0
    whole, rate = soundfile.read(tmp_path / "whole.wav", dtype="int16")
    part, _ = soundfile.read(tmp_path / "part.wav", dtype="int16")
    last = len(whole) if end is None else min(len(whole), round(end * rate))
    np.testing.assert_array_equal(part, whole[round(start * rate) : last])


def test_fewer_codebooks_are_the_first_ones(tmp_path: Path, tiny: Path, recordings: Path) -> None:
    for name, books in (("all", "4"), ("two", "2")):
        out = str(tmp_path / f"{name}.solfa")
        assert run(["encode", str(recordings / "a.wav"), "-o", out, "--codec", str(tiny), "--codebooks", books]) == 0
    assert torch.equal(read_tokens(tmp_path / "all.solfa").tokens[:, :2], read_tokens(tmp_path / "two.solfa").tokens)
    for name, books in (("all", ["--codebooks", "2"]), ("two", [])):
        tokens, sound = str(tmp_path / f"{name}.solfa"), str(tmp_path / f"{name}.wav")
        assert run(["decode", tokens, "-o", sound, "--codec", str(tiny), *books]) == 0
    assert (tmp_path / "all.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_what_is_there_is_kept_until_overwrite(tmp_path: Path, tiny: Path, recordings: Path) -> None:
    target = tmp_path / "a.solfa"
    target.write_text("mine")
    command = ["encode", str(recordings / "a.wav"), "-o", str(target), "--codec", str(tiny)]
    assert run(command) == 0
    assert target.read_text() == "mine"
    assert run([*command, "--overwrite"]) == 0
    assert read_tokens(target).samples == (9_877,)


def test_a_list_on_stdin_mirrors_its_folders(
    tmp_path: Path, tiny: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(recordings)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a.wav\nsub/b.flac\n")))
    assert run(["encode", "-", "-o", str(tmp_path / "out"), "--codec", str(tiny)]) == 0
    assert sorted(tree(tmp_path / "out")) == ["a.solfa", "sub/b.solfa"]
    remark = "solfa encode: tiny is mono: the channels of the input are averaged"
    assert capsys.readouterr().err.splitlines() == [remark, "2 done, 0 failed, 0 skipped"]


def test_damage_is_refused_or_played_around(
    tmp_path: Path, tiny: Path, recordings: Path, capsys: pytest.CaptureFixture
) -> None:
    tokens = tmp_path / "a.solfa"
    run(["encode", str(recordings / "a.wav"), "-o", str(tokens), "--codec", str(tiny)])
    data = bytearray(tokens.read_bytes())
    data[-40] ^= 1  # in the codes: the index and the end are 12 bytes
    tokens.write_bytes(data)
    command = ["decode", str(tokens), "-o", str(tmp_path / "a.wav"), "--codec", str(tiny)]
    capsys.readouterr()
    assert run(command) == 1
    assert "checksum" in capsys.readouterr().err
    assert not (tmp_path / "a.wav").exists()
    assert run([*command, "--on-damage", "zero"]) == 0
    assert "checksum" in capsys.readouterr().err
    assert soundfile.info(tmp_path / "a.wav").frames == 9_877


def test_codes_of_another_codec_are_refused(
    tmp_path: Path, tiny: Path, recordings: Path, capsys: pytest.CaptureFixture, other: Path
) -> None:
    tokens = tmp_path / "a.solfa"
    run(["encode", str(recordings / "a.wav"), "-o", str(tokens), "--codec", str(other)])
    for options in ([], ["--codec", str(tiny)]):
        capsys.readouterr()
        assert run(["decode", str(tokens), "-o", str(tmp_path / "a.wav"), *options]) == 1
        assert capsys.readouterr().err.startswith(f"{tokens}: made by")
    assert not (tmp_path / "a.wav").exists()
    assert run(["decode", str(tokens), "-o", str(tmp_path / "a.wav"), "--codec", str(other)]) == 0


def test_an_m4a_is_encoded_as_its_sound_in_a_wav(
    tmp_path: Path, tiny: Path, write_media: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    """In a folder, too, and a cut one is one line; `solfa info` knows it."""
    sound, folder = np.random.default_rng(0).integers(-9000, 9000, (1, 20_001)).astype(np.int16), tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "a.wav", sound.T, 22_050)
    write_media(folder / "b.m4a", sound, 22_050, "alac")
    (folder / "cut.m4a").write_bytes((folder / "b.m4a").read_bytes()[:9000])
    assert run(["encode", str(folder), "-o", str(tmp_path / "out"), "--codec", str(tiny), "-j", "2"]) == 1
    assert f"{folder}/cut.m4a: is truncated or damaged (" in capsys.readouterr().err
    first, second = (read_tokens(tmp_path / "out" / name) for name in ("a.solfa", "b.solfa"))
    assert torch.equal(first.tokens, second.tokens) and first.samples == second.samples
    assert run(["info", str(folder / "b.m4a")]) == 0
    assert "22050" in (shown := capsys.readouterr().out) and "ALAC" in shown
