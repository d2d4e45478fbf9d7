"""Embeddings by name: rows of windows; CLAP's are those of transformers, with random weights."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

from solfa.audio.resample import resample
from solfa.eval.clap import MEASURES, clap_score
from solfa.eval.embeddings import clap_audio, clap_text, embedding, load_clap, log_mel_embedding

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "foreign" / "tiny_clap.py")))
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.folder_of(tmp_path_factory.mktemp("clap"))


def test_log_mel_rows_are_seconds_whatever_the_level():
    sound = RNG.standard_normal(24000 * 3 + 500).astype(np.float32) * 0.1
    rows = embedding("log-mel").rows(sound, 24000)
    assert rows.shape == (3, 64) and np.isfinite(rows).all()
    assert np.allclose(log_mel_embedding(sound * 0.1, 24000), rows, atol=1e-3)
    for short in (np.zeros(24000, np.float32), np.ones(1, np.float32)):
        assert log_mel_embedding(short, 24000).shape == (1, 64)


def test_clap_is_that_of_transformers(folder):
    sound = RNG.standard_normal((2, 3 * 24000)).astype(np.float32) * 0.1
    theirs, extract = ClapModel.from_pretrained(folder).eval(), ClapFeatureExtractor.from_pretrained(folder)
    heard = extract(resample(sound.mean(0)[None], 24000, 48000)[0], sampling_rate=48000, return_tensors="pt")
    ids = RobertaTokenizer.from_pretrained(folder)("a waltz", return_tensors="pt")
    with torch.no_grad():
        audio, text = theirs.get_audio_features(**heard).pooler_output, theirs.get_text_features(**ids).pooler_output
    rows = embedding(f"clap:{folder}").rows(sound, 24000)
    assert rows.shape == (1, 8) and np.allclose(rows, audio.numpy(), atol=1e-5)
    clap = load_clap(str(folder))
    assert clap is load_clap(str(folder)) and np.allclose(clap_text(clap, "a waltz"), text.numpy()[0], atol=1e-6)
    score = clap_score(clap_text(clap, "a waltz")[None], clap_audio(clap, sound, 24000)[None])
    assert score == pytest.approx([float(torch.cosine_similarity(text, audio))], abs=1e-5)


def test_a_long_sound_has_a_row_each_ten_seconds(folder):
    sound = (
        RNG.standard_normal(25 * 24000).astype(np.float32) * 0.1 * np.repeat([1, 0.1, 0.01], [240000, 240000, 120000])
    )
    rows, one = embedding(f"clap:{folder}").rows(sound, 24000), clap_audio(load_clap(str(folder)), sound, 24000)
    assert rows.shape == (3, 8) and np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.allclose(one, rows.mean(0) / np.linalg.norm(rows.mean(0))) and np.linalg.norm(one) == pytest.approx(1)


def test_scores_are_cosines():
    text = RNG.standard_normal((5, 8))
    score = clap_score(text, 3 * text)
    assert score == pytest.approx(np.ones(5)) and clap_score(text, -text) == pytest.approx(-np.ones(5))
    assert score.max() <= MEASURES[0].high and clap_score([[1, 0]], [[1, 1]]) == pytest.approx([np.sqrt(0.5)])
    assert np.isnan(clap_score(np.zeros((1, 3)), np.ones((1, 3))))[0]
    for wrong in (np.ones((4, 8)), np.ones(8)):
        with pytest.raises(ValueError, match="both"):
            clap_score(text, wrong)


@pytest.mark.parametrize(
    ("name", "said"),
    [("vggish", "legal are log-mel, clap"), ("clap:", "legal are"), ("log-mel:x", "legal are"),
     ("clap:laion/larger_clap_music", "all alike; laion/larger_clap_general")],
)  # fmt: skip
def test_what_has_no_embedding(name, said):
    with pytest.raises(ValueError, match=said):
        embedding(name)


def test_names_and_meanings(folder):
    assert embedding("clap").name == "clap" and "laion/clap-htsat-unfused" in embedding("clap").meaning
    with pytest.raises(ValueError, match="CLAP, owner/clap: not on this machine"):
        embedding("clap:owner/clap").rows(np.ones(9, np.float32), 48000)
