"""CLAP's vectors as a condition: those of transformers' ClapModel, with random weights."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

from solfa.foreign.clap import BROKEN
from solfa.lm.conditioners.clap import Clap, ClapConfig
from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.model import LMConfig, TokenLM
from solfa.lm.patterns import delay
from solfa.nn.transformer import TransformerConfig

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "foreign" / "tiny_clap.py")))
RATE, SOUND = tiny.RATE, tiny.SOUND


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder_of(tmp_path_factory.mktemp("clap"))


def clap(folder: Path) -> Clap:
    torch.manual_seed(1)
    return Clap(ClapConfig(str(folder), 8), 16)


def test_vectors_are_theirs(folder: Path) -> None:
    ours, theirs = clap(folder), ClapModel.from_pretrained(folder).eval()
    ids = RobertaTokenizer.from_pretrained(folder)("a waltz", return_tensors="pt")
    heard = ClapFeatureExtractor.from_pretrained(folder)(SOUND.numpy(), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        text, sound = (
            theirs.get_text_features(**ids).pooler_output[0],
            theirs.get_audio_features(**heard).pooler_output[0],
        )
    vectors, there = ours.vectors(["a waltz", (SOUND, RATE), None, ""])
    assert there.tolist() == [True, True, False, False]
    assert (vectors[0] - text).abs().max() < 1e-6 and (vectors[1] - sound).abs().max() < 1e-5
    assert vectors[:2].norm(dim=1).allclose(torch.ones(2)) and (text - sound).abs().max() > 0.1
    memory = ours(vectors, there)
    assert (memory.values[0, 0] - ours.project(vectors[:1])[0]).abs().max() < 1e-6
    assert not memory.values[2:].any() and memory.mask.all()


def test_a_text_is_heard_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = clap(folder)
    first = ours.vectors(["a waltz"])[0]
    monkeypatch.setattr(ours.frozen, "_loaded", None)
    monkeypatch.setattr(ours.frozen, "name", "gone")
    assert torch.equal(ours.vectors(["a waltz"])[0], first)
    with pytest.raises(ValueError, match="CLAP, gone"):
        ours.vectors(["a march"])


def test_a_model_is_told_by_both(folder: Path) -> None:
    torch.manual_seed(0)
    shape = TransformerConfig(16, 1, 2)
    config = LMConfig(
        "m", "c", 8000, 50.0, shape, 2, 8, delay(2), text=ByteTextConfig(8, 1, 2, 8), clap=ClapConfig(str(folder), 8)
    )
    model, columns = TokenLM(config).eval(), torch.randint(0, 9, (1, 2, 5))

    def hidden(texts: list, heard: list | None) -> torch.Tensor:
        with torch.no_grad():
            return model.hidden(columns.expand(len(texts), -1, -1), model.describe(texts, clap=heard))

    plain, both = hidden(["abc"], None), hidden(["abc"], [(SOUND, RATE)])
    sound, word = hidden([None], [(SOUND, RATE)]), hidden([None], ["waltz"])
    found = [plain, both, sound, word, hidden([None], None)]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(found) for b in found[:i])
    beside = hidden(["abc", None, "a much longer text", None], [(SOUND, RATE), (SOUND, RATE), None, None])
    for row, alone in zip(beside, (both, sound, None, found[-1]), strict=True):
        assert alone is None or (row - alone).abs().max() < 1e-5
    with pytest.raises(ValueError, match="1 rows of clap for 2 texts"):
        model.describe(["a", "b"], clap=["c"])


def test_what_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"embeddings are all alike"):
        ClapConfig(BROKEN)
    with pytest.raises(ValueError, match="gives vectors of 8, the model reads 9"):
        Clap(ClapConfig(str(folder), 9), 16).vectors(["a"])
    with pytest.raises(ValueError, match=r"a text of 42 tokens: .* reads at most 18"):
        clap(folder).vectors(["a" * 40])
