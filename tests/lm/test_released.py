"""MusicGen against transformers, on the same random weights: logits, greedy and sampled codes, mono, stereo and with a melody."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from solfa.lm.generate import generate
from solfa.lm.model import Conditions, TokenLM
from solfa.lm.registry import load_lm
from solfa.lm.sampling import SamplingOptions
from solfa.nn.transformer import Memory

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_musicgen.py"))))
STEPS, FRAMES = 9, 11
LENGTHS = pytest.mark.filterwarnings("ignore:texts of different lengths")


@pytest.fixture(scope="module", params=tiny.KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Their model, and ours from its files."""
    theirs = tiny.theirs(request.param)
    folder = tiny.saved(theirs, tmp_path_factory.mktemp("released"))
    return SimpleNamespace(kind=request.param, theirs=theirs, ours=load_lm(folder))


def inputs(texts: list[str], **more: Tensor) -> dict[str, Tensor]:
    found = tiny.tokenizer()(texts, padding=True, return_tensors="pt")
    return {"input_ids": found.input_ids, "attention_mask": found.attention_mask, **more}


def columns(model: TokenLM, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, tiny.SIZE + 1, (rows, model.config.codebooks, STEPS), generator=generator)


@torch.no_grad()
def our_logits(model: TokenLM, sequence: Tensor, conditions: Conditions) -> Tensor:
    return model.head(model.hidden(sequence, conditions), sequence)


@torch.no_grad()
def their_logits(model: torch.nn.Module, sequence: Tensor, **given: Tensor) -> Tensor:
    logits = model(decoder_input_ids=sequence.flatten(0, 1), **given).logits
    return logits.unflatten(0, sequence.shape[:2])[:, :, -sequence.shape[2] :]


