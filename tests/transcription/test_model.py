"""The transcriber: step by step as at once, rows alone as in a batch, what padding, hints and fewer codebooks do, its checkpoint.

Tolerances: float32 sums in another order, 1e-5 on outputs of size one, some twenty times what is seen.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa import checkpoint
from solfa.transcription.frames import TENSORS, Columns, frame_notes
from solfa.transcription.heard import Heard
from solfa.transcription.model import KIND, TokenTranscriber, TranscriberConfig, load_transcriber_model
from solfa.transcription.pitch_layer import PitchLayer, toeplitz
from solfa.transcription.vocabulary import mt3, solfa_events

Make = Callable[..., TokenTranscriber]
CLOSE = {"rtol": 1e-5, "atol": 2e-5}
FRAMES = 12


def codes_of(batch: int = 2, frames: int = FRAMES, books: int = 4, seed: int = 1) -> Tensor:
    return torch.randint(0, 16, (batch, books, frames), generator=torch.Generator().manual_seed(seed))


def ids_of(model: TokenTranscriber, batch: int, length: int) -> Tensor:
    assert model.config.vocabulary is not None
    size = model.config.vocabulary.size
    ids = torch.randint(0, size, (batch, length), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = model.config.vocabulary.pad
    return ids


def same(one: Heard, other: Heard, frames: int, **tolerance: float) -> None:
    """Equal in the first frames."""
    pairs = [(one.memory, other.memory)] + [
        (getattr(one.frames, name), getattr(other.frames, name)) for name in TENSORS
    ]
    for a, b in [*pairs, (one.pitches.transpose(1, 2), other.pitches.transpose(1, 2))]:
        torch.testing.assert_close(a[:, :frames], b[:, :frames], **tolerance)


def test_shapes(make_transcriber: Make) -> None:
    model = make_transcriber()
    logits, heard = model(codes_of(), ids_of(model, 2, 5))
    assert logits.shape == (2, 5, model.config.vocabulary.size) and heard.memory.shape == (2, FRAMES, 16)
    for name in TENSORS:
        assert getattr(heard.frames, name).shape == (2, FRAMES, 25 + 12)
    lasting = heard.frames.probabilities().frame[..., 25:] + heard.frames.probabilities().offset[..., 25:]
    assert lasting.max() < 1e-6  # drums only begin
    rows, frames, columns = torch.tensor([0, 1, 1]), torch.tensor([3, 0, 11]), torch.tensor([0, 24, 36])
    assert model.programs(heard, rows, frames, columns).shape == (3, 129)
    assert torch.get_default_dtype() == heard.memory.dtype == torch.float32


@settings(max_examples=15)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.booleans())
def test_events_step_by_step_as_at_once(make_transcriber: Make, sizes: list[int], padded: bool) -> None:
    model = make_transcriber()
    ids, lengths = ids_of(model, 3, sum(sizes)), [FRAMES, 5, 1] if padded else None
    with torch.no_grad():
        whole, heard = model(codes_of(3), ids, lengths)
        state, parts = model.start(heard, sum(sizes)), []
        for part in ids.split(sizes, 1):
            logits, state = model.advance(part, state)
            parts.append(logits)
    assert state.position == sum(sizes)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **CLOSE)


def test_rows_of_a_state_go_on_by_themselves(make_transcriber: Make) -> None:
    model = make_transcriber()
    ids, chosen = ids_of(model, 3, 6), torch.tensor([2, 0, 2])
    with torch.no_grad():
        whole, heard = model(codes_of(3), ids[chosen][:, :6], [FRAMES, 7, 4])
        heard = model.encode(codes_of(3), [FRAMES, 7, 4])
        expected, _ = model(codes_of(3)[chosen], ids[chosen], [4, FRAMES, 4])
        _, state = model.advance(ids[:, :4], model.start(heard, 6))
        picked = state.rows(chosen)
        logits, _ = model.advance(ids[chosen][:, 4:], picked)
        torch.testing.assert_close(logits, expected[:, 4:], **CLOSE)
        logits, _ = model.advance(ids[:, 4:], state)  # the copy has left the first untouched
        first, _ = model(codes_of(3), ids, [FRAMES, 7, 4])
        torch.testing.assert_close(logits, first[:, 4:], **CLOSE)
        same(heard.rows(chosen), model.encode(codes_of(3)[chosen], [4, FRAMES, 4]), 4, **CLOSE)
    assert whole.shape == expected.shape


def test_what_follows_changes_nothing_before_it(make_transcriber: Make) -> None:
    model = make_transcriber()
    ids = ids_of(model, 1, 8)
    other = ids.clone()
    other[:, 5:] += 1
    with torch.no_grad():
        one, two = model(codes_of(1), ids)[0], model(codes_of(1), other)[0]
    torch.testing.assert_close(one[:, :5], two[:, :5], **CLOSE)
    assert (one[:, 5:] - two[:, 5:]).abs().max() > 0.01


@settings(max_examples=12)
@given(st.lists(st.integers(1, FRAMES), min_size=1, max_size=4), st.integers(0, 99))
def test_a_row_alone_as_among_longer_ones(make_transcriber: Make, lengths: list[int], seed: int) -> None:
    model, codes = make_transcriber(), codes_of(len(lengths), FRAMES, seed=seed)
    with torch.no_grad():
        together = model.encode(codes, lengths)
        assert together.mask is not None and together.mask.sum(1).tolist() == lengths
        for row, length in enumerate(lengths):
            alone = model.encode(codes[row : row + 1, :, :length])
            same(together.rows(torch.tensor([row])), alone, length, **CLOSE)


def test_padding_is_not_heard(make_transcriber: Make) -> None:
    """To the last bit: neither by the frames nor by the events."""
    model, codes = make_transcriber(), codes_of(2)
    other = codes.clone()
    other[1, :, 5:] = 15 - other[1, :, 5:]
    ids = ids_of(model, 2, 4)
    with torch.no_grad():
        (one, first), (two, second) = (model(source, ids, [FRAMES, 5]) for source in (codes, other))
        assert torch.equal(one, two)
        same(first.rows(torch.tensor([1])), second.rows(torch.tensor([1])), 5, rtol=0, atol=0)
        assert (model(other, ids)[0] - model(codes, ids)[0])[1].abs().max() > 0.01


def test_the_whole_segment_is_heard_where_layers_attend(make_transcriber: Make) -> None:
    """Each frame hears each, before and after it; without attention, those that the convolutions reach."""
    for conv_layers, reach in ((1, 40), (3, 7)):  # 3 layers of 3 frames, then 2 of 5 on the map
        model = make_transcriber(False, conv_layers=conv_layers)
        codes = codes_of(1, 41)
        other = codes.clone()
        other[:, :, 20] = 15 - other[:, :, 20]
        with torch.no_grad():
            change = (model.encode(codes).frames.onset - model.encode(other).frames.onset).abs().amax((0, 2))
        heard = (change > 0).nonzero()[:, 0] - 20
        assert (heard.min(), heard.max()) == (max(-reach, -20), min(reach, 20))


def test_fewer_codebooks(make_transcriber: Make) -> None:
    model, codes = make_transcriber(), codes_of(2)
    other = codes.clone()
    other[:, 2:] = 0
    with torch.no_grad():
        first = model.encode(codes, codebooks=2)
        same(first, model.encode(other, codebooks=2), FRAMES, rtol=0, atol=0)
        same(first, model.encode(codes[:, :2], codebooks=2), FRAMES, rtol=0, atol=0)
        same(model.encode(codes), model.encode(codes, codebooks=4), FRAMES, rtol=0, atol=0)
        assert (first.memory - model.encode(codes).memory).abs().max() > 0.01


def test_the_codecs_vectors_to_begin_with(make_transcriber: Make) -> None:
    """The embeddings then add up to the codec's latents, but for their mean and scale."""
    model, vectors = make_transcriber(False, source_width=6), [torch.randn(16, 6) / 2**k + 3 for k in range(4)]
    codes = codes_of(3)
    model.start_from(vectors)
    with torch.no_grad():
        summed = model.front._embed(codes, None).flatten(0, 1)
    latents = sum(vector[codes[:, k]] for k, vector in enumerate(vectors)).flatten(0, 1)
    summed, latents = summed - summed.mean(0), latents - latents.mean(0)
    torch.testing.assert_close(summed / summed.std(), latents / latents.std(), rtol=0, atol=1e-4)
    assert 0.7 < summed.std() < 1.4
    model.start_from([vector[:, :4] for vector in vectors])  # narrower: the rest is 0
    assert (model.front.embedding.weight[:, 4:] == 0).all() and model.front.embedding.weight[:, :4].std() > 0.1
    model.start_from([torch.randn(16, 300) for _ in range(4)])  # wider: projected
    assert 0.3 < model.front.embedding.weight.std() < 0.8


