"""The language model's task: what counts in its loss, that it learns, resumes bit for bit, and plays while it learns."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from solfa.audio.io import info
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.lm.model import LMConfig, load_lm
from solfa.lm.patterns import coarse_first, parallel
from solfa.nn.transformer import TransformerConfig
from solfa.train.captions import CaptionConfig
from solfa.train.code_nats import batch_of, code_nats, nats_of_each
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTask, LMTaskConfig
from solfa.train.loop import train
from solfa.train.metrics import read_metrics
from solfa.train.recipe import load_recipe
from solfa.train.record import check_same, resolved_config

Music = tuple[Path, LMConfig, Path]
PLAIN = CaptionConfig(merge=0.0)
DRAWN = "c8621ac1bc3613ff7710960ddbe41c809c484577628bc892959eaa9a76ae1cba"  # of the crops and texts of eight steps


@pytest.fixture(scope="module")
def music(tiny_music: Callable[..., tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> Music:
    """A codec, a shape for its codes, and a manifest of codes: the caption says whether they rise or fall; the second follows the first."""
    codec_folder, lm_folder = tiny_music()
    codec, shape = load_codec(codec_folder), load_lm(lm_folder).config
    header = TokenHeader("tiny", codec.weights_hash, 8000, 1, 160, 3, 16, coding="packed")
    place = tmp_path_factory.mktemp("codes")
    (place / "codes").mkdir()
    lines = []
    for i in range(12):
        step, length = (1, -1)[i % 2], 30 if i < 10 else 12
        with TokenWriter(place / "codes" / f"{i}.solfa", header) as writer:
            writer.write(scale(i, step, length))
        lines.append({"id": str(i), "audio": f"{i}.wav", "text": "rising" if step > 0 else "falling"})
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return codec_folder, shape, place / "manifest.jsonl"


def scale(start: int, step: int, length: int) -> np.ndarray:
    """Codes [3, length]: the first rise or fall, the second follow them, the third stay."""
    first = (np.arange(length) * step + start) % 16
    return np.stack([first, (first * 5 + 3) % 16, np.full(length, 7)])


def configured(music: Music, **more: Any) -> LMTaskConfig:
    codec, shape, manifest = music
    fields: dict[str, Any] = {"model": shape, "train": (str(manifest),), "codec": str(codec), "batch": 6, "frames": 16}
    return LMTaskConfig(**(fields | {"captions": PLAIN, "init_codec": False, "hold_out": 6} | more))


LOOP = TrainConfig(
    steps=60,
    learning_rate=1e-2,
    betas=(0.9, 0.95),
    warmup=5,
    ema=0.9,
    evaluate_every=None,
    save_every=None,
    log_every=10,
    device="cpu",
)


def test_it_learns_and_hears_its_caption(music: Music, tmp_path: Path) -> None:
    config = configured(music, prompts=("rising, and on", "falling"), prompt_seconds=0.2)
    result = train(config, replace(LOOP, steps=240), tmp_path / "run", quiet=True)
    lines = read_metrics(tmp_path / "run")
    first, last, evaluation = lines[0], lines[-2], lines[-1]
    assert result.step == 240 and evaluation["split"] == "evaluation"
    assert last["lm/ce_0"] < 0.6 * first["lm/ce_0"] and last["lm/ce_2"] < 0.2, "the third codebook never changes"
    assert evaluation["ce"] < evaluation["ce_untold"]
    model, codes = load_lm(tmp_path / "run" / "model"), [scale(i, step, 16) for i in range(16) for step in (1, -1)]
    right, wrong = (
        nats_of_each(model, codes, texts * 16).mean() for texts in (["rising", "falling"], ["falling", "rising"])
    )
    assert right < 0.85 * wrong, "a model that is never told anything in training has .94 to 1.02"
    for k in range(3):
        assert evaluation[f"ppl_{k}"] == pytest.approx(np.exp(evaluation[f"ce_{k}"]))
        assert last[f"lm/ppl_{k}"] >= np.exp(last[f"lm/ce_{k}"]) - 1e-4, "a mean of exponentials"
    folder = tmp_path / "run" / "eval" / "step-240"
    assert info(folder / "sample-1.wav").samples == 1600
    assert (folder / "sample-0.txt").read_text() == "rising, and on\n"
    assert load_lm(tmp_path / "run" / "model").config == replace(music[1], crop_frames=config.frames)


def test_what_a_short_recording_lacks_takes_no_part(music: Music) -> None:
    """The loss of a batch is the mean over the codes that are there, whatever stands beside and behind them."""
    task = LMTask(configured(music))
    task.model.eval()
    items = [(0, 16), (9, 12), (8, 7)]
    crops = [task.data.codes(i, 0, length) for i, length in items]
    with torch.no_grad():
        whole, _ = code_nats(task.model, batch_of(task.model, crops, [None, "falling", "rising"]))
        alone = [
            code_nats(task.model, batch_of(task.model, [c], [t]))[0]
            for c, t in zip(crops, [None, "falling", "rising"], strict=True)
        ]
    weighted = sum(length * nats for (_, length), nats in zip(items, alone, strict=True)) / 35
    torch.testing.assert_close(whole, weighted)
    each = nats_of_each(task.model, crops, [None, "falling", "rising"])
    np.testing.assert_allclose(each, torch.stack(alone).numpy(), rtol=1e-6)
    most = task.model.config.crop_frames
    codes = np.tile(crops[0], (1, most))[:, : most + 9]  # what is beyond the length of training is left out
    assert (nats_of_each(task.model, [codes], [None]) == nats_of_each(task.model, [codes[:, :most]], [None])).all()
    longer = LMTask(configured(music, frames=400))
    assert longer.batch(0, 0, 1).codes.shape[2] <= 30, "no longer than the longest recording of the batch"


@pytest.mark.parametrize("pattern", [coarse_first(3), parallel(3)])
def test_any_pattern_is_trained_by_the_same_loss(music: Music, pattern: Any) -> None:
    task = LMTask(configured(music, model=replace(music[1], pattern=pattern)))
    batch = task.batch(0, 0, 1)
    loss = task.loss("lm", batch, 0)
    loss.total.backward()
    assert torch.isfinite(loss.total) and {"ce_0", "ce_2", "ppl_1", "ppl"} <= loss.logs.keys()


def test_shards_are_the_rows_of_one_batch(music: Music) -> None:
    task = LMTask(configured(music, condition_dropout=0.5))
    whole = task.batch(1, 0, 1)
    parts = [task.batch(1, rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([part.codes for part in parts]), whole.codes)
    told = [row for part in parts for row in part.mask.any(1).tolist()]
    assert told == whole.mask.any(1).tolist() and 0 < sum(told) < 6, "each crop by itself is told nothing"


def test_origins_say_where_the_rows_of_a_batch_are(music: Music) -> None:
    task = LMTask(configured(music))
    names = [task.data.name(i) for i in range(len(task.data.lengths))]
    batch, told = task.batch(3, 0, 1), task.origins(3, 0, 1)
    assert [each.row for each in told] == list(range(6)) and len({each.recording for each in told}) > 1
    for row, each in zip(batch.codes, told, strict=True):
        start = round(each.start * task.model.config.frame_rate)
        codes = task.data.codes(names.index(each.recording), start, task.config.frames)
        assert np.array_equal(row[:, : codes.shape[1]].numpy(), codes)
    assert [task.origins(3, rank, 3) for rank in range(3)] == [told[:2], told[2:4], told[4:]]


def test_crops_are_those_that_they_were(music: Music) -> None:
    """A long run is resumed with newer code: what is drawn at a step may not change."""
    task = LMTask(configured(music, captions=CaptionConfig(merge=0.5)))
    drawn = [task._crop(np.random.default_rng([0, step, row])) for step in range(8) for row in range(6)]
    told = [crop.text for crop in drawn]
    digest = hashlib.sha256(b"".join(crop.codes.tobytes() for crop in drawn) + repr(told).encode()).hexdigest()
    assert digest == DRAWN


def test_resume_is_bit_exact(music: Music, tmp_path: Path) -> None:
    config = configured(music, condition_dropout=0.3, captions=CaptionConfig(word_dropout=0.2))
    loop = replace(LOOP, steps=6, save_every=3, keep=3, accumulate=2)
    model, state = (tmp_path / "run" / name / "model.safetensors" for name in ("model", "step-000006"))
    train(config, loop, tmp_path / "run", quiet=True)
    unbroken = model.read_bytes(), state.read_bytes()
    (tmp_path / "run" / "latest").write_text("step-000003\n")
    state.unlink()
    train(config, loop, tmp_path / "run", quiet=True, resume=True)
    assert (model.read_bytes(), state.read_bytes()) == unbroken


def test_a_depth_head_learns_what_a_delayless_head_cannot(music: Music, tmp_path: Path) -> None:
    """The second code follows from the first of the same frame. Here the first is random: in parallel nobody can know the second."""
    shape = music[1]
    place = tmp_path / "random"
    (place / "codes").mkdir(parents=True)
    header = TokenHeader("tiny", shape.weights_hash, 8000, 1, 160, 3, 16, coding="packed")
    for i in range(6):
        first = np.random.default_rng(i).integers(0, 16, 200)
        with TokenWriter(place / "codes" / f"{i}.solfa", header) as writer:
            writer.write(np.stack([first, (first * 5 + 3) % 16, first]))
    (place / "m.jsonl").write_text("".join(f'{{"audio": "{i}.wav"}}\n' for i in range(6)))
    flat = replace(shape, pattern=parallel(3), text=None)
    deep = replace(flat, depth=TransformerConfig(width=16, layers=1, heads=2, cross=False))
    found = {}
    for name, model in (("flat", flat), ("deep", deep)):
        config = configured(music, model=model, train=(str(place / "m.jsonl"),))
        train(config, LOOP, tmp_path / name, quiet=True)
        found[name] = read_metrics(tmp_path / name)[-1]
    chance = np.log(16)
    assert found["flat"]["ce_1"] > 0.9 * chance and found["deep"]["ce_0"] > 0.9 * chance
    assert found["deep"]["ce_1"] < 0.5 * chance and found["deep"]["ce_2"] < 0.5 * chance
    assert "ce_untold" not in found["deep"], "a model without text is not told anything"


def test_checkpointing_changes_no_gradient(music: Music) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        task = LMTask(configured(music, checkpointing=checkpointing))
        task.loss("lm", task.batch(0, 0, 1), 0).total.backward()
        gradients.append([parameter.grad for parameter in task.model.parameters()])
    assert task.model.transformer.checkpointed
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_stereo(tiny_music: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """A stereo model of a mono codec: recordings are coded side by side, and played so."""
    from solfa.audio.io import Audio, write

    codec, lm = tiny_music(stereo=True)
    for i in range(3):
        write(
            tmp_path / f"{i}.wav", Audio(torch.rand(1, 2, 4000, generator=torch.Generator().manual_seed(i)) - 0.5, 8000)
        )
    config = LMTaskConfig(
        load_lm(lm).config, (str(tmp_path),), codec=str(codec), batch=2, frames=20, prompts=("x",), prompt_seconds=0.1
    )
    with pytest.warns(UserWarning, match="2 of 2 recordings have no caption"):
        task = LMTask(replace(config, init_codec=False))
    assert task.batch(0, 0, 1).codes.shape == (2, 6, 20)
    with torch.no_grad():
        task.evaluate(task.model.eval(), 0, tmp_path)
    assert (info(tmp_path / "sample-0.wav").channels, info(tmp_path / "sample-0.wav").samples) == (2, 800)


def test_a_run_from_before_a_field_was_there_can_go_on(music: Music, tmp_path: Path) -> None:
    """Fields that came later count as their defaults; another value than the default is a change."""
    config = configured(music)
    document = resolved_config(config, LOOP, 1)
    for name in ("hold_out", "init", "lora", "checkpointing"):
        del document["task"][name]
    del document["task"]["captions"]["instruments"], document["train"]["parallel"]
    (tmp_path / "config.json").write_text(json.dumps(document))
    again = replace(config, hold_out=20)
    check_same(tmp_path, resolved_config(again, LOOP, 1), again, LOOP)
    with pytest.raises(ValueError, match=r"task.hold_out: 20 -> 6"):
        check_same(tmp_path, resolved_config(config, LOOP, 1), config, LOOP)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"hold_out": 1}, "hold_out is 1"),
        ({"condition_dropout": 1.5}, "condition_dropout is 1.5"),
        ({"prompts": ("a", " ")}, "prompts: one of them is empty"),
        ({"prompt_seconds": 0.0}, "prompt_seconds is 0.0"),
        ({"model": None}, "init is none"),
        ({"adapter": "x"}, "lora without init"),
        ({"export_as": "transformers"}, "carries no codec"),
        ({"codec": object()}, "codec is object: it must be the name"),
        ({"codec": "solfa-24khz"}, "is for codes of tiny .*: the codec solfa-24khz here has the weights"),
    ],
)
def test_what_cannot_be_is_said(music: Music, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LMTask(configured(music, **fields))


def test_a_new_model_knows_its_codec(music: Music) -> None:
    task = LMTask(configured(music, model=replace(music[1], weights_hash="")))
    assert task.model.config.weights_hash == load_codec(music[0]).weights_hash


def test_the_recipes_are_as_they_say() -> None:
    large = load_recipe("musicgen:large")
    assert (large.train.clip, large.task.condition_dropout, large.task.model.transformer.width) == (3.0, 0.2, 2048)  # type: ignore[attr-defined]
    assert load_recipe("musicgen", ["--train", "mine", "--lora.rank=16"]).task.lora.rank == 16  # type: ignore[attr-defined]
    tiny = load_recipe("lm_tiny:depth").task.model  # type: ignore[attr-defined]
    assert tiny.depth is not None
    music, text = load_recipe("music:start").task, load_recipe("music:text").task
    assert (music.model.text, music.model.transformer.width) == (text.text, text.width)  # type: ignore[attr-defined]
    assert load_recipe("lm").task.captions.instruments  # type: ignore[attr-defined]


def test_a_model_writes_as_much_at_once_as_it_was_trained_on(
    music: Music, tiny_music: Callable[..., tuple[Path, Path]], recwarn: pytest.WarningsRecorder
) -> None:
    """A new one its crops; one that goes on the longest that it has seen; in stages, where a length is a pattern of its own, the last."""
    _, causal = tiny_music()
    _, staged = tiny_music(pattern=coarse_first(3))

    def crop(frames: int, **more: Any) -> int:
        return LMTask(configured(music, frames=frames, **more)).model.config.crop_frames

    assert [crop(frames) for frames in (16, 30)] == [16, 30], "whatever the shape says, which is 25"
    assert [crop(frames, model=None, init=str(staged)) for frames in (16, 30)] == [16, 30]
    assert [crop(frames, model=None, init=str(causal)) for frames in (25, 30)] == [25, 30]
    assert not recwarn
    with pytest.warns(UserWarning, match="frames is 16: tiny-lm writes 25 at once"):
        assert crop(16, model=None, init=str(causal)) == 25


def test_every_code_counts_the_same_in_an_evaluation(music: Music, monkeypatch: pytest.MonkeyPatch) -> None:
    """However recordings fall into batches, of which some are short."""
    task, found = LMTask(configured(music, valid=(str(music[2]),))), []
    task.model.eval()
    for size in (1, 5, 16):
        monkeypatch.setattr("solfa.train.lm.VALID_BATCH", size)
        with torch.no_grad():
            found.append(task._evaluated(task.model, text=True, beat=False))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


def test_what_is_exported_can_be_what_was_evaluated(music: Music, tmp_path: Path) -> None:
    for half, dtype in ((True, torch.float16), (False, torch.float32)):
        task = LMTask(configured(music, half_export=half))
        task.export(task.model, tmp_path / dtype.__repr__())
        stored = load_lm(tmp_path / dtype.__repr__()).state_dict()
        for name, weight in task.model.state_dict().items():
            assert torch.equal(stored[name], weight.to(dtype).float()), name


def test_a_run_does_not_go_on_with_other_held_out_recordings(music: Music, tmp_path: Path) -> None:
    """Those that were held out might be trained on. Others to train on are another matter, which is said."""
    manifest = tmp_path / "manifest.jsonl"
    lines = [{**json.loads(line), "id": str(i)} for i, line in enumerate(music[2].read_text().splitlines())]
    (tmp_path / "codes").symlink_to(music[2].parent / "codes")

    def go(some: list[dict[str, Any]], **more: Any) -> None:
        manifest.write_text("".join(json.dumps(line) + "\n" for line in some))
        loop = replace(LOOP, save_every=2, log_every=2, **more)
        train(configured(music, train=(str(manifest),), hold_out=4), loop, tmp_path / "run", quiet=True, resume=True)

    go(lines[:8], steps=2)
    unchanged = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(ValueError, match=r"run: cannot resume with other held-out .*train 6 -> 9; held_out 2 -> 3"):
        go(lines, steps=4)
    assert (tmp_path / "run" / "run.json").read_bytes() == unchanged
    marked = [{**line, "split": "valid" if i in (2, 6) else "train"} for i, line in enumerate(lines)]
    with pytest.warns(UserWarning, match=r"recordings are others than they were \(train 6 -> 10; held_out 2 -> 2\)"):
        go(marked, steps=4)
    go(marked, steps=6)
