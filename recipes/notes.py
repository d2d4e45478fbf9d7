"""`solfa-notes`: notes from the codes of `solfa-24khz`, small enough to train on a CPU and to ship.

    make notes-data
    solfa train notes -o runs/notes                 # frame outputs: three hours of one core that has bfloat16
    solfa train notes:events -o runs/notes-events   # then the decoder learns to write events
    solfa transcribe take.wav --model runs/notes-events/model -o take.mid

It hears composed and rendered pieces of all instruments and drills, their variants, and every number of codebooks.
"""

from dataclasses import replace

from solfa.train.config import TrainConfig
from solfa.train.recipe import Recipe
from solfa.train.transcriber import TranscriberTaskConfig
from solfa.train.transcriber_loss import LossWeights
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.vocabulary import vocabulary

PLACES = ("scores", "solos", "piano", "drums", "drills", "keys")
TRAIN = tuple(f"data/notes/{place}/manifest.jsonl" for place in PLACES)
VALID = ("data/notes/valid/manifest.jsonl",)


def notes() -> Recipe:
    """The shipped model's: 7 million weights, of which the decoder's 3 million wait; a step takes 1.6 s on one core."""
    shape = TranscriberConfig(
        "solfa-notes",
        codec="solfa-24khz",
        sample_rate=24_000,
        frame_rate=50.0,
        codebooks=8,
        codebook_size=1024,
        source_width=64,  # that of the code vectors
        decoder_layers=2,
        vocabulary=vocabulary("solfa_events"),
        segment_frames=250,
    )
    task = TranscriberTaskConfig(
        shape,
        TRAIN,
        VALID,
        batch=16,
        alpha=0.7,
        augment=1,
        codebook_dropout=0.3,
        hint=0.25,
        weights=LossWeights(events=0.0),
        valid_items=48,
        valid_codebooks=(2, 4),
        thresholds=(0.3, 0.4),
    )
    train = TrainConfig(
        steps=6_000,
        learning_rate=4e-3,
        betas=(0.9, 0.95),
        weight_decay=0.02,
        muon="*coder.*.weight",  # of encoder and decoder
        warmup=50,
        floor=0.02,
        clip=1.0,
        ema=0.997,
        precision="bfloat16",
        evaluate_every=500,
        save_every=250,
    )
    return Recipe(task, train)


def events() -> Recipe:
    """The same model goes on, and its decoder begins."""
    recipe = notes()
    assert isinstance(recipe.task, TranscriberTaskConfig)
    task = replace(recipe.task, model=None, init="runs/notes/model", weights=LossWeights())
    return Recipe(task, replace(recipe.train, steps=1_500, learning_rate=2e-3))


def large() -> Recipe:
    """13 million weights, crops of eight seconds, all at once: for a GPU."""
    recipe = notes()
    assert isinstance(recipe.task, TranscriberTaskConfig) and recipe.task.model is not None
    shape = replace(recipe.task.model, width=320, heads=5, encoder_layers=8, segment_frames=400)
    task = replace(recipe.task, model=shape, batch=32, weights=LossWeights())
    return Recipe(task, replace(recipe.train, steps=20_000, learning_rate=3e-3, ema=0.999, evaluate_every=1000))