@pytest.mark.parametrize("source", ["latents", "sound", "trunk"])
def test_vectors_are_heard_and_have_gradients(make_transcriber: Make, source: str) -> None:
    fields = {"trunk": "solfa-music"} if source == "trunk" else {}
    model = make_transcriber(source=source, source_width=300, **fields)
    vectors = torch.randn(2, 300, FRAMES, requires_grad=True)
    logits, heard = model(vectors, ids_of(model, 2, 3), [FRAMES, 6])
    (logits.square().sum() + heard.frames.onset[1, :6].sum()).backward()
    assert vectors.grad is not None
    assert (vectors.grad[0].abs().sum(0) > 0).all() and (vectors.grad[1, :, :6].abs().sum(0) > 0).all()
    assert (vectors.grad[1, :, 6:] == 0).all()
    with torch.no_grad():
        same(model.encode(vectors.half()), model.encode(vectors.half().float()), FRAMES, rtol=0, atol=0)


def test_gradients_reach_all_weights(make_transcriber: Make) -> None:
    model = make_transcriber(dropout=0.1).train()
    hint = torch.zeros(2, 129, dtype=torch.bool)
    hint[0] = True
    logits, heard = model(codes_of(2, 200), ids_of(model, 2, 400), hint=hint)
    columns = torch.arange(37)
    programs = model.programs(heard, columns % 2, columns % 12, columns)
    outputs = sum(getattr(heard.frames, name).square().sum() for name in TENSORS)
    (logits.square().sum() + outputs + programs.square().sum()).backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


