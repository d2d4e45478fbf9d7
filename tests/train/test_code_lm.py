"""The code LM's task learns what codes follow which, and what it exports codes token files smaller."""

from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.codecs.entropy.code_lm import CodeLM
from solfa.codecs.entropy.lm_checkpoint import load_lm
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.token_file import TokenFile, TokenHeader, TokenWriter
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.train.code_lm import ABSENT, CodeLMTask, CodeLMTaskConfig, code_vectors, token_files
from solfa.train.config import TrainConfig
from solfa.train.loop import train

HEADER = TokenHeader("tiny", "ab" * 32, 8_000, 1, 160, 3, 24, coding="adaptive")
SMALL = {"widths": (24, 8), "dilations": (1, 2), "inner": 16, "hidden": 32}


def melody(frames: int, seed: int) -> np.ndarray:
    """Codes [3, T]: the first walks in steps known from the one before, the second follows from the first, the third is noise."""
    rng = np.random.default_rng(seed)
    first = np.cumsum(rng.choice([0, 0, 1, 5], frames)) % 24
    second = (first * 5 + rng.integers(0, 2, frames)) % 24
    return np.stack([first, second, rng.integers(0, 24, frames)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    for i in range(12):
        path = folder / f"{i % 2}" / f"{i}.solfa"
        path.parent.mkdir(exist_ok=True)
        with TokenWriter(path, HEADER) as writer:
            writer.write(melody(10 if i == 3 else 300, i))
    return folder


def test_it_learns_and_what_it_exports_makes_files_smaller(folder: Path, tmp_path: Path) -> None:
    config = CodeLMTaskConfig((str(folder),), hold_out=6, batch=8, frames=40, **SMALL)
    loop = TrainConfig(steps=60, learning_rate=1e-2, warmup=5, ema=0.9, muon="[bh]*.weight", evaluate_every=None)
    result = train(config, loop, tmp_path / "run", quiet=True)
    assert result.step == 60
    lm = load_lm(tmp_path / "run" / "model")
    codes = melody(800, 99)
    with TokenWriter(
        tmp_path / "a.solfa", TokenHeader(**{**vars(HEADER), "coding": "lm", "lm": lm.hash}), lm
    ) as writer:
        writer.write(codes)
    with TokenWriter(tmp_path / "b.solfa", HEADER) as writer:
        writer.write(codes)
    small, adaptive = (path.stat().st_size for path in (tmp_path / "a.solfa", tmp_path / "b.solfa"))
    # 1.5 and 1 and 4.6 bits are the least, of 5 each: 950 bytes of 1500
    assert small < 1_150 + 330 < adaptive
    with TokenFile(tmp_path / "a.solfa", lm=lm) as file:
        np.testing.assert_array_equal(file.read(), codes)
    line = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    assert '"bits_0"' in line and '"saving"' in line


def test_batches_are_crops_of_the_files_and_repeat(folder: Path) -> None:
    task = CodeLMTask(CodeLMTaskConfig((str(folder),), hold_out=6, batch=6, frames=40, **SMALL))
    assert len(task.codes) == 10 and len(task.valid) == 2
    whole = task.batch(7, 0, 1)
    assert whole.shape == (6, 3, 40)
    assert torch.equal(torch.cat([task.batch(7, 0, 2), task.batch(7, 1, 2)]), whole)
    assert not torch.equal(task.batch(8, 0, 1), whole)
    crops = [crop for step in range(60) for crop in task.batch(step, 0, 1)]
    short = [crop for crop in crops if (crop == ABSENT).any()]
    assert short and all((crop[:, 10:] == ABSENT).all() and (crop[:, :10] != ABSENT).all() for crop in short)
    assert any(np.array_equal(codes, short[0][:, :10]) for codes in task.codes)
    loss = task.loss("lm", torch.stack([short[0], crops[0]]), 0)
    assert torch.isfinite(loss.total) and float(loss.logs["bits"]) > 0


def test_origins_say_where_the_rows_of_a_batch_are(folder: Path) -> None:
    task = CodeLMTask(CodeLMTaskConfig((str(folder),), hold_out=6, batch=6, frames=40, **SMALL))
    for step in range(6):
        told = task.origins(step, 0, 2) + task.origins(step, 1, 2)
        for row, (crop, each) in enumerate(zip(task.batch(step, 0, 1), told, strict=True)):
            start, there = round(each.start * 50), int((crop[0] != ABSENT).sum())
            with TokenFile(Path(each.recording)) as file:
                assert each.row == row and np.array_equal(crop[:, :there], file.read()[:, start : start + there])


def test_it_begins_with_the_codecs_vectors(tmp_path: Path) -> None:
    quantizer = QuantizerConfig(codebooks=3, codebook_size=24, groups=1)
    torch.manual_seed(0)
    codec = VQVAE(
        VQVAEConfig("tiny", 8_000, latent_dim=16, frames=FrameConfig(160, 16, 1, 2, 3, 8), quantizer=quantizer)
    )
    blank = code_vectors(codec, 3)
    for buffer in codec.quantizer.buffers():
        if buffer.shape[-2:] == (24, 16):
            buffer.normal_()
    vectors = code_vectors(codec, 3)
    codes = torch.randint(0, 24, (1, 3, 50))
    total = sum(table[codes[0, k]] for k, table in enumerate(vectors))
    latents = codec.quantizer.decode(codes)[0].T
    assert torch.allclose(total - total.mean(0), latents - latents.mean(0), atol=1e-5)
    assert all(table.shape == (24, 16) for table in vectors)
    vectors[1][5] = vectors[1][6]
    model = CodeLM(CodeLMConfig("tiny", "ab", 3, 24, **SMALL))
    with pytest.raises(ValueError, match="codebook 0 are all alike"):
        model.start_from(blank)
    model.start_from(vectors)
    for table in (model.past[1], model.lower[1], model.logits[1].weight):
        assert torch.equal(table[5], table[6]) and not torch.equal(table[5], table[7])


def test_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    for place in ("b", ".trash", "a"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "0.solfa").touch()
    assert token_files((str(tmp_path),)) == [tmp_path / "a" / "0.solfa", tmp_path / "b" / "0.solfa"]


def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        CodeLMTask(CodeLMTaskConfig(("none-such",)))
    with pytest.raises(ValueError, match="no token files"):
        CodeLMTask(CodeLMTaskConfig((str(tmp_path),)))
    with pytest.raises(ValueError, match="too few to train and to validate"):
        CodeLMTask(CodeLMTaskConfig((str(folder / "0" / "0.solfa"),)))
    with TokenWriter(tmp_path / "other.solfa", TokenHeader(**{**vars(HEADER), "codec": "other"})) as writer:
        writer.write(melody(20, 0))
    with pytest.raises(ValueError, match=r"other\.solfa has codes of \('other'"):
        CodeLMTask(CodeLMTaskConfig((str(folder), str(tmp_path / "other.solfa"))))
    with pytest.raises(ValueError, match="valid has codes of"):
        CodeLMTask(CodeLMTaskConfig((str(folder),), (str(tmp_path / "other.solfa"),)))
    with pytest.raises(ValueError, match="this is another codec"):
        CodeLMTask(CodeLMTaskConfig((str(folder),), init="solfa-24khz", **SMALL))
    for field in ("batch", "frames", "valid_items", "valid_frames", "hold_out"):
        with pytest.raises(ValueError, match=field):
            CodeLMTaskConfig((str(folder),), **{field: 0})
