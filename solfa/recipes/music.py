"""`solfa-music`: text to music over `solfa-24khz`, small enough to train on a CPU and to ship.

    make music-data
    solfa train music:text -o runs/music-text     # the caption encoder learns to read: an hour
    solfa train music:start -o runs/music-start   # then the model learns how music begins, which is where captions count
    solfa train music -o runs/music               # and then to go on
    solfa train music:beat -o runs/music-beat     # and to keep the tempo and the metre that it is told

Its domain is chosen so that it is learned: one or two instruments, pieces of about ten seconds, eight leads. How the shipped weights came
about, in these stages and some that went before, stands in their card.
"""

from dataclasses import replace
from typing import Any

from solfa.lm.conditioners.beat import BeatConfig
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
_TRAIN = TrainConfig(
    learning_rate=3e-3,
    betas=(0.9, 0.95),
    weight_decay=0.05,
    muon=MATRICES,
    warmup=20,
    floor=0.02,
    clip=1.0,
    ema=0.99,
    precision="bfloat16",
    evaluate_every=100,
    save_every=50,
)


def music() -> Recipe[LMTaskConfig]:
    """Crops of five seconds, from the model of `start`; a step takes 3.5 to 4.5 s on one core that has bfloat16."""
    return Recipe(_task(24, 250, init="runs/music-start/model", init_codec=False), replace(_TRAIN, steps=1_500))


def beat() -> Recipe[LMTaskConfig]:
    """The model of `music` goes on, told where in the beat and in the bar each step lies."""
    task = _task(24, 250, init="runs/music/model", init_codec=False, beat=BeatConfig())
    return Recipe(task, replace(_TRAIN, steps=1_200))


def start() -> Recipe[LMTaskConfig]:
    """Crops of 1.3 seconds: the first codes of a crop, which hang on the caption, are a large part of what is learned."""
    task = _task(96, 64, model=solfa_music(), caption_encoder="runs/music-text/model")
    return Recipe(task, replace(_TRAIN, steps=750, floor=0.6))


def text() -> Recipe[CaptionEncoderConfig]:
    """The model's caption encoder. The shipped one told the tonic of .745 of the captions after 2,500 steps, of .870 after 4,800."""
    shape = solfa_music()
    assert isinstance(shape.text, ByteTextConfig)
    task = CaptionEncoderConfig(shape.text, shape.transformer.width, TRAIN, VALID, captions=CAPTIONS)
    train = TrainConfig(
        steps=5_000,
        learning_rate=4e-3,
        muon=MATRICES,
        warmup=20,
        floor=0.02,
        precision="bfloat16",
        evaluate_every=250,
    )
    return Recipe(task, train)


def _task(batch: int, frames: int, **more: Any) -> LMTaskConfig:
    return LMTaskConfig(
        train=TRAIN,
        valid=VALID,
        batch=batch,
        frames=frames,
        captions=CAPTIONS,
        condition_dropout=0.15,
        freeze_text=True,
        early=5.0,
        **more,
    )