def test_hints(make_transcriber: Make) -> None:
    model, codes = make_transcriber(), codes_of(3)
    hint = torch.zeros(3, 129, dtype=torch.bool)
    hint[0, [0, 40]] = True
    hint[1, [0, 128]] = True
    with torch.no_grad():
        told, untold = model.encode(codes, hint=hint), model.encode(codes)
        assert (told.memory - untold.memory)[:2].abs().amax((1, 2)).min() > 1e-3
        assert torch.equal(told.memory[2], untold.memory[2])  # a row of none tells nothing
        other = make_transcriber()
        other.front.told.weight[-1] += 1  # what stands for nothing told is not heard where something is
        assert torch.equal(other.encode(codes, hint=hint).memory[:2], told.memory[:2])
        assert (other.encode(codes, hint=hint).memory - told.memory)[2].abs().max() > 1e-3
    rows = torch.arange(3).repeat_interleave(37)
    found = model.instruments(told, rows, rows * 0, torch.arange(37).repeat(3)).view(3, 37)
    assert (found[:, 25:] == 128).all() and (found[:, :25] < 128).all()
    assert set(found[0, :25].tolist()) <= {0, 40} and set(found[1, :25].tolist()) == {0}
    free = make_transcriber(hints=False)
    assert free.encode(codes).hint is None
    with pytest.raises(ValueError, match="takes no hint"):
        free.encode(codes, hint=hint)
    for wrong in (hint[:2], hint[:, :128], hint.float()):
        with pytest.raises(ValueError, match="must be bool"):
            model.encode(codes, hint=wrong)


def test_drums_as_pitches(make_transcriber: Make) -> None:
    model = make_transcriber(False, highest_drum=34)
    with torch.no_grad():
        heard = model.encode(codes_of(1))
        model.program_head.outward.bias[128] = 1000
    assert heard.frames.onset.shape[-1] == 25
    every = torch.arange(25)
    assert (model.instruments(heard, every * 0, every % FRAMES, every) == 128).all()


def test_naming_a_piece_of_a_row(make_transcriber: Make) -> None:
    model = make_transcriber(False)
    with torch.no_grad():
        heard = model.encode(codes_of(2))
    naming, (frames, columns) = model.naming(heard, 1, 4), np.nonzero(np.ones((5, 25)))
    expected = [
        int(model.instruments(heard, *torch.tensor([[1], [4 + f], [c]]))) for f, c in zip(frames, columns, strict=True)
    ]
    assert naming(frames, columns).tolist() == expected and len(set(expected)) > 1
    row = heard.frames.probabilities().map(lambda x: x[1, 4:])
    notes = frame_notes(replace(row, onset=row.onset * 2), programs=model.naming(heard, 1, 4))
    assert {note.program for note in notes if not note.is_drum} <= set(model.instruments(heard, *at_all(1)).tolist())


