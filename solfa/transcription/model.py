"""A transcriber of codec tokens: an encoder over the codes of a segment, frame outputs beside it, and a decoder that writes events.

The roles are MT3's (Gardner et al., 2021, arXiv 2111.03017), whose encoder hears a spectrogram: here it hears a codec's codes, its latents,
or the hidden states of a language model, 50 times a second where MT3 has 125. What MT3 has not are the frame outputs (Hawthorne et al.,
2018, arXiv 1710.11153): they are read alone, without the decoder, or say what the decoder may write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from solfa import checkpoint
from solfa.nn.unmade import unmade
from solfa.transcription.cast import Cast
from solfa.transcription.clues import Clues, find_clues
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.event_decoder import EventDecoder, EventState
from solfa.transcription.frames import DRUMS, INSTRUMENTS, Programs
from solfa.transcription.front import Encoder, Front
from solfa.transcription.heads import FrameHead, ProgramHead
from solfa.transcription.heard import Heard

KIND = "transcriber"


class TokenTranscriber(nn.Module):
    """Notes and events of codes. `encode` hears segments; `start` and `advance` write events step by step, `forward` reads all at once."""

    def __init__(self, config: TranscriberConfig) -> None:
        super().__init__()
        self.config = config
        self.front = Front(config)
        self.encoder = Encoder(config)
        self.frame_head = FrameHead(config)
        self.program_head = ProgramHead(config)
        self.decoder = None if config.vocabulary is None else EventDecoder(config, config.vocabulary)

    @property
    def device(self) -> torch.device:
        return self.encoder.norm.weight.device

    def encode(
        self,
        source: Tensor,
        lengths: Tensor | Sequence[int] | None = None,
        hint: Tensor | None = None,
        codebooks: int | None = None,
    ) -> Heard:
        """Hear segments: codes [B, K, T] (int64) or vectors [B, D, T], as the configuration says, with a row's frames behind one another.

        lengths: frames of each row, 1 to T; what follows them is padding, codes of any legal value, and is not heard. hint: [B, 129] bool,
        the programs that play and whether drums do; a row of none, as None, tells nothing. codebooks: read the first so many of the
        codes only, which may then be as few. Raises ValueError for a source of another kind or shape, for codes that do not exist, and
        for lengths and hints that do not fit.
        """
        self.front.check(source, codebooks)
        batch, _, frames = source.shape
        if frames == 0:
            raise ValueError("a segment of 0 frames: at least one is heard")
        mask, hint = self._mask(lengths, batch, frames), self._checked(hint, batch)
        source = source.to(self.device)
        memory = self.encoder(self.front(source, hint, codebooks), mask)
        pitches, outputs = self.frame_head(memory, mask, source)
        return Heard(memory, mask, outputs, pitches, hint)

    def _mask(self, lengths: Tensor | Sequence[int] | None, batch: int, frames: int) -> Tensor | None:
        if lengths is None:
            return None
        counts = torch.as_tensor(lengths, dtype=torch.int64)
        if counts.shape != (batch,) or not bool(((counts >= 1) & (counts <= frames)).all()):
            raise ValueError(f"lengths {counts.tolist()}: {batch} are needed, each from 1 to {frames}")
        if bool((counts == frames).all()):
            return None
        return (torch.arange(frames) < counts.cpu()[:, None]).to(self.device)

    def _checked(self, hint: Tensor | None, batch: int) -> Tensor | None:
        if hint is None:
            return None
        if not self.config.hints:
            raise ValueError(f"{self.config.name} takes no hint of what plays")
        if hint.shape != (batch, INSTRUMENTS) or hint.dtype != torch.bool:
            raise ValueError(f"a hint of {hint.dtype} {tuple(hint.shape)}: it must be bool [{batch}, {INSTRUMENTS}]")
        return hint.to(self.device)

    def programs(self, heard: Heard, rows: Tensor, frames: Tensor, columns: Tensor) -> Tensor:
        """Logits [n, 129] of the instruments of notes that begin at these rows, frames and columns of the outputs, int64 [n] each.

        The last is drums. The hint was heard by the encoder; it rules nothing out here, as it does in `instruments`.
        """
        return self.program_head(heard.memory, heard.pitches, rows, frames, columns)

    def instruments(self, heard: Heard, rows: Tensor, frames: Tensor, columns: Tensor) -> Tensor:
        """The likeliest programs [n], of those of the row's hint where it has one; 128 is drums.

        A model with columns for drums takes no pitch for one, and no drum for a pitch.
        """
        return self._chances(heard, rows, frames, columns).argmax(1)

    @torch.no_grad()
    def _chances(self, heard: Heard, rows: Tensor, frames: Tensor, columns: Tensor) -> Tensor:
        """Logits [n, 129] as of `programs`; -inf for what `instruments` rules out."""
        logits, kinds = self.programs(heard, rows, frames, columns).float(), self.config.columns
        legal = torch.ones_like(logits, dtype=torch.bool)
        if kinds.count > kinds.pitched:
            legal[:, DRUMS] = False
        if heard.hint is not None:
            told = legal & heard.hint[rows]
            legal = torch.where(told.any(1, keepdim=True), told, legal)
        drums = torch.arange(INSTRUMENTS, device=logits.device) == DRUMS
        legal = torch.where((columns >= kinds.pitched)[:, None], drums, legal)
        return logits.masked_fill(~legal, float("-inf"))

    def naming(self, heard: Heard, row: int = 0, first: int = 0, cast: Cast | None = None) -> Programs:
        """What names the instruments of a row's notes in `frame_notes` and `FrameReader.push`; their piece begins at frame `first` here.

        cast: what was heard of the recording's instruments before, which has a say, and is told of these. Without it each note is named
        by itself.
        """

        def programs(frames: np.ndarray, columns: np.ndarray) -> np.ndarray:
            places = (
                torch.from_numpy(each).to(self.device) for each in (np.full_like(frames, row), frames + first, columns)
            )
            if cast is None:
                return self.instruments(heard, *places).cpu().numpy()
            return cast.name(self._chances(heard, *places).cpu().numpy())

        return programs

    def forward(
        self,
        source: Tensor,
        ids: Tensor | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        hint: Tensor | None = None,
        codebooks: int | None = None,
        first: Tensor | None = None,
    ) -> tuple[Tensor | None, Heard]:
        """Logits [B, L, V] of what follows each of the ids [B, L], and what was heard; without ids, None and what was heard.

        A sequence begins with the vocabulary's `pad`, as T5's do: [pad, first event, ...] is read, [first event, ..., eos] is written.
        What follows a sequence in its row changes nothing before it. first: [B] int64, the frame at which a row's events begin, which
        count their time from there; None is the very first. The rest is as in `encode`.
        """
        heard = replace(self.encode(source, lengths, hint, codebooks), first=first)
        return None if ids is None else self.written(ids, heard), heard

    def written(self, ids: Tensor, heard: Heard) -> Tensor:
        """As `forward`, of what was heard already."""
        decoder = self._events()
        return decoder(ids, heard, self._clues(heard, decoder))

    def start(self, heard: Heard, capacity: int) -> EventState:
        """The state before the first of at most `capacity` ids, the first `pad` among them."""
        decoder = self._events()
        return decoder.start(heard, self._clues(heard, decoder), capacity)

    def advance(self, ids: Tensor, state: EventState) -> tuple[Tensor, EventState]:
        """The next ids [B, S] read, `pad` the very first: logits [B, S, V] of what follows each. The state that was given is used up."""
        return self._events().advance(ids, state)

    def _clues(self, heard: Heard, decoder: EventDecoder) -> Clues:
        return find_clues(heard, self._chances, decoder.phases, decoder.clues.reach)

    def _events(self) -> EventDecoder:
        if self.decoder is None:
            raise ValueError(f"{self.config.name} writes no events: it has frame outputs only")
        return self.decoder

    def start_from(self, vectors: Sequence[Tensor]) -> None:
        """Begin with the codec's own vectors of its codes, [N, C] of each codebook: see `Front.start_from`."""
        self.front.start_from(vectors)

    def save(
        self, folder: str | Path, metadata: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        """Write a checkpoint folder, its weights in `dtype`."""
        tensors = {name: weight.detach().to("cpu", dtype) for name, weight in self.named_parameters()}
        checkpoint.save(folder, KIND, asdict(self.config), tensors, metadata=metadata)


def load_transcriber_model(folder: str | Path, device: str = "cpu") -> TokenTranscriber:
    """The model of a checkpoint folder, in float32, ready to hear. CheckpointError or ValueError where it is missing, damaged or another's.

    Its configuration and the shapes of its tensors are compared before any memory is taken for the model.
    """
    loaded = checkpoint.load(folder, KIND)
    config = checkpoint.config_from_dict(TranscriberConfig, loaded.config, where=str(folder))
    with unmade():
        model = TokenTranscriber(config)
    ready = checkpoint.fitted(dict(model.named_parameters()), loaded.tensors, str(folder))
    model.load_state_dict(ready, assign=True)
    return model.eval().to(device)
