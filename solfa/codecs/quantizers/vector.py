"""One level of vector quantization: a codebook, its search, its training.

Where it differs from vector-quantize-pytorch's layer: that one's training step builds a one-hot matrix [V, N] and two more matrix products
a level, its replaced codes restart at the very threshold under which they die again, and its losses are one number for the batch where
dropout needs one an item.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.codecs.quantizers.codebook import Codebook
from solfa.codecs.quantizers.config import QuantizerConfig
from solfa.codecs.quantizers.level import Level, LevelOutput, mean_square
from solfa.codecs.quantizers.search import assigned_sums, nearest


class VectorLevel(Level):
    """Quantizes vectors [B, T, D] with one codebook; with heads, one code for each slice of the (projected) vector."""

    def __init__(self, config: QuantizerConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.heads = config.heads
        if config.dim is None and width % config.heads:
            raise ValueError(f"quantizer heads={config.heads}: must divide the {width} channels of a level, or set dim")
        self.dim = config.dim or width // config.heads
        inner = self.dim * config.heads
        # Codes on the unit sphere have lost the length of what they stand for: the map back restores it.
        self.projected = config.cosine or inner != width
        self.project_in = nn.Linear(width, inner) if self.projected else nn.Identity()
        self.project_out = nn.Linear(inner, width) if self.projected else nn.Identity()
        self.layer = nn.ModuleDict({"_codebook": Codebook(config, self.dim)})  # a name that checkpoints have

    @property
    def _book(self) -> Codebook:
        return cast(Codebook, self.layer["_codebook"])

    @property
    def codebook(self) -> Tensor:
        """The codes, [N, d]."""
        return self._book.embed[0]

    @property
    def cluster_size(self) -> Tensor:
        """Moving count of vectors a step of each code, [N]."""
        return self._book.cluster_size[0]

    def forward(self, residual: Tensor) -> LevelOutput:
        """Quantize vectors [B, T, D]: the code next to each, and the losses [B] that pull the two together.

        In training the codebook is started by k-means on the first batch (`kmeans_iters`), then moved by EMA or by gradient
        (`update`); codes that win too often are handicapped (`conscience`), and dead ones replaced. `quantized` gives gradients to the
        projections alone: the encoder's pass straight through the whole quantizer. Raises ValueError where the first batch is not finite.
        """
        inner = self._inner(residual)  # [B, T, H * d]
        vectors = inner.detach().reshape(-1, self.dim)  # [V, d], V = B * T * H
        if self.training:
            self._initialise(vectors)
        codes = nearest(vectors, self.codebook.detach(), self._handicap(vectors))
        chosen = F.embedding(codes, self.codebook).view_as(inner)
        loss = self.config.commitment * mean_square(inner, chosen.detach())
        if self.config.update == "gradient":
            loss = loss + mean_square(inner.detach(), chosen)
        quantized = chosen.detach()
        if self.projected:
            # The maps learn from what becomes of the output; the encoder has the one straight-through of all levels.
            mapped = self._inner(residual.detach())
            quantized = self.project_out(quantized + (mapped - mapped.detach()))
        regularisation = self._orthogonality()
        if self.training:
            self._update(vectors, codes)
        return LevelOutput(quantized, codes.view(*residual.shape[:2], self.heads), loss, regularisation)

    def encode(self, residual: Tensor) -> Tensor:
        """The nearest code of each vector, [B, T, H], in [0, N); by cosine where the codebook lies on the unit sphere."""
        codes = nearest(self._inner(residual).reshape(-1, self.dim), self.codebook)
        return codes.view(*residual.shape[:2], self.heads)

    def decode(self, codes: Tensor) -> Tensor:
        """The vectors [B, T, D] that codes [B, T, H] stand for."""
        return self.project_out(F.embedding(codes, self.codebook).flatten(2))

    def _inner(self, residual: Tensor) -> Tensor:
        inner = self.project_in(residual)
        if not self.config.cosine:
            return inner
        return F.normalize(inner.unflatten(2, (self.heads, self.dim)), dim=3, eps=1e-6).flatten(2)

    @torch.no_grad()
    def _handicap(self, vectors: Tensor) -> Tensor | None:
        """What is added to the half squared distance of each code in training, [N]: more for those that win more than their share.

        In units of the mean error, which a part of the batch tells well enough; more than three times the share counts as three.
        """
        if not self.training or not self.config.conscience:
            return None
        book = self.codebook.detach()
        some = vectors[:256]
        error = (some - F.embedding(nearest(some, book), book)).square().sum(1).mean()
        share = self.cluster_size / self.cluster_size.mean()
        return 0.5 * self.config.conscience * error * (share - 1).clamp(max=2)

    def _orthogonality(self) -> Tensor | float:
        """Mean squared cosine between different codes (arXiv 2112.00384, equation 2), weighted."""
        if not self.config.orthogonal:
            return 0.0
        # A copy: dead codes are replaced in place before the backward pass needs these values.
        unit = F.normalize(self.codebook.clone(), dim=1)
        return self.config.orthogonal * ((unit @ unit.t()).square().mean() - 1 / len(unit))

    @torch.no_grad()
    def _initialise(self, vectors: Tensor) -> None:
        if bool(self._book.initted):
            return
        if not bool(vectors.isfinite().all()):
            raise ValueError("latents of the first training batch: k-means needs finite values")
        self._book.start(vectors)
        self._broadcast()

    @torch.no_grad()
    def _update(self, vectors: Tensor, codes: Tensor) -> None:
        """Moving averages of counts and sums, new codes from them, then replacement of the dead."""
        book = self._book
        counts, sums = assigned_sums(vectors, codes, self.config.codebook_size)
        if _distributed():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        if not bool(sums.isfinite().all()):
            return  # the loss tells of it; in the moving sums it would stay for ever
        book.cluster_size[0].lerp_(counts, 1 - self.config.decay)
        book.embed_avg[0].lerp_(sums, 1 - self.config.decay)
        if self.config.update == "ema":
            book.update()
        self._replace_dead(vectors)

    def _replace_dead(self, vectors: Tensor) -> None:
        """Put a random vector of the batch in the place of each dead code, and in its moving sums.

        Left as they were, the sums would bring the old code back at the next step. A new code starts at the mean count,
        so that it has time to find its vectors.
        """
        book = self._book
        mean = book.cluster_size.mean()
        dead = self.cluster_size < torch.clamp(0.5 * mean, max=self.config.dead_code_threshold)
        if not bool(dead.any()):
            return
        rows = dead.nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows))[: len(vectors)].to(rows.device)]
        fresh = vectors[torch.randperm(len(vectors))[: len(rows)].to(rows.device)]
        book.embed.data[0, rows] = fresh
        book.embed_avg[0, rows] = fresh * mean
        book.cluster_size[0, rows] = mean
        self._broadcast()

    def _broadcast(self) -> None:
        """Every process draws its own vectors; the first one's choice holds."""
        if _distributed():
            book = self._book
            for tensor in (book.embed.data, book.embed_avg, book.cluster_size):
                dist.broadcast(tensor, 0)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