def at_all(row: int) -> tuple[Tensor, ...]:
    frames, columns = torch.ones(FRAMES, 25).nonzero(as_tuple=True)
    return torch.full_like(frames, row), frames, columns


def test_without_a_decoder_there_are_frames_only(make_transcriber: Make) -> None:
    model = make_transcriber(False)
    with torch.no_grad():
        logits, heard = model(codes_of())
    assert logits is None and not any("decoder" in name for name, _ in model.named_parameters())
    for call in (lambda: model(codes_of(), torch.zeros(2, 1, dtype=torch.int64)), lambda: model.start(heard, 3)):
        with pytest.raises(ValueError, match="writes no events"):
            call()


def test_one_layer_is_the_same_for_all_pitches() -> None:
    """What is heard a semitone higher comes out a semitone higher."""
    torch.manual_seed(0)
    layer, x = PitchLayer(3, 20), torch.zeros(1, 3, 9, 20)
    x[..., 5:12] = torch.randn(1, 3, 9, 7)
    with torch.no_grad():
        low, high = layer(x, None), layer(x.roll(1, -1), None)
    torch.testing.assert_close(low[..., :-1], high[..., 1:], **CLOSE)
    table = toeplitz(torch.arange(7.0))
    assert table.shape == (4, 4) and all(table[p, q] == q - p + 3 for p in range(4) for q in range(4))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 7), st.integers(1, 9), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_layer_on_the_map_has_the_gradients_of_its_formula(
    batch: int, channels: int, frames: int, pitches: int, padded: bool
) -> None:
    """Its backward pass is written by hand; autograd's, of the formula as it is read, is the judge (float64)."""
    torch.manual_seed(batch * 1000 + channels * 100 + frames * 10 + pitches)
    layer = PitchLayer(channels, pitches).double()
    with torch.no_grad():
        layer.bias.normal_()
    mask = torch.arange(frames)[None] < torch.randint(1, frames + 1, (batch, 1)) if padded else None
    x = torch.randn(batch, channels, frames, pitches, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(batch, channels, frames, pitches, dtype=torch.float64)

    def formula() -> Tensor:
        y = F.gelu(x + x @ toeplitz(layer.intervals) + layer.bias)
        return x + layer.time(y if mask is None else y * mask[:, None, :, None])

    asked = [x, *layer.parameters()]
    plain, ours = formula(), layer(x, mask)
    torch.testing.assert_close(ours, plain)
    for one, other in zip(
        torch.autograd.grad(ours, asked, wanted), torch.autograd.grad(plain, asked, wanted), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_checkpoint_gives_the_model_back(make_transcriber: Make, tmp_path: Path, dtype: torch.dtype) -> None:
    model = make_transcriber()
    model.save(tmp_path / "notes", {"steps": 3}, dtype)
    loaded = load_transcriber_model(tmp_path / "notes")
    assert loaded.config == model.config and not loaded.training
    assert checkpoint.load(tmp_path / "notes", KIND).metadata == {"steps": 3}
    for (name, ours), (other, theirs) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert name == other and torch.equal(ours.to(dtype).float(), theirs) and theirs.requires_grad
    ids = ids_of(model, 2, 5)
    with torch.no_grad():
        (one, _), (two, _) = model(codes_of(), ids), loaded(codes_of(), ids)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6 if dtype == torch.float32 else 0.1)


def test_configurations_are_plain_json() -> None:
    for vocabulary in (solfa_events(), mt3(), mt3().with_added("technique", 0, 3)):
        config = TranscriberConfig("a", "b", 24_000, 50.0, 8, 1024, decoder_layers=1, vocabulary=vocabulary)
        assert checkpoint.config_from_dict(TranscriberConfig, json.loads(json.dumps(asdict(config)))) == config


GOOD = TranscriberConfig("notes", "codec", 24_000, 50.0, 8, 1024)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebooks": 0}, "codebooks is 0"),
        ({"codebook_size": 1 << 40}, "codebook_size is"),
        ({"width": 18, "heads": 4}, "multiple of the heads"),
        ({"width": -1}, "width is -1"),
        ({"hidden": 1 << 30}, "hidden is"),
        ({"encoder_layers": 10**9}, "encoder_layers is"),
        ({"kernel": 4}, "kernel is 4: it must be odd"),
        ({"channels": 0}, "channels is 0"),
        ({"pitch_layers": -1}, "pitch_layers is -1"),
        ({"frame_rate": 0.0}, "frame_rate is 0.0"),
        ({"frame_rate": float("nan")}, "frame_rate is nan"),
        ({"source": "score"}, "source is 'score'"),
        ({"source": "sound", "source_width": 10}, "source_width is 10: sound is heard through 3 windows"),
        ({"source": "latents"}, "source_width is 0"),
        ({"source": "trunk", "source_width": 8}, "trunk is ''"),
        ({"trunk": "solfa-music"}, "a trunk is named where it is the source"),
        ({"decoder_layers": 1}, "a vocabulary is needed"),
        ({"vocabulary": solfa_events()}, "only then"),
        ({"lowest": 90, "highest": 80}, "pitches 90 to 80"),
        ({"highest_drum": 200}, "drums 35 to 200"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"codebooks": 1024, "codebook_size": 1 << 20}, "weights: at most"),
        ({"width": 1 << 16, "heads": 1}, "weights: at most"),
    ],
)
def test_malformed_configurations_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(GOOD, **changes)


