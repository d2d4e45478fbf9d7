"""The decoder of events: where each id stands in time, and that it listens by distance."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.nn.transformer import rotations, turned
from solfa.transcription.clues import Past, find_clues
from solfa.transcription.filters import FrameGuide
from solfa.transcription.heard import Heard
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.segments import Segment

MakeTranscriber = Callable[..., TokenTranscriber]
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def model(make_transcriber: MakeTranscriber) -> TokenTranscriber:
    return make_transcriber()


def heard_of(model: TokenTranscriber, rows: int = 2, frames: int = 50) -> Heard:
    codes = torch.randint(16, (rows, 4, frames), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return model.encode(codes)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["shift", "note", "far"]), min_size=1, max_size=12), st.lists(st.integers(1, 4)))
def test_ids_stand_where_the_last_shifts_lead(model: TokenTranscriber, kinds: list[str], sizes: list[int]) -> None:
    """Consecutive shifts add up, others begin anew; however the ids are cut into pieces."""
    decoder, words = model.decoder, model.config.vocabulary
    assert decoder is not None and words is not None
    said = {"shift": lambda n: words.id("shift", 7 * n), "note": lambda n: words.id("pitch", 40 + n)}
    said["far"] = lambda _: words.id("shift", words.max_shift)
    ids = torch.tensor([[said[kind](n) for n, kind in enumerate(kinds)]])
    wanted, now, run = [], 0, 0
    for id in ids[0].tolist():
        event = words.event(id)
        run = run + event.value if event.kind == "shift" else 0
        now = run if event.kind == "shift" else now
        wanted.append(now)
    state, shifted, found = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool), []
    for part in ids.split([*sizes, ids.shape[1] - sum(sizes)] if sum(sizes) < ids.shape[1] else ids.shape[1], 1):
        steps, shifted = decoder._steps(part, state, shifted)
        state = steps[:, -1]
        found += steps[0].tolist()
    assert found == wanted


def later(heard: Heard, frames: int) -> Heard:
    """The same, so many frames later; what is before it is not heard."""
    mask = torch.ones(heard.memory.shape[:2], dtype=torch.bool)
    moved = heard.frames.map(lambda x: F.pad(x, (0, 0, frames, 0)))
    first = torch.full((len(heard.memory),), frames)
    memory, pitches = F.pad(heard.memory, (0, 0, frames, 0), value=9.0), F.pad(heard.pitches, (0, 0, frames, 0))
    return Heard(memory, F.pad(mask, (frames, 0)), moved, pitches, first=first)


def written(model: TokenTranscriber, heard: Heard, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model.written(ids, heard)


def test_it_listens_by_distance(model: TokenTranscriber) -> None:
    """What it makes of a segment does not depend on how much context stands before it; where it is in it, it does."""
    words, heard = model.config.vocabulary, heard_of(model)
    assert words is not None
    heard.frames.shift[:, 0] = 0.0  # without context, what began a little before the segment begins with it
    ids = torch.tensor([[words.pad, words.id("tie", 0), words.id("shift", 30), words.id("program", 0), 300, 70]] * 2)
    plain = written(model, heard, ids)
    torch.testing.assert_close(written(model, later(heard, 13), ids), plain, **CLOSE)
    elsewhere = written(model, replace(heard, first=torch.tensor([0, 20])), ids)
    torch.testing.assert_close(elsewhere[0], plain[0], **CLOSE)
    assert (elsewhere[1] - plain[1]).abs().max() > 0.01
    state = model.start(later(heard, 13), 8)
    with torch.no_grad():
        parts = []
        for part in ids.split([3, 1, 2], 1):
            logits, state = model.advance(part, state)
            parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), plain, **CLOSE)


def test_it_hears_the_frame_outputs_and_leaves_them_as_they_are(model: TokenTranscriber) -> None:
    heard, ids = heard_of(model), torch.tensor([[0, 1004, 40]] * 2)
    louder = replace(heard, frames=replace(heard.frames, onset=heard.frames.onset + 3))
    assert (written(model, louder, ids) - written(model, heard, ids)).abs().max() > 0.01
    onset = heard.frames.onset.clone().requires_grad_()
    memory = heard.memory.clone().requires_grad_()
    model.written(ids, replace(heard, memory=memory, frames=replace(heard.frames, onset=onset))).sum().backward()
    assert onset.grad is None and memory.grad is not None and memory.grad.abs().sum() > 0


def test_a_guide_knows_where_a_segment_begins(model: TokenTranscriber) -> None:
    words, heard = model.config.vocabulary, heard_of(model)
    assert words is not None
    frames, segments = heard.frames.probabilities(), [Segment(2.0, 0.8), Segment(2.8, 0.8)]
    least = float(frames.onset.quantile(0.97))
    plain = FrameGuide(frames, 50.0, least).onsets(segments, words)
    moved = FrameGuide(later(heard, 7).frames.probabilities(), 50.0, least, first=torch.tensor([7, 7]))
    # The first steps are near to the context, which here is half an onset everywhere.
    assert torch.equal(moved.onsets(segments, words)[:, 6:], plain[:, 6:]) and 0 < plain.float().mean() < 1


def test_shifts_are_pointed_at_where_they_lead(make_transcriber: MakeTranscriber) -> None:
    """Each shift's logit is the id's own and that of the half frame it leads to; what is no sound is not pointed at, no other id is."""
    model = make_transcriber()
    decoder, words = model.decoder, model.config.vocabulary
    assert decoder is not None and words is not None and decoder.phases == 2
    heard = replace(heard_of(model), first=torch.tensor([0, 12]), mask=torch.arange(50) < torch.tensor([[50], [40]]))
    hidden, places = (
        torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(5)),
        torch.tensor([[0.0, 4.5, 9], [12, 13, 30.5]]),
    )
    with torch.no_grad():
        decoder.clues.weights.weight.zero_()
        nothing = Past(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, 37, dtype=torch.bool))
        field = decoder._field(heard, find_clues(heard, model._chances, 2, 3))
        found = decoder._logits(hidden, places, nothing, field) - decoder.head(hidden)
        keys = decoder.pointed(field.values).unflatten(-1, (2, 16))  # [B, T, 2, W]
        for row, first, sound in ((0, 0, 50), (1, 12, 40)):
            for steps in (0, 1, 7, 30, 55, 56, 99, 100, 500):
                frame, phase = divmod(2 * first + steps, 2)
                wanted = torch.zeros(3)
                if frame < sound:
                    key = turned(
                        keys[row, frame, phase][None, None, None], rotations(torch.tensor([frame + phase / 2]), 16)
                    )
                    query = turned(decoder.pointer(hidden[row])[None, None], rotations(places[row], 16))
                    wanted = (query @ key.mT)[0, 0, :, 0] / 4
                torch.testing.assert_close(found[row, :, words.id("shift", steps)], wanted, **CLOSE)
    others = torch.ones(words.size, dtype=torch.bool)
    others[list(words.ids("shift"))] = False
    assert found[..., others].abs().max() == 0
