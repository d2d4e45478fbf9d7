"""The transcriber's task: that it learns notes and events, is pure in its arguments, resumes bit for bit, and counts no padding."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from solfa.codecs.played import played_width
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.lm.model import LMConfig, TokenLM, load_lm
from solfa.lm.patterns import delay
from solfa.lm.trunk import trunk_states
from solfa.nn.transformer import TransformerConfig
from solfa.train.config import TrainConfig
from solfa.train.loop import train
from solfa.train.metrics import read_metrics
from solfa.train.transcriber import LossWeights, TranscriberTask, TranscriberTaskConfig, shares
from solfa.train.transcriber_batch import Crop, make_batch
from solfa.train.transcriber_data import Take
from solfa.train.transcriber_notes import NoteTable
from solfa.train.transcriber_sound import SoundChanges, changed
from solfa.transcriber import Transcriber
from solfa.transcription.config import READ, TranscriberConfig
from solfa.transcription.events import encode_segment
from solfa.transcription.model import load_transcriber_model
from solfa.transcription.segments import Segment
from solfa.transcription.vocabulary import vocabulary

Music = tuple[Path, TranscriberConfig, Path]
LENGTHS = (90, 60, 70, 90, 50, 90, 64, 90, 90, 30)


@pytest.fixture(scope="module")
def music(tiny_music: Callable[..., tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> Music:
    """A codec, a shape for its codes, and a manifest of codes: the first says what sounds, otherwise at its onset, the second how loud."""
    codec_folder, _ = tiny_music()
    codec = load_codec(codec_folder)
    shape = TranscriberConfig(
        "tiny", "tiny", 8000, 50.0, 3, 16, width=16, heads=2, encoder_layers=2, conv_layers=1, kernel=3, channels=4, pitch_layers=1,
        segment_frames=40, lowest=58, highest=67,
    )  # fmt: skip
    header = TokenHeader("tiny", codec.weights_hash, 8000, 1, 160, 3, 16, coding="packed")
    place = tmp_path_factory.mktemp("takes")
    (place / "codes").mkdir()
    lines = []
    for i, length in enumerate(LENGTHS):
        rng = np.random.default_rng(i)
        codes, notes, frame = np.zeros((3, length), np.int64), [], 2
        codes[2] = rng.integers(0, 16, length)
        while frame < length - 8:
            pitch, loud, span, rest = (int(rng.integers(*each)) for each in ((0, 6), (0, 2), (3, 8), (1, 4)))
            codes[0, frame : frame + span] = 1 + pitch
            codes[0, frame] = 8 + pitch
            codes[1, frame : frame + span] = 5 + loud
            notes.append([frame / 50, (frame + span) / 50, 60 + pitch, 40 + 60 * loud, 3 * loud, False])
            frame += span + rest
        notes.append([0.4, 0.5, 36, 100, 0, True])
        with TokenWriter(place / "codes" / f"{i}.solfa", header) as writer:
            writer.write(codes)
        lines.append({"id": str(i), "audio": f"{i}.wav", "notes": notes})
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return codec_folder, shape, place / "manifest.jsonl"


def configured(music: Music, **more: Any) -> TranscriberTaskConfig:
    codec, shape, manifest = music
    fields: dict[str, Any] = {"model": shape, "train": (str(manifest),), "codec": str(codec), "batch": 8}
    return TranscriberTaskConfig(
        **(fields | {"init_codec": False, "hold_out": 5, "hint": 0.0, "thresholds": ()} | more)
    )


def with_events(shape: TranscriberConfig) -> TranscriberConfig:
    return replace(shape, decoder_layers=1, vocabulary=vocabulary("solfa_events"))


LOOP = TrainConfig(
    steps=90, learning_rate=2e-2, betas=(0.9, 0.95), warmup=5, floor=0.1, ema=0.9, evaluate_every=None, save_every=None, log_every=10,
    device="cpu",
)  # fmt: skip


def test_it_learns_the_notes(music: Music, tmp_path: Path) -> None:
    config = configured(music, thresholds=(0.3, 0.001), valid_codebooks=(1,))
    result = train(config, LOOP, tmp_path / "run", quiet=True)
    lines = read_metrics(tmp_path / "run")
    first, last, evaluation = lines[0], lines[-2], lines[-1]
    assert result.step == LOOP.steps and last["transcriber/loss"] < 0.3 * first["transcriber/loss"]
    assert evaluation["onset_f1"] > 0.9 and evaluation["onset_f1_at_0.3"] > 0.9 and evaluation["onset_offset_f1"] > 0.8
    assert 0 <= last["transcriber/velocity"] < 0.03, "who knows the mean alone has 0.1"
    assert evaluation["program_accuracy"] > 0.8 > 0.6 > evaluation["program_accuracy_k1"], (
        "the second codebook says what plays"
    )
    assert evaluation["onset_f1_k1"] > 0.7
    model = load_transcriber_model(tmp_path / "run" / "model")
    measured = {"onset": "onset_f1", "drum": "drum_f1", "frame": "onset_offset_f1"}
    best = READ
    for field, measure in measured.items():
        scores = {0.5: evaluation[measure]} | {at: evaluation[f"{measure}_at_{at:g}"] for at in (0.3, 0.001)}
        best = replace(best, **{field: max(scores, key=lambda at: scores[at])})  # type: ignore[arg-type]
    assert best.onset > 0.001 and best.drum == 0.001, "it is sure of the notes, and has hardly heard of the drums"
    hash_ = load_codec(music[0]).weights_hash
    assert model.config == replace(config.model, weights_hash=hash_, peaks=best)  # type: ignore[type-var]


def test_a_decoder_is_added_to_what_is_there(music: Music, tmp_path: Path) -> None:
    first = TranscriberTask(configured(music))
    first.model.save(tmp_path / "first")
    grown = TranscriberTask(configured(music, model=with_events(music[1]), init=str(tmp_path / "first"))).model
    ours = dict(grown.named_parameters())
    assert all(torch.equal(ours[name], weight) for name, weight in first.model.named_parameters())
    assert grown.config.decoder_layers == 1 and len(ours) > len(list(first.model.parameters()))
    wider = replace(music[1], channels=8)
    with pytest.raises(
        ValueError, match=r"init and model do not fit: .* tensors of tiny .* in tiny, frame_head\.inward"
    ):
        TranscriberTask(configured(music, model=wider, init=str(tmp_path / "first")))


def test_sound_is_heard_and_changed(music: Music) -> None:
    shape = replace(music[1], source="sound", source_width=played_width(8000))
    changes = SoundChanges(transpose=2, detune=0.5, level=3, tilt=3)
    task = TranscriberTask(configured(music, model=shape, sound=changes))
    batch, again, later = (task.batch(step, 0, 1) for step in (0, 0, 1))
    assert batch.source is not None and batch.source.shape == (8, shape.source_width, 40) and len(batch.changes) == 8
    assert torch.equal(batch.source, again.source) and batch.changes == again.changes != later.changes
    plain = TranscriberTask(configured(music, model=shape)).batch(0, 0, 1)
    assert torch.equal(plain.codes, batch.codes) and not torch.equal(plain.source, batch.source)
    torch.testing.assert_close(changed(plain.source, batch.changes), batch.source)
    moved = [change.transpose for change in batch.changes]
    assert set(moved) - {0}
    for row, semitones in enumerate(moved):  # columns of the pitches 58 to 67; those of the notes are 60 to 65
        columns, before = (each.targets.cells for each in (batch, plain))
        ours, theirs = (each[(each[:, 0] == row) & (each[:, 2] < 10)][:, 2] for each in (columns, before))
        assert torch.equal(ours, theirs + semitones)
    loss = task.loss("transcriber", batch, 0)
    loss.total.backward()
    weight = task.model.frame_head.harmonics.inward.weight
    assert weight.grad is not None and weight.grad.any() and all(p.grad is None for p in task.start.codec.parameters())
    with torch.no_grad():
        assert task.evaluate(task.model.eval(), 0, music[2])["onset_f1"] >= 0
    with pytest.raises(ValueError, match="tiny hears codes, of which nothing is changed"):
        TranscriberTask(configured(music, sound=changes))
    with pytest.raises(ValueError, match=f"source_width is 30: the sound of tiny is {played_width(8000)} wide"):
        TranscriberTask(configured(music, model=replace(shape, source_width=30)))


def test_it_learns_the_events(music: Music) -> None:
    task = TranscriberTask(configured(music, model=with_events(music[1])))
    task.model.train()
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=1e-2)
    costs = []
    for step in range(40):
        loss = task.loss("transcriber", task.batch(step % 4, 0, 1), step)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        costs.append(float(loss.logs["events"]))
    assert costs[0] > 6 and costs[-1] < 0.5 * costs[0]


def test_events_are_those_of_the_segment(music: Music) -> None:
    """Of what it speaks for: its context is heard only."""
    task = TranscriberTask(configured(music, model=with_events(music[1])))
    shape, take = task.model.config, task.takes[0]
    batch = make_batch([Crop(take, 11), Crop(take, 0, before=4, after=6)], shape, 3, 1024)
    assert batch.ids is not None and batch.first is not None and shape.vocabulary is not None
    assert batch.first.tolist() == [0, 4]
    for row, (start, frames) in zip(batch.ids, ((11, 40), (4, 30)), strict=True):
        wanted = encode_segment(take.notes.notes(), (), Segment(start / 50, frames / 50), shape.vocabulary)
        assert row[: len(wanted)].tolist() == wanted and set(row[len(wanted) :].tolist()) <= {shape.vocabulary.pad}
    with pytest.warns(UserWarning, match="cut at 5"):
        assert make_batch([Crop(take, 0)], shape, 3, 5).ids.shape == (1, 5)  # type: ignore[union-attr]


def test_crops_have_context_as_segments_have(music: Music) -> None:
    task = TranscriberTask(configured(music, model=with_events(music[1])))
    crops = [task._crop(np.random.default_rng(seed)) for seed in range(60)]
    assert {crop.before for crop in crops} == {crop.after for crop in crops} == {0, 4}
    assert all(crop.before == crop.after == 0 for crop in map(TranscriberTask(configured(music))._crop, rngs(9)))


def test_hearing_can_be_frozen(music: Music, tmp_path: Path) -> None:
    """The decoder learns; all else stays to the bit, and is not computed for nothing."""
    TranscriberTask(configured(music)).model.save(tmp_path / "first")
    config = configured(music, model=with_events(music[1]), init=str(tmp_path / "first"), freeze_hearing=True)
    train(config, replace(LOOP, steps=4, muon="*coder.*.[0-9]*.weight"), tmp_path / "run", quiet=True)
    before, after = load_transcriber_model(tmp_path / "first"), load_transcriber_model(tmp_path / "run" / "model")
    start = dict(TranscriberTask(config).model.named_parameters())
    told = dict(before.named_parameters())
    for name, weight in after.named_parameters():
        if name.startswith("decoder."):
            assert not torch.equal(weight, start[name].half().float()), name
        else:
            assert torch.equal(weight, told[name].half().float()), name
    lines = read_metrics(tmp_path / "run")
    assert "transcriber/events" in lines[0] and "transcriber/onset" not in lines[0] and "loss_onset" in lines[-1]
    for wrong in ({"model": music[1]}, {"weights": LossWeights(events=0.0)}):
        with pytest.raises(ValueError, match="freeze_hearing: it needs a model with decoder_layers"):
            TranscriberTask(replace(config, **wrong))


def rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def test_a_weight_of_zero_leaves_a_loss_out(music: Music) -> None:
    shape = with_events(music[1])
    some = TranscriberTask(configured(music, model=shape, weights=LossWeights(events=0.0, program=0.0)))
    loss = some.loss("transcriber", some.batch(0, 0, 1), 0)
    assert {"events", "program"}.isdisjoint(loss.logs)
    loss.total.backward()
    assert all(p.grad is None for p in some.model.decoder.parameters())
    total = sum(float(value) * getattr(some.config.weights, name) for name, value in loss.logs.items())
    assert float(loss.total.detach()) == pytest.approx(total, rel=1e-5)


def test_losses_of_held_out_segments_do_not_hang_on_their_batches(
    music: Music, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a mean over what it counts: frames, notes, tokens."""
    task, found = TranscriberTask(configured(music, model=with_events(music[1]), valid=(str(music[2]),))), []
    task.model.eval()
    for size in (1, 7, 100):
        monkeypatch.setattr("solfa.train.transcriber.VALID_BATCH", size)
        with torch.no_grad():
            found.append(task._valid_losses(task.model))
    assert {"loss", "loss_onset", "loss_velocity", "loss_program", "loss_events"} <= found[0].keys()
    assert found[0] == pytest.approx(found[2], rel=1e-4) and found[1] == pytest.approx(found[2], rel=1e-4)


