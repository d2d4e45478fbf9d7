"""`solfa eval generation`: perfect, shuffled and silent generation, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solfa.audio.io import write_blocks
from solfa.cli.app import run
from solfa.data.manifest import Entry, write_manifest

RATE = 8000
LEADS = {0: (1.0, 0.0, 0.8, 0.0, 0.6), 40: (1.0, 0.9, 0.8, 0.7, 0.6), 73: (1.0,)}


def sound(lead: int, tonic: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    notes = [tonic + 60 + step for step in (0, 4, 7, *rng.choice((0, 2, 4, 5, 7, 9, 11, 12), 8), 0)]
    time = np.arange(int(0.3 * RATE)) / RATE
    pieces = []
    for pitch in notes:
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        wave = sum(a * np.sin(2 * np.pi * (i + 1) * hertz * time) for i, a in enumerate(LEADS[lead]))
        pieces.append(wave * np.exp(-3 * time) * np.minimum(1, time / 0.005))
    return (0.2 * np.concatenate(pieces)).astype(np.float32)


def entries(count: int, seed: int) -> list[tuple[Entry, np.ndarray]]:
    found = []
    for i in range(count):
        lead, tonic = tuple(LEADS)[i % 3], (i * 5 + seed) % 12
        facts = {"tonic": tonic, "mode": "major", "tempo": 150, "metre": [4, 4], "instruments": [{"program": lead}]}
        entry = Entry(f"{i:03d}", f"{i:03d}.wav", text="a tune", attributes=facts)
        found.append((entry, sound(lead, tonic, seed * 100 + i)))
    return found


def save(folder: Path, rows: list[tuple[Entry, np.ndarray]]) -> str:
    folder.mkdir()
    for entry, samples in rows:
        write_blocks(folder / entry.audio, [samples[None]], RATE)
    write_manifest(folder / "manifest.jsonl", [entry for entry, _ in rows])
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[str, str]:
    base = tmp_path_factory.mktemp("generation")
    return save(base / "reference", entries(9, 1)), save(base / "fit", entries(18, 2))


def report(capsys, *words: str) -> dict:
    assert run(["eval", "generation", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def shares(found: dict) -> dict[str, dict]:
    return {row["attribute"]: row for row in found["adherence"]}


def distances(found: dict) -> dict[str, dict]:
    return {row["embedding"]: row for row in found["distances"]}


def test_true_sound_is_as_good_as_the_reference_and_shuffled_sound_is_chance(folders, tmp_path, capsys):
    reference, fit = folders
    found = report(capsys, reference, reference, "--fit", fit)
    family = shares(found)["family"]
    assert family["generated"] == family["reference"] and family["generated"]["value"] > 0.8 and family["n"] == 9
    assert family["chance"]["value"] == pytest.approx(1 / 3, abs=0.1) and family["p"] < 0.01
    assert "density" not in shares(found)  # nobody asked for one
    near = distances(found)["log-mel"]
    assert near["frechet"] == pytest.approx(0, abs=1e-6) and near["floor"] > 0 and near["n"] == near["n_reference"] == 9
    assert found["settings"]["fitted_on"] == 18 and found["label distributions"][0]["label KL"] == pytest.approx(
        0, abs=1e-4
    )
    first = found["items"][0]
    assert found["n"] == 9 and first["name"] == "000" and first["files"]["generated"].endswith("000.wav")
    assert {"family", "tempo ratio", "label KL"} <= first["values"].keys() <= found["definitions"].keys()
    assert {"adherence", "frechet", "floor", "kernel"} <= found["settings"]["in_tables"].keys()
    rows = entries(9, 1)
    turned = [(entry, samples) for (entry, _), (_, samples) in zip(rows, rows[1:] + rows[:1], strict=True)]
    shuffled = report(capsys, reference, save(tmp_path / "turned", turned), "--fit", fit)
    wrong = shares(shuffled)["family"]
    assert wrong["generated"]["value"] < 0.2 and wrong["reference"] == family["reference"] and wrong["p"] > 0.5
    assert shuffled["summary"]["label KL"]["value"] > 1


def test_several_seeds_of_one_prompt_and_silence(folders, tmp_path, capsys):
    reference, fit = folders
    rows = []
    for seed in range(2):
        for entry, samples in entries(9, 1):
            named = replace(
                entry, id=f"{entry.id}-{seed}", audio=f"{entry.id}-{seed}.wav", extra={"reference": entry.id}
            )
            rows.append((replace(named, attributes={}), samples * (seed == 0)))
    found = report(capsys, reference, save(tmp_path / "seeds", rows), "--fit", fit)
    near, family = distances(found)["log-mel"], shares(found)["family"]
    assert near["n"] == 18 and near["n_reference"] == 9 and near["frechet"] > 1
    # Two takes of each prompt are one value: n is of prompts, and each reference counts once.
    alone = shares(report(capsys, reference, reference, "--fit", fit))["family"]
    assert family["n"] == found["n"] == family["generated"]["n"] == found["summary"]["family"]["n"] == 9
    assert family["reference"] == alone["reference"]
    assert family["generated"]["value"] == family["reference"]["value"] / 2 and len(found["items"]) == 18
    assert {item["group"] for item in found["items"]} == {entry.id for entry, _ in entries(9, 1)}


def test_the_table(folders, capsys):
    reference, fit = folders
    assert run(["eval", "generation", reference, reference, "--fit", fit, "--fit-items", "17"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "log-mel: " in err and "rows of 64 numbers: too few for a covariance" in err
    table = lines[lines.index("adherence:") + 1 :]
    assert table[0].split() == ["attribute", "generated", "reference", "chance", "p", "n"]
    assert re.match(
        r"family +1\.000 \[1\.000, 1\.000\]  1\.000 \[1\.000, 1\.000\]  0\.\d+ \[0\.\d+, 0\.\d+\]  0\.00\d+  9$",
        table[1],
    )
    assert any(line.startswith("tempo or octave") for line in table) and any("log-mel" in line for line in table)


def test_what_is_refused_and_what_fails(folders, tmp_path, capsys):
    reference, fit = folders
    for wrong, code, said in (
        ([reference, str(tmp_path), "--fit", fit], 2, "no folder with a manifest.jsonl"),
        ([reference, reference, "--fit", fit, "--fit-items", "0"], 2, "at least 1"),
        ([reference, reference, "--fit", fit, "--fit-items", "9"], 1, "at least 16"),
        ([reference, fit, "--fit", fit], 1, "no reference in"),
        ([reference, "--fit", fit], 2, "two folders; or --model"),
        ([reference, reference, "--model", "solfa-music"], 2, "two folders; or --model"),
        ([reference, reference, "--items", "3"], 2, "--items needs --model"),
        ([reference, reference, "--overwrite"], 2, "--overwrite needs --model"),
        ([reference, reference, "--prompts", fit], 2, "--prompts needs --model or --clap"),
        ([reference, reference, "--clap", str(tmp_path)], 2, f"--clap {tmp_path}: "),
        ([reference, "--model", str(tmp_path)], 2, f"--model {tmp_path}: "),
        ([reference, "--model", "solfa-music", "--duration", "0"], 2, "--duration 0"),
        ([reference, "--model", "solfa-music", "--guidance", "-1"], 2, "--guidance: "),
        ([reference, "--model", "solfa-music", "--melody"], 2, "solfa-music hears none"),
    ):
        assert run(["eval", "generation", *wrong]) == code
        assert said in capsys.readouterr().err
    rows = entries(9, 1)
    broken = save(tmp_path / "broken", rows)
    (tmp_path / "broken/000.wav").write_bytes(b"RIFF")
    assert run(["eval", "generation", reference, broken, "--fit", fit, "--json"]) == 1
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert "000.wav" in output.err and found["n"] == 8 and found["failed"] == [f"{broken}/000.wav"]


class Muffled:
    """A codec that swaps every lead's colour for the same two partials, unless it plays from both of its codebooks."""

    codebooks, device, quantizer = 2, "cpu", None

    def encode(self, audio, lengths=None, codebooks=None):
        return audio, codebooks

    def decode(self, codes):
        audio, codebooks = codes
        return replace(audio, samples=audio.samples if codebooks == 2 else audio.samples.cumsum(-1) / 20)


