"""The configuration of a quantizer: one frozen dataclass for every kind, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields

_COMMON = {"kind", "codebooks", "codebook_size", "dropout"}
_MOVING = {"decay", "epsilon", "kmeans_iters", "dead_code_threshold", "conscience"}
_VECTOR = _MOVING | {"dim", "update", "commitment", "cosine", "heads", "orthogonal"}
# The fields that each kind reads. One of another kind must keep its default: a setting that does nothing is an error.
KIND_FIELDS: dict[str, set[str]] = {
    "rvq": _COMMON | _VECTOR,
    "product": (_COMMON | _VECTOR) - {"dropout"},
    "grouped": _COMMON | _VECTOR | {"groups"},
    "factorized": _COMMON | {"dim", "commitment"},
    "simvq": _COMMON | {"dim", "commitment"},
    "random_projection": _COMMON | {"dim", "commitment"},
    "fsq": (_COMMON | {"levels"}) - {"dropout"},
    "residual_fsq": _COMMON | {"levels"},
    "lfq": (_COMMON | {"commitment", "entropy", "diversity"}) - {"dropout"},
}
UPDATES = ("ema", "gradient")


@dataclass(frozen=True)
class QuantizerConfig:
    """Which quantizer, and its numbers.

    kind: "rvq" (residual), "product" (each codebook quantizes its own slice of the channels), "grouped" (slices, each
        residual: HiFi-Codec, arXiv 2305.02765), "factorized" (residual, each level searched by angle in `dim` dimensions, trained by
        gradient: DAC, arXiv 2306.06546), "simvq" (residual, frozen codebooks behind a learned linear map,
        arXiv 2411.02038), "random_projection" (residual, frozen codebooks and projections of BEST-RQ, arXiv 2202.01855,
        with a learned map back), "fsq" and "residual_fsq" (finite scalar, arXiv 2309.15505), "lfq" (lookup-free,
        arXiv 2310.05737).
    codebooks: K, code streams a frame, heads and groups included. codebook_size: N, entries of each.
    dim: width of a codebook vector; None keeps the width that arrives. Another width puts a learned linear map on both
        sides of every codebook ("factorized" has one always, weight-normed; DAC's dim is 8). For "simvq", the width before its map.
    update: "ema" moves the codebooks by moving averages; "gradient" by the codebook loss |sg(x) - e|^2 (VQ-VAE,
        arXiv 1711.00937).
    decay, epsilon: of the moving averages.
    kmeans_iters: rounds of k-means on the first batch; 0 starts from random codes.
    dead_code_threshold: a code whose moving count of vectors a step falls below this, and below half of the mean count,
        is replaced by a vector of the batch; 0 never replaces.
    conscience: in training a code that wins more than its share of vectors is searched as if it lay further away, by this much of
        the mean error for each share too many, so that codes are used evenly (DeSieno, 1988).
    commitment: weight beta of |x - sg(e)|^2, a mean over channels and time, summed over codebooks (heads share one).
    dropout: share of the items of a training batch whose number of codebooks is drawn uniformly from the legal ones.
    cosine: search by angle, codes on the unit sphere, with a learned linear map back.
    heads: slices of a level's vector that share its codebook and each have a code. groups: channel groups of "grouped".
    orthogonal: weight of the orthogonal regularisation of gradient codebooks (arXiv 2112.00384).
    levels: FSQ levels of each dimension; their product is codebook_size.
    entropy, diversity: LFQ's weight of the entropy loss, and of the codebook entropy within it.
    Raises ValueError, naming the legal values, for a bad value or combination.
    """

    kind: str = "rvq"
    codebooks: int = 8
    codebook_size: int = 1024
    dim: int | None = None
    update: str = "ema"
    decay: float = 0.99
    epsilon: float = 1e-5
    kmeans_iters: int = 10
    dead_code_threshold: float = 2.0
    conscience: float = 0.0
    commitment: float = 0.25
    dropout: float = 0.0
    cosine: bool = False
    heads: int = 1
    groups: int = 1
    orthogonal: float = 0.0
    levels: tuple[int, ...] = ()
    entropy: float = 0.1
    diversity: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KIND_FIELDS:
            raise ValueError(f"quantizer kind {self.kind!r}: must be one of {', '.join(KIND_FIELDS)}")
        self._check_unused()
        self._check_ranges()
        self._check_combinations()

    @property
    def step(self) -> int:
        """Codebooks that play or rest together: a legal number of codebooks is a multiple of this."""
        if self.kind in ("product", "fsq", "lfq"):
            return self.codebooks
        return self.groups * self.heads

    def _check_unused(self) -> None:
        for field in fields(self):
            assert field.default is not MISSING
            if field.name not in KIND_FIELDS[self.kind] and getattr(self, field.name) != field.default:
                users = [kind for kind, names in KIND_FIELDS.items() if field.name in names]
                raise ValueError(
                    f"quantizer {field.name}={getattr(self, field.name)!r} does nothing for kind {self.kind!r}: "
                    f"leave it at {field.default!r}, or use kind {' or '.join(users)}"
                )

    def _check_ranges(self) -> None:
        for name, low, high in (
            ("codebooks", 1, 1024),
            ("codebook_size", 2, 1 << 20),
            ("dim", 1, 1 << 16),
            ("decay", 0.0, 1.0),
            ("kmeans_iters", 0, 1000),
            ("dead_code_threshold", 0.0, math.inf),
            ("conscience", 0.0, 10.0),
            ("commitment", 0.0, math.inf),
            ("dropout", 0.0, 1.0),
            ("heads", 1, 1024),
            ("groups", 1, 1024),
            ("orthogonal", 0.0, math.inf),
            ("entropy", 0.0, math.inf),
            ("diversity", 0.0, math.inf),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"quantizer {name}={value!r}: must be {low} to {high}")
        if not 0 < self.epsilon < 1:
            raise ValueError(f"quantizer epsilon={self.epsilon!r}: must be above 0 and below 1")
        if self.update not in UPDATES:
            raise ValueError(f"quantizer update={self.update!r}: must be one of {', '.join(UPDATES)}")

    def _check_combinations(self) -> None:
        if self.kind == "product" and self.codebooks % self.heads:
            raise ValueError(f"quantizer codebooks={self.codebooks}: must be a multiple of heads={self.heads}")
        if self.kind == "grouped" and self.groups < 2:
            raise ValueError(f"quantizer groups={self.groups}: kind 'grouped' needs 2 or more; one group is kind 'rvq'")
        if self.codebooks % self.step:
            raise ValueError(f"quantizer codebooks={self.codebooks}: must be a multiple of {self.step}, groups x heads")
        if self.orthogonal and self.update != "gradient":
            # Moving averages overwrite the codes each step, so the regularisation would be undone at once.
            raise ValueError(f"quantizer orthogonal={self.orthogonal}: needs update='gradient', not {self.update!r}")
        if self.conscience and self.update != "ema":
            raise ValueError(f"quantizer conscience={self.conscience}: needs update='ema', not {self.update!r}")
        if self.cosine and self.update != "ema":
            raise ValueError(f"quantizer cosine=True: needs update='ema', not {self.update!r}")
        if self.kind == "lfq" and self.codebook_size & (self.codebook_size - 1):
            raise ValueError(f"quantizer codebook_size={self.codebook_size}: kind 'lfq' needs a power of two")
        if self.kind in ("fsq", "residual_fsq"):
            if not self.levels or min(self.levels) < 3:
                raise ValueError(f"quantizer levels={self.levels}: kind {self.kind!r} needs numbers of 3 or more")
            product = math.prod(self.levels)
            if product != self.codebook_size:
                raise ValueError(f"quantizer codebook_size={self.codebook_size}: levels {self.levels} make {product}")
