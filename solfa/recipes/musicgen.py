"""MusicGen: fine-tuned on a folder of one's own music, or from the beginning.

    solfa train musicgen -o runs/mine --task.train my_music/
    solfa train musicgen:lora -o runs/mine --task.train my_music/ --task.init facebook/musicgen-medium
    torchrun --nproc-per-node 8 -m solfa train musicgen:medium -o runs/medium --task.train songs/metadata.csv

`my_music` holds sound files, each with a .txt or .json of the same name that says what it is, or a metadata.csv (docs/training-lm.md).
`runs/mine/model` is then a model in the layout of the one that it began with: of a released MusicGen that of transformers, which
`solfa generate --model runs/mine/model` takes too.

The hyper-parameters of `small`, `medium` and `large` are those of AudioCraft (Copet et al., 2023, arXiv 2306.05284), but for these: small
was trained with D-Adaptation, here AdamW has the rate of the others; 16-bit floats are bfloat16; crops are told nothing, or fewer words,
each by itself and not a whole batch at once; the weights are averaged at every update (0.999) and not at every tenth (0.99); the end of
a short recording is left out of the loss. Those of `finetune` and `lora` are ours.
"""

from dataclasses import replace

from solfa.lm.lora import LoRAConfig
from solfa.lm.musicgen import musicgen
from solfa.train.captions import CaptionConfig
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTaskConfig
from solfa.train.recipe import Recipe


def finetune() -> Recipe[LMTaskConfig]:
    """All weights of a released model, at a low rate."""
    task = LMTaskConfig(
        init="facebook/musicgen-small",
        train=("my_music",),
        batch=4,
        frames=1500,
        condition_dropout=0.2,
        checkpointing=True,
        export_as="auto",
    )
    train = TrainConfig(
        steps=1_000,
        learning_rate=1e-5,
        betas=(0.9, 0.95),
        weight_decay=0.01,
        warmup=50,
        floor=0.1,
        clip=1.0,
        ema=0.99,
        precision="bfloat16",
        evaluate_every=250,
        save_every=250,
        keep=1,
    )
    return Recipe(task, train)


def lora() -> Recipe[LMTaskConfig]:
    """Adapters of rank 16 on all attention and feed-forward layers; the released weights stay as they are."""
    recipe = finetune()
    return Recipe(
        replace(recipe.task, lora=LoRAConfig(rank=16, alpha=32.0, dropout=0.05)),
        replace(recipe.train, learning_rate=2e-4, weight_decay=0.0),
    )


def small() -> Recipe[LMTaskConfig]:
    """0.42 billion weights; 32 GPUs in the original."""
    return _published("small", dropout=0.3, clip=1.0)


def medium() -> Recipe[LMTaskConfig]:
    """1.84 billion weights; 64 GPUs in the original."""
    return _published("medium", dropout=0.3, clip=1.0)


def large() -> Recipe[LMTaskConfig]:
    """3.25 billion weights; 96 GPUs in the original."""
    return _published("large", dropout=0.2, clip=3.0)


def _published(size: str, dropout: float, clip: float) -> Recipe[LMTaskConfig]:
    task = LMTaskConfig(
        musicgen(size),
        train=("my_music",),
        batch=192,
        frames=1500,
        captions=CaptionConfig(merge=0.25, drop_caption=0.5, keep=0.5, word_dropout=dropout),
        condition_dropout=dropout,
        init_codec=False,
        checkpointing=size == "large",
    )
    train = TrainConfig(
        steps=1_000_000,
        learning_rate=1e-4,
        betas=(0.9, 0.95),
        weight_decay=0.1,
        decay_all=True,
        warmup=4_000,
        clip=clip,
        ema=0.999,
        precision="bfloat16",
        parallel="ddp" if size == "small" else "fsdp",
        evaluate_every=5_000,
        save_every=2_000,
    )
    return Recipe(task, train)
