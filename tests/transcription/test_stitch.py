from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.score.note import Note
from solfa.transcription import stitch
from solfa.transcription.decoding import DecodingOptions, DecodingResult
from solfa.transcription.events import EventWriter
from solfa.transcription.frames import FrameOptions, frame_notes
from solfa.transcription.heard import Heard
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.stitch import EventStitcher, FrameStitcher, Hearing, Stitcher, Windows
from solfa.transcription.vocabulary import piano_2021

MakeTranscriber = Callable[..., TokenTranscriber]
PEAKS = FrameOptions(onset=0.05, frame=0.3, drum=0.002)
SHORT = DecodingOptions(temperature=1.5, longest=18)


@pytest.fixture(scope="module")
def model(make_transcriber: MakeTranscriber) -> TokenTranscriber:
    return make_transcriber()


def codes(frames: int, seed: int = 0) -> Tensor:
    return torch.randint(16, (4, frames), generator=torch.Generator().manual_seed(seed))


def all_of(stitcher: Stitcher, tokens: Tensor, *sizes: int) -> list[Note]:
    """The notes of codes that come in pieces of these sizes, in turns."""
    notes, at, turn = [], 0, 0
    while at < tokens.shape[1]:
        size = sizes[turn % len(sizes)] if sizes else tokens.shape[1]
        notes += stitcher.push(tokens[:, at : at + size])
        at, turn = at + size, turn + 1
    return sorted([*notes, *stitcher.finish()])


@given(
    st.integers(1, 30).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, (size - 1) // 2))),
    st.lists(st.integers(0, 40), max_size=8),
    st.booleans(),
)
@settings(max_examples=100)
def test_windows_speak_for_every_frame_once(shape: tuple[int, int], pieces: list[int], led: bool) -> None:
    """led: with silence before the first, which nothing speaks for."""
    size, margin = shape
    windows, total = Windows(size, margin, torch.tensor([-1, -2]) if led else None), sum(pieces)
    whole, lead = torch.arange(total)[None], margin if led else 0
    heard = torch.cat([torch.full((1, lead), -1), whole], 1)
    found = [w for piece in whole.split(pieces, 1) for w in windows.push(piece)] if pieces else []
    found += windows.finish()
    spoken = [frame for w in found for frame in w.tokens[0, w.kept[0] : w.kept[1]].tolist()]
    assert spoken == list(range(total)) and windows.frames == total
    for place, window in enumerate(found):
        assert window.index == place and window.start == place * (size - 2 * margin) - lead
        assert torch.equal(window.tokens, heard[:, window.start + lead : window.start + lead + size])
        assert window.kept[0] == (margin if place else lead)
        assert len(window.tokens[0]) == size or place == len(found) - 1


@pytest.mark.parametrize("kind", ["frames", "events"])
def test_pieces_and_streams_give_the_same_notes(model: TokenTranscriber, kind: str) -> None:
    def make() -> Stitcher:
        return FrameStitcher(model, PEAKS) if kind == "frames" else EventStitcher(model, SHORT)

    for frames in (1, 50, 173):
        whole = make()
        notes, pedals = all_of(whole, codes(frames)), whole.pedals
        assert frames == 1 or notes
        assert whole.account.frames == frames
        for sizes in ((1,), (7, 0, 64)) if frames > 100 else ((1,),):
            pieces = make()
            assert all_of(pieces, codes(frames), *sizes) == notes and pieces.pedals == pedals
            assert pieces.account == whole.account


@pytest.mark.parametrize("kind", ["frames", "events", "matched"])
def test_batches_change_nothing(model: TokenTranscriber, kind: str) -> None:
    def make(batch: int) -> Stitcher:
        hearing = Hearing(batch=batch)
        options = replace(SHORT, ties="matched" if kind == "matched" else "forced")
        return FrameStitcher(model, PEAKS, hearing) if kind == "frames" else EventStitcher(model, options, hearing)

    alone, together = make(1), make(3)
    notes, same = all_of(alone, codes(330)), all_of(together, codes(330), 60)
    assert len(notes) > 5 and [without_times(n) for n in notes] == [without_times(n) for n in same]
    times = [[t for n in some for t in (n.onset, n.offset)] for some in (notes, same)]
    np.testing.assert_allclose(times[0], times[1], atol=1e-5)  # sums of floats depend on shapes
    assert replace(alone.account, again=0) == replace(together.account, again=0)


