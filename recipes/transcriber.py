"""A transcriber of one's own, from the beginning, over the shipped codec: of a folder of sound with MIDI files, or of a manifest.

solfa train transcriber -o runs/mine --task.train my_music/
solfa train transcriber:tune -o runs/tuned --task.train my_music/     # go on from solfa-notes instead
"""

from dataclasses import replace

from solfa.train.config import TrainConfig
from solfa.train.recipe import Recipe
from solfa.train.transcriber import TranscriberTaskConfig
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.vocabulary import vocabulary


def transcriber() -> Recipe:
    """Frame outputs and events; 8 million weights, crops of eight seconds, two variants of each recording."""
    model = TranscriberConfig(
        "my-notes",
        codec="solfa-24khz",
        sample_rate=24_000,
        frame_rate=50.0,
        codebooks=8,
        codebook_size=1024,
        source_width=64,
        decoder_layers=2,
        vocabulary=vocabulary("solfa_events"),
    )
    task = TranscriberTaskConfig(model, ("my_music",), augment=2, codebook_dropout=0.3)
    train = TrainConfig(
        steps=5_000,
        learning_rate=4e-3,
        betas=(0.9, 0.95),
        weight_decay=0.02,
        muon="*coder.*.weight",  # of encoder and decoder
        warmup=50,
        floor=0.02,
        ema=0.997,
        precision="bfloat16",
        evaluate_every=500,
        save_every=250,
    )
    return Recipe(task, train)


def tune() -> Recipe:
    """All weights of `solfa-notes` go on learning, at a tenth of the rate."""
    recipe = transcriber()
    assert isinstance(recipe.task, TranscriberTaskConfig)
    train = replace(recipe.train, steps=1_000, learning_rate=5e-4)
    return Recipe(replace(recipe.task, model=None, init="solfa-notes"), train)