def test_analysers_are_fitted_on_the_codecs_sound_too(folders, monkeypatch, capsys):
    from solfa.cli import eval_ears
    from solfa.tokenize_audio import adherence

    muffled = Muffled()
    monkeypatch.setattr(eval_ears.load, "codec", lambda name, device: muffled)
    monkeypatch.setattr(eval_ears.load, "checked_codec", lambda name, device, codebooks=None: Latent())
    monkeypatch.setattr(adherence, "_latents", lambda codec, audio: np.arange(6.0).reshape(3, 2))
    reference, fit = folders
    found = report(capsys, reference, reference, "--fit", fit, "--codec", "muffled", "--codebooks", "1")
    assert found["settings"]["fitted_on"] == 36 and found["settings"]["codebooks"] == 1
    family = shares(found)["family"]
    assert list(family) == ["attribute", "generated", "reference", "coded", "chance", "p", "n"]
    assert family["coded"]["value"] > 0.8
    assert distances(found)["latents"]["frechet"] == pytest.approx(0, abs=1e-6)
    assert run(["eval", "generation", reference, reference, "--fit", fit, "--codebooks", "1"]) == 2
    assert "needs --codec" in capsys.readouterr().err
    assert run(["eval", "generation", reference, reference, "--codec", "muffled", "--codebooks", "1"]) == 2
    assert "needs --fit" in capsys.readouterr().err


class Latent:
    quantizer = "some"
