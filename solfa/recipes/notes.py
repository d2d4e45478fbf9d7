"""`solfa-notes`: notes from the codes of `solfa-24khz`, small enough to train on a CPU and to ship.

    make notes-data
    solfa train notes -o runs/notes                 # frame outputs
    solfa transcribe take.wav --model runs/notes/model -o take.mid
    solfa train notes:events -o runs/notes-events   # a decoder beside them learns to write events

It hears what the codec plays of the codes, of composed and rendered pieces of all instruments and of drills, transposed, and through every
number of codebooks.
"""

from dataclasses import replace
from pathlib import Path

from solfa.train.config import TrainConfig
from solfa.train.recipe import Recipe
from solfa.train.transcriber import TranscriberTaskConfig
from solfa.train.transcriber_loss import LossWeights
from solfa.train.transcriber_sound import SoundChanges
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.vocabulary import vocabulary

HOME = "data/notes"
PLACES = ("scores", "solos", "piano", "drums", "drills", "keys")
# With make notes-data SONGS=scores.zip; the shipped model's had them.
SONGS = tuple(place for place in ("songs", "performed") if Path(HOME, place).is_dir())
TRAIN = tuple(f"{HOME}/{place}/manifest.jsonl" for place in (*PLACES, *SONGS))
VALID = (f"{HOME}/valid/manifest.jsonl",)
# Onsets are what is asked for first; what sounds on under a pedal or in a room is often anyone's guess, and would outweigh them.
WEIGHTS = LossWeights(onset=3.0, frame=0.1, offset=0.1, velocity=2.0, shift=1.0, events=0.0)


def notes() -> Recipe[TranscriberTaskConfig]:
    """The shipped model's: 2.6 million weights; a step takes 1.4 s on one core that has bfloat16, and 0.5 s of another."""
    shape = TranscriberConfig(
        "solfa-notes",
        codec="solfa-24khz",
        sample_rate=24_000,
        frame_rate=50.0,
        codebooks=8,
        codebook_size=1024,
        source="sound",
        source_width=936,  # that of `audio.bands` at 24 kHz
        width=192,
        channels=48,
        segment_frames=250,
    )
    task = TranscriberTaskConfig(
        shape,
        TRAIN,
        VALID,
        batch=12,
        alpha=0.8,
        codebook_dropout=0.15,
        hint=0.25,
        sound=SoundChanges(transpose=4, detune=0.2, level=6.0, tilt=6.0),
        weights=WEIGHTS,
        valid_items=48,
        valid_codebooks=(4,),
        thresholds=(0.3, 0.35, 0.4, 0.45),
    )
    train = TrainConfig(
        steps=6_000,
        learning_rate=2.5e-3,
        betas=(0.9, 0.95),
        weight_decay=0.02,
        muon="*coder.*.[0-9]*.weight",  # of the layers of encoder and decoder
        warmup=50,
        floor=0.02,
        clip=1.0,
        ema=0.995,
        precision="bfloat16",
        evaluate_every=500,
        save_every=250,
    )
    return Recipe(task, train)


def events() -> Recipe[TranscriberTaskConfig]:
    """A decoder of three layers, 2.4 million weights, learns to write what `notes` hears, which stays as it is."""
    recipe = notes()
    assert recipe.task.model is not None
    shape = replace(recipe.task.model, decoder_layers=3, vocabulary=vocabulary("solfa_events"))
    task = replace(
        recipe.task,
        model=shape,
        init="runs/notes/model",
        freeze_hearing=True,
        weights=replace(WEIGHTS, events=1.0),
        batch=24,
        thresholds=(),
    )
    return Recipe(task, replace(recipe.train, steps=2_500, learning_rate=3e-3, floor=0.01))


def large() -> Recipe[TranscriberTaskConfig]:
    """14 million weights, crops of eight seconds, frame outputs and events at once: for a GPU."""
    recipe = notes()
    assert recipe.task.model is not None
    shape = replace(
        recipe.task.model,
        width=320,
        heads=5,
        encoder_layers=6,
        channels=96,
        pitch_layers=8,
        segment_frames=400,
        decoder_layers=2,
        vocabulary=vocabulary("solfa_events"),
    )
    task = replace(recipe.task, model=shape, batch=32, weights=replace(WEIGHTS, events=1.0))
    return Recipe(task, replace(recipe.train, steps=20_000, learning_rate=2e-3, ema=0.999, evaluate_every=1000))
