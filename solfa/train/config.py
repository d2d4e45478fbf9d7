"""How to train, whatever the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")

# Fields that a resumed run may change: they do not touch what a step computes. (`steps` moves the end of the cosine.)
FREE_FIELDS = (
    "steps",
    "max_minutes",
    "save_every",
    "save_minutes",
    "keep",
    "evaluate_every",
    "log_every",
    "device",
    "prefetch",
)


@dataclass(frozen=True)
class TrainConfig:
    """The loop's configuration. `learning_rate` and `clip` are one number for all phases, or one for each in order."""

    steps: int = 10_000  # updates of each phase
    learning_rate: float | tuple[float, ...] = 3e-4  # peak
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0  # decoupled; on tensors of two or more dimensions
    decay_all: bool = False  # on all others (biases, gains) too, as torch's AdamW does it by itself
    muon: str | None = None  # names (a glob) of the weight matrices that Muon moves; AdamW moves all else
    warmup: int = 0  # steps of linear warm-up
    floor: float = 0.0  # where the cosine ends, as a fraction of the peak; 1.0 is a constant rate
    gamma: float | None = None  # instead of the cosine: a factor of the rate after every step, down to the floor
    clip: float | tuple[float, ...] | None = 1.0  # largest global norm of a phase's gradient
    accumulate: int = (
        1  # shards of a batch, computed one after the other; EMA codebooks and the balancer's means move with each
    )
    parallel: Literal["ddp", "fsdp"] = "ddp"  # several processes: each holds all weights, or its share of them (FSDP2)
    ema: float = 0.999  # decay of averaged weights, min(ema, (1 + step) / (10 + step)); 0: no average
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # autocast; float16 only on cuda
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0
    prefetch: int = 1  # threads that make batches ahead of time
    log_every: int = 20
    evaluate_every: int | None = 1000
    save_every: int | None = 1000
    save_minutes: float | None = 15.0
    keep: int = 2  # training states kept, the newest
    max_minutes: float | None = None  # stop this session after so long, saved and resumable

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "prefetch", "log_every", "evaluate_every", "save_every", "keep"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        for name in ("save_minutes", "max_minutes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}; it must be above 0, or None")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not number > 0:
                    raise ValueError(f"{name} is {value}; each must be above 0")
        for name, value in (("ema", self.ema), ("betas", min(self.betas)), ("betas", max(self.betas))):
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1)")
        if self.gamma is not None and not 0 < self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}; it must lie in (0, 1], or be None")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor is {self.floor}; it must lie in [0, 1]")
        if self.warmup < 0 or self.weight_decay < 0 or self.seed < 0:
            raise ValueError("warmup, weight_decay and seed must not be negative")
        if self.parallel not in ("ddp", "fsdp"):
            raise ValueError(f"parallel is {self.parallel!r}; it must be ddp or fsdp")
        if self.parallel == "fsdp" and self.muon is not None:
            raise ValueError("parallel is fsdp: Muon needs whole matrices; set muon to none, or take ddp")
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise ValueError(f"precision is {self.precision!r}; it must be float32, bfloat16 or float16")

    def learning_rates(self, phases: list[str]) -> dict[str, float]:
        """The peak rate of each phase, by name."""
        rates = self.learning_rate if isinstance(self.learning_rate, tuple) else (self.learning_rate,)
        return _each("learning_rate", rates, phases)

    def clips(self, phases: list[str]) -> dict[str, float | None]:
        """The largest gradient norm of each phase, by name."""
        return _each("clip", self.clip if isinstance(self.clip, tuple) else (self.clip,), phases)


def _each(name: str, values: tuple[T, ...], phases: list[str]) -> dict[str, T]:
    if len(values) == 1:
        values *= len(phases)
    if len(values) != len(phases):
        raise ValueError(f"{name} is {values}; the task has {len(phases)} phases: {', '.join(phases)}")
    return dict(zip(phases, values, strict=True))