def test_a_run_knows_its_recordings(music: Music, tmp_path: Path) -> None:
    task = TranscriberTask(configured(music))
    assert task.identity() == TranscriberTask(configured(music)).identity()
    other = TranscriberTask(configured(music, hold_out=3)).identity()
    assert other.train != task.identity().train and other.held_out != task.identity().held_out


def test_what_lies_behind_the_end_costs_nothing(music: Music) -> None:
    """The losses of a short crop are the same whatever is added behind its end, and whatever stands beside it."""
    task = TranscriberTask(configured(music, model=replace(music[1], segment_frames=60)))
    task.model.eval()
    short = min(task.takes, key=lambda take: take.frames)
    alone = task._losses(task.model, task_batch(task, [short]))
    mean = {name: [float(value.detach())] for name, value in alone.items()}
    cut = TranscriberTask(configured(music, model=replace(music[1], segment_frames=short.frames)))
    cut.model.load_state_dict(task.model.state_dict())
    cut.model.eval()
    for name, value in cut._losses(cut.model, task_batch(cut, [short])).items():
        assert float(value.detach()) == pytest.approx(mean[name][0], rel=1e-4), name


def task_batch(task: TranscriberTask, takes: list[Take]) -> Any:
    return make_batch([Crop(take, 0) for take in takes], task.model.config, 3, 1024)


