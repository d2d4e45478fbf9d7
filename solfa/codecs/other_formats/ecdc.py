"""EnCodec's `.ecdc` files, read and written, interchangeably with the package `encodec`.

The layout stands in `ecdc_header`. Where we differ from encodec 0.1.1:

- The frames of a segment are counted in integers. It counts in floating point, and cannot read what it wrote at 74 lengths within the
  first 20 seconds (6720, 13440, 16320 ... samples). We read those files, and write one frame more there, which it asks for and other
  readers leave unread: at 24 kHz it changes no sample.
- A file that is longer than it should be, or whose filling bits are not zero, is refused: there is no checksum that would tell damage.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from solfa.codecs.bitpacking import pack, unpack
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.other_formats.code_file import CodeFileError, read_whole
from solfa.codecs.other_formats.ecdc_header import (
    BITS,
    BY_CODEC,
    CODEBOOK_SIZE,
    HOP,
    MODELS,
    SCALE,
    EcdcHeader,
    parse_header,
    read_ecdc_header,
)
from solfa.codecs.other_formats.ecdc_lm import decode_segment, encode_segment, warn_not_portable
from solfa.codecs.weights.released import LANGUAGE_MODELS
from solfa.files import check_replaceable, write_whole

if TYPE_CHECKING:
    from solfa.codecs.other_formats.ecdc_lm import EncodecLM

__all__ = ["CodeFileError", "EcdcHeader", "check_ecdc_codec", "read_ecdc", "read_ecdc_header", "write_ecdc"]


def read_ecdc(path: str | os.PathLike[str], lm: EncodecLM | None = None, codec: Codec | None = None) -> Codes:
    """The codes of a file: one item, with the scales of its segments at 48 kHz.

    lm: the language model's weights, for a file that was compressed with it (`load_ecdc_lm`).
    codec: whose codes they are taken to be. The file names a model but not its weights, so without it `weights_hash` is empty, and a
    codec must be told before it decodes them.
    Raises CodeFileError naming the file and the reason, in memory that the file's size bounds, and ValueError for a codec that cannot
    have made it.
    """
    data = read_whole(path)
    try:
        header, start = parse_header(data)
        header.check_size(len(data) - start)
        if header.lm and lm is None:
            raise ValueError(
                f"compressed with EnCodec's language model: its weights ({LANGUAGE_MODELS[header.codec]}) are needed"
            )
        if header.lm and lm is not None:
            tokens, scales = _read_modelled(header, data, start, lm)
        else:
            tokens, scales = _read_packed(header, data, start)
    except ValueError as error:
        raise CodeFileError(f"{os.fspath(path)}: {error}") from None
    codes = _as_codes(header, tokens, scales)
    return codes if codec is None else _of_codec(codes, codec, os.fspath(path))


def write_ecdc(
    path: str | os.PathLike[str], codes: Codes, lm: EncodecLM | None = None, *, item: int | None = None
) -> EcdcHeader:
    """Write the codes of one recording of `encodec-24khz` or `encodec-48khz`; returns the header that stands in the file.

    lm: compress with this language model (`load_ecdc_lm`), which warns: such a file can often not be read on another machine.
    item: which of a batch; may be left out where there is one.
    Raises ValueError for codes of another codec or out of range, and where the target is no regular file.
    """
    chosen = codes.chosen(item)
    header = _header_of(codes, chosen, lm is not None)
    tokens = codes.tokens[chosen, :, : codes.lengths[chosen]].cpu()
    if not 0 <= int(tokens.min()) <= int(tokens.max()) < CODEBOOK_SIZE:
        raise ValueError(
            f"codes lie between {int(tokens.min())} and {int(tokens.max())}: 0 to {CODEBOOK_SIZE - 1} are legal"
        )
    if lm is not None:
        _check_lm(lm, header)
        warn_not_portable()
    parts = [header.pack()]
    at = 0
    for segment in range(header.segments):
        frames = header.frames_of(segment)
        part = tokens[:, at : at + frames]
        at += frames
        if codes.scales is not None:
            parts.append(SCALE.pack(_scale(float(codes.scales[chosen, segment]))))
        if header.spare_frames(segment):
            part = torch.cat([part, part[:, -1:]], 1)
        parts.append(_packed(part) if lm is None else encode_segment(lm, part))
    check_replaceable(path)
    write_whole(path, b"".join(parts))
    return header


def _read_packed(header: EcdcHeader, data: bytes, start: int) -> tuple[Tensor, list[float]]:
    pieces, scales = [], []
    for segment in range(header.segments):
        if header.model.segment:
            scales.append(_scale(SCALE.unpack_from(data, start)[0]))
            start += SCALE.size
        frames = header.frames_of(segment)
        last = segment == header.segments - 1
        count = frames * header.codebooks
        size = len(data) - start if last else -(-count * BITS // 8)
        count += header.codebooks if size > -(-count * BITS // 8) else 0  # the spare frame
        row = np.frombuffer(data, np.uint8, size, start)
        if count * BITS % 8 and row[-1] >> count * BITS % 8:
            raise ValueError(f"damaged: the filling bits of segment {segment} are not zero")
        codes = unpack(row[None], count, BITS)[0, : frames * header.codebooks]
        pieces.append(torch.from_numpy(codes.reshape(frames, header.codebooks).T.astype(np.int64)))
        start += size
    return torch.cat(pieces, 1), scales


def _read_modelled(header: EcdcHeader, data: bytes, start: int, lm: EncodecLM) -> tuple[Tensor, list[float]]:
    _check_lm(lm, header)
    pieces, scales = [], []
    for segment in range(header.segments):
        if header.model.segment:
            if start + SCALE.size > len(data):
                raise ValueError(f"truncated: it ends before segment {segment} of {header.segments}")
            scales.append(_scale(SCALE.unpack_from(data, start)[0]))
            start += SCALE.size
        try:
            tokens, start = decode_segment(
                lm, data, start, header.codebooks, header.frames_of(segment), header.spare_frames(segment)
            )
        except ValueError as error:
            raise ValueError(
                f"segment {segment} of {header.segments} does not decode ({error}): the file is damaged, or was compressed with other "
                "weights, or on a machine that rounds in another way"
            ) from None
        pieces.append(tokens)
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes too many after the last segment")
    return torch.cat(pieces, 1), scales


def _packed(tokens: Tensor) -> bytes:
    """Codes [K, T] as bytes, frame by frame."""
    return pack(tokens.T.reshape(1, -1).numpy(), BITS).tobytes()


def _scale(value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"the scale of a segment is {value}: it must be above 0 and finite")
    return value


def _as_codes(header: EcdcHeader, tokens: Tensor, scales: list[float]) -> Codes:
    model = header.model
    return Codes(
        tokens=tokens[None],  # [1, K, T]
        codec=model.codec,
        weights_hash="",
        sample_rate=model.sample_rate,
        channels=model.channels,
        hop=HOP,
        codebook_size=CODEBOOK_SIZE,
        samples=(header.samples,),
        scales=torch.tensor([scales], dtype=torch.float32) if scales else None,
        segment=model.segment,
    )


def _of_codec(codes: Codes, codec: Codec, path: str) -> Codes:
    """The codes as those of that codec; its geometry is compared, as the file says no more."""
    theirs = codes.sample_rate, codes.channels, codes.hop, codes.codebook_size, codes.segment
    segment = codec.segment and (codec.segment.samples, codec.segment.stride)
    ours = codec.sample_rate, codec.channels, codec.hop, codec.codebook_size, segment
    if theirs != ours or codes.codebooks > codec.codebooks:
        made = f"{codes.codec} with {codes.codebooks} codebooks"
        raise ValueError(
            f"{path}: made by {made}: {codec.name} ({codec.sample_rate} Hz, {codec.codebooks} codebooks) cannot play it"
        )
    return replace(codes, codec=codec.name, weights_hash=codec.weights_hash)


def check_ecdc_codec(name: str) -> str:
    """What EnCodec calls the codec of that name; ValueError for one that a `.ecdc` file cannot name."""
    if name not in BY_CODEC:
        raise ValueError(f"a .ecdc file can hold codes of {' and '.join(BY_CODEC)}, not of {name}: write a .solfa file")
    return BY_CODEC[name]


def _header_of(codes: Codes, item: int, lm: bool) -> EcdcHeader:
    name = check_ecdc_codec(codes.codec)
    model = MODELS[name]
    legal = model.sample_rate, model.channels, HOP, CODEBOOK_SIZE, model.segment
    found = codes.sample_rate, codes.channels, codes.hop, codes.codebook_size, codes.segment
    if found != legal or (codes.scales is None) != (model.segment is None):
        raise ValueError(
            f"codes of {codes.codec} with (rate, channels, hop, codebook size, segment) {found}: a .ecdc file means {legal}"
        )
    header = EcdcHeader(name, codes.samples[item], codes.codebooks, lm)
    if codes.scales is not None and codes.scales.shape[1] < header.segments:
        raise ValueError(f"scales are {codes.scales.shape[1]}: the recording has {header.segments} segments")
    return header


def _check_lm(lm: EncodecLM, header: EcdcHeader) -> None:
    if lm.config.codebook_size != CODEBOOK_SIZE or lm.config.codebooks < header.codebooks:
        raise ValueError(
            f"the language model is for {lm.config.codebooks} codebooks of {lm.config.codebook_size}: "
            f"{header.codebooks} of {CODEBOOK_SIZE} are needed"
        )
