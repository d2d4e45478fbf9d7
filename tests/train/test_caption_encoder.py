"""Captions are heard: the caption encoder learns to tell attributes, a language model begins with it, and its early steps weigh more."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.lm.conditioners.text import ByteText, ByteTextConfig
from solfa.lm.model import load_lm
from solfa.train.attributes import UNKNOWN, AttributeGuesses, classes_of, labels
from solfa.train.caption_encoder import CaptionEncoderConfig, CaptionEncoderTask, load_caption_encoder
from solfa.train.captions import CaptionConfig, Said
from solfa.train.code_nats import code_nats
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTask, LMTaskConfig
from solfa.train.loop import train
from solfa.train.metrics import read_metrics

TEXT = ByteTextConfig(width=16, layers=1, heads=2, hidden=32, longest=64)


def said(**attributes: str) -> Said:
    return Said(("a caption",), attributes)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"key": "D flat harmonic minor"}, {"tonic": "D flat", "mode": "minor"}),
        ({"key": "F sharp major"}, {"tonic": "F sharp", "mode": "major"}),
        ({"key": "H major"}, {}),
        ({"bpm": "120"}, {"tempo": "83"}),
        ({"bpm": "126"}, {"tempo": "84"}),  # a twelfth of an octave up
        ({"bpm": "0"}, {}),
        ({"bpm": "fast"}, {}),
        ({"instrument": "violin, piano, harp"}, {"first": "violin", "second": "piano"}),
        ({"genre": "waltz", "metre": "3/4", "keywords": "x"}, {"genre": "waltz", "metre": "3/4"}),
    ],
)
def test_attributes_as_classes(attributes: dict[str, str], expected: dict[str, str]) -> None:
    assert labels(said(**attributes)) == expected


def test_guesses_leave_out_what_is_not_known() -> None:
    pieces = [said(genre="waltz", metre="3/4"), said(genre="march")]
    guesses = AttributeGuesses(4, classes_of(pieces))
    targets = guesses.targets([*pieces, said(genre="polka")])
    assert targets.tolist() == [[1, 0], [0, UNKNOWN], [UNKNOWN, UNKNOWN]]
    vectors = torch.randn(3, 2, 4, requires_grad=True)
    total, parts = guesses.loss(vectors, targets)
    logits = guesses(vectors)["genre"][:2].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 1, 0, 0]))
    assert torch.allclose(parts["genre"], expected) and torch.allclose(total, (expected + parts["metre"]) / 2)
    nothing, none = guesses.loss(vectors[2:], targets[2:])
    assert float(nothing) == 0 and not none and nothing.requires_grad


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("captions") / "manifest.jsonl"
    words = [("waltz", [3, 4]), ("march", [4, 4]), ("jig", [6, 8])]
    lines = [
        {
            "id": str(i),
            "audio": f"{i}.wav",
            "text": f"{'a fine ' * (i % 3)}{words[i % 3][0]}",
            "attributes": {"metre": words[i % 3][1]},
            "split": "valid" if i >= 24 else "train",
        }
        for i in range(30)
    ]
    place.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def test_it_learns_to_tell_and_a_model_begins_with_it(captions: Path, tmp_path: Path) -> None:
    config = CaptionEncoderConfig(TEXT, 16, (str(captions),), (str(captions),), 12, captions=CaptionConfig(merge=0.0))
    loop = TrainConfig(steps=60, learning_rate=1e-2, warmup=5, ema=0.5, evaluate_every=None, log_every=10, device="cpu")
    train(config, loop, tmp_path / "run", quiet=True)
    lines = read_metrics(tmp_path / "run")
    assert lines[-2]["text/loss"] < 0.1 * lines[0]["text/loss"]
    assert lines[-1]["right_metre"] == 1.0
    text = ByteText(TEXT, 16)
    before = text.project.weight.clone()
    load_caption_encoder(tmp_path / "run" / "model", text, 16)
    assert not torch.equal(text.project.weight, before)
    with pytest.raises(ValueError, match="shape"):
        load_caption_encoder(tmp_path / "run" / "model", ByteText(TEXT, 8), 8)


def test_it_goes_on_from_an_encoder(
    captions: Path, tiny_music: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """One by itself, or that of a language model; one of another shape is refused."""
    _, lm = tiny_music()
    model = load_lm(lm)
    assert isinstance(model.text, ByteText)
    config = CaptionEncoderConfig(model.text.config, 16, (str(captions),))
    loop = TrainConfig(steps=2, learning_rate=1e-2, warmup=1, evaluate_every=None, device="cpu")
    train(config, loop, tmp_path / "run", quiet=True)
    trained = ByteText(config.text, 16)
    load_caption_encoder(tmp_path / "run" / "model", trained, 16)
    for place, whole in ((str(lm), model.text), (str(tmp_path / "run" / "model"), trained)):
        begun = CaptionEncoderTask(replace(config, init=place)).model.text.state_dict()
        assert all(torch.equal(weight, begun[name]) for name, weight in whole.state_dict().items())
        with pytest.raises(ValueError, match="is needed"):
            CaptionEncoderTask(replace(config, width=8, init=place))
    _, deaf = tiny_music(text=None)
    with pytest.raises(ValueError, match="does not read bytes"):
        CaptionEncoderTask(replace(config, init=str(deaf)))


def test_without_attributes_there_is_nothing_to_tell(tmp_path: Path) -> None:
    place = tmp_path / "manifest.jsonl"
    place.write_text('{"id": "0", "audio": "0.wav", "text": "music"}\n')
    with pytest.raises(ValueError, match="no attributes"):
        CaptionEncoderTask(CaptionEncoderConfig(TEXT, 16, (str(place),)))


@pytest.fixture(scope="module")
def lm_config(
    tiny_music: Callable[..., tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., LMTaskConfig]:
    codec_folder, lm_folder = tiny_music()
    codec, shape = load_codec(codec_folder), load_lm(lm_folder).config
    place = tmp_path_factory.mktemp("told")
    (place / "codes").mkdir()
    header = TokenHeader("tiny", codec.weights_hash, 8000, 1, 160, 3, 16, coding="packed")
    lines = []
    for i in range(8):
        with TokenWriter(place / "codes" / f"{i}.solfa", header) as writer:
            writer.write(np.full((3, 60), i))
        metre = [[3, 4], [4, 4]][i % 2]
        lines.append({"id": str(i), "audio": f"{i}.wav", "text": str(metre), "attributes": {"metre": metre}})
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def make(**more: object) -> LMTaskConfig:
        fields = {"train": (str(place / "manifest.jsonl"),), "codec": str(codec_folder), "batch": 4, "frames": 50}
        return LMTaskConfig(shape, **(fields | {"init_codec": False, "hold_out": 4} | more))  # type: ignore[arg-type]

    return make


def test_early_steps_weigh_more(lm_config: Callable[..., LMTaskConfig]) -> None:
    """The weighted loss is the mean over steps of 1 + early * exp(-s / half a second), against one computed step by step."""
    torch.manual_seed(0)
    task = LMTask(lm_config())
    batch = task.batch(0, 0, 1)
    with torch.no_grad():
        even, _ = code_nats(task.model, batch)
        weighted, hidden = code_nats(task.model, batch, early=10.0)
        logits = task.model.head(hidden, torch.zeros_like(batch.codes[:, :, :0]))[:, 0, :50]  # delay 0: step is frame
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.codes[:, 0], reduction="none")
    weight = 1 + 10 * torch.exp(-torch.arange(50) / (0.5 * task.model.config.frame_rate))
    assert torch.allclose(even[0], each.mean(), atol=1e-5)
    assert torch.allclose(weighted[0], (each * weight).sum() / weight.sum() / len(each), atol=1e-5)


def test_attributes_are_guessed_of_told_crops(lm_config: Callable[..., LMTaskConfig]) -> None:
    torch.manual_seed(0)
    plain, guessing = LMTask(lm_config()), LMTask(lm_config(guess=0.5))
    assert plain.phases()["lm"] is plain.model and plain.batch(0, 0, 1).classes is None
    names = [name for name, _ in guessing.phases()["lm"].named_parameters()]
    assert any(name.startswith("guesses.") for name in names) and any(name.startswith("model.") for name in names)
    with torch.no_grad():
        loss = guessing.loss("lm", guessing.batch(0, 0, 1), 0)
    assert float(loss.total) == pytest.approx(
        float(np.mean([float(loss.logs[f"ce_{k}"]) for k in range(3)]) + 0.5 * float(loss.logs["guess"])), rel=1e-5
    )
    untold = LMTask(lm_config(guess=0.5, condition_dropout=1.0))
    assert float(untold.loss("lm", untold.batch(0, 0, 1), 0).logs["guess"]) == 0.0


def test_the_texts_encoder_can_rest(lm_config: Callable[..., LMTaskConfig]) -> None:
    task = LMTask(lm_config(freeze_text=True))
    assert isinstance(task.model.text, ByteText)
    assert not any(p.requires_grad for p in task.model.text.encoder.parameters())
    assert task.model.text.project.weight.requires_grad


@pytest.mark.parametrize("name", ["early", "guess"])
def test_weights_are_in_range(lm_config: Callable[..., LMTaskConfig], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        lm_config(**{name: -1.0})
