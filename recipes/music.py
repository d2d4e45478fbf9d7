"""`solfa-music`: text to music over `solfa-24khz`, small enough to train on a CPU and to ship.

    make music-data
    solfa train music:text -o runs/music-text     # the caption encoder learns to read: ten minutes
    solfa train music -o runs/music               # then the model learns to write

Its domain is chosen so that it is learned: one or two instruments, pieces of about ten seconds, eight leads.
"""

from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.solfa_music import solfa_music
from solfa.train.caption_encoder import CaptionEncoderConfig
from solfa.train.captions import CaptionConfig
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTaskConfig
from solfa.train.recipe import Recipe

TRAIN, VALID = ("data/music/train/manifest.jsonl",), ("data/music/valid/manifest.jsonl",)
CAPTIONS = CaptionConfig(merge=0.1, instruments=True)
MATRICES = "*block*[!s].weight"  # of both transformers, but not T5's table of distances


def music() -> Recipe:
    """11 million weights; a step takes 3.5 s on one core that has bfloat16."""
    task = LMTaskConfig(
        solfa_music(),
        TRAIN,
        VALID,
        batch=12,
        frames=500,
        captions=CAPTIONS,
        condition_dropout=0.1,
        caption_encoder="runs/music-text/model",
        freeze_text=True,
        early=10.0,
        guess=0.5,
    )
    train = TrainConfig(
        steps=4_000,
        learning_rate=3e-3,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        muon=MATRICES,
        warmup=50,
        floor=0.02,
        clip=1.0,
        ema=0.995,
        precision="bfloat16",
        evaluate_every=250,
        save_every=100,
    )
    return Recipe(task, train)


def text() -> Recipe:
    """The model's caption encoder."""
    shape = solfa_music()
    assert isinstance(shape.text, ByteTextConfig)
    task = CaptionEncoderConfig(shape.text, shape.transformer.width, TRAIN, VALID, captions=CAPTIONS)
    train = TrainConfig(
        steps=1_000,
        learning_rate=4e-3,
        muon=MATRICES,
        warmup=20,
        floor=0.02,
        precision="bfloat16",
        evaluate_every=250,
    )
    return Recipe(task, train)
