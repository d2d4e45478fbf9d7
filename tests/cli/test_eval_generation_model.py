"""`solfa eval generation` where the command writes the music, hears words or a melody, or compares what shares no names."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from solfa.audio.io import read, write_blocks
from solfa.cli.app import run
from solfa.cli.eval_music import prompts_of
from solfa.cli.report import UsageError
from solfa.data.composer.prompt import plain_prompt
from solfa.data.manifest import Entry, read_manifest, write_manifest
from solfa.lm.conditioners.melody import MelodyConfig
from solfa.lm.sampling import SamplingOptions
from solfa.music.text_to_music import TextToMusic
from solfa.nn.transformer import TransformerConfig

tiny_clap = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "foreign" / "tiny_clap.py")))
RATE = 8000
COMPOSED = {"mood": "calm", "genre": "waltz", "tonic": 7, "mode": "dorian", "tempo": 90, "metre": [3, 4]}
Folders = Callable[..., tuple[Path, Path]]


@pytest.fixture
def reference(tmp_path: Path) -> str:
    """Ten recordings of a second; the first is a composed piece, the others have a caption."""
    (tmp_path / "reference").mkdir()
    rng, entries = np.random.default_rng(0), []
    for number in range(10):
        sound(tmp_path / f"reference/{number}.wav", rng)
        composed = COMPOSED | {"instruments": [{"program": 73}, {"program": 0}]} if number == 0 else {}
        entries.append(Entry(f"{number}", f"{number}.wav", f"piece {'abcdefghij'[number]}", composed))
    write_manifest(tmp_path / "reference/manifest.jsonl", entries)
    return str(tmp_path / "reference")


def sound(path: Path, rng: np.random.Generator) -> None:
    time = np.arange(RATE) / RATE
    wave = sum(
        0.2 * np.sin(2 * np.pi * 110 * 2 ** (rng.integers(36) / 12) * time) * (time >= start) for start in (0, 0.5)
    )
    write_blocks(path, [(wave + 0.01 * rng.standard_normal(RATE))[None].astype(np.float32)], RATE)


def report(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    assert run(["eval", "generation", *map(str, words), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_the_command_writes_the_music(tiny_music: Folders, reference: str, tmp_path: Path, capsys: Any) -> None:
    codec, lm = tiny_music()
    asked = ["--model", lm, "--codec", codec, "--duration", 0.6]
    out = tmp_path / "made"
    found = report(capsys, reference, *asked, "--items", 9, "-o", out, "--guidance", 2)
    made = read_manifest(out / "manifest.jsonl")
    assert [entry.id for entry in made] == [str(number) for number in range(9)]
    assert (
        made[0].text
        == "calm waltz for flute and acoustic grand piano in G minor, 3/4, 90 bpm"
        == plain_prompt(made[0].attributes)
    )
    assert made[8].text == "piece i" and made[8].extra == {"seed": 8}
    # What solfa generate plays of that prompt, with the piece's number as its seed.
    music = TextToMusic.load(lm, codec=codec)
    for entry in (made[0], made[8]):
        alone = music.generate(entry.text, 0.6, int(entry.id), options=SamplingOptions(guidance=2)).samples
        np.testing.assert_allclose(read(out / entry.audio).samples, alone.clamp(-1, 1), atol=1 / 32_000)
    assert found["settings"]["items"] == found["n"] == 9 and found["settings"]["seed"] == 0
    assert {row["embedding"] for row in found["distances"]} == {"log-mel", "latents"} and "adherence" not in found
    books = found["perplexity"]
    assert [row["codebook"] for row in books] == ["0", "1", "2", "all"] and books[3]["codes"] == 3 * books[0]["codes"]
    for row in books:
        assert 1 < row["told"]["low"] < row["told"]["value"] < row["told"]["high"] and row["n"] == 9
        assert row["untold"]["value"] != row["told"]["value"]
    assert "perplexity" in found["settings"]["in_tables"]
    # What is there is not lost, and may be measured by itself.
    assert run(["eval", "generation", reference, *map(str, asked), "-o", str(out)]) == 2
    assert "holds music already" in capsys.readouterr().err
    again = report(capsys, reference, out, "--codec", codec)
    assert again["distances"] == found["distances"] and "perplexity" not in again


@pytest.mark.parametrize(("option", "word"), [("--against", "no such folder"), ("--fit", "no such folder")])
def test_a_wrong_folder_is_said_before_any_music_is_written(
    tiny_music: Folders, reference: str, tmp_path: Path, capsys: Any, option: str, word: str
) -> None:
    codec, lm = tiny_music()
    made = ["--model", lm, "--codec", codec, "--duration", 0.3, "--items", 2, "-o", tmp_path / "made"]
    assert run([*map(str, ["eval", "generation", reference, *made, option, tmp_path / "nowhere"])]) == 2
    assert word in capsys.readouterr().err and not (tmp_path / "made").exists()


def test_seeds_prompts_and_failures(
    tiny_music: Folders, reference: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, lm = tiny_music()
    asked = ["--model", lm, "--codec", codec, "--duration", 0.3, "--items", 3]
    (tmp_path / "list.txt").write_text("one\ntwo\nthree\n\n")
    (tmp_path / "list.csv").write_text('id,text\n2,"third, last"\n0,first\n1,second\n')
    monkeypatch.chdir(tmp_path)
    report(capsys, reference, *asked, "--prompts", "list.txt", "--seed", 7)
    entries = read_manifest(tmp_path / "generated-lm/manifest.jsonl")
    assert [(entry.text, entry.extra["seed"]) for entry in entries] == [("one", 7), ("two", 8), ("three", 9)]
    report(capsys, reference, *asked, "--prompts", "list.csv", "--overwrite")
    entries = read_manifest(tmp_path / "generated-lm/manifest.jsonl")
    assert [(entry.text, entry.extra["seed"]) for entry in entries] == [("first", 0), ("second", 1), ("third, last", 2)]
    many = "".join(f"prompt {number}\n" for number in range(30))
    for name, text in (("short.txt", "one\ntwo\n"), ("no.csv", "id,bpm\n0,90\n"), ("bad.jsonl", "{\n"),
                       ("blank.txt", "one\n\ntwo\nthree\n"), ("many.txt", many)):  # fmt: skip
        (tmp_path / name).write_text(text)
        assert run(["eval", "generation", reference, *map(str, asked), "--prompts", name, "-o", "x"]) == 2
        assert f"--prompts {name}: " in capsys.readouterr().err and not (tmp_path / "x").exists()
    generate = TextToMusic.generate

    def sometimes(self: Any, prompts: Any, *more: Any, **wishes: Any) -> Any:
        if "two" in prompts:
            raise ValueError("out of ideas")
        return generate(self, prompts, *more, **wishes)

    monkeypatch.setattr(TextToMusic, "generate", sometimes)
    found = report(capsys, reference, *asked, "--prompts", "list.txt", "--overwrite", code=1)
    assert [item["name"] for item in found["items"]] == ["0", "2"] and found["failed"] == ["1"]


def test_two_systems_on_a_page(reference: str, tmp_path: Path, capsys: Any) -> None:
    folder = tiny_clap.folder_of(tmp_path / "clap")
    other = tmp_path / "other"
    other.mkdir()
    rng = np.random.default_rng(1)
    entries = [Entry(str(number), f"{number}.wav") for number in range(5)]
    for entry in entries:
        sound(other / entry.audio, rng)
    write_manifest(other / "manifest.jsonl", entries)
    page = tmp_path / "page.html"
    found = report(capsys, reference, reference, "--clap", folder, "--melody", "--against", other, "--html", page)
    assert found["summary"]["chroma cosine"] == {"value": 1, "low": 1, "high": 1, "n": 10}
    gap = found["against"]["differences"]["chroma cosine"]
    assert gap["n"] == 5 and gap["value"] > 0.2 and found["against"]["settings"]["generated"] == str(other)
    score = found["items"][3]["values"]["CLAP score"]
    assert -1 <= score <= 1 and found["definitions"]["CLAP score"]["better"] == "higher"
    # Other words, another score; without words the reference's count.
    (tmp_path / "list.jsonl").write_text("".join(f'{{"id": "{i}", "text": "a waltz"}}\n' for i in range(10)))
    worded = report(capsys, reference, reference, "--clap", folder, "--prompts", tmp_path / "list.jsonl")
    assert worded["items"][3]["values"]["CLAP score"] != score and found["against"]["summary"]["CLAP score"]["n"] == 5
    assert {row["embedding"] for row in worded["distances"]} == {"log-mel", f"clap:{folder}"}
    html = page.read_text()
    assert "CLAP score" in html and "<audio" in html.lower() and "distances, against" in html


def test_a_melody_is_followed(tiny_music: Folders, reference: str, tmp_path: Path, capsys: Any) -> None:
    shape = MelodyConfig(sample_rate=8000, n_fft=256, hop=128, frames=6)
    codec, lm = tiny_music(melody=shape, fusion="prepend", transformer=TransformerConfig(16, 2, 2, cross=False))
    asked = ["--model", lm, "--codec", codec, "--duration", 0.3, "--items", 2, "--melody"]
    found = report(capsys, reference, *asked, "-o", tmp_path / "made")
    music = TextToMusic.load(lm, codec=codec)
    want = music.generate("piece b", 0.3, 1, melody=read(Path(reference) / "1.wav")).samples
    np.testing.assert_allclose(read(tmp_path / "made/audio/000001.flac").samples, want.clamp(-1, 1), atol=1 / 32_000)
    assert 0 <= found["summary"]["chroma cosine"]["value"] <= 1 and found["summary"]["chroma cosine"]["n"] == 2


def test_folders_without_manifests(tmp_path: Path, capsys: Any) -> None:
    rng = np.random.default_rng(2)
    for name in ("a/x", "a/y", "a/deep/z", "b/x", "b/y", "c/p", "c/q", "d/x", "d/p"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        sound(tmp_path / f"{name}.wav", rng)
    a, b, c, d = (tmp_path / name for name in "abcd")
    matched = report(capsys, a, b, "--melody")
    assert [item["name"] for item in matched["items"]] == ["x", "y"] and matched["distances"][0]["n_reference"] == 2
    assert matched["summary"]["chroma cosine"]["n"] == 2
    assert run(["eval", "generation", str(a), str(c), "--json"]) == 0
    output = capsys.readouterr()
    sets = json.loads(output.out)
    assert "compared as sets" in output.err and sets["distances"][0]["n_reference"] == 3 and sets["n"] == 2
    assert list(sets["items"][0]["files"]) == ["generated"] and sets["definitions"] == {}
    assert run(["eval", "generation", str(a), str(d)]) == 1 and "no reference in" in capsys.readouterr().err


def test_a_blank_line_keeps_its_place_among_the_prompts(tmp_path: Path) -> None:
    path, ids = tmp_path / "list.txt", ["a", "b", "c", "d"]
    path.write_bytes(b"waltz\r\n\r\npia\x0cno\r\nrock\r\n\r\n \r\n")
    assert prompts_of(path, ids, ["a", "c", "d"]) == {"a": "waltz", "c": "pia\x0cno", "d": "rock"}
    with pytest.raises(UsageError, match="no text for b"):
        prompts_of(path, ids, ids)
    with pytest.raises(UsageError, match=r"4 lines for 3 prompts: must be one each"):
        prompts_of(path, ids[:3], ["a"])
    path.write_text("waltz\nrock\n")
    assert prompts_of(path, ids, ["b", "a"]) == {"a": "waltz", "b": "rock"}
    with pytest.raises(UsageError, match="no text for c"):
        prompts_of(path, ids, ["a", "c"])