def test_shards_are_the_rows_of_one_batch(music: Music) -> None:
    task = TranscriberTask(configured(music, model=with_events(music[1]), hint=0.5, codebook_dropout=0.5))
    books = set()
    for step in range(6):
        whole, parts = task.batch(step, 0, 1), [task.batch(step, rank, 3) for rank in range(3)]
        assert torch.equal(torch.cat([part.codes for part in parts]), whole.codes)
        assert torch.equal(torch.cat([part.targets.onset for part in parts]), whole.targets.onset)
        assert whole.hint is not None and torch.equal(torch.cat([part.hint for part in parts]), whole.hint)
        told = whole.hint.any(1)
        assert 0 < told.sum() < 8 or step, "each crop by itself is told"
        books.add(whole.codes.shape[1])
    assert books == {1, 2, 3}
    again = TranscriberTask(task.config).batch(5, 0, 1)
    assert torch.equal(again.codes, whole.codes) and torch.equal(again.ids, whole.ids)  # type: ignore[arg-type]


def test_origins_say_where_the_rows_of_a_batch_are(music: Music) -> None:
    task = TranscriberTask(configured(music))
    takes = {take.name: take for take in task.takes}
    assert set(takes) <= {str(music[2].parent / f"{i}.wav") for i in range(len(LENGTHS))} and len(takes) == 8
    batch, told = task.batch(3, 0, 1), task.origins(3, 0, 1)
    assert [each.row for each in told] == list(range(8)) and len({each.recording for each in told}) > 1
    for row, length, each in zip(batch.codes, batch.lengths, told, strict=True):
        start = round(each.start * 50)
        assert np.array_equal(row[:, :length].numpy(), takes[each.recording].codes[:, start : start + int(length)])
    assert task.origins(3, 0, 2) + task.origins(3, 1, 2) == told


