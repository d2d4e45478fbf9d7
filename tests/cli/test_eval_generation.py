"""`solfa eval generation`: perfect, shuffled and silent generation, and what is refused."""

import json
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


def test_true_sound_is_as_good_as_the_reference_and_shuffled_sound_is_chance(folders, tmp_path, capsys):
    reference, fit = folders
    found = report(capsys, reference, reference, "--fit", fit)
    family = found["adherence"]["family"]
    assert (
        family["generated"] == family["reference"]
        and family["generated"]["share"] > 0.8
        and family["generated"]["n"] == 9
    )
    assert family["chance"]["share"] == pytest.approx(1 / 3, abs=0.1)
    assert found["frechet"]["log-mel"]["generated"] == pytest.approx(0, abs=1e-6)
    assert found["frechet"]["log-mel"]["halves of the reference"] > 0 and found["settings"]["fitted_on"] == 18
    rows = entries(9, 1)
    turned = [(entry, samples) for (entry, _), (_, samples) in zip(rows, rows[1:] + rows[:1], strict=True)]
    shuffled = report(capsys, reference, save(tmp_path / "turned", turned), "--fit", fit)
    assert shuffled["adherence"]["family"]["generated"]["share"] < 0.2
    assert shuffled["adherence"]["family"]["reference"] == family["reference"]


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
    assert found["generated"] == 18 and found["reference"] == 9
    family = found["adherence"]["family"]
    assert family["generated"]["n"] == 18 and family["generated"]["share"] == family["reference"]["share"] / 2
    assert found["frechet"]["log-mel"]["generated"] > 1


def test_the_table(folders, capsys):
    reference, fit = folders
    assert run(["eval", "generation", reference, reference, "--fit", fit, "--fit-items", "17"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["attribute", "generated", "reference", "chance", "n"]
    assert any(line.startswith("tempo or octave") for line in lines) and any("log-mel" in line for line in lines)


def test_what_is_refused_and_what_fails(folders, tmp_path, capsys):
    reference, fit = folders
    for wrong, code, said in (
        ([reference, str(tmp_path), "--fit", fit], 2, "no folder with a manifest.jsonl"),
        ([reference, reference, "--fit", fit, "--fit-items", "0"], 2, "at least 1"),
        ([reference, reference, "--fit", fit, "--fit-items", "9"], 1, "at least 16"),
        ([reference, fit, "--fit", fit], 1, "no reference in"),
    ):
        assert run(["eval", "generation", *wrong]) == code
        assert said in capsys.readouterr().err
    rows = entries(9, 1)
    broken = save(tmp_path / "broken", rows)
    (tmp_path / "broken/000.wav").write_bytes(b"RIFF")
    assert run(["eval", "generation", reference, broken, "--fit", fit, "--json"]) == 1
    output = capsys.readouterr()
    assert "000.wav" in output.err and json.loads(output.out)["generated"] == 8


class Muffled:
    """A codec that swaps every lead's colour for the same two partials, unless it plays from both of its codebooks."""

    codebooks, device, quantizer = 2, "cpu", None

    def encode(self, audio, lengths=None, codebooks=None):
        return audio, codebooks

    def decode(self, codes):
        audio, codebooks = codes
        return replace(audio, samples=audio.samples if codebooks == 2 else audio.samples.cumsum(-1) / 20)


def test_analysers_are_fitted_on_the_codecs_sound_too(folders, monkeypatch, capsys):
    from solfa.cli import eval_generation
    from solfa.tokenize_audio import adherence

    muffled = Muffled()
    monkeypatch.setattr(eval_generation.load, "codec", lambda name, device: muffled)
    monkeypatch.setattr(eval_generation.load, "checked_codec", lambda name, device, codebooks=None: Latent())
    monkeypatch.setattr(adherence, "_latents", lambda codec, audio: np.arange(6.0).reshape(3, 2))
    reference, fit = folders
    found = report(capsys, reference, reference, "--fit", fit, "--codec", "muffled", "--codebooks", "1")
    assert found["settings"]["fitted_on"] == 36 and found["settings"]["codebooks"] == 1
    assert list(found["adherence"]["family"]) == ["generated", "reference", "coded", "chance"]
    assert found["adherence"]["family"]["coded"]["share"] > 0.8
    assert found["frechet"]["latents"]["generated"] == pytest.approx(0, abs=1e-6)
    assert run(["eval", "generation", reference, reference, "--fit", fit, "--codebooks", "1"]) == 2
    assert "needs --codec" in capsys.readouterr().err


class Latent:
    quantizer = "some"
