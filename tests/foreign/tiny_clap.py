"""A CLAP in a folder, with random weights: small enough for a test."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, RobertaTokenizer

RATE = 48_000
SOUND = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))


def folder_of(path: Path) -> Path:
    torch.manual_seed(0)
    text = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
            "max_position_embeddings": 20, "type_vocab_size": 1, "projection_dim": 8}  # fmt: skip
    audio = {"spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2],
             "hidden_size": 16, "patch_size": 4, "patch_stride": [4, 4], "window_size": 4, "projection_dim": 8}  # fmt: skip
    model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(path)
    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz", "Ġ"]
    RobertaTokenizer(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]).save_pretrained(path)
    ClapFeatureExtractor(feature_size=16, truncation="rand_trunc", hop_length=4800).save_pretrained(path)
    return path