def test_a_hint_names_what_sounds_in_the_crop(music: Music) -> None:
    task = TranscriberTask(configured(music))
    take = task.takes[0]
    told = make_batch([Crop(take, 0, True), Crop(take, 0, False)], task.model.config, 3, 99).hint
    assert told is not None and not told[1].any()
    rows = take.notes.crop(0.0, 0.8).rows
    assert told[0].nonzero()[:, 0].tolist() == sorted({128 if r["drum"] else int(r["program"]) for r in rows})


def test_places_are_drawn_by_their_length_to_the_power_of_alpha() -> None:
    def take(frames: int, place: int) -> Take:
        empty = NoteTable(np.zeros(0), np.zeros(0))
        return Take(np.zeros((1, frames), np.uint16), empty, place)

    takes = [take(300, 0), take(600, 0), take(100, 1)]
    assert shares(takes, 1.0).tolist() == pytest.approx([0.3, 0.6, 0.1])
    assert shares(takes, 0.0).tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert shares(takes, 0.5).tolist() == pytest.approx([0.25, 0.5, 0.25])


@pytest.mark.parametrize("events", [1.0, 0.0])
def test_resume_is_bit_exact(music: Music, tmp_path: Path, events: float) -> None:
    shape, weights = replace(with_events(music[1]), dropout=0.1), LossWeights(events=events)
    config = configured(music, model=shape, hint=0.5, codebook_dropout=0.5, weights=weights)
    loop = replace(LOOP, steps=6, save_every=3, keep=3, accumulate=2)
    model, state = (tmp_path / "run" / name / "model.safetensors" for name in ("model", "step-000006"))
    train(config, loop, tmp_path / "run", quiet=True)
    unbroken = model.read_bytes(), state.read_bytes()
    (tmp_path / "run" / "latest").write_text("step-000003\n")
    state.unlink()
    train(config, loop, tmp_path / "run", quiet=True, resume=True)
    assert (model.read_bytes(), state.read_bytes()) == unbroken