def without_times(note: Note) -> tuple[int, int, int, bool]:
    return note.pitch, note.velocity, note.program, note.is_drum


def test_frames_hear_the_middle_of_each_window(model: TokenTranscriber) -> None:
    tokens = codes(120)  # windows of 50 that overlap by 10
    outputs = []
    for start, first, last in ((0, 0, 45), (40, 5, 45), (80, 5, 40)):
        part = tokens[None, :, start : start + 50]
        padded = torch.nn.functional.pad(part, (0, 50 - part.shape[2]))
        with torch.no_grad():
            heard = model.encode(padded, [part.shape[2]] if part.shape[2] < 50 else None)
        outputs.append(heard.frames.map(lambda x, a=first, b=last: x[0, a:b]).probabilities())  # type: ignore[misc]
    joined = outputs[0]
    for name in ("onset", "frame", "offset", "velocity", "shift"):
        joined = replace(joined, **{name: torch.cat([getattr(each, name) for each in outputs])})
    expected = frame_notes(joined, PEAKS, 50.0)
    found = all_of(FrameStitcher(model, PEAKS), tokens)
    assert [replace(note, program=0) for note in found] == [replace(note, program=0) for note in expected]
    assert len(found) > 5 and len({note.program for note in found}) > 1


class Player:
    """Stands in for `decode`: writes what was played, as far as a segment knows; deaf: in these segments it says that nothing goes on."""

    def __init__(self, model: TokenTranscriber, notes: list[Note], deaf: tuple[int, ...] = ()) -> None:
        words = model.config.vocabulary
        assert words is not None
        self.words, self.deaf, self.rows = words, deaf, 0
        self.writer = EventWriter(notes, [], words)

    def __call__(self, model: TokenTranscriber, heard: Heard, tasks: Any, *_: Any) -> list[DecodingResult]:
        assert len(heard.memory) == len(tasks)
        self.rows += len(tasks)
        return [self._written(task) for task in tasks]

    def _written(self, task: Any) -> DecodingResult:
        ids = self.writer.segment(task.segment)[:-1]
        body = ids[ids.index(self.words.id("tie", 0)) + 1 :] if self.words.ties else ids
        if task.prefix:
            ids = [*task.prefix, *body]
        elif round(task.segment.start) in self.deaf:
            ids = [self.words.id("tie", 0), *body]
        return DecodingResult(tuple(ids), 0.0, True)


