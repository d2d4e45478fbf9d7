"""`solfa eval codec`: files, folders, codecs at every bitrate, against others; what is shown, failures said, and the exit codes."""

import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

from solfa.audio.io import Audio, write_blocks
from solfa.cli import load
from solfa.cli.app import run
from solfa.eval import codec as module
from solfa.eval import perceptual
from solfa.eval.codec import MEASURES
from solfa.tokenize_audio import opus

NAMES = [measure.name for measure in MEASURES]


def save(path: Path, samples: int = 24000, gain: float = 1.0, channels: int = 1, seed: int = 0) -> str:
    signal = 0.1 * np.random.default_rng(seed).standard_normal((channels, samples))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_blocks(path, [(gain * signal).astype(np.float32)], 24000)
    return str(path)


class Halver:
    """A codec of four codebooks that plays everything at half its level, or at full level with all four."""

    sample_rate, channels, codebooks, codebook_size, frame_rate = 24000, 1, 4, 1024, 50.0
    weights_hash, device = "", torch.device("cpu")

    def __init__(self, name: str = "halver", share: float = 0.5, frame_rate: float = 50.0) -> None:
        self.name, self.share, self.frame_rate = name, share, frame_rate

    def encode(self, audio: Audio) -> SimpleNamespace:
        return SimpleNamespace(tokens=torch.arange(8).reshape(1, 4, 2), sound=audio.samples)

    def decode(self, codes: SimpleNamespace, codebooks: int = 4) -> Audio:
        return Audio(codes.sound * (1 if codebooks == 4 else self.share), 24000)


@pytest.fixture
def halver(monkeypatch) -> None:
    """`halver`, `third` (at a third of the level, and the bitrate a tenth higher), and `fast`, of ten times the bitrate."""
    codecs = {"halver": Halver(), "third": Halver("third", 1 / 3, 55.0), "fast": Halver("fast", 0.5, 500.0)}
    monkeypatch.setattr(load, "checked_codec", lambda name, device, codebooks=None: codecs[name])