def melody(rows: int) -> Tensor:
    """One-hot chroma of three frames, which the model repeats."""
    classes = torch.randint(0, 12, (rows, 3), generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.one_hot(classes, 12).float()


@LENGTHS
def test_logits_are_theirs(pair: SimpleNamespace) -> None:
    for texts in (tiny.TEXTS[:1], tiny.TEXTS):
        sequence = columns(pair.ours, len(texts))
        theirs = their_logits(pair.theirs, sequence, **inputs(texts))
        ours = our_logits(pair.ours, sequence, pair.ours.describe(texts))
        assert (theirs - ours).abs().max() < 1e-5 < 0.1 < theirs.std()


def test_logits_with_a_melody_are_theirs(pair: SimpleNamespace) -> None:
    if pair.ours.melody is None:
        with pytest.raises(ValueError, match="hears no melody"):
            pair.ours.describe(["a"], melody=[(torch.zeros(100), 1600)])
        return
    sequence, features = columns(pair.ours, 1), melody(1)
    theirs = their_logits(pair.theirs, sequence, **inputs(tiny.TEXTS[:1], input_features=features))
    frames = features.repeat(1, 3, 1)[:, : pair.ours.config.melody.frames]
    text = pair.ours.text(*pair.ours.text.tokenize(tiny.TEXTS[:1]))
    ours = our_logits(pair.ours, sequence, pair.ours.fuse(text, frames))
    assert (theirs - ours).abs().max() < 1e-5
    silent = our_logits(pair.ours, sequence, pair.ours.describe(tiny.TEXTS[:1]))
    assert (silent - ours).abs().max() > 0.05  # the melody is heard


def their_codes(pair: SimpleNamespace, texts: list[str], **how: object) -> Tensor:
    """What transformers writes, caught before it becomes sound."""
    codec = SimpleNamespace(decode=lambda ids, **_: SimpleNamespace(audio_values=ids[0]))
    kept, pair.theirs.audio_encoder = pair.theirs.audio_encoder, torch.nn.Identity()
    pair.theirs.audio_encoder.decode = codec.decode
    try:
        found = pair.theirs.generate(**inputs(texts), max_length=FRAMES + tiny.BOOKS, **how)
    finally:
        pair.theirs.audio_encoder = kept
    if pair.ours.config.channels == 2:
        found = torch.stack(found.chunk(2, 1), 2).flatten(1, 2)
    return found


def our_codes(pair: SimpleNamespace, texts: list[str], **how: float) -> Tensor:
    guided = how.get("guidance", 3.0) != 1
    conditions = pair.ours.describe([*texts, *([None] * len(texts) if guided else [])])
    return generate(pair.ours, conditions, FRAMES, seeds=[5] * len(texts), options=SamplingOptions(**how))


@LENGTHS
def test_greedy_codes_are_theirs(pair: SimpleNamespace) -> None:
    for texts in (tiny.TEXTS[1:], tiny.TEXTS):
        plain = their_codes(pair, texts, do_sample=False, guidance_scale=1.0)
        assert torch.equal(plain, our_codes(pair, texts, temperature=0.0, guidance=1.0))
        guided = their_codes(pair, texts, do_sample=False, guidance_scale=3.0)
        assert torch.equal(guided, our_codes(pair, texts, temperature=0.0, guidance=3.0))
        assert plain.shape == (len(texts), pair.ours.config.codebooks, FRAMES) and not torch.equal(plain, guided)


def test_sampled_codes_are_theirs(pair: SimpleNamespace) -> None:
    """transformers draws from one stream for the whole batch; ours gives each row its own, so rows are compared alone."""
    for temperature in (1.0, 0.7):
        torch.manual_seed(5)
        theirs = their_codes(pair, tiny.TEXTS[:1], do_sample=True, top_k=7, temperature=temperature, guidance_scale=3.0)
        assert torch.equal(theirs, our_codes(pair, tiny.TEXTS[:1], top_k=7, temperature=temperature, guidance=3.0))


def test_a_prompt_alone_and_in_a_batch(pair: SimpleNamespace) -> None:
    """Where texts are listened to, padding is masked: not a bit of a prompt's logits, but for rounding, is its neighbours'."""
    sequence = columns(pair.ours, 1).repeat(2, 1, 1)
    alone = our_logits(pair.ours, sequence[:1], pair.ours.describe(tiny.TEXTS[:1]))
    if pair.ours.config.fusion == "prepend":
        with pytest.warns(RuntimeWarning, match="texts of different lengths before the first step"):
            pair.ours.describe(tiny.TEXTS)
        return
    beside = our_logits(pair.ours, sequence, pair.ours.describe(tiny.TEXTS))[:1]
    assert (alone - beside).abs().max() < 1e-5


@pytest.mark.parametrize("pair", ["mono"], indirect=True)
def test_padding_that_is_heard_as_audiocraft_hears_it(pair: SimpleNamespace) -> None:
    """Zeros after the projection, and no mask."""
    given, sequence = inputs(tiny.TEXTS), columns(pair.ours, 2)
    with torch.no_grad():
        vectors = pair.theirs.text_encoder(**given).last_hidden_state
        heard = pair.theirs.enc_to_dec_proj(vectors) * given["attention_mask"][..., None]
        theirs = pair.theirs.decoder(input_ids=sequence.flatten(0, 1), encoder_hidden_states=heard).logits
    theirs = theirs.unflatten(0, sequence.shape[:2])
    model = pair.ours
    masked = our_logits(model, sequence, model.describe(tiny.TEXTS))
    usual = model.text.config
    object.__setattr__(usual, "pad_attended", True)  # of a frozen configuration, for this test alone
    try:
        ours = our_logits(model, sequence, model.describe(tiny.TEXTS))
    finally:
        object.__setattr__(usual, "pad_attended", False)
    assert (theirs - ours).abs().max() < 1e-5
    assert (masked - ours)[:1].abs().max() > 1e-2  # the shorter text
    assert (masked - ours)[1:].abs().max() < 1e-5


@pytest.mark.parametrize("pair", ["mono"], indirect=True)
def test_the_null_condition_adds_nothing(pair: SimpleNamespace) -> None:
    sequence = columns(pair.ours, 1)
    nothing = our_logits(pair.ours, sequence, Conditions())
    for texts in ([None], [""]):
        assert torch.equal(our_logits(pair.ours, sequence, pair.ours.describe(texts)), nothing)
    zeros = Memory(torch.zeros(1, 3, tiny.WIDTH))
    assert torch.equal(our_logits(pair.ours, sequence, Conditions(zeros)), nothing)
