"""What the sound of recordings tells a language model in training: the melody of each crop, and CLAP's vector where there is no caption."""

import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.lm.conditioners.clap import ClapConfig
from solfa.lm.conditioners.melody import MelodyConfig, null_chroma
from solfa.lm.model import load_lm
from solfa.lm.patterns import separate
from solfa.nn.transformer import TransformerConfig
from solfa.train.captions import CaptionConfig
from solfa.train.code_nats import LMBatch, code_nats
from solfa.train.lm import LMTask, LMTaskConfig
from solfa.train.lm_sound import Sounds

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "foreign" / "tiny_clap.py")))
MELODY = {
    "melody": MelodyConfig(sample_rate=8000, n_fft=256, hop=128, frames=6),
    "fusion": "prepend",
    "transformer": TransformerConfig(16, 2, 2, cross=False),
}
Folders = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.folder_of(tmp_path_factory.mktemp("clap")))


def task_of(folders: tuple[Path, Path], place: Path, captions: list[str], **more: Any) -> LMTask:
    """On random codes of twelve recordings, a second each."""
    codec, rng = load_codec(folders[0]), np.random.default_rng(0)
    header = TokenHeader("tiny", codec.weights_hash, 8000, 1, 160, 3, 16, coding="packed")
    (place / "codes").mkdir()
    lines = []
    for i in range(12):
        with TokenWriter(place / "codes" / f"{i}.solfa", header) as writer:
            writer.write(rng.integers(0, 16, (3, 50)))
        lines.append({"id": str(i), "audio": f"{i}.wav"} | ({"text": captions[i % len(captions)]} if captions else {}))
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = LMTaskConfig(
        replace(load_lm(folders[1]).config, **more), (str(place / "manifest.jsonl"),), codec=str(folders[0]), batch=24,
        frames=16, init_codec=False, hold_out=6, captions=CaptionConfig(merge=0.0),
    )  # fmt: skip
    return LMTask(config)


def heard(codec: Codec, codes: torch.Tensor) -> Audio:
    """Codes [K, T] as the codec plays them."""
    shape = codec.name, codec.weights_hash, 8000, 1, 160, 16
    return codec.decode(Codes(codes[None], *shape, (codes.shape[1] * 160,)))


def test_a_crop_is_told_its_own_melody(tiny_music: Folders, tmp_path: Path) -> None:
    task = task_of(tiny_music(**MELODY), tmp_path, ["a waltz"])
    assert task.model.melody is not None
    batch, null = task.batch(3, 0, 1), null_chroma().expand(6, -1)
    assert batch.melody is not None and torch.equal(batch.melody, task.batch(3, 0, 1).melody)
    told = 0
    for codes, words, row in zip(batch.codes, batch.mask, batch.melody, strict=True):
        own = task.model.melody.features([heard(task.codec, codes[:, :4])])[
            0
        ]  # 6 frames of chroma are of 4.8 frames of codes
        assert torch.equal(row, own) or torch.equal(row, null)
        sings = not torch.equal(row, null)
        assert words.any() or not sings, "what is told nothing is told no melody"
        told += sings
    assert 5 <= told <= 17  # of 24
    total = code_nats(task.model, batch)[0].mean()
    total.backward()
    moved = task.model.melody.project.weight.grad
    assert moved is not None and int((moved.abs().sum(0) > 0).sum()) > 1, "the null melody alone is C"


def test_an_evaluation_says_what_the_melody_is_worth(tiny_music: Folders, tmp_path: Path) -> None:
    task = task_of(tiny_music(**MELODY), tmp_path, ["a waltz"])
    with torch.no_grad():
        first = task.evaluate(task.model.eval(), 0, tmp_path)
        decode, task.sounds._codec = task.sounds._codec, None  # type: ignore[assignment]
        assert task.evaluate(task.model, 1, tmp_path) == first, "what is held out is decoded once"
    assert decode is not None and len({first["ce"], first["ce_no_melody"], first["ce_untold"]}) == 3


def test_both_sides_of_a_stereo_model_are_heard(tiny_music: Folders) -> None:
    folder, lm = tiny_music(stereo=True, **MELODY)
    model, codec = load_lm(lm), load_codec(folder)
    codes = torch.randint(0, 16, (1, 6, 4), generator=torch.Generator().manual_seed(0))
    both = Audio(torch.cat([heard(codec, side[0]).samples for side in separate(codes)], 1), 8000)
    assert model.melody is not None
    melody = Sounds(model, codec, "cpu").melody(codes[0])
    assert melody is not None and torch.equal(melody, model.melody.features([both])[0])


@pytest.mark.parametrize("captions", [[], ["waltz", ""]])
def test_clap_hears_what_nobody_has_captioned(
    tiny_music: Folders, tmp_path: Path, clap: str, captions: list[str], monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:  # fmt: skip
    task = task_of(tiny_music(), tmp_path, captions, text=None, clap=ClapConfig(clap, 8))
    encoder, calls = task.model.clap, []
    assert encoder is not None and not [w for w in recwarn if "no caption" in str(w.message)]
    of_sound = encoder.frozen.of_sound
    monkeypatch.setattr(encoder.frozen, "of_sound", lambda sound: (calls.append(1), of_sound(sound))[1])
    batches: list[LMBatch] = [task.batch(step, 0, 1) for step in range(4)]
    untold = [i for i in range(len(task.data.lengths)) if not task.data.said(i)]
    assert len(calls) == len(untold), "once a recording"
    whole = [torch.from_numpy(task.data.codes(i, 0, 50).astype(np.int64)) for i in untold]
    known = [encoder.vectors([heard(task.codec, codes)])[0][0] for codes in whole]
    known += [encoder.vectors([text])[0][0] for text in captions if text]
    met = set()
    for batch in batches:
        vectors, there = batch.clap
        assert 0 < int(there.sum()) < 24 * 4
        for vector in vectors[there]:
            met.add(next(i for i, each in enumerate(known) if torch.equal(each, vector)))
    assert met == set(range(len(known)))
    with torch.no_grad():
        values = task.evaluate(task.model.eval(), 0, tmp_path)
    assert values["ce"] != values["ce_untold"]


def test_a_clap_that_is_not_there_is_said_before_the_first_step(tiny_music: Folders, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"CLAP, .*nothing: no such folder"):
        task_of(tiny_music(), tmp_path, [], text=None, clap=ClapConfig("./nothing", 8))
