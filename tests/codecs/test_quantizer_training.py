"""Every kind of quantizer learns: in a tiny autoencoder its loss falls and its codebooks are used."""

import pytest
import torch
from torch import Tensor, nn

from solfa.codecs.quantizers import KIND_FIELDS, QuantizerConfig, build_quantizer

SMALL = {"codebooks": 4, "codebook_size": 16}
# name -> configuration, and the largest share of the data's variance that may be left after training
CASES = {
    "rvq": (QuantizerConfig(**SMALL), 0.1),
    "rvq with dropout": (QuantizerConfig(**SMALL, dropout=0.5), 0.1),
    "rvq from random codes": (QuantizerConfig(**SMALL, kmeans_iters=0), 0.1),
    "vq-vae": (QuantizerConfig(codebooks=1, codebook_size=64, update="gradient"), 0.3),
    "vq-vae, residual": (QuantizerConfig(**SMALL, update="gradient"), 0.1),
    "orthogonal": (QuantizerConfig(**SMALL, update="gradient", orthogonal=1.0), 0.1),
    "cosine": (QuantizerConfig(**SMALL, cosine=True, dim=4), 0.2),
    "low-dimensional": (QuantizerConfig(**SMALL, dim=4), 0.4),
    "multi-head": (QuantizerConfig(**SMALL, heads=2), 0.2),
    "product": (QuantizerConfig("product", **SMALL), 0.15),
    "grouped": (QuantizerConfig("grouped", **SMALL, groups=2), 0.15),
    "factorized": (QuantizerConfig("factorized", **SMALL, dim=4), 0.2),
    "factorized with dropout": (QuantizerConfig("factorized", **SMALL, dim=4, dropout=0.5), 0.2),
    "simvq": (QuantizerConfig("simvq", **SMALL), 0.1),
    "random projection": (QuantizerConfig("random_projection", **SMALL, dim=4), 0.25),
    "fsq": (QuantizerConfig("fsq", codebooks=4, codebook_size=15, levels=(5, 3)), 0.15),
    "residual fsq": (QuantizerConfig("residual_fsq", codebooks=2, codebook_size=81, levels=(3, 3, 3, 3)), 0.4),
    "lfq": (QuantizerConfig("lfq", **SMALL), 0.3),
}
STEPS = 160


class Toy:
    """Sums of three choices of one of six vectors in eight channels, with a little noise."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(1)
        self.mix = torch.randn(3, 6, 8, generator=self.generator)

    def batch(self, items: int = 4, frames: int = 32) -> Tensor:  # [B, 8, T]
        choice = torch.randint(0, 6, (items, 3, frames), generator=self.generator)
        chosen = torch.stack([self.mix[i][choice[:, i]] for i in range(3)]).sum(0)
        return chosen.transpose(1, 2) + 0.05 * torch.randn(items, 8, frames, generator=self.generator)


def test_every_kind_is_trained_here():
    assert {config.kind for config, _ in CASES.values()} == set(KIND_FIELDS)


@pytest.mark.parametrize("name", CASES)
def test_it_learns_and_uses_its_codebooks(name):
    config, most_left = CASES[name]
    torch.manual_seed(0)
    toy = Toy()
    encoder, decoder, quantizer = nn.Conv1d(8, 16, 1), nn.Conv1d(16, 8, 1), build_quantizer(config, 16)
    modules = nn.ModuleList([encoder, decoder, quantizer])
    optimizer = torch.optim.Adam(modules.parameters(), lr=1e-2)
    losses = []
    for _ in range(STEPS):
        sound = toy.batch()
        out = quantizer(encoder(sound))
        error = (decoder(out.latents) - sound).square().mean()
        optimizer.zero_grad()
        (error + out.loss).backward()
        optimizer.step()
        losses.append(error.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])

    modules.eval()
    sound = toy.batch(items=64)
    with torch.no_grad():
        codes = quantizer.encode(encoder(sound))
        left = [
            ((decoder(quantizer.decode(codes[:, :count])) - sound).square().mean() / sound.var()).item()
            for count in range(quantizer.step, quantizer.codebooks + 1, quantizer.step)
        ]
    assert left[-1] < most_left
    assert left[-1] == min(left)
    used = [level.unique().numel() / config.codebook_size for level in codes.transpose(0, 1)]
    assert min(used) >= 0.7
    if config.dropout:
        # Trained to be cut short, the first codebook alone already says much.
        assert left[0] < 0.5
        assert left == sorted(left, reverse=True)
