"""What the trainings of several tests begin with."""

from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = ["<pad>", "</s>", "<unk>", "▁", "▁a", "▁slow", "▁fast", "▁waltz", "▁march", "▁for", "▁piano"]


@pytest.fixture(scope="session")
def tiny_musicgen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """tiny_musicgen(): a folder as transformers saves a MusicGen, with random weights: an EnCodec of 8 kHz (50 frames a second, 4 codebooks
    of 32), a T5 with a tokenizer of a few words, a decoder of two layers of 16."""
    folders: list[Path] = []

    def make() -> Path:
        if not folders:
            folders.append(_save(tmp_path_factory.mktemp("musicgen")))
        return folders[0]

    return make


def _save(folder: Path) -> Path:
    import torch
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration, T5Config, T5Tokenizer
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    text = T5Config(vocab_size=32, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0)
    codec = EncodecConfig(
        target_bandwidths=[1.0], sampling_rate=8000, num_filters=4, hidden_size=8, codebook_dim=8, codebook_size=32,
        upsampling_ratios=[8, 5, 2, 2], num_lstm_layers=1, use_causal_conv=False, norm_type="weight_norm",
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=64, num_codebooks=4,
        pad_token_id=32, bos_token_id=32, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MusicgenForConditionalGeneration(
            MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict())
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():  # 0.02 is so little that logits would hardly differ
                if parameter.ndim == 2 and name.startswith(("decoder", "enc_to_dec")):
                    parameter.mul_(5)
            for name, buffer in model.named_buffers():
                if name.endswith("codebook.embed"):
                    buffer.normal_()
        model.save_pretrained(folder)
    T5Tokenizer(vocab=[(word, -float(i)) for i, word in enumerate(WORDS)], extra_ids=0).save_pretrained(folder)
    return folder
