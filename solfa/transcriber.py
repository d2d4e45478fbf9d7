"""Recordings to notes in three lines: a codec's codes are heard by a transcriber.

take = Transcriber.load()("take.wav")
take.to_midi("take.mid")
print(take.to_abc())
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from solfa.audio.io import Audio, blocks, info
from solfa.audio.sinc import make_resampler
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.fits import check_fits
from solfa.codecs.played import played
from solfa.codecs.silence import codes_of_silence
from solfa.codecs.stream import EncodeStream
from solfa.codecs.token_file import TokenFile, TokenHeader
from solfa.codecs.token_format import MAGIC
from solfa.data.composer.instruments import INSTRUMENTS
from solfa.nn.devices import pick_device
from solfa.score.note import Note
from solfa.transcription.decoding import USUAL, DecodingOptions
from solfa.transcription.frames import FrameOptions
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.registry import DEFAULT, find_transcriber, load_transcriber
from solfa.transcription.result import Report, Transcription
from solfa.transcription.segments import PedalSpan
from solfa.transcription.stitch import Account, EventStitcher, FrameStitcher, Hearing, Source, Stitcher
from solfa.wishes import check_wishes

Mode = Literal["frames", "events"]
MODES = Mode.__args__  # type: ignore[attr-defined]
SUFFIX = ".solfa"
NAMES = tuple(instrument.name for instrument in INSTRUMENTS)
BLOCK = 1 << 12  # frames of a token file that are read at a time
CANCELLED = 0.01  # of the channels' power, that of their mean: channels with nothing in common leave a half of two, a 64th of 64
BATCH = 8  # segments that are heard at once


class Wishes(TypedDict, total=False):
    """How a recording is heard.

    mode: "frames" reads the frame outputs, which is fast; "events" has the model write what it hears, with pedals. frames, events: the
    options of each; None: the model's own. instruments: the General MIDI programs that play, 128 for drums; None: not known. codebooks:
    how many of the codec's are read, from the first; None: as many as the model can, and the codes have.
    """

    mode: Mode
    frames: FrameOptions | None
    events: DecodingOptions
    instruments: Sequence[int] | None
    codebooks: int | None


class Transcriber:
    """A model with the codec whose codes it reads. What is found depends on the codes alone, not on the pieces in which they come."""

    def __init__(
        self, model: TokenTranscriber, codec: Codec, trunk: Source | None = None, batch: int | None = None
    ) -> None:
        """trunk: for models that hear a language model's hidden states: codes [B, K, T] to these, [B, D, T].

        batch: segments at once; None: 8, but 1 where frames are heard on a CPU, which one segment keeps busy. Raises ValueError where the
        parts do not fit together.
        """
        check_fits(codec, model.config)
        if (model.config.source == "trunk") != (trunk is not None):
            what = "none was handed in" if trunk is None else "it has no use for a trunk"
            raise ValueError(f"{model.config.name} hears {model.config.source}: {what}")
        self.model, self.codec, self.batch = model, codec, batch
        self._source = {"codes": None, "latents": self._latents, "sound": self._sound, "trunk": trunk}[
            model.config.source
        ]

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT,
        device: str = "cpu",
        codec: str | Path | Codec | None = None,
        trunk: str | Path | None = None,
        fetch: bool = True,
    ) -> Transcriber:
        """A model by name or folder, with the codec, and the language model if it hears one, that its configuration names.

        codec, trunk: where those are, if they have no name here: a folder, a file of weights, a hub repository; or the codec itself.
        device: a torch device; "auto" is cuda where there is one. fetch: whether what is named, and is not here, may come from the hub.
        Raises ValueError for what is not there, is damaged or does not fit together.
        """
        device = str(pick_device(device))
        found = load_transcriber(model, device)
        if found.config.source != "trunk" and trunk is not None:
            raise ValueError(f"{found.config.name} hears {found.config.source}: it has no use for a trunk")
        heard = _trunk(trunk, found, find_transcriber(model), device, fetch) if found.config.source == "trunk" else None
        return cls(found, codec if isinstance(codec, Codec) else _codec(codec, found, device, fetch), heard)

    def __call__(
        self,
        source: str | Path | Audio | Codes,
        progress: Callable[[float], None] | None = None,
        **more: Unpack[Wishes],
    ) -> Transcription:
        """The notes of a recording: a sound file, a token file (.solfa), sound or codes in memory, of one item.

        A sound file and its token file give the same notes. Files of any length are read in memory that does not grow. progress: called
        with the seconds that were heard. Warned of: channels that cancel out where the codec has only one. Raises ValueError for what
        cannot be read, codes of another codec, and wishes that cannot be.
        """
        check_wishes(more, Wishes)
        notes = []
        with self._opened(source, more.get("codebooks")) as (books, codes):
            one = self.model.device.type == "cpu" and more.get("mode", "frames") == "frames"
            heard = self._stitcher(books, self.batch or (1 if one else BATCH), **more)
            for tokens in codes:
                notes += heard.push(tokens)
                if progress is not None:
                    progress(heard.account.frames / self.codec.frame_rate)
            notes += heard.finish()
        report = self._report(heard.account, more.get("mode", "frames"))
        return Transcription(tuple(sorted(notes)), tuple(sorted(heard.pedals)), report, NAMES)

    def stream(self, sample_rate: int | None = None, **more: Unpack[Wishes]) -> TranscriptionStream:
        """Notes while the recording goes on: push codes or samples, get the notes that have ended.

        The notes are those of the whole, segment by segment. From codes all are the same to the last bit on a CPU; the codes of samples,
        which the codec encodes as a stream, may differ from a file's at near-ties. sample_rate: of samples, where it is not the codec's.
        Raises ValueError for wishes that cannot be.
        """
        check_wishes(more, Wishes)
        books = self._codebooks(more.get("codebooks"))
        return TranscriptionStream(
            self.codec,
            self._stitcher(books, 1, **more),
            books,
            self.codec.sample_rate if sample_rate is None else sample_rate,
        )

    def _stitcher(
        self,
        books: int,
        batch: int,
        mode: Mode = "frames",
        frames: FrameOptions | None = None,
        events: DecodingOptions = USUAL,
        instruments: Sequence[int] | None = None,
        codebooks: int | None = None,
    ) -> Stitcher:
        playing = None if instruments is None else tuple(dict.fromkeys(instruments))
        fewer = books if self._source is None and books < self.model.config.codebooks else None
        hearing = Hearing(
            self._source, self._is_silent, self._quiet[:, self._quiet.shape[1] // 2], playing, fewer, batch
        )
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}: legal are {' and '.join(MODES)}")
        return (
            FrameStitcher(self.model, frames or self.model.config.peaks, hearing)
            if mode == "frames"
            else EventStitcher(self.model, events, hearing)
        )

    def _codebooks(self, wanted: int | None, there: int | None = None) -> int:
        """How many codebooks are read, of as many as are there. Raises ValueError where the wish cannot be."""
        most = self.model.config.codebooks
        if wanted is not None and not 1 <= wanted <= most:
            raise ValueError(f"codebooks is {wanted}: {self.model.config.name} reads 1 to {most}")
        return min(wanted or most, there or most)

    def _report(self, account: Account, mode: Mode) -> Report:
        config, seconds = self.model.config, account.frames / self.codec.frame_rate
        return Report(config.name, self.codec.name, mode, seconds, account)

    def _sound(self, tokens: Tensor, lengths: list[int]) -> Tensor:
        """What the codec plays of codes, as levels by pitch [B, D, T]."""
        return played(self.codec, tokens, lengths)

    def _latents(self, tokens: Tensor, lengths: list[int]) -> Tensor:
        """The codec's vectors [B, D, T] of codes [B, K, T]."""
        quantizer = getattr(self.codec, "quantizer", None)
        if quantizer is None:
            raise ValueError(
                f"{self.codec.name} does not tell the vectors of its codes, which {self.model.config.name} hears"
            )
        return quantizer.decode(tokens.to(self.codec.device))

    def _is_silent(self, tokens: Tensor) -> bool:
        """Whether codes [k, t] are those of digital silence: at a recording's beginning, in its midst or at its end."""
        columns = {tuple(column) for column in tokens.T.tolist()}
        if 2 * len(columns) > tokens.shape[1] + 4:
            return False  # no need to ask the codec: hardly a frame is like another
        return columns <= {tuple(column[: tokens.shape[0]]) for column in self._quiet.T.tolist()}

    @cached_property
    def _quiet(self) -> Tensor:
        """The codes [K, t] of digital silence."""
        return codes_of_silence(self.codec)

    @contextmanager
    def _opened(self, source: str | Path | Audio | Codes, wanted: int | None) -> Iterator[tuple[int, Iterable[Tensor]]]:
        """How many codebooks of a recording are read, and its codes [k, t], block by block."""
        if isinstance(source, Codes):
            books = self._readable(source, source.codebooks, wanted)
            yield books, [source.tokens[source.chosen(None), :books, : source.lengths[0]]]
        elif isinstance(source, Audio):
            if source.samples.shape[0] != 1:
                raise ValueError(f"a batch of {source.samples.shape[0]} recordings: one at a time")
            books = self._codebooks(wanted)
            mixed = _Mixed()
            list(mixed.through(source.samples))
            yield books, [self.codec.encode(source, codebooks=books).tokens[0]]
            mixed.warn(self.codec)
        elif _is_token_file(source):
            with TokenFile(source) as file:
                books = self._readable(file.header, file.header.codebooks, wanted, f"{source}: ")
                yield books, (torch.from_numpy(block).long() for block in file.chunks(BLOCK, books))
        elif Path(source).suffix.lower() in (".ecdc", ".dac"):
            raise ValueError(
                f"{source}: a file of another package, whose sound is transcribed: `solfa decode` makes a WAV of it"
            )
        else:
            books = self._codebooks(wanted)
            sound = (mixed := _Mixed()).through(torch.from_numpy(block) for block in blocks(source))
            yield books, self.codec.encode_blocks(sound, books, info(source).sample_rate)
            mixed.warn(self.codec, f"{source}: ")

    def _readable(self, codes: Codes | TokenHeader, there: int, wanted: int | None, name: str = "") -> int:
        """How many codebooks of these codes are read. Raises ValueError for those of another codec."""
        codec = self.codec
        theirs = codes.codec, codes.weights_hash, codes.sample_rate, codes.hop, codes.codebook_size
        ours = codec.name, codec.weights_hash, codec.sample_rate, codec.hop, codec.codebook_size
        if theirs[1:] != ours[1:] or (not codec.weights_hash and theirs != ours):
            made = f"the codec {codes.codec} ({codes.weights_hash[:12] or 'no hash'})"
            read = f"{codec.name} ({codec.weights_hash[:12] or 'no hash'})"
            raise ValueError(f"{name}made by {made}: {self.model.config.name} reads codes of {read}")
        books = self._codebooks(wanted, there)
        if books < (wanted or self.model.config.codebooks):
            warnings.warn(
                f"{name}{there} codebooks, of {wanted or self.model.config.codebooks} that are read: less is heard",
                stacklevel=4,
            )
        return books