def document(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_two_files(tmp_path, capsys):
    reference, half = save(tmp_path / "a.wav"), save(tmp_path / "b.wav", gain=0.5)
    assert run(["eval", "codec", reference, half, "--json"]) == 0
    found = document(capsys)
    assert found["task"] == "codec" and found["n"] == 1 and found["failed"] == []
    assert list(found["definitions"]) == list(found["summary"]) == NAMES
    (item,) = found["items"]
    assert item["name"] == "a" and item["files"] == {"reference": reference, "estimate": half}
    values = item["values"]
    assert values["si_sdr"] > 60 and values["loudness"] == pytest.approx(-6.02, abs=0.01)
    assert values["log_mel"] == pytest.approx(0.301, abs=0.01)


def folders(tmp_path: Path, **gains: float) -> list[str]:
    for folder, gain in gains.items():
        for seed, name in enumerate(("one.wav", "two.wav", "bad.wav")):
            save(tmp_path / folder / name, gain=gain, seed=seed)
    return [str(tmp_path / folder) for folder in gains]


def test_two_folders_with_a_mean_and_a_failure(tmp_path, capsys):
    x, y = folders(tmp_path, x=1.0, y=0.5)
    cut = tmp_path / "y" / "bad.wav"
    cut.write_bytes(cut.read_bytes()[:5000])
    assert run(["eval", "codec", x, y]) == 1
    output = capsys.readouterr()
    words = [line.split()[:1] for line in output.out.splitlines()]
    assert words == [["item"], ["one"], ["two"], [], ["measure"], *([name] for name in NAMES)]
    assert "bad.wav: truncated" in output.err and output.out.splitlines()[-1].split()[-1] == "2"


def test_files_belong_together_by_name_and_place(tmp_path, capsys):
    for place in ("x/one.wav", "x/deep/one.wav", "x/alone.wav", "y/deep/one.flac", "y/one.wav"):
        save(tmp_path / place)
    assert run(["eval", "codec", str(tmp_path / "x"), str(tmp_path / "y"), "--json"]) == 1
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert {item["name"]: Path(item["files"]["estimate"]).name for item in found["items"]} == {
        "one": "one.wav",
        "deep/one": "one.flac",
    }
    assert found["failed"] == [str(tmp_path / "x" / "alone.wav")]
    assert "alone.wav: no file of this name on the other side" in output.err


def test_two_systems_on_the_same_references(tmp_path, capsys):
    x, half, third = folders(tmp_path, x=1.0, half=0.5, third=1 / 3)
    assert run(["eval", "codec", x, half, "--against", third, "--json"]) == 0
    found = document(capsys)
    gap = found["against"]["differences"]["loudness"]
    assert gap["value"] == pytest.approx(20 * np.log10(1.5), abs=0.01) and gap["n"] == 3
    assert gap["p"] == 0.25  # of eight patterns of signs two are as far from 0
    assert run(["eval", "codec", x, half, "--against", third, "--ci"]) == 0
    assert "95 % of it" in capsys.readouterr().out


@pytest.mark.usefixtures("halver")
def test_a_codec_over_clips(tmp_path, capsys):
    files = [save(tmp_path / name, seed=seed) for seed, name in enumerate(("a.wav", "b.wav"))]
    command = ["eval", "codec", *files, "--codec", "halver", "--opus", "none", "--json"]
    assert run(command) == 0
    found = document(capsys)
    rows = found["rate_distortion"]
    assert [(row["coder"], row["setting"], row["kbps"], row["n"]) for row in rows] == [
        ("halver", "1 codebook", 0.5, 2),
        ("halver", "2 codebooks", 1.0, 2),
        ("halver", "4 codebooks", 2.0, 2),
    ]
    assert rows[0]["log_mel"] == pytest.approx(0.301, abs=0.01) and rows[2]["log_mel"] == 0
    assert found["settings"]["setting"] == "4 codebooks" and found["summary"]["log_mel"]["value"] == 0
    assert {row["measure"] for row in found["intervals"]} == {*NAMES} and len(found["intervals"]) == 3 * len(NAMES)
    codes = found["codes_and_speed"][0]
    assert codes["usage"] == 2 / 1024 and codes["efficiency"] == 0.1 and codes["frames"] == 4 and codes["encode_x"] > 0
    assert {*codes, *rows[0]} <= {"coder", "setting", "n", *NAMES, *found["settings"]["columns"]}
    assert run([*command[:2], *reversed(files), *command[4:]]) == 0
    turned = document(capsys)
    assert [row["name"] for row in turned["items"]] == ["b", "a"]
    for row, other in zip(rows, turned["rate_distortion"], strict=True):
        assert row == {key: pytest.approx(value) for key, value in other.items()}


@pytest.mark.usefixtures("halver")
def test_several_codecs_and_one_against_another(tmp_path, capsys):
    save(tmp_path / "a.wav")
    save(tmp_path / "b.wav", seed=1)
    command = ["eval", "codec", str(tmp_path), "--codec", "halver,fast", "--opus", "none", "--codebooks", "1,2"]
    assert run([*command, "--against", "third", "--json"]) == 0
    found = document(capsys)
    rows = {(row["coder"], row["setting"]): row["kbps"] for row in found["rate_distortion"]}
    assert [key for key in rows if key[0] == "halver"] == [("halver", "1 codebook"), ("halver", "2 codebooks")]
    assert rows["fast", "4 codebooks"] == 20 and rows["third", "2 codebooks"] == 1.1
    assert found["settings"]["codec"] == "halver" and found["settings"]["kbps"] == 1.0
    assert found["against"]["settings"]["codec"] == "third" and found["against"]["settings"]["kbps"] == 1.1
    gap = found["against"]["differences"]["loudness"]
    assert gap["value"] == pytest.approx(20 * np.log10(1.5), abs=0.01) and gap["n"] == 2
    assert run([*command, "--against", "third", "--ci"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("halver, 2 codebooks, against third, 2 codebooks:\n") and "intervals:" in text
    assert run([*command, "--against", "fast"]) == 2
    assert "fast has no bitrate near 1 kbps" in capsys.readouterr().err


@pytest.mark.usefixtures("halver")
def test_opus_rows_or_one_line_that_says_why_not(tmp_path, capsys, monkeypatch):
    save(tmp_path / "a.wav")
    save(tmp_path / "b.wav")
    command = ["eval", "codec", str(tmp_path), "--codec", "halver", "--codebooks", "4", "--opus", "6,12"]
    if opus.opus_available():
        assert run(command) == 0
        lines = capsys.readouterr().out.split("rate_distortion:\n")[1].splitlines()
        assert [line.split()[:3] for line in lines[2:4]] == [["opus", "6", "kbps"], ["opus", "12", "kbps"]]
    monkeypatch.setattr(opus.shutil, "which", lambda tool: None)
    assert run(command) == 0
    output = capsys.readouterr()
    assert "opus" not in output.out and len(output.err.splitlines()) == 1 and "install opus-tools" in output.err


@pytest.mark.usefixtures("halver")
def test_a_bad_clip_costs_only_itself(tmp_path, capsys):
    save(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"no sound")
    assert run(["eval", "codec", str(tmp_path), "--codec", "halver", "--opus", "none", "--json"]) == 1
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert "b.wav: " in output.err and found["n"] == 1 and found["failed"] == [str(tmp_path / "b.wav")]
    (tmp_path / "a.wav").unlink()
    assert run(["eval", "codec", str(tmp_path), "--codec", "halver", "--opus", "none", "--json"]) == 1
    assert document(capsys)["n"] == 0


@pytest.mark.usefixtures("halver")
def test_clips_of_one_name_are_told_apart(tmp_path, capsys):
    for name in ("x/a.wav", "y/a.wav"):
        save(tmp_path / name)
    command = ["--codec", "halver", "--opus", "none", "--against", "third", "--json"]
    for inputs, names in [
        ([tmp_path], ["x/a", "y/a"]),
        ([tmp_path / "x", tmp_path / "y"], [str(tmp_path / "x" / "a.wav"), str(tmp_path / "y" / "a.wav")]),
    ]:
        assert run(["eval", "codec", *map(str, inputs), *command]) == 0
        assert [item["name"] for item in document(capsys)["items"]] == names


def encodec(folder: Path) -> str:
    shape = {"num_filters": 4, "hidden_size": 16, "codebook_dim": 16, "target_bandwidths": [4.0, 16.0]}
    config = EncodecConfig(**shape, sampling_rate=8000, upsampling_ratios=[4, 2], codebook_size=16)
    EncodecModel(config).save_pretrained(folder)
    return str(folder)


def dac(folder: Path) -> str:
    shape = {"encoder_hidden_size": 4, "decoder_hidden_size": 24, "downsampling_ratios": [2, 4], "n_codebooks": 3}
    config = DacConfig(**shape, sampling_rate=16000, upsampling_ratios=[4, 2], codebook_size=16)
    DacModel(config).save_pretrained(folder)
    return str(folder)


def test_encodec_and_dac_beside_one_of_ours_with_a_plot_and_a_page(tmp_path, tiny, other, capsys):
    torch.manual_seed(0)
    names = [str(tiny), str(other), encodec(tmp_path / "encodec"), dac(tmp_path / "dac")]
    clips = [save(tmp_path / "in" / f"{i}.wav", samples=6000 + i, channels=2, seed=i) for i in range(2)]
    plot, page = tmp_path / "curve.svg", tmp_path / "page.html"
    command = ["eval", "codec", *clips, "--codec", ",".join(names), "--opus", "none", "--json", "--against", str(other)]
    assert run([*command, "--plot", str(plot), "--html", str(page)]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    rows = found["rate_distortion"]
    coders = list(dict.fromkeys(row["coder"] for row in rows))
    assert len(coders) == 4 and coders[:2] == ["tiny", str(other)]  # two of one name are told apart
    assert [row["setting"] for row in rows[:3]] == ["1 codebook", "2 codebooks", "4 codebooks"]
    assert all(np.isfinite(row[name]) for row in rows for name in NAMES)
    assert [item["files"] for item in found["items"]] == [{"reference": clip} for clip in clips]
    assert found["against"]["differences"]["si_sdr"]["n"] == 2
    drawing = ElementTree.parse(plot).getroot()
    assert len(drawing.findall(".//{*}polyline")) == 4 * len(NAMES)
    assert page.read_text().count("<audio") >= 2
    assert {str(plot), str(page)} <= {*output.err.splitlines()}


def test_perceptual_measures_are_there_or_one_line_says_what_to_install(tmp_path, capsys, monkeypatch):
    pytest.importorskip("pystoi", reason='pip install "solfa[eval]"')
    pytest.importorskip("pesq", reason='pip install "solfa[eval]"')
    reference, half = save(tmp_path / "a.wav"), save(tmp_path / "b.wav", gain=0.5)
    assert run(["eval", "codec", reference, half, "--perceptual", "pesq,stoi", "--json"]) == 0
    found = document(capsys)
    assert list(found["definitions"]) == [*NAMES, "pesq", "stoi"]
    assert found["summary"]["stoi"]["value"] == pytest.approx(1, abs=1e-3)
    short = save(tmp_path / "short.wav", samples=2400)
    assert run(["eval", "codec", short, short, "--perceptual", "pesq,stoi", "--json"]) == 0
    found = document(capsys)
    assert found["items"][0]["values"]["stoi"] is None and found["summary"]["pesq"]["n"] == 0
    monkeypatch.setattr(perceptual, "find_spec", lambda module: None)
    assert run(["eval", "codec", reference, half, "--perceptual", "all"]) == 1
    output = capsys.readouterr()
    assert output.out == "" and len(output.err.splitlines()) == 1 and 'pip install "solfa[eval]"' in output.err


@pytest.mark.usefixtures("halver")
def test_wrong_usage(tmp_path, capsys):
    file = save(tmp_path / "a.wav")
    for arguments in [
        [file],
        [file, str(tmp_path)],
        [file, file, "--codebooks", "2"],
        [file, file, "--opus", "6"],
        [file, file, "--plot", str(tmp_path / "p.svg")],
        [file, file, "--perceptual", "mos"],
        [file, "--codec", "halver", "--codebooks", "5"],
        [file, "--codec", "halver", "--codebooks", "x"],
        [file, "--codec", "halver", "--opus", "2"],
        [file, "--codec", "halver", "--against", "halver"],
    ]:
        assert run(["eval", "codec", *arguments]) == 2, arguments
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 2 and error.splitlines()[1].startswith("Try: ")


def test_a_rate_that_lies_costs_only_its_own_file(tmp_path, monkeypatch, capsys):
    """A second of sound at 1 Hz is hours of it: nothing may be resampled before its rate is known to be one."""
    for side in ("x", "y"):
        save(tmp_path / side / "good.wav")
        write_blocks(tmp_path / side / "lie.wav", [np.zeros((1, 24000), np.float32)], 1)
    monkeypatch.setattr(
        module, "resample", lambda samples, source, target: samples if source > 1 else pytest.fail("1 Hz")
    )
    assert run(["eval", "codec", str(tmp_path / "x"), str(tmp_path / "y"), "--json"]) == 1
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["n"] == 1 and found["failed"] == [str(tmp_path / "x" / "lie.wav")]
    assert "lie.wav: sample rate 1: 8000 to 1000000 Hz can be compared" in output.err


@pytest.mark.usefixtures("halver")
def test_a_clip_too_large_for_memory_costs_only_itself(tmp_path, monkeypatch, capsys):
    from solfa.tokenize_audio import rate_distortion

    x, y = folders(tmp_path, x=1.0, y=0.5)
    plain = rate_distortion._values

    def scarce(reference: Audio, estimate: Audio, perceptual) -> dict[str, float]:
        scarce.calls += 1
        if scarce.calls == 1:
            raise MemoryError("Unable to allocate 69 GiB")
        return plain(reference, estimate, perceptual)

    monkeypatch.setattr(rate_distortion, "_values", scarce)
    for arguments in ([x, y], [x, "--codec", "halver", "--opus", "none"]):
        scarce.calls = 0
        assert run(["eval", "codec", *arguments, "--json"]) == 1
        output = capsys.readouterr()
        found = json.loads(output.out)
        assert found["n"] == 2 and len(found["failed"]) == 1 and "Unable to allocate 69 GiB" in output.err


def test_what_is_wrong_with_the_reference_is_not_said_of_the_estimate(tmp_path, capsys):
    write_blocks(tmp_path / "slow.wav", [np.zeros((1, 900), np.float32)], 500)
    (tmp_path / "text.wav").write_text("no sound")
    good = save(tmp_path / "good.wav")
    for name, reason in (("slow.wav", "sample rate 500"), ("text.wav", "is no sound file")):
        bad = str(tmp_path / name)
        assert run(["eval", "codec", bad, good, "--json"]) == 1
        said = capsys.readouterr()
        assert json.loads(said.out)["failed"] == [bad]
        assert said.err.startswith(f"{bad}: {reason}") and good not in said.err
    assert run(["eval", "codec", good, str(tmp_path / "text.wav")]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'text.wav'}: is no sound file")


@pytest.mark.skipif(not opus.opus_available(), reason="opusenc and opusdec are not on the PATH")
def test_the_report_says_which_opus_it_was(tmp_path, capsys, halver):
    clip = save(tmp_path / "a.wav")
    assert run(["eval", "codec", clip, "--codec", "halver", "--opus", "8", "--json"]) == 0
    assert "libopus" in document(capsys)["versions"]["opus-tools"]
    assert run(["eval", "codec", clip, "--codec", "halver", "--opus", "none", "--json"]) == 0
    assert "opus-tools" not in document(capsys)["versions"]
