"""CLAP's vectors as a condition: those of transformers' ClapModel, with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import ClapConfig as TheirConfig
from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

from solfa.lm.conditioners.clap import BROKEN, Clap, ClapConfig, FrozenClap
from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.model import LMConfig, TokenLM
from solfa.lm.patterns import delay
from solfa.nn.transformer import TransformerConfig

RATE = 48_000
SOUND = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))


def folder_of(path: Path) -> Path:
    torch.manual_seed(0)
    text = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
            "max_position_embeddings": 20, "type_vocab_size": 1, "projection_dim": 8}  # fmt: skip
    audio = {"spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2],
             "hidden_size": 16, "patch_size": 4, "patch_stride": [4, 4], "window_size": 4, "projection_dim": 8}  # fmt: skip
    model = ClapModel(TheirConfig(text_config=text, audio_config=audio, projection_dim=8))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(path)
    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz", "Ġ"]
    RobertaTokenizer(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]).save_pretrained(path)
    ClapFeatureExtractor(feature_size=16, truncation="rand_trunc", hop_length=4800).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("clap"))


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


def test_a_long_sound_is_heard_in_pieces(folder: Path) -> None:
    frozen = FrozenClap(str(folder))
    first, second = SOUND.repeat(10), 0.05 * torch.sin(torch.arange(10 * RATE) * 0.1)
    both = frozen.of_sound((torch.cat([first, second, second[:100]]), RATE))
    mean = frozen.of_sound((first, RATE)) + frozen.of_sound((second, RATE))
    assert (both - mean / mean.norm()).abs().max() < 1e-5
    assert torch.equal(both, frozen.of_sound((torch.cat([first, second]), RATE)))  # nothing is drawn


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
    with pytest.raises(
        ValueError, match=r"CLAP, owner/clap: not on this machine, and HF_HUB_OFFLINE .*hf download owner/clap"
    ):
        FrozenClap("owner/clap").of_text("a")
    with pytest.raises(ValueError, match="gives vectors of 8, the model reads 9"):
        Clap(ClapConfig(str(folder), 9), 16).vectors(["a"])
    with pytest.raises(ValueError, match=r"a text of 42 tokens: .* reads at most 18"):
        clap(folder).vectors(["a" * 40])