def test_a_checkpoint_that_promises_more_than_it_holds(make_transcriber: Make, tmp_path: Path) -> None:
    """Refused before memory is taken: this configuration alone would take six gigabytes."""
    model = make_transcriber()
    tensors = dict(model.named_parameters())
    huge = asdict(replace(model.config, codebooks=1024, codebook_size=1 << 17, source_width=12))
    checkpoint.save(tmp_path / "huge", KIND, huge, tensors)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"huge: 2 tensors are .* another shape, front.embedding.weight the first"):
        load_transcriber_model(tmp_path / "huge")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
    checkpoint.save(tmp_path / "less", KIND, asdict(model.config), dict(list(tensors.items())[1:]))
    with pytest.raises(ValueError, match="less: 1 tensors are missing"):
        load_transcriber_model(tmp_path / "less")
    checkpoint.save(tmp_path / "other", "lm", asdict(model.config), tensors)
    with pytest.raises(ValueError, match="'transcriber' is needed"):
        load_transcriber_model(tmp_path / "other")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (codes_of() + 16, {}, "codes from 16 to 31: legal are 0 to 15"),
        (codes_of() - 1, {}, "legal are 0 to 15"),
        (codes_of().float(), {}, r"reads integers \[B, 4, T\]"),
        (codes_of(books=3), {}, r"reads integers \[B, 4, T\]"),
        (codes_of(books=5), {}, r"reads integers \[B, 4, T\]"),
        (codes_of(books=2), {"codebooks": 3}, r"reads integers \[B, 3, T\]"),
        (codes_of(), {"codebooks": 0}, "codebooks is 0: legal are 1 to 4"),
        (codes_of(), {"codebooks": 5}, "codebooks is 5: legal are 1 to 4"),
        (codes_of()[0], {}, "reads integers"),
        (codes_of(frames=0), {}, "0 frames"),
        (codes_of(), {"lengths": [3]}, r"lengths \[3\]: 2 are needed"),
        (codes_of(), {"lengths": [0, 3]}, "each from 1 to 12"),
        (codes_of(), {"lengths": torch.tensor([3, 13])}, "each from 1 to 12"),
    ],
)
def test_sources_that_cannot_be_read(make_transcriber: Make, source: Tensor, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_transcriber().encode(source, **options)


def test_vectors_that_cannot_be_read(make_transcriber: Make) -> None:
    model = make_transcriber(False, source="latents", source_width=10)
    for wrong in (torch.zeros(2, 9, 5), torch.zeros(2, 10), torch.zeros(2, 10, 5, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"reads \[B, 10, T\]"):
            model.encode(wrong)
    with pytest.raises(ValueError, match="made of as many as were used"):
        model.encode(torch.zeros(2, 10, 5), codebooks=2)
    with pytest.raises(ValueError, match="as its latents"):
        model.start_from([torch.randn(16, 10)] * 4)
    with pytest.raises(ValueError, match="of 3 codebooks"):
        make_transcriber(False).start_from([torch.randn(16, 10)] * 3)
    with pytest.raises(ValueError, match="all alike"):
        make_transcriber(False).start_from([torch.ones(16, 10)] * 4)


def test_columns_of_the_configuration() -> None:
    assert GOOD.columns == Columns(21, 108, 35, 81) and GOOD.columns.count == 88 + 47