LONG = [Note(0.25, 4.5, 60, 127), Note(1.5, 1.75, 64, 127), Note(2.0, 3.3, 62, 127), Note(3.5, 5.25, 65, 127)]


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_notes_go_on_over_seams(model: TokenTranscriber, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    def played(deaf: tuple[int, ...], ties: str) -> tuple[list[Note], EventStitcher, Player]:
        player = Player(model, LONG, deaf)
        monkeypatch.setattr(stitch, "decode", player)
        stitcher = EventStitcher(model, DecodingOptions(ties=ties), Hearing(batch=batch))  # type: ignore[arg-type]
        return all_of(stitcher, codes(263), 100), stitcher, player

    notes, stitcher, player = played((), "forced")
    assert notes == LONG and stitcher.account.again == 0 and player.rows == 7  # each segment written once
    assert stitcher.account.segments == 7 and stitcher.account.dropped.total == 0
    notes, stitcher, player = played((3,), "forced")  # what is forced is not forgotten
    assert notes == LONG and stitcher.account.again == player.rows - 7 == (batch > 1)
    notes, stitcher, player = played((3,), "matched")
    assert notes == sorted([replace(LONG[0], offset=3.3), *LONG[1:]])
    assert stitcher.account.again == 0 and player.rows == 7
    # Of what it forgot, the segment from 3.3 s writes an end; that from 4.1 s says that the rest goes on, and writes its end.
    assert (stitcher.account.dropped.tie_silent, stitcher.account.dropped.off_silent) == (1, 2)


def test_without_ties_notes_go_on_by_themselves(
    make_transcriber: MakeTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_transcriber(vocabulary=piano_2021())
    monkeypatch.setattr(stitch, "decode", Player(model, LONG))
    for batch in (1, 3):
        stitcher = EventStitcher(model, hearing=Hearing(batch=batch))
        assert all_of(stitcher, codes(263)) == LONG and stitcher.account.again == 0


@pytest.mark.parametrize("kind", ["frames", "events"])
def test_silence_holds_no_notes(model: TokenTranscriber, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, asked = codes(250), []
    tokens[:, 75:200] = 7
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda source, *a, **k: asked.append(source) or encode(source, *a, **k))
    hearing = Hearing(silent=lambda part: bool((part == 7).all()), batch=2)
    stitcher = FrameStitcher(model, PEAKS, hearing) if kind == "frames" else EventStitcher(model, SHORT, hearing)
    notes = all_of(stitcher, tokens)
    account = stitcher.account
    assert account.silent == 2 and account.segments == 7
    assert sum(map(len, asked)) == account.segments - 2
    start, stop = 1.71, 3.28  # what the silent segments speak for
    assert not any(start < note.onset < stop or start + 0.05 < note.offset < stop for note in notes)
    assert any(note.onset < start for note in notes) and any(note.onset > stop for note in notes)
    nothing = FrameStitcher(model, PEAKS, hearing) if kind == "frames" else EventStitcher(model, SHORT, hearing)
    assert all_of(nothing, torch.full((4, 130), 7)) == [] and nothing.account.silent == nothing.account.segments


def test_instruments_are_named_by_one_cast(model: TokenTranscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    casts: list[int] = []

    class Lone:
        def __init__(self) -> None:
            casts.append(0)

        def name(self, logits: np.ndarray) -> np.ndarray:
            assert logits.shape[1] == 129 and np.isneginf(logits[:, 128]).all()
            casts[-1] += 1
            return np.full(len(logits), 77)

    monkeypatch.setattr(stitch, "Cast", Lone)
    notes = all_of(FrameStitcher(model, PEAKS), codes(173), 30)
    assert {note.program for note in notes if not note.is_drum} == {77}
    assert len(casts) == 1 and casts[0] > 2


def test_only_the_instruments_that_play(make_transcriber: MakeTranscriber) -> None:
    for hints in (True, False):
        model = make_transcriber(hints=hints)
        for playing in ((0, 40), (128,), (40, 128)):
            hearing = Hearing(instruments=playing)
            for stitcher in (FrameStitcher(model, PEAKS, hearing), EventStitcher(model, SHORT, hearing)):
                notes = all_of(stitcher, codes(120))
                found = {128 if note.is_drum else note.program for note in notes}
                assert found <= set(playing) and (found or isinstance(stitcher, EventStitcher))


def test_what_is_cut_is_counted(model: TokenTranscriber) -> None:
    stitcher = EventStitcher(model, DecodingOptions(temperature=3.0, longest=4))
    all_of(stitcher, codes(150))
    assert stitcher.account.cut == 4
    room = EventStitcher(model, DecodingOptions(longest=2))
    room._reader._open = {(0, pitch): (0, 9) for pitch in range(60, 64)}  # more goes on than there is room to say
    notes = all_of(room, codes(50))
    assert len(notes) == 4 and all(note.offset == 1.0 for note in notes) and room.account.cut == 2


def test_codes_become_what_the_model_hears(make_transcriber: MakeTranscriber) -> None:
    model = make_transcriber(source="latents", source_width=8)
    table = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    hearing = Hearing(source=lambda tokens, lengths: table[:, tokens[:, 0]].transpose(0, 1))
    assert all_of(FrameStitcher(model, PEAKS, hearing), codes(130))
    few = make_transcriber()
    notes = all_of(FrameStitcher(few, PEAKS, Hearing(codebooks=2)), codes(130)[:2])
    assert notes and notes != all_of(FrameStitcher(few, PEAKS), codes(130))


def test_what_cannot_be(make_transcriber: MakeTranscriber) -> None:
    with pytest.raises(ValueError, match="tiny-notes writes no events"):
        EventStitcher(make_transcriber(events=False))
    for wrong in ((), (129,), (-1,)):
        with pytest.raises(ValueError, match="legal are programs 0 to 127 and 128 for drums"):
            Hearing(instruments=wrong)
    with pytest.raises(ValueError, match="batch is 0"):
        Hearing(batch=0)
