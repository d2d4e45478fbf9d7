"""A language model over the codes of `solfa-24khz`, for `solfa encode --lm`: smaller token files.

    solfa encode data/codec/scores data/codec/songs -o data/tokens
    solfa train code_lm -o runs/code_lm --task.train data/tokens

`runs/code_lm/model` is then the model. Another codec: encode with it, and name it with --task.init (or --task.init none).
"""

from solfa.train.code_lm import CodeLMTaskConfig
from solfa.train.config import TrainConfig
from solfa.train.recipe import Recipe


def code_lm() -> Recipe[CodeLMTaskConfig]:
    """6 million weights of 8 bits; about 20 minutes on one core that has bfloat16, for ten hours of codes."""
    task = CodeLMTaskConfig(train=("data/tokens",), init="solfa-24khz", batch=8, frames=256)
    train = TrainConfig(
        steps=2_000,
        learning_rate=3e-3,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        muon="[bh]*.weight",  # of blocks and hidden layers
        warmup=20,
        floor=0.02,
        clip=1.0,
        ema=0.99,
        precision="bfloat16",
        evaluate_every=500,
    )
    return Recipe(task, train)