def test_embeddings_begin_with_the_code_vectors(music: Music) -> None:
    task = TranscriberTask(configured(music, model=replace(music[1], source_width=8), init_codec=True))
    codec = load_codec(music[0])
    codes = torch.randint(0, 16, (1, 3, 20), generator=torch.Generator().manual_seed(0))
    latents, heard = codec.quantizer.decode(codes)[0], task.model.front._embed(codes, None)[0].T  # type: ignore[union-attr, operator]
    steps = [torch.diff(each, dim=1).detach() for each in (latents, heard)]
    ratio = steps[0] / steps[1]
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-3, atol=1e-4)


def test_it_goes_on_from_a_transcriber(music: Music, tmp_path: Path) -> None:
    first = TranscriberTask(configured(music))
    first.model.save(tmp_path / "model")
    task = TranscriberTask(configured(music, model=None, init=str(tmp_path / "model")))
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), task.model.parameters(), strict=True))
    with pytest.raises(ValueError, match="is for codes of"):
        TranscriberTask(configured(music, model=replace(music[1], weights_hash="0" * 64)))


def test_it_reads_latents_and_the_states_of_a_language_model(music: Music, tmp_path: Path) -> None:
    shape = music[1]
    latents = TranscriberTask(
        configured(music, model=replace(shape, source="latents", source_width=8), codebook_dropout=0.9)
    )
    assert torch.isfinite(latents.loss("transcriber", latents.batch(0, 0, 1), 0).total)
    torch.manual_seed(0)
    TokenLM(
        LMConfig(
            "tiny-lm",
            "tiny",
            8000,
            50.0,
            TransformerConfig(12, 2, 2, cross=False),
            codebooks=3,
            codebook_size=16,
            pattern=delay(3),
        )
    ).save(tmp_path / "lm")
    trunk = replace(shape, source="trunk", source_width=12, trunk=str(tmp_path / "lm"))
    task = TranscriberTask(configured(music, model=trunk))
    batch = task.batch(0, 0, 1)
    loss = task.loss("transcriber", batch, 0)
    loss.total.backward()
    assert task.start.trunk is not None and all(p.grad is None for p in task.start.trunk.parameters())
    states = task.start.source(batch.codes)
    assert states.shape == (8, 12, 40)
    changed = batch.codes.clone()
    changed[:, :, 20:] = (changed[:, :, 20:] + 1) % 16
    later = trunk_states(load_lm(tmp_path / "lm"), changed)
    torch.testing.assert_close(
        later[:, :, :18], states[:, :, :18]
    )  # a delay of two frames: these have read nothing that changed
    assert (later[:, :, 20] - states[:, :, 20]).abs().min() > 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"alpha": 1.5}, "alpha"), ({"augment": -1}, "augment"), ({"model": None}, "init is none"), ({"thresholds": (0.0,)}, "thresholds"),
     ({"valid_codebooks": (4,)}, "legal are 1 to 3"), ({"codebook_dropout": 2.0}, "codebook_dropout")],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(music: Music, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TranscriberTask(configured(music, **fields))


def test_weights_are_checked() -> None:
    for fields in ({"onset": -1.0}, {"positive": 0.0}, {"shift": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(fields))):
            LossWeights(**fields)


def test_velocities_that_are_not_known_are_not_asked_for(music: Music) -> None:
    task = TranscriberTask(configured(music, model=with_events(music[1])))
    known = task.takes[0]
    rows = known.notes.rows.copy()
    rows["velocity"] = 0
    unknown = replace(known, notes=NoteTable(rows, known.notes.pedals))
    batch = make_batch([Crop(known, 0), Crop(unknown, 0)], task.model.config, 3, 999)
    told = task.model.config.vocabulary
    assert batch.ids is not None and batch.asked is not None and told is not None
    loud = {told.id("velocity", value) for value in range(1, told.velocity_bins + 1)}
    kinds = [id in loud for id in batch.ids[1].tolist()]
    assert torch.equal(batch.asked[0], batch.ids[0]) and any(kinds)
    assert batch.asked[1].eq(batch.ids[1]).logical_not().tolist() == kinds
    losses = task._losses(task.model, batch)
    only = task._losses(task.model, make_batch([Crop(known, 0)], task.model.config, 3, 999))
    assert float(losses["velocity"].detach()) == pytest.approx(float(only["velocity"].detach()), rel=1e-4)


def test_a_language_model_is_trained_with_what_hears_it(music: Music, tmp_path: Path) -> None:
    torch.manual_seed(0)
    body = TransformerConfig(12, 2, 2)  # with layers that listen to a text, of which there is none
    TokenLM(LMConfig("tiny-lm", "tiny", 8000, 50.0, body, codebooks=3, codebook_size=16, pattern=delay(3))).save(
        tmp_path / "lm"
    )
    before = load_lm(tmp_path / "lm")
    shape = replace(music[1], source="trunk", source_width=12, trunk=str(tmp_path / "lm"))
    config, run = configured(music, model=shape, tune_trunk=True), tmp_path / "run"
    loop = replace(LOOP, steps=4, save_every=2, keep=3, learning_rate=(1e-2, 1e-3))
    train(config, loop, run, quiet=True)
    files = [run / "model" / "model.safetensors", run / "model" / "trunk" / "model.safetensors"]
    files.append(run / "step-000004" / "model.safetensors")
    unbroken = [file.read_bytes() for file in files]
    (run / "latest").write_text("step-000002\n")
    files[2].unlink()
    train(config, loop, run, quiet=True, resume=True)
    assert [file.read_bytes() for file in files] == unbroken

    tuned = dict(load_lm(run / "model" / "trunk").named_parameters())
    moved = {name for name, old in before.named_parameters() if not torch.equal(old.half().float(), tuned[name])}
    assert {name.partition(".")[0] for name in moved} == {"embedding", "transformer"}
    hearing = Transcriber.load(run / "model", codec=music[0])
    again = TranscriberTask(configured(music, model=None, init=str(run / "model")))
    codes = again.batch(0, 0, 1).codes
    assert hearing._source is not None and again.start.trunk is not None
    torch.testing.assert_close(hearing._source(codes, [40] * 8), trunk_states(again.start.trunk, codes))
    assert not torch.allclose(trunk_states(before, codes), trunk_states(again.start.trunk, codes), atol=1e-3)
    with pytest.raises(ValueError, match="tune_trunk: tiny hears codes"):
        TranscriberTask(configured(music, tune_trunk=True))
