import io
import struct
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.audio.io import info, read, write
from solfa.cli import app
from solfa.cli.live_wav import LiveWav
from solfa.cli.prompts import Prompt
from solfa.codecs.token_file import TokenFile
from solfa.music.text_to_music import TextToMusic

Folders = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="module")
def folders(tiny_music: Folders) -> tuple[Path, Path]:
    return tiny_music()


@pytest.fixture
def run(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Callable[..., tuple[int, str, str]]:
    """A command line, in an empty folder, to its exit code and what it said on stdout and stderr."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: object) -> tuple[int, str, str]:
        place = ["--model", folders[1], "--codec", folders[0], "--device", "cpu"]
        code = app.run(["generate", *map(str, arguments), *(map(str, place) if "--model" not in arguments else [])])
        out, err = capfdbinary.readouterr()
        return code, out.decode("latin-1"), err.decode()

    return run


Run = Callable[..., tuple[int, str, str]]


def test_a_folder_that_cannot_be_written_to_is_told_before_music_is_made(run: Run) -> None:
    Path("a").write_text("a file, not a folder")
    for target in ("a/b.wav", "/proc/b.wav"):
        code, out, err = run("waltz", "-o", target, "--model", "no-model-is-asked-for")
        assert code == 1 and out == "" and err.count("\n") == 1 and target.rpartition("/")[0] in err


def test_one_prompt_one_file(run: Run, folders: tuple[Path, Path]) -> None:
    code, out, err = run("slow waltz, piano!", "-o", "deep/a.wav", "--duration", 0.3, "--seed", 4, "--top-k", 5)
    assert code == 0 and out.startswith("slow waltz, piano! -> deep/a.wav  0.30 s, seed 4, ") and err == ""
    from solfa.lm.sampling import SamplingOptions

    music = TextToMusic.load(folders[1], codec=folders[0])
    want = music.generate("slow waltz, piano!", 0.3, 4, options=SamplingOptions(top_k=5)).samples
    np.testing.assert_allclose(read("deep/a.wav").samples, want.clamp(-1, 1), atol=1 / 32_000)
    assert run("slow waltz, piano!", "--duration", 0.1)[0] == 0 and info("slow-waltz-piano.wav").samples == 800
    assert run("slow waltz, piano!", "-o", "b.flac", "--duration", 0.1)[0] == 0 and info("b.flac").samples == 800
    code, _, err = run("slow waltz, piano!", "-o", "b.flac", "--duration", 0.2)
    assert code == 0 and "skipped, b.flac is there" in err and info("b.flac").samples == 800
    assert run("x", "-o", "b.flac", "--duration", 0.2, "--overwrite")[0] == 0 and info("b.flac").samples == 1600


def test_several_prompts_go_to_a_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("list.txt").write_text("a\n\n  b, c \nörgel\n", encoding="utf-8-sig")
    code, out, err = run("@list.txt", "typed", "-o", "made", "--duration", 0.1)
    assert code == 0 and len(out.splitlines()) == 4 and "4 done, 0 failed" in err
    assert sorted(path.name for path in Path("made").iterdir()) == [
        "1-a.wav",
        "2-b-c.wav",
        "3-örgel.wav",
        "4-typed.wav",
    ]
    assert run("b, c", "-o", "b.wav", "--duration", 0.1)[0] == 0
    assert run("a", "-o", "a.wav", "--duration", 0.1)[0] == 0
    for alone, beside in (("a", "1-a"), ("b", "2-b-c")):
        assert Path(f"{alone}.wav").read_bytes() == Path(f"made/{beside}.wav").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin\n")))
    assert run("-", "-o", "made", "--duration", 0.1, "--format", "flac")[0] == 0
    assert info("made/1-from-stdin.flac").samples == 800


def test_tokens(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert run("piano", "-o", "a.solfa", "--duration", 0.3)[0] == run("piano", "-o", "a.wav", "--duration", 0.3)[0] == 0
    with TokenFile("a.solfa") as file:
        assert file.header.codebooks == 3 and file.header.samples == 2400
        assert file.header.metadata == {"prompt": "piano", "seed": "0"}
    assert app.run(["decode", "a.solfa", "-o", "b.wav", "--codec", str(folders[0])]) == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert run("a", "b", "-o", "made", "--format", "solfa", "--duration", 0.1)[0] == 0
    assert sorted(path.name for path in Path("made").iterdir()) == ["1-a.solfa", "2-b.solfa"]


def test_stream(run: Run) -> None:
    assert (
        run("piano", "-o", "a.wav", "--duration", 1.3)[0]
        == run("piano", "-o", "b.wav", "--duration", 1.3, "--stream")[0]
        == 0
    )
    whole, streamed = (soundfile.read(name, dtype="int16")[0].astype(int) for name in ("a.wav", "b.wav"))
    assert len(whole) == len(streamed) == 10_400 and np.abs(whole - streamed).max() <= 1  # rounded elsewhere
    code, out, err = run("piano", "-o", "-", "--duration", 1.3)
    assert code == 0 and out.encode("latin-1") == Path("b.wav").read_bytes()
    assert "piano -> stdout  1.30 s" in err
    assert run("piano", "--stream", "-o", "c.flac")[0] == 2 and run("a", "b", "-o", "-")[0] == 2


def test_a_stream_that_fails_leaves_no_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from solfa.lm.fast import FastLM

    advance, steps = FastLM.advance, 0

    def broken(*arguments: object) -> object:
        nonlocal steps
        steps += 1
        if steps > 30:
            raise ValueError("out of ideas")
        return advance(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FastLM, "advance", broken)
    code, _, err = run("piano", "-o", "a.wav", "--stream")
    assert code == 1 and err == "piano: out of ideas\n" and not Path("a.wav").exists()


def test_continuation_and_infill(run: Run) -> None:
    for name, seed in (("a.wav", 1), ("b.wav", 2)):
        run("piano", "-o", name, "--duration", 0.2, "--seed", seed)
    code, out, _ = run("piano", "-o", "c.wav", "--continue-from", "a.wav", "--duration", 0.3)
    assert code == 0 and "0.30 s new, 0.50 s in all" in out and info("c.wav").samples == 4000
    code, out, _ = run("piano", "-o", "s.wav", "--continue-from", "a.wav", "--duration", 0.3, "--stream")
    assert code == 0 and "0.30 s new, 0.50 s in all" in out
    assert np.abs(read("c.wav").samples - read("s.wav").samples).max() < 1e-4
    code, out, _ = run("piano", "-o", "d.wav", "--infill", "a.wav", "b.wav", "--duration", 0.1, "--candidates", 2)
    assert code == 0 and "0.10 s new, 0.50 s in all" in out and info("d.wav").samples == 1600 + 800 + 1600
    assert run("piano", "-o", "d.solfa", "--infill", "a.wav", "b.wav", "--duration", 0.1, "--candidates", 2)[0] == 0
    with TokenFile("d.solfa") as file:
        assert file.header.samples == 4000


def test_a_token_file_is_continued(run: Run, folders: tuple[Path, Path]) -> None:
    run("piano", "-o", "a.wav", "--duration", 0.21, "--seed", 1)
    assert app.run(["encode", "a.wav", "--codec", str(folders[0])]) == 0  # all four codebooks
    for name in ("a.wav", "a.solfa"):
        assert run("b", "c", "-o", name[2:], "--format", "solfa", "--continue-from", name, "--duration", 0.1)[0] == 0
    for name in ("1-b.solfa", "2-c.solfa"):
        assert Path("wav", name).read_bytes() == Path("solfa", name).read_bytes()
    with TokenFile("solfa/1-b.solfa") as longer, TokenFile("a.solfa") as file:
        assert (longer.read(0, 10) == file.read(0, 10, 3)).all() and longer.header.samples == 10 * 160 + 800
    run("piano", "-o", "d.solfa", "--infill", "a.solfa", "a.wav", "--duration", 0.1, "--candidates", 2)
    with TokenFile("d.solfa") as file:
        assert file.header.samples == 10 * 160 + 800 + 1680


def test_tokens_that_cannot_begin_are_named(
    run: Run, folders: tuple[Path, Path], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run("piano", "-o", "a.wav", "--duration", 0.2)
    app.run(["encode", "a.wav", "-o", "two.solfa", "--codec", str(folders[0]), "--codebooks", "2"])
    app.run(["encode", "a.wav", "-o", "other.solfa", "--codec", "solfa-24khz", "--codebooks", "4"])
    Path("cut.solfa").write_bytes(Path("two.solfa").read_bytes()[:-9])
    capfdbinary.readouterr()
    for name, words in (
        ("two.solfa", "codes of 2 codebooks: tiny-lm hears 3 of tiny"),
        ("other.solfa", "the codes are of the codec solfa-24khz ("),
        ("cut.solfa", "truncated"),
        ("none.solfa", "No such file"),
    ):
        code, out, err = run("x", "y", "-o", "made", "--continue-from", name)  # two prompts: said once
        assert code == 1 and out == "" and err.startswith(f"{name}: ") and words in err and len(err.splitlines()) == 1
    code, _, err = run("x", "-o", "b.wav", "--melody", "two.solfa")
    assert code == 2 and err.startswith("solfa generate: --melody two.solfa: a melody is heard in sound, decode it")
    assert not Path("made").exists() and not Path("b.wav").exists()


@pytest.mark.parametrize(
    ("breaks", "code", "done"), [((20,), 0, 2.0), ((20, 40), 1, 1.0)]
)  # the batch; and the first one alone
def test_a_batch_that_is_tried_again_is_counted_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, breaks: tuple[int, ...], code: int, done: float
) -> None:
    from solfa.lm.fast import FastLM
    from solfa.progress import Bar

    counts: list[float] = []
    advance_bar, advance, steps = Bar.advance, FastLM.advance, 0

    def counted(bar: Bar, amount: float = 1, detail: str = "") -> None:
        advance_bar(bar, amount, detail)
        assert bar.total == 2
        counts.append(bar.done)

    def broken(*arguments: object) -> object:
        nonlocal steps
        steps += 1
        if steps in breaks:
            raise ValueError("out of ideas")
        return advance(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Bar, "advance", counted)
    monkeypatch.setattr(FastLM, "advance", broken)
    assert run("a", "b", "-o", "made", "--duration", 1.0)[0] == code
    assert max(counts) <= 2 + 1e-9 and counts[-1] == pytest.approx(done)
    assert counts[0] > 0 and sum(before > after for before, after in pairwise(counts)) == len(breaks)


def test_melody(tiny_music: Folders, run: Run) -> None:
    from solfa.lm.conditioners.melody import MelodyConfig
    from solfa.nn.transformer import TransformerConfig

    melody = MelodyConfig(sample_rate=8000, n_fft=256, hop=128, frames=6)
    codec, lm = tiny_music(melody=melody, fusion="prepend", transformer=TransformerConfig(16, 2, 2, cross=False))
    run("piano", "-o", "a.wav", "--duration", 0.2)
    place = ["--model", lm, "--codec", codec, "--device", "cpu", "--duration", 0.2, "--melody", "a.wav"]
    assert run("piano", "-o", "b.wav", *place)[0] == 0
    assert run("piano", "-o", "c.wav", *place, "--text-guidance", 4)[0] == 0
    assert Path("b.wav").read_bytes() != Path("c.wav").read_bytes()
    code, _, err = run("piano", "-o", "d.wav", "--melody", "a.wav")
    assert code == 2 and err.splitlines()[0] == "solfa generate: --melody: tiny-lm hears no melody"


def test_a_stereo_model_that_has_no_token_file_says_so_before_it_writes(
    tiny_music: Folders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, lm = tiny_music(stereo=True)
    place = ["--model", lm, "--codec", codec, "--device", "cpu", "--duration", 0.1]
    assert run("piano", "-o", "a.wav", *place)[0] == 0 and info("a.wav").channels == 2
    monkeypatch.setattr("solfa.cli.generate.make", None)  # never comes to be called
    for more in (["-o", "x.solfa"], ["flute", "-o", "made", "--format", "solfa"],
                 ["-o", "x.solfa", "--infill", "a.wav", "a.wav"]):  # fmt: skip
        code, out, err = run("piano", *more, *place)
        assert code == 2 and out == "" and "two channels" in err.splitlines()[0] and ".solfa: tiny-lm" in err
        assert err.splitlines()[1:] == ["Try: solfa generate --help"] and list(Path().iterdir()) == [Path("a.wav")]


def test_a_beat(tiny_music: Folders, run: Run) -> None:
    import torch

    from solfa.lm.conditioners.beat import BeatConfig
    from solfa.lm.model import load_lm

    codec, lm = tiny_music(beat=BeatConfig())
    model = load_lm(lm)
    torch.nn.init.normal_(model.beat.project.weight, generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr]
    model.save(lm)
    place = ["--model", lm, "--codec", codec, "--device", "cpu", "--duration", 0.3]
    assert run("waltz, 90 bpm", "-o", "a.wav", *place)[0] == 0
    assert run("waltz, 90 bpm", "-o", "b.wav", "--bpm", 90, "--metre", "3/4", *place)[0] == 0
    assert run("waltz, 90 bpm", "-o", "c.wav", "--metre", "3/4", "--stream", *place)[0] == 0
    assert run("waltz, 90 bpm", "-o", "d.wav", "--bpm", 140, *place)[0] == 0
    assert run("waltz, 90 bpm", "-o", "e.wav", "--metre", "6/8", *place)[0] == 0
    a, b, c, d, e = (read(f"{name}.wav").samples for name in "abcde")
    assert torch.equal(a, b) and (a - c).abs().max() < 1e-4
    assert (a - d).abs().max() > 1e-3 and (a - e).abs().max() > 1e-3
    run("x, 90 bpm", "-o", "f.wav", "--infill", "a.wav", "b.wav", "--candidates", 2, "--bpm", 100, *place)
    assert info("f.wav").samples == 7200
    code, out, err = run("waltz, 90 bpm", "-o", "g.wav", "--bpm", 90)
    assert code == 2 and out == "" and err.startswith("solfa generate: --bpm, --metre: tiny-lm is told no beat")
    assert err.splitlines()[1:] == ["Try: solfa generate --help"] and not Path("g.wav").exists()


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("no prompt", []),
        ("an empty prompt", [""]),
        ("an empty prompt", ["piano", "  "]),
        ("@none.txt: cannot read", ["@none.txt"]),
        ("--duration 0.0", ["x", "--duration", "0"]),
        ("--duration -1.0", ["x", "--duration=-1"]),
        ("--duration nan", ["x", "--duration", "nan"]),
        ("at most 3600", ["x", "--duration", "4000"]),
        ("--temperature: temperature is nan", ["x", "--temperature", "nan"]),
        ("--top-k: top_k is -3", ["x", "--top-k=-3"]),
        ("--top-p: top_p is 1.5", ["x", "--top-p", "1.5"]),
        ("--guidance: guidance is -1.0", ["x", "--guidance=-1"]),
        ("--seed: seed is -1", ["x", "--seed=-1"]),
        ("--candidates 0", ["x", "--infill", "a.wav", "b.wav", "--candidates", "0"]),
        ("--candidates 4: they are ways from one recording", ["x", "--candidates", "4"]),
        ("--bpm: tempo is 10.0: beats a minute, 20 to 400", ["x", "--bpm", "10"]),
        ("--bpm: tempo is nan", ["x", "--bpm", "nan"]),
        ("--metre: metre is 'three'", ["x", "--metre", "three", "--bpm", "90"]),
        ("--metre 3/4: 'x' says no tempo, give one with --bpm", ["x", "--metre", "3/4"]),
        ("-o a.mp3", ["x", "-o", "a.mp3"]),
        ("leave one out", ["x", "-o", "a.wav", "--format", "flac"]),
        ("name a folder", ["x", "y", "-o", "a.wav"]),
        ("give one with --melody", ["x", "--text-guidance", "3"]),
        ("not together", ["x", "--infill", "a.wav", "b.wav", "--stream"]),
        ("no language model named 'nothing'", ["x", "--model", "nothing"]),
        ("unknown", ["x", "--unknown"]),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_2(run: Run, words: str, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == "" and list(Path().iterdir()) == []
    assert words.lower() in err.splitlines()[0].lower() and err.splitlines()[1:] == ["Try: solfa generate --help"]


def test_what_cannot_be_read_is_one_line_and_exit_1(run: Run) -> None:
    Path("text.wav").write_text("no sound")
    for name in ("none.wav", "text.wav"):
        for option in (["--continue-from", name], ["--infill", name, name]):
            code, out, err = run("x", "-o", "a.wav", *option)
            assert code == 1 and out == "" and len(err.splitlines()) == 1 and err.startswith(name)
    assert not Path("a.wav").exists()


def test_ten_thousand_words_are_too_many(run: Run) -> None:
    code, out, err = run("word " * 10_000, "piano", "-o", "here", "--duration", 0.1)
    assert code == 1 and out.startswith("piano -> here/2-piano.wav") and not Path("here/1-word.wav").exists()
    said, done = err.splitlines()
    assert said.startswith("word word") and said.endswith("...: the prompt has 50000 bytes: tiny-lm reads at most 96")
    assert len(said) < 150 and done == "1 done, 1 failed" and len(list(Path("here").iterdir())) == 1


def test_names_from_prompts() -> None:
    names = {
        "Slow waltz, piano!": "slow-waltz-piano",
        "../../etc": "etc",
        "...": "music",
        "x" * 99: "x" * 48,
        "one two three four five six seven eight nine ten eleven": "one-two-three-four-five-six-seven-eight-nine-ten",
    }
    assert {text: Prompt(text).name for text in names} == names
    assert Prompt("a\n" * 99).short == "a " * 34 + "a..."


def test_live_wav_is_the_wav_that_soundfile_writes(tmp_path: Path) -> None:
    from solfa.audio.io import Audio

    for channels in (1, 2):
        sound = np.random.default_rng(0).standard_normal((channels, 1001)).astype(np.float32)
        sound[:, :4] = [1, -1, 1.5, -1.5]
        import torch

        write(tmp_path / "a.wav", Audio(torch.from_numpy(sound)[None], 8000))
        file = io.BytesIO()
        wav = LiveWav(file, 8000, channels, 1001)
        assert struct.unpack("<I", file.getvalue()[40:44]) == (1001 * channels * 2,)
        for start in range(0, 1001, 100):
            wav.write(sound[:, start : start + 100])
        assert file.getvalue() == (tmp_path / "a.wav").read_bytes()
    with pytest.raises(ValueError, match="NaN"):
        wav.write(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="4 GiB"):
        LiveWav(file, 8000, 2, 1 << 30)
