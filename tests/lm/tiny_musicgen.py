"""Tiny MusicGens of transformers with random weights, and a T5 tokenizer made without files."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyForConditionalGeneration,
    T5Config,
    T5Tokenizer,
)

TEXTS = ["slow waltz", "a lively jig for two flutes"]
WIDTH, LAYERS, HEADS, SIZE, BOOKS = 32, 3, 4, 32, 4
KINDS = ("mono", "stereo", "melody", "stereo melody")


def tokenizer() -> T5Tokenizer:
    """Letters, and a few words."""
    pieces = [*"▁abcdefghijklmnopqrstuvwxyz", "▁waltz", "▁slow", "▁flutes", "▁a"]
    vocabulary = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((piece, -float(i)) for i, piece in enumerate(pieces)),
    ]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0)


def theirs(kind: str = "mono", text_width: int = 24, seed: int = 0) -> MusicgenForConditionalGeneration:
    """The model of a kind, its weights large enough to tell logits apart."""
    torch.manual_seed(seed)
    channels = 2 if "stereo" in kind else 1
    parts = {
        "text_encoder": T5Config(
            vocab_size=40, d_model=text_width, d_kv=6, d_ff=32, num_layers=2, num_heads=4, dropout_rate=0.1, tie_word_embeddings=True
        ).to_dict(),
        "audio_encoder": EncodecConfig(
            sampling_rate=1600, num_filters=2, hidden_size=8, codebook_dim=8, codebook_size=SIZE, upsampling_ratios=[8, 4],
            target_bandwidths=[1.0], num_lstm_layers=1,
        ).to_dict(),
        "decoder": {
            "vocab_size": SIZE, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "ffn_dim": 4 * WIDTH,
            "num_codebooks": BOOKS * channels, "audio_channels": channels, "pad_token_id": SIZE, "bos_token_id": SIZE,
        },
    }  # fmt: skip
    if "melody" in kind:
        model = MusicgenMelodyForConditionalGeneration(MusicgenMelodyConfig(**parts, chroma_length=7))
    else:
        model = MusicgenForConditionalGeneration(MusicgenConfig(**parts))
    for name, weight in model.named_parameters():
        if not name.startswith("audio_encoder"):
            torch.nn.init.normal_(weight, 1.0 if "layer_norm.weight" in name else 0.0, 0.3)
    generation = model.generation_config
    generation.decoder_start_token_id = generation.pad_token_id = generation.bos_token_id = SIZE
    return model.eval()


def saved(model: MusicgenForConditionalGeneration, folder: Path, **how: object) -> Path:
    """As a user has it: with its tokenizer."""
    model.save_pretrained(folder, **how)
    tokenizer().save_pretrained(folder)
    return folder
