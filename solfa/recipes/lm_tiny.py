"""A language model small enough to train in seconds, over the shipped codec, to try the loop or one's own data.

solfa train lm_tiny -o runs/lm_tiny --task.train my_music/
"""

from dataclasses import replace

from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.model import LMConfig
from solfa.lm.patterns import delay, parallel
from solfa.nn.transformer import TransformerConfig
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTaskConfig
from solfa.train.recipe import Recipe


def lm_tiny() -> Recipe[LMTaskConfig]:
    """Two layers of 32: it learns which codes are frequent, not music."""
    model = LMConfig(
        "lm-tiny",
        codec="solfa-24khz",
        sample_rate=24_000,
        frame_rate=50.0,
        transformer=TransformerConfig(width=32, layers=2, heads=2),
        codebooks=2,
        codebook_size=1024,
        pattern=delay(2),
        text=ByteTextConfig(width=16, layers=1, heads=2, hidden=32),
        crop_frames=50,
    )
    task = LMTaskConfig(model, ("data/tiny/manifest.jsonl",), batch=4, frames=50)
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


def depth() -> Recipe[LMTaskConfig]:
    """The same with a transformer over the codebooks of a frame instead of a delay."""
    recipe = lm_tiny()
    assert recipe.task.model is not None
    shape = replace(
        recipe.task.model,
        pattern=parallel(2),
        depth=TransformerConfig(width=16, layers=1, heads=2, cross=False),
    )
    return Recipe(replace(recipe.task, model=shape), recipe.train)
