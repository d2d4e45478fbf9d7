"""How fast each coding of codes is, with blocks of several lengths, and what general compressors make of the same codes.

    python bench/entropy.py [--lm NAME|DIR] [FILE ...]

FILE: recordings, token files, or folders of either; the demo's recording by default. Recordings are encoded by solfa-24khz, and with --lm
by the codec of that model. "x real time" is seconds of sound a second of work in one thread, writing or reading the file. What the codings
save, with intervals and codebook by codebook, is said by

    solfa eval codebooks FILE ... --lm NAME|DIR --ci

and computed by the same code here. EnCodec's paper (arXiv 2210.13438) says that its language model saves 25 to 40 %, on its own codes and
with floating point.
"""

from __future__ import annotations

import argparse
import lzma
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

import solfa
from solfa.cli.demo import BUNDLED
from solfa.cli.inputs import AUDIO_SUFFIXES, TOKEN_SUFFIXES, expand
from solfa.codecs.bitpacking import bits_for, pack
from solfa.codecs.entropy.lm_checkpoint import load_lm
from solfa.codecs.token_file import read_tokens
from solfa.codecs.token_format import BLOCK_FRAMES
from solfa.eval.coding_cost import bits_per_code, kbps
from solfa.tokenize_audio.coding_cost import coded

if TYPE_CHECKING:
    from solfa.codecs.codec import Codes
    from solfa.codecs.entropy.integer_lm import IntegerLM


@dataclass(frozen=True)
class Row:
    name: str
    bits: float  # a code
    kbps: float | None  # of the files
    encode: float  # seconds
    decode: float | None


def recordings(places: Sequence[str], lm: IntegerLM | None) -> list[Codes]:
    """The codes of token files, and of recordings once encoded."""
    found = []
    codec = None
    for item in expand(places or [str(BUNDLED)], (*TOKEN_SUFFIXES, *AUDIO_SUFFIXES)):
        if item.path.suffix.lower() in TOKEN_SUFFIXES:
            found.append(read_tokens(item.path, lm=lm))
        else:
            codec = codec or solfa.load_codec(lm.config.codec if lm else "solfa-24khz")
            found.append(codec.encode_file(item.path))
    return found


def ours(coding: str, sounds: list[Codes], lm: IntegerLM | None = None, block_frames: int | None = None) -> Row:
    done = [coded(codes, coding, lm, block_frames) for codes in sounds]
    costs = [each.cost for each in done]
    name = f"{coding}, {costs[0].block} a block"
    seconds = sum(each.encode for each in done), sum(each.decode for each in done)
    return Row(name, float(bits_per_code(costs).mean()), kbps(costs), *seconds)


def compressor(name: str, compress: Callable[[bytes], bytes], sounds: list[Codes]) -> Row:
    """A general compressor on the codes, codebook by codebook, as 16-bit numbers or packed, whichever it likes better."""
    bits = count = encode = 0.0
    for codes in sounds:
        tokens = codes.tokens[0].numpy()
        start = time.process_time()
        wide = compress(tokens.astype("<u2").tobytes())
        encode += time.process_time() - start
        bits += 8 * min(len(wide), len(compress(pack(tokens, bits_for(codes.codebook_size)).tobytes())))
        count += tokens.size
    return Row(name, bits / count, None, encode, None)


def table(rows: list[Row], sounds: list[Codes]) -> None:
    first = sounds[0]
    seconds = sum(codes.samples[0] for codes in sounds) / first.sample_rate
    print(
        f"{len(sounds)} recordings, {seconds:.0f} s, {first.codec}: {first.codebooks} codebooks of {first.codebook_size}"
    )
    print(f"{'':24} bits/code  saved file kbps  encode  decode")
    for row in rows:
        saved = 1 - row.bits / bits_for(first.codebook_size)
        speed = [f"{seconds / s:6.0f}x" if s else f"{'':7}" for s in (row.encode, row.decode)]
        file = f"{row.kbps:9.3f}" if row.kbps else f"{'':9}"
        print(f"{row.name:24} {row.bits:9.3f} {100 * saved:5.1f}% {file} {' '.join(speed)}".rstrip())
    print("EnCodec's paper: its language model saves 25 to 40 %")


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast each coding of codes is, beside general compressors.")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--lm", help="a code LM, by name or folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lm = load_lm(arguments.lm) if arguments.lm else None
    sounds = recordings(arguments.files, lm)
    rows = [ours("packed", sounds), ours("adaptive", sounds), ours("adaptive", sounds, None, 512)]
    if lm is not None:
        rows += [ours("lm", sounds, lm, frames) for frames in (BLOCK_FRAMES["lm"], 256)]
    rows.append(compressor("zlib", lambda data: zlib.compress(data, 9), sounds))
    rows.append(compressor("lzma", lambda data: lzma.compress(data, preset=9), sounds))
    table(rows, sounds)


if __name__ == "__main__":
    main()
