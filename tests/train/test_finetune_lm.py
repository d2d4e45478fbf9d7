"""A MusicGen checkpoint and a folder of music: one command, a lower loss, and a model that transformers loads."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from solfa.audio.io import Audio, info, read, write
from solfa.checkpoint import CheckpointError
from solfa.cli.app import run
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.conditioners.text import T5TextConfig
from solfa.lm.lora import LoRAConfig, add_lora, load_adapter, merged
from solfa.lm.model import LMConfig, TokenLM
from solfa.lm.registry import load_lm
from solfa.lm.weights.export import save_audiocraft
from solfa.lm.weights.layouts import layout_of
from solfa.music.text_to_music import TextToMusic
from solfa.nn.frames import FrameConfig
from solfa.nn.transformer import TransformerConfig
from solfa.train.code_cache import FOLDER
from solfa.train.lm import LMTask
from solfa.train.loop import train
from solfa.train.metrics import read_metrics
from solfa.train.recipe import load_recipe

Make = Callable[[], Path]
TINY = ["--steps=25", "--learning-rate=1e-2", "--warmup=2", "--ema=0.8", "--batch=3", "--frames=20", "--precision=float32",
        "--log-every=5", "--evaluate-every=none", "--save-every=none", "--device=cpu", "--prompt-seconds=0.2"]  # fmt: skip
WALTZ, MARCH = "a slow waltz for piano", "fast march"


@pytest.fixture(scope="module")
def my_music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my_music")
    for i in range(6):
        time = np.arange(4800) / 8000
        hertz = (220, 660)[i % 2] * 2 ** (i / 12)
        tone = 0.4 * np.sin(2 * np.pi * hertz * time) * (1 + np.sin(2 * np.pi * (2, 9)[i % 2] * time)) / 2
        write(folder / f"{i}.wav", Audio(torch.tensor(tone, dtype=torch.float32)[None, None], 8000))
        (folder / f"{i}.txt").write_text((WALTZ, MARCH)[i % 2])
    return folder


def losses(folder: Path) -> tuple[float, float]:
    """Of the first steps and of the last."""
    lines = [line["lm/loss"] for line in read_metrics(folder) if line["split"] == "train"]
    return lines[0], lines[-1]


@torch.no_grad()
def same_logits(folder: Path) -> None:
    """A folder gives the same in transformers and here, told and untold."""
    from transformers import MusicgenForConditionalGeneration, T5Tokenizer

    hf, ours = MusicgenForConditionalGeneration.from_pretrained(folder).eval(), load_lm(folder)
    ids = T5Tokenizer.from_pretrained(folder)([WALTZ], return_tensors="pt").input_ids
    mask = torch.stack([torch.ones_like(ids[0]), torch.zeros_like(ids[0])])
    codes = torch.randint(0, 33, (2, 4, 9), generator=torch.Generator().manual_seed(3))
    steps = codes[:, :, :-1].reshape(8, -1)
    theirs = hf(input_ids=ids.expand(2, -1), attention_mask=mask, decoder_input_ids=steps).logits
    mine = ours(codes, ours.describe([WALTZ, None]))
    torch.testing.assert_close(mine, theirs.view(mine.shape), rtol=1e-4, atol=1e-4)


def command(recipe: str, folder: Path, my_music: Path, init: Path, *more: str) -> None:
    fields: list[Any] = [f"--task.train={my_music}", f"--task.init={init}", *TINY, *more]
    assert run(["train", recipe, "-o", str(folder), "--quiet", *fields]) == 0


def test_all_weights(tiny_musicgen: Make, my_music: Path, tmp_path: Path) -> None:
    command("musicgen", tmp_path / "run", my_music, tiny_musicgen(), "--task.prompts", f"{WALTZ}, {MARCH}")
    assert len(list(my_music.glob(f"{FOLDER}/*/*.solfa"))) == 6
    first, last = losses(tmp_path / "run")
    assert last < 0.75 * first, (first, last)
    same_logits(tmp_path / "run" / "model")
    before, after = load_lm(tiny_musicgen()), load_lm(tmp_path / "run" / "model")
    assert not torch.equal(before.head.linear.weight, after.head.linear.weight)  # type: ignore[union-attr, arg-type]
    sample = tmp_path / "run" / "eval" / "step-25" / "sample-1.wav"
    assert info(sample).samples == 1600
    music = TextToMusic.load(tmp_path / "run" / "model")
    heard = music.generate(MARCH, duration=0.2, seed=1)
    assert heard.samples.shape == (1, 1, 1600)
    np.testing.assert_allclose(heard.samples[0].numpy(), read(sample).samples[0].numpy(), atol=2e-2)


def test_adapters(tiny_musicgen: Make, my_music: Path, tmp_path: Path) -> None:
    """Only adapters are trained and kept; the model in the run has them in its weights; training goes on from them."""
    more = ["--task.lora.rank=4", "--steps=40", "--save-every=20", "--train.keep=2"]
    command("musicgen:lora", tmp_path / "run", my_music, tiny_musicgen(), *more)
    first, last = losses(tmp_path / "run")
    assert last < 0.9 * first, (first, last)
    same_logits(tmp_path / "run" / "model")
    model = load_lm(tiny_musicgen())
    load_adapter(model, tmp_path / "run" / "adapter")
    found = load_lm(tmp_path / "run" / "model")
    for (name, ours), stored in zip(merged(model).named_parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(stored, ours, msg=name)
    torch.testing.assert_close(found.embedding.weight, load_lm(tiny_musicgen()).embedding.weight, rtol=0, atol=0)
    plays_alike(tmp_path, tiny_musicgen())
    states = sum(path.stat().st_size for path in (tmp_path / "run" / "step-000040").iterdir())
    whole = sum(4 * p.numel() for p in found.parameters())
    trained = sum(4 * p.numel() for p in model.parameters() if p.requires_grad)
    assert states < 4 * trained + 40_000 and trained < whole, "frozen weights are not in the states"
    adapter = tmp_path / "run" / "adapter" / "adapter_model.safetensors"
    unbroken = adapter.read_bytes()
    (tmp_path / "run" / "latest").write_text("step-000020\n")
    shutil.rmtree(tmp_path / "run" / "step-000040")
    adapter.unlink()
    command("musicgen:lora", tmp_path / "run", my_music, tiny_musicgen(), *more, "--resume")
    assert adapter.read_bytes() == unbroken, "resumed bit for bit"
    more = [f"--task.adapter={tmp_path / 'run' / 'adapter'}", "--steps=5"]
    command("musicgen:lora", tmp_path / "more", my_music, tiny_musicgen(), *more)
    assert losses(tmp_path / "more")[0] < first, "it began where the other ended"


def plays_alike(folder: Path, base: Path) -> None:
    """A model with a run's adapter plays what the run's model plays; a folder that is none of them is said to be that."""

    def play(name: str, *model: object) -> int:
        ask = ["generate", WALTZ, "-o", str(folder / name), "--duration", "0.3", "--device", "cpu"]
        return run([*ask, *map(str, model)])

    assert play("a.wav", "--model", base, "--adapter", folder / "run" / "adapter") == 0
    assert play("b.wav", "--model", folder / "run" / "model") == play("c.wav", "--model", base) == 0
    a, b, c = (read(folder / f"{name}.wav").samples for name in "abc")
    assert torch.equal(a, b) and not torch.equal(a, c)
    for place, said in (("run/adapter", "holds adapters alone; name the model"), ("run", "its model is .*run/model")):
        with pytest.raises(ValueError, match=said):
            load_lm(folder / place)
    assert play("d.wav", "--model", base, "--adapter", folder / "run") == 2


def test_the_models_layout_is_that_of_init(
    tiny_music: Callable[..., tuple[Path, Path]], my_music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ours; AudioCraft's is below. Of transformers: `test_all_weights`."""
    codec, lm = tiny_music()
    more = [f"--task.codec={codec}", "--steps=1"]
    command("musicgen", tmp_path / "run", my_music, lm, *more)
    assert (
        layout_of(tmp_path / "run" / "model") == "solfa"
        and load_lm(tmp_path / "run" / "model").config.name == "tiny-lm"
    )
    ask = [
        "train",
        "musicgen",
        "-o",
        str(tmp_path / "other"),
        f"--task.train={my_music}",
        f"--task.init={lm}",
        *TINY,
        *more,
    ]
    for wanted, reason in (
        ("audiocraft", "positions|the codec must|read by a T5"),
        ("transformers", "carries no codec"),
    ):
        assert run([*ask, f"--task.export_as={wanted}"]) == 1
        said = capfd.readouterr().err
        assert re.search(f"export_as is {wanted}: .*({reason}).*; set export_as to solfa", said), said
    assert not (tmp_path / "other" / "metrics.jsonl").exists()


