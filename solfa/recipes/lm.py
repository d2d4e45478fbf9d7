"""A text-to-music model of one's own, from the beginning, over the shipped codec: of a folder of sound with captions, or of token files.

    solfa train lm -o runs/lm --task.train my_music/
    solfa generate "calm piano" --model runs/lm/model -o out.wav

It has the shape of `solfa-music`. What it learns it learns from that folder alone: a few hours of one kind of music are the least.
`musicgen` begins with a model that has heard 20,000 hours.
"""

from solfa.lm.solfa_music import solfa_music
from solfa.train.captions import CaptionConfig
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTaskConfig
from solfa.train.recipe import Recipe


def lm() -> Recipe[LMTaskConfig]:
    """11 million weights, crops of ten seconds."""
    captions = CaptionConfig(instruments=True)
    task = LMTaskConfig(
        solfa_music("my-music", crop_frames=500), ("my_music",), batch=16, frames=500, captions=captions
    )
    train = TrainConfig(
        steps=5_000,
        learning_rate=3e-3,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        muon="*block*[!s].weight",  # of both transformers, but not T5's table of distances
        warmup=50,
        floor=0.02,
        clip=1.0,
        ema=0.995,
        precision="bfloat16",
        evaluate_every=500,
        save_every=250,
    )
    return Recipe(task, train)