class _Mixed:
    """What is left of the channels of a recording where they are mixed into one."""

    def __init__(self) -> None:
        self._apart, self._mixed = 0.0, 0.0  # sums of squares: the mean of the channels', and their mean's

    def through(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """The pieces [C, n] as they are."""
        for piece in pieces:
            if piece.shape[0] > 1:
                self._apart += float(piece.square().mean(0).sum(dtype=torch.float64))
                self._mixed += float(piece.mean(0).square().sum(dtype=torch.float64))
            yield piece

    def warn(self, codec: Codec, name: str = "") -> None:
        """Say where a codec of one channel hears next to nothing of them: one is the other upside down."""
        if codec.channels == 1 and self._mixed < CANCELLED * self._apart:
            warnings.warn(
                f"{name}its channels cancel out where they are mixed into one: little or nothing is heard", stacklevel=4
            )


class TranscriptionStream:
    """A recording while it goes on. `push` what comes, `finish` once; the notes of each call have ended, sorted by onset."""

    def __init__(self, codec: Codec, stitcher: Stitcher, codebooks: int, sample_rate: int) -> None:
        self.codebooks, self.sample_rate = codebooks, sample_rate
        self._codec, self._stitcher = codec, stitcher
        self._codes: EncodeStream | None = None
        self._resampler = make_resampler(codec.resampler, sample_rate, codec.sample_rate, codec.channels)
        self._kind: Literal["codes", "samples"] | None = None
        self._finished = False

    def push(self, piece: Tensor | np.ndarray) -> list[Note]:
        """The next codes (integers [k, t], k at least `codebooks`) or samples (floats [C, n]), any t or n, as a tensor or an array.

        Raises ValueError for another shape, codes that do not exist, samples after codes or codes after samples, and after the end.
        """
        piece = torch.as_tensor(piece)
        kind: Literal["codes", "samples"] = "samples" if piece.is_floating_point() else "codes"
        if self._finished:
            raise ValueError("the stream is finished: take a new one for another recording")
        if piece.ndim != 2 or (kind == "codes" and piece.shape[0] < self.codebooks):
            raise ValueError(
                f"{kind} have the shape {list(piece.shape)}: codes [{self.codebooks}, t] or samples [C, n] are needed"
            )
        if self._kind not in (None, kind):
            raise ValueError(f"{kind} after {self._kind}: a stream is of one of them")
        if kind == "samples":
            tokens = self._encoded(piece)
        else:
            tokens = piece[: self.codebooks].long()
            if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self._codec.codebook_size:
                raise ValueError(
                    f"codes lie between {tokens.min()} and {tokens.max()}: 0 to {self._codec.codebook_size - 1} are legal"
                )
        self._kind = kind
        return sorted(self._stitcher.push(tokens))

    def finish(self) -> list[Note]:
        """The recording ends; gives the rest of its notes."""
        if self._finished:
            raise ValueError("the stream is finished: take a new one for another recording")
        self._finished = True
        notes = []
        if self._codes is not None:
            rest = torch.from_numpy(self._resampler.flush())
            notes += self._stitcher.push(self._codes.push(rest)) if rest.shape[1] else []
            notes += self._stitcher.push(self._codes.finish())
        return sorted([*notes, *self._stitcher.finish()])

    @property
    def pedals(self) -> list[PedalSpan]:
        """The pedals that have ended so far."""
        return sorted(self._stitcher.pedals)

    @property
    def account(self) -> Account:
        """How the recording was read so far."""
        return self._stitcher.account

    def _encoded(self, samples: Tensor) -> Tensor:
        """The codes [k, t] that samples make certain."""
        codec = self._codec
        if samples.shape[0] not in (1, codec.channels) and codec.channels > 1:
            raise ValueError(f"samples of {samples.shape[0]} channels: {codec.name} takes 1 or {codec.channels}")
        if self._codes is None:
            self._codes = codec.stream("encode", codebooks=self.codebooks)
        fit = samples.mean(0, keepdim=True) if codec.channels == 1 else samples.expand(codec.channels, -1)
        if self.sample_rate == codec.sample_rate:
            return self._codes.push(fit)
        parts = self._resampler.parts(fit.float().numpy())
        none = torch.zeros(self.codebooks, 0, dtype=torch.int64)
        return torch.cat([none, *(self._codes.push(torch.from_numpy(part)) for part in parts)], -1)


def _is_token_file(path: str | Path) -> bool:
    """By its name or its first bytes."""
    if Path(path).suffix.lower() == SUFFIX:
        return True
    if not Path(path).is_file():
        return False  # reading says what is wrong with it
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _codec(place: str | Path | None, model: TokenTranscriber, device: str, fetch: bool) -> Codec:
    """The codec of a model: from where the user says, or by its name. Only the user names folders and hub repositories."""
    from solfa.codecs.registry import list_codecs, load_codec

    if place is None:
        _check_name("codec", model.config.codec, [entry.name for entry in list_codecs()])
    return load_codec(model.config.codec if place is None else place, device, fetch=fetch)


def _trunk(place: str | Path | None, model: TokenTranscriber, folder: Path, device: str, fetch: bool) -> Source:
    """The language model whose hidden states a model hears, as `_codec`, or the one in the model's own folder."""
    from solfa.lm.registry import list_lms, load_lm
    from solfa.lm.trunk import check_trunk, own_trunk, trunk_states

    place = place or own_trunk(model.config.trunk, folder)
    if place is None:
        _check_name("language model", model.config.trunk, [entry.name for entry in list_lms()])
    trunk = load_lm(model.config.trunk if place is None else place, device, fetch=fetch)
    check_trunk(trunk, model.config)
    return lambda codes, lengths: trunk_states(trunk, codes.to(trunk.device))


def _check_name(kind: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise ValueError(f"it hears the {kind} {name!r}, not one of {', '.join(names)}: give its folder")
