"""A language model of codec tokens: embeddings of all codebooks summed, a decoder transformer, a head for each codebook.

The architecture of MusicGen (Copet et al., 2023, arXiv 2306.05284) for any codebook pattern; with `depth`, a second small transformer
writes the codebooks of a step one after the other instead of a delay (RQ-Transformer, Lee et al., 2022; Moshi, 2024).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from solfa import checkpoint
from solfa.lm.adapters import adapters_in, check_merged
from solfa.lm.conditioners.added import Added
from solfa.lm.conditioners.beat import Beat, BeatConfig
from solfa.lm.conditioners.clap import Clap, ClapConfig
from solfa.lm.conditioners.grid import Grid
from solfa.lm.conditioners.melody import Melody, MelodyConfig
from solfa.lm.conditioners.memory import joined
from solfa.lm.conditioners.sound import Sound
from solfa.lm.conditioners.summary import Summary
from solfa.lm.conditioners.t5 import FrozenT5
from solfa.lm.conditioners.text import ByteText, ByteTextConfig, T5Text, T5TextConfig
from solfa.lm.patterns import PatternConfig, delay, make_pattern
from solfa.nn.transformer import Memory, Transformer, TransformerConfig, TransformerState
from solfa.nn.unmade import unmade

KIND = "lm"
TEXT_FOLDER = "text_encoder"  # in a checkpoint: a T5 that was not loaded by name
Draw = Callable[[Tensor, int | None], Tensor]  # logits [B, K, N] (or of one codebook [B, N], and which) to codes


@dataclass(frozen=True)
class LMConfig:
    """A language model of a codec's codes.

    codec, weights_hash: the codec whose codes it writes. codebooks: K, of a stereo model both channels' together. pattern: one column for
    each codebook. depth: a transformer over the codebooks of a step; the pattern must then write all of a step at once (`parallel`).
    text: how captions are read; None for a model without text. crop_frames: the length it was trained on, the longest that it writes
    without a sliding window. fusion: texts are listened to ("cross"), or stand before the first step ("prepend"), as in MusicGen's
    melody models. melody: it stands before the text. clap: a vector of a text or a sound, listened to. beat: where in
    the beat and the bar each step lies, added to the steps, for patterns that write frame after frame. summary: what the text says on the
    whole, added to every step.
    """

    name: str
    codec: str
    sample_rate: int
    frame_rate: float
    transformer: TransformerConfig
    codebooks: int = 4
    codebook_size: int = 2048
    pattern: PatternConfig = field(default_factory=lambda: delay(4))
    depth: TransformerConfig | None = None
    text: ByteTextConfig | T5TextConfig | None = None
    weights_hash: str = ""
    channels: int = 1
    crop_frames: int = 1500
    fusion: Literal["cross", "prepend"] = "cross"
    melody: MelodyConfig | None = None
    clap: ClapConfig | None = None
    beat: BeatConfig | None = None
    summary: bool = False

    def __post_init__(self) -> None:
        for name, most in (("codebooks", 1024), ("codebook_size", 1 << 20), ("crop_frames", 1 << 20), ("channels", 2)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 1 and {most}")
        if self.pattern.codebooks != self.codebooks:
            raise ValueError(f"the pattern has {self.pattern.codebooks} codebooks, the model {self.codebooks}")
        if self.fusion not in ("cross", "prepend"):
            raise ValueError(f"fusion is {self.fusion!r}: it must be cross or prepend")
        if not self.transformer.cross and ((self.text and self.fusion == "cross") or self.clap):
            raise ValueError("transformer.cross is False: text and clap could not be listened to")
        if self.beat is not None and not self.pattern.causal:
            raise ValueError("beat needs a pattern that writes frame after frame, not one in stages")
        if self.summary and (self.text is None or getattr(self.text, "pad_attended", False)):
            raise ValueError("summary needs a text whose padding is not heard")
        if self.depth is not None:
            if self.depth.cross:
                raise ValueError("depth.cross is True: the transformer over codebooks has no memory")
            if len(set(zip(self.pattern.stages, self.pattern.inner, self.pattern.delays, strict=True))) != 1:
                raise ValueError("depth needs a pattern that writes all codebooks of a frame at one step: parallel")

    @property
    def special(self) -> int:
        """The id that stands where nothing is written; embedded, never predicted."""
        return self.codebook_size


@dataclass(frozen=True)
class Conditions:
    """What is given beside the codes: `memory` is listened to in every layer, `prefix` [B, P, D] stands before the first step.

    added: vectors [B, S, D], one for each column from the first (special) one on: what the column is read with says what the step that
    is written from it is to be. Columns beyond them get nothing. always: a vector [B, 1, D] that every column is read with.
    """

    memory: Memory | None = None
    prefix: Tensor | None = None
    added: Tensor | None = None
    always: Tensor | None = None

    @property
    def onto_columns(self) -> Added | None:
        """What is added from the first column on."""
        return None if self.added is None and self.always is None else Added(self.added, self.always)


@dataclass(frozen=True)
class LMState:
    """The past of sequences that are written step by step."""

    transformer: TransformerState
    added: Added | None = None


class TokenLM(nn.Module):
    """Logits of codes, given the steps before them and the conditions. adapters: hashes of those that lie in the weights (`lora`)."""

    offsets: Tensor

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.adapters: tuple[str, ...] = ()
        width, books, size = config.transformer.width, config.codebooks, config.codebook_size
        self.embedding = nn.Embedding(books * (size + 1), width)  # of all codebooks, one after the other
        self.transformer = Transformer(config.transformer)
        self.head = DepthHead(config) if config.depth else FlatHead(books, size, width)
        self.text = _text(config.text, width)
        self.melody = Melody(config.melody, width) if config.melody else None
        self.clap = Clap(config.clap, width) if config.clap else None
        self.beat = Beat(config.beat, width) if config.beat else None
        self.summary = Summary(width) if config.summary else None
        self.register_buffer("offsets", _offsets(books, size)[:, None], persistent=False)  # [K, 1]
        nn.init.trunc_normal_(self.embedding.weight, 0.0, width**-0.5, -3 * width**-0.5, 3 * width**-0.5)

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def embed(self, ids: Tensor) -> Tensor:
        """Steps [B, K, S] of codes, or `special`, as vectors [B, S, D]: the sum over the codebooks."""
        return self.embedding(ids + self.offsets).sum(1)

    def forward(self, sequence: Tensor, conditions: Conditions = Conditions()) -> Tensor:
        """Logits [B, K, S, N] of all steps of a sequence [B, K, 1 + S] that `Pattern.build` gave: step s from the columns before it.

        On a CPU ValueError for ids below 0 or above `special`: in the table of all codebooks they are those of another one.
        """
        if sequence.device.type == "cpu" and not torch.compiler.is_compiling() and sequence.numel():
            least, most = (int(end) for end in sequence.aminmax())
            if least < 0 or most > self.config.special:
                raise ValueError(f"ids lie between {least} and {most}: 0 to {self.config.special} are legal")
        hidden = self.hidden(sequence[:, :, :-1], conditions)
        return self.head(hidden, sequence[:, :, 1:])

    def hidden(self, steps: Tensor, conditions: Conditions = Conditions()) -> Tensor:
        """What the transformer makes of columns [B, K, S]: [B, S, D]. The trunk that other heads may build on."""
        x = self.embed(steps)
        if (added := conditions.onto_columns) is not None:
            x, _ = added.onto(x)
        prefix = conditions.prefix
        if prefix is not None:
            x = torch.cat([prefix.to(x.dtype), x], 1)
        hidden = self.transformer(x, conditions.memory)
        return hidden if prefix is None else hidden[:, prefix.shape[1] :]

    def start(self, batch: int, steps: int, conditions: Conditions = Conditions()) -> LMState:
        """The state before the first column of `batch` sequences of at most `steps` columns; the prefix has been read."""
        prefix = conditions.prefix
        length = 0 if prefix is None else prefix.shape[1]
        state = self.transformer.start(batch, steps + length, conditions.memory)
        if prefix is not None:
            _, state = self.transformer.advance(prefix, state)
        return LMState(state, conditions.onto_columns)

    def advance(self, columns: Tensor, state: LMState) -> tuple[Tensor, LMState]:
        """The next columns [B, K, S] read; gives the vectors [B, S, D] that the head writes the steps after them from."""
        x, added = self.embed(columns), state.added
        if added is not None:
            x, added = added.onto(x)
        hidden, transformer = self.transformer.advance(x, state.transformer)
        return hidden, LMState(transformer, added)

    def describe(
        self,
        texts: Sequence[str | None],
        *,
        melody: Sequence[Sound | None] | None = None,
        clap: Sequence[str | Sound | None] | None = None,
        beat: Sequence[Grid | None] | None = None,
    ) -> Conditions:
        """The conditions of B rows: texts, sounds whose melody is followed, texts or sounds as CLAP hears them, beats; None tells nothing.

        A grid's time 0 is the first frame that is written; beats are told for as many frames as the model was trained on.

        Where text stands before the first step, a row's null condition is as long as its text: describe rows that are guided and their
        null rows in one call. There shorter texts of a batch end in zeros that are heard, as in the released models; this is said.
        Raises ValueError for what the model does not hear, for other numbers of rows, and for one text that is not in a list.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts is {texts!r}: a list of texts is needed, one a row")
        for name, given in (("melody", melody), ("clap", clap), ("beat", beat)):
            if given is not None and len(given) != len(texts):
                raise ValueError(f"{len(given)} rows of {name} for {len(texts)} texts: one each, or None")
            if given is not None and getattr(self, name) is None and any(item is not None for item in given):
                raise ValueError(f"{self.config.name} hears no {name}")
        if self.text is None and any(texts):
            raise ValueError(f"{self.config.name} reads no text")
        nothing = [None] * len(texts)
        features = None if self.melody is None else self.melody.features(melody or nothing)
        told = None if self.clap is None else self.clap(*self._here(*self.clap.vectors(clap or nothing)))
        grids = None
        if self.beat is not None and beat is not None and any(beat):
            frames = make_pattern(self.config.pattern, self.config.crop_frames).newest
            grids = self.beat.features(beat, frames, self.config.frame_rate)
        return self.fuse(self._read(texts), features, told, grids)

    def _read(self, texts: Sequence[str | None]) -> Memory | None:
        if self.text is None:
            return None
        ids, mask = self.text.tokenize(texts)
        if self.config.fusion == "prepend" and len(set(mask.sum(1).tolist()) - {0}) > 1:
            warnings.warn(
                "texts of different lengths before the first step of one batch: the shorter ones end in zeros, which are heard",
                RuntimeWarning,
                stacklevel=3,
            )
        return self.text(*self._here(ids, mask))

    def _here(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.to(self.device) for tensor in tensors)

    def fuse(
        self,
        text: Memory | None = None,
        melody: Tensor | None = None,
        clap: Memory | None = None,
        beat: Tensor | None = None,
    ) -> Conditions:
        """Conditions from what `text` and `clap` gave, from the features [B, F, 12] of melodies: all that the model has of these; and from
        the features [B, S, F] of beats, of a model that has them, or None where no row has a beat."""
        prefix, memories = [], []
        if self.melody is not None:
            assert melody is not None
            prefix.append(self.melody(melody.to(self.device)))
        if text is not None and self.config.fusion == "prepend":
            prefix.append(text.values)
        elif text is not None:
            memories.append(text)
        if clap is not None:
            memories.append(clap)
        memory = joined(memories) if len(memories) > 1 else next(iter(memories), None)
        added = None
        if beat is not None:
            assert self.beat is not None
            added = self.beat(beat.to(self.device))
        always = None if self.summary is None or text is None else self.summary(text)
        return Conditions(memory, torch.cat(prefix, 1) if prefix else None, added, always)

    @torch.no_grad()
    def start_from(self, vectors: Sequence[Tensor]) -> None:
        """Begin with what is known of the codes: vectors [N, C] of each codebook, such that like codes have like ones.

        Embeddings, and the head where it is one matrix, become random projections of them, on the scale of random ones.
        Raises ValueError where a codebook's vectors are all alike, as before training.
        """
        config, generator = self.config, torch.Generator().manual_seed(0)
        size, width = config.codebook_size, config.transformer.width
        for k, vector in enumerate(vectors):
            if not vector.std() > 0:
                raise ValueError(f"the code vectors of codebook {k} are all alike: the codec was not trained")
            even = vector / vector.std() * vector.shape[1] ** -0.5
            projected = [even @ torch.randn(vector.shape[1], width, generator=generator) * width**-0.5 for _ in "eh"]
            self.embedding.weight[k * (size + 1) : (k + 1) * (size + 1) - 1] = projected[0]
            if isinstance(self.head, FlatHead):
                self.head.linear.weight[k * size : (k + 1) * size] = projected[1]

    def save(
        self, folder: str | Path, metadata: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        """Write a checkpoint folder, its weights in `dtype`.

        A T5 that came with the model is written beside it, once; one that was loaded by its name stays a name. Raises ValueError for a
        model with adapters that are not in its weights; which ones are is told in the metadata.
        """
        check_merged(self)
        if self.adapters:
            metadata = {**(metadata or {}), "adapters": list(self.adapters)}
        tensors = {name: weight.detach().to("cpu", dtype) for name, weight in self.named_parameters()}
        checkpoint.save(folder, KIND, asdict(self.config), tensors, metadata=metadata)
        if isinstance(self.text, T5Text) and self.text.frozen.folder and not (Path(folder) / TEXT_FOLDER).exists():
            self.text.frozen.save(Path(folder) / TEXT_FOLDER)


class FlatHead(nn.Module):
    """The logits of all codebooks of a step at once: one matrix."""

    def __init__(self, codebooks: int, size: int, width: int) -> None:
        super().__init__()
        self.codebooks = codebooks
        self.linear = nn.Linear(width, codebooks * size, bias=False)
        nn.init.trunc_normal_(self.linear.weight, 0.0, width**-0.5, -3 * width**-0.5, 3 * width**-0.5)

    def forward(self, hidden: Tensor, written: Tensor) -> Tensor:
        """hidden: [B, S, D]. Gives [B, K, S, N]. What is written at the same step ([B, K, S]) is not heard."""
        return self.linear(hidden).unflatten(-1, (self.codebooks, -1)).transpose(1, 2)

    def write(self, hidden: Tensor, draw: Draw) -> Tensor:
        """The codes [B, K] of one step, from hidden [B, D], as `draw` takes them from the logits [B, K, N]."""
        return draw(self.linear(hidden).unflatten(-1, (self.codebooks, -1)), None)


class DepthHead(nn.Module):
    """The codebooks of a step one after the other: codebook k hears the step's codebooks before it.

    A transformer over K places: what the big one says, then the embeddings of the codes; its weights serve all places, as in CSM.
    """

    offsets: Tensor

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        assert config.depth is not None
        books, size, width = config.codebooks, config.codebook_size, config.depth.width
        self.codebooks, self.size = books, size
        self.enter = nn.Linear(config.transformer.width, width, bias=False)
        self.embedding = nn.Embedding(books * (size + 1), width)
        self.transformer = Transformer(config.depth)
        self.weight = nn.Parameter(torch.empty(books, size, width))
        self.register_buffer("offsets", _offsets(books, size), persistent=False)
        for weight in (self.embedding.weight, self.weight):
            nn.init.trunc_normal_(weight, 0.0, width**-0.5, -3 * width**-0.5, 3 * width**-0.5)

    def forward(self, hidden: Tensor, written: Tensor) -> Tensor:
        """Logits [B, K, S, N] from hidden [B, S, D] and the codes written at each step [B, K, S]."""
        batch, steps, _ = hidden.shape
        before = self.embedding(written[:, :-1].transpose(1, 2) + self.offsets[:-1])  # [B, S, K - 1, D]
        x = torch.cat([self.enter(hidden)[:, :, None], before], 2).flatten(0, 1)
        x = self.transformer(x).unflatten(0, (batch, steps))  # [B, S, K, D]
        return torch.einsum("bskd,knd->bksn", x, self.weight.to(x.dtype))

    def write(self, hidden: Tensor, draw: Draw) -> Tensor:
        """The codes [B, K] of one step, from hidden [B, D]; `draw` takes each from its logits [B, N]."""
        state = self.transformer.start(len(hidden), self.codebooks)
        x, codes = self.enter(hidden)[:, None], []
        for k in range(self.codebooks):
            out, state = self.transformer.advance(x, state)
            codes.append(draw(out[:, 0] @ self.weight[k].T, k))
            x = self.embedding(codes[-1] + self.offsets[k])[:, None]
        return torch.stack(codes, 1)


def _offsets(books: int, size: int) -> Tensor:
    """Where each codebook's rows begin in a table of all; a real tensor also where the rest of a model is built without memory."""
    return torch.arange(books, device="cpu") * (size + 1)


def _text(config: ByteTextConfig | T5TextConfig | None, width: int) -> ByteText | T5Text | None:
    if config is None:
        return None
    return ByteText(config, width) if isinstance(config, ByteTextConfig) else T5Text(config, width)


def with_weights(config: LMConfig, tensors: Mapping[str, Tensor], where: str) -> TokenLM:
    """The model of these weights, in float32, ready to write; nothing is drawn at random, and what is float32 is not copied.

    Raises ValueError, with `where`, unless names and shapes are exactly those of the configuration and all numbers are finite.
    """
    with unmade():
        model = TokenLM(config)
    ready = checkpoint.fitted(dict(model.named_parameters()), tensors, where)
    for name, weight in list(model.named_parameters()):
        module, _, own = name.rpartition(".")
        setattr(model.get_submodule(module), own, nn.Parameter(ready[name], requires_grad=weight.requires_grad))
    return model.eval()


def load_lm(folder: str | Path, device: str = "cpu") -> TokenLM:
    """The model of a checkpoint folder of ours, in float32, ready to write. ValueError where it is missing, damaged or of another kind."""
    loaded = checkpoint.load(folder, KIND)
    config = checkpoint.config_from_dict(LMConfig, loaded.config, where=str(folder))
    model = with_weights(config, loaded.tensors, str(folder))
    model.adapters = adapters_in(loaded.metadata.get("adapters"))
    beside = Path(folder) / TEXT_FOLDER
    if isinstance(model.text, T5Text) and beside.is_dir():
        model.text.frozen = FrozenT5(model.text.config.name, beside)
    return model.to(device)
