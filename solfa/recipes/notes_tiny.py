"""A transcriber small enough to train in seconds, over the shipped codec, to try the loop or one's own data.

solfa synth -o data/tiny --items 4 --seed 1
solfa train notes_tiny -o runs/notes_tiny
"""

from dataclasses import replace

from solfa.train.config import TrainConfig
from solfa.train.recipe import Recipe
from solfa.train.transcriber import TranscriberTaskConfig
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.vocabulary import vocabulary


def notes_tiny() -> Recipe[TranscriberTaskConfig]:
    """Two layers of 32: it learns how often notes begin, and little of which."""
    model = TranscriberConfig(
        "notes-tiny",
        codec="solfa-24khz",
        sample_rate=24_000,
        frame_rate=50.0,
        codebooks=4,
        codebook_size=1024,
        source_width=64,
        width=32,
        heads=2,
        encoder_layers=2,
        conv_layers=1,
        channels=4,
        pitch_layers=1,
        segment_frames=100,
    )
    task = TranscriberTaskConfig(model, ("data/tiny/manifest.jsonl",), batch=4, codebook_dropout=0.2)
    train = TrainConfig(
        steps=60,
        learning_rate=1e-2,
        betas=(0.9, 0.95),
        warmup=5,
        ema=0.9,
        log_every=10,
        evaluate_every=30,
        save_every=20,
    )
    return Recipe(task, train)


def events() -> Recipe[TranscriberTaskConfig]:
    """The same with a decoder of one layer."""
    recipe = notes_tiny()
    assert recipe.task.model is not None
    shape = replace(recipe.task.model, decoder_layers=1, vocabulary=vocabulary("solfa_events"))
    return Recipe(replace(recipe.task, model=shape), recipe.train)
