"""A codebook that moving averages keep: started by k-means, then each code the mean of the vectors that chose it of late.

EMA codebooks as van den Oord et al. (2017, arXiv 1711.00937, appendix A.1) have them. The names of the tensors, the arithmetic and the
draws of k-means are those of vector-quantize-pytorch, so checkpoints and runs made with its layer go on as they were. The layer itself is
not used: importing the library takes longer than all else that loading a codec does (einx, which it uses, loads torch's compiler).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.codecs.quantizers.config import QuantizerConfig
from solfa.codecs.quantizers.search import assigned_sums, nearest


class Codebook(nn.Module):
    """N codes of width d, and the moving counts and sums that they are made of; each with a leading axis of 1, as the library has them.

    With `kmeans_iters` the codes are zeros until `start`; else they are drawn uniformly, as He et al. (2015) start weights.
    """

    initted: Tensor
    cluster_size: Tensor  # [1, N]
    embed_avg: Tensor  # [1, N, d]
    embed: Tensor  # [1, N, d]

    def __init__(self, config: QuantizerConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        embed = torch.zeros(1, config.codebook_size, dim)
        if not config.kmeans_iters:
            nn.init.kaiming_uniform_(embed)
            embed = self._unit(embed)
        self.register_buffer("initted", torch.tensor(not config.kmeans_iters))
        self.register_buffer("cluster_size", torch.ones(1, config.codebook_size))
        self.register_buffer("embed_avg", embed.clone())
        if config.update == "gradient":
            self.embed = nn.Parameter(embed)
        else:
            self.register_buffer("embed", embed)

    def start(self, vectors: Tensor) -> None:
        """Codes, counts and sums from vectors [V, d] by k-means; where there are fewer vectors than codes, some codes begin alike."""
        size = self.config.codebook_size
        if len(vectors) >= size:
            first = torch.randperm(len(vectors), device=vectors.device)[:size]
        else:
            first = torch.randint(0, len(vectors), (size,), device=vectors.device)
        means, counts = vectors[first], vectors.new_ones(size)
        for _ in range(self.config.kmeans_iters):
            counts, sums = assigned_sums(vectors, nearest(vectors, means), size)
            means = torch.where(counts[:, None] > 0, self._unit(sums / counts.clamp_min(1)[:, None]), means)
        self.embed_avg[0] = means * counts[:, None]
        self.cluster_size[0] = counts
        self.update()
        self.initted.fill_(True)

    def update(self) -> None:
        """The codes from the moving sums and counts; a count below epsilon is smoothed, so that no code flies off."""
        total = self.cluster_size.sum(dim=1, keepdim=True)
        shares = (self.cluster_size + self.config.epsilon) / (total + self.config.codebook_size * self.config.epsilon)
        self.embed.data.copy_(self._unit(self.embed_avg / (shares * total)[..., None]))

    def _unit(self, codes: Tensor) -> Tensor:
        return F.normalize(codes, dim=-1, eps=1e-6) if self.config.cosine else codes