@pytest.fixture(scope="module")
def audiocraft(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny MusicGen as AudioCraft saves one, and a codec of the shape that it writes codes of, both with random weights."""
    folder = tmp_path_factory.mktemp("audiocraft")
    books = QuantizerConfig(codebooks=4, codebook_size=2048, kmeans_iters=0)
    shape = FrameConfig(hop=640, width=16, blocks=1, kernel=3, bands=8)
    VQVAE(VQVAEConfig("encodec-32khz", 32_000, 1, 8, shape, quantizer=books, chunk=25)).save(folder / "codec")
    t5 = T5TextConfig("t5-small", 512)
    config = LMConfig("m", "encodec-32khz", 32_000, 50.0, TransformerConfig(16, 1, 2), text=t5, crop_frames=20)
    save_audiocraft(TokenLM(config), folder / "lm", torch.float32)
    return folder / "lm", folder / "codec"


def test_what_began_as_audiocrafts_is_audiocrafts_again(
    audiocraft: tuple[Path, Path], my_music: Path, tmp_path: Path
) -> None:
    lm, codec = audiocraft
    fields = ["--task.train", str(my_music), "--init", str(lm), "--task.codec", str(codec), "--frames", "20"]
    recipe = load_recipe("musicgen", fields)
    task = LMTask(replace(recipe.task, half_export=False, checkpointing=False))
    task.export(task.model, tmp_path / "model")
    task.export(task.model, tmp_path / "model")  # at the next evaluation, over the last one
    again = load_lm(tmp_path / "model")
    assert layout_of(tmp_path / "model") == "audiocraft" and again.config == load_lm(lm).config
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), task.model.parameters(), strict=True))
    with pytest.raises(
        ValueError, match=r"auto, which is audiocraft of init .*: beat must be left out; set export_as to so"
    ):
        LMTask(replace(recipe.task, beat=BeatConfig()))
    LMTask(replace(recipe.task, lora=LoRAConfig(2))).export(adapted(task.model), tmp_path / "lora" / "model")
    assert load_lm(tmp_path / "lora" / "model").adapters, "which adapters lie in the weights is known there too"


def adapted(model: TokenLM) -> TokenLM:
    add_lora(model, LoRAConfig(2))
    return model


def test_a_run_does_not_go_on_from_another_base(tiny_musicgen: Make, my_music: Path, tmp_path: Path) -> None:
    """States hold adapters only, so what they were added to must be what it was."""
    base = tmp_path / "base"
    shutil.copytree(tiny_musicgen(), base)
    command("musicgen:lora", tmp_path / "run", my_music, base, "--task.lora.rank=2", "--steps=2")
    tensors = load_file(base / "model.safetensors")
    tensors["decoder.lm_heads.0.weight"] += 1
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    fields = [f"--task.train={my_music}", f"--task.init={base}", *TINY, "--task.lora.rank=2", "--steps=3"]
    recipe = load_recipe("musicgen:lora", fields)
    with pytest.raises(CheckpointError, match="the weights that are not trained were others"):
        train(recipe.task, recipe.train, tmp_path / "run", resume=True, quiet=True)


def test_a_text_that_is_too_long_is_said_before_the_first_step(
    tiny_musicgen: Make, my_music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(my_music, tmp_path / "music")
    (tmp_path / "music" / "1.txt").write_text("march")
    (tmp_path / "music" / "1.json").write_text(json.dumps({"keywords": "waltz " * 1200}))  # some crops are told both
    fields = [f"--task.init={tiny_musicgen()}", *TINY]
    assert run(["train", "musicgen", "-o", str(tmp_path / "run"), f"--task.train={tmp_path / 'music'}", *fields]) == 1
    said = capfd.readouterr().err
    assert "'march. keywords: waltz waltz" in said and "at most 1024 are read; make it shorter" in said
    fields = [f"--task.train={my_music}", *fields, "--task.prompts", "waltz " * 1200]
    assert run(["train", "musicgen", "-o", str(tmp_path / "run"), *fields]) == 1
    said = capfd.readouterr().err
    assert "'waltz waltz" in said and "at most 1024 are read; make it shorter" in said
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
