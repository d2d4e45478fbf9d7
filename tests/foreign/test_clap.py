"""CLAP's vectors: those of transformers' ClapModel, with random weights."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

from solfa.foreign.clap import BROKEN, FrozenClap

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_clap.py"))))
RATE, SOUND = tiny.RATE, tiny.SOUND


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder_of(tmp_path_factory.mktemp("clap"))


def test_vectors_are_theirs(folder: Path) -> None:
    ours, theirs = FrozenClap(str(folder)), ClapModel.from_pretrained(folder).eval()
    ids = RobertaTokenizer.from_pretrained(folder)("a waltz", return_tensors="pt")
    heard = ClapFeatureExtractor.from_pretrained(folder)(SOUND.numpy(), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        text, sound = (
            theirs.get_text_features(**ids).pooler_output[0],
            theirs.get_audio_features(**heard).pooler_output[0],
        )
    assert ours.sample_rate == RATE and (ours.of_text("a waltz") - text).abs().max() < 1e-6
    assert (ours.of_sound(SOUND) - sound).abs().max() < 1e-5 and (text - sound).abs().max() > 0.1
    assert copy.deepcopy(ours) is ours


def test_a_long_sound_is_heard_in_windows(folder: Path) -> None:
    frozen = FrozenClap(str(folder))
    first, second = SOUND.repeat(10), 0.05 * torch.sin(torch.arange(10 * RATE) * 0.1)
    both = torch.cat([first, second, second[:100]])
    windows, alone = frozen.windows(both), (frozen.windows(first), frozen.windows(second))
    assert windows.shape == (2, 8) and (windows - torch.cat(alone)).abs().max() < 1e-6
    assert windows.norm(dim=1).allclose(torch.ones(2)) and (windows[0] - windows[1]).abs().max() > 1e-3
    mean = windows.mean(0)
    assert (frozen.of_sound(both) - mean / mean.norm()).abs().max() < 1e-6
    assert torch.equal(frozen.of_sound(both), frozen.of_sound(both[:-100]))  # nothing is drawn
    assert len(frozen.windows(SOUND[:100])) == 1 and len(frozen.windows(torch.cat([first, SOUND]))) == 2


def test_what_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"embeddings are all alike"):
        FrozenClap(BROKEN)
    with pytest.raises(
        ValueError, match=r"CLAP, owner/clap: not on this machine, and HF_HUB_OFFLINE .*hf download owner/clap"
    ):
        FrozenClap("owner/clap").of_text("a")
    with pytest.raises(ValueError, match="no such folder, and no hub repository"):
        FrozenClap("nowhere").of_text("a")
    with pytest.raises(ValueError, match=r"a text of 42 tokens: .* reads at most 18"):
        FrozenClap(str(folder)).of_text("a" * 40)
