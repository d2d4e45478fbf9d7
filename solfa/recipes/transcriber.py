"""A transcriber of one's own, from the beginning, over the shipped codec: of a folder of sound with MIDI files, or of a manifest.

solfa train transcriber -o runs/mine --task.train my_music/
solfa train transcriber:tune -o runs/tuned --task.train my_music/     # go on from solfa-notes instead
"""

from dataclasses import replace

from solfa.train.config import TrainConfig
from solfa.train.recipe import Recipe
from solfa.train.transcriber import TranscriberTaskConfig
from solfa.train.transcriber_loss import LossWeights
from solfa.train.transcriber_sound import SoundChanges
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.vocabulary import vocabulary

CHANGES = SoundChanges(transpose=4, detune=0.2, level=6.0, tilt=6.0)


def transcriber() -> Recipe[TranscriberTaskConfig]:
    """Frame outputs and events of what the codec plays; 4 million weights, crops of eight seconds, a variant of each recording."""
    model = TranscriberConfig(
        "my-notes",
        codec="solfa-24khz",
        sample_rate=24_000,
        frame_rate=50.0,
        codebooks=8,
        codebook_size=1024,
        source="sound",
        source_width=936,  # that of `audio.bands` at 24 kHz
        width=192,
        channels=32,
        decoder_layers=2,
        vocabulary=vocabulary("solfa_events"),
    )
    task = TranscriberTaskConfig(model, ("my_music",), augment=1, codebook_dropout=0.2, sound=CHANGES)
    train = TrainConfig(
        steps=5_000,
        learning_rate=4e-3,
        betas=(0.9, 0.95),
        weight_decay=0.02,
        muon="*coder.*.[0-9]*.weight",  # of the layers of encoder and decoder
        warmup=50,
        floor=0.02,
        ema=0.997,
        precision="bfloat16",
        evaluate_every=500,
        save_every=250,
    )
    return Recipe(task, train)


def tune() -> Recipe[TranscriberTaskConfig]:
    """All weights of `solfa-notes` go on learning, at a tenth of the rate."""
    recipe = transcriber()
    train = replace(recipe.train, steps=1_000, learning_rate=5e-4)
    task = replace(recipe.task, model=None, init="solfa-notes", weights=LossWeights(events=0.0))
    return Recipe(task, train)
