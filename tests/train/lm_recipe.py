"""A recipe for tests: a tiny language model on the codes below a folder that SOLFA_TEST_CODES names."""

import os
from pathlib import Path

from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.model import LMConfig
from solfa.lm.patterns import delay
from solfa.nn.transformer import TransformerConfig
from solfa.train.captions import CaptionConfig
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTaskConfig
from solfa.train.recipe import Recipe


def lm() -> Recipe:
    folder = Path(os.environ["SOLFA_TEST_CODES"])
    shape = LMConfig(
        "tiny-lm", "tiny", 8000, 50.0, TransformerConfig(width=16, layers=2, heads=2), codebooks=3, codebook_size=16,
        pattern=delay(3), text=ByteTextConfig(width=8, layers=1, heads=2, hidden=16, longest=64), crop_frames=25,
    )  # fmt: skip
    task = LMTaskConfig(
        shape, (str(folder / "manifest.jsonl"),), codec=str(folder / "codec"), batch=4, frames=16, init_codec=False,
        hold_out=2, captions=CaptionConfig(merge=0.0),
    )  # fmt: skip
    train = TrainConfig(
        steps=4,
        learning_rate=1e-2,
        warmup=1,
        ema=0.9,
        save_every=2,
        evaluate_every=2,
        log_every=2,
        keep=3,
        device="cpu",
    )
    return Recipe(task, train)
