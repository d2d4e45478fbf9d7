"""Entropy coding of codes: what each coding saves, and how fast it is, beside general compressors on the same codes.

    python bench/entropy.py [--lm NAME|DIR] [FILE ...]

FILE: recordings, token files, or folders of either; the demo's recording by default. Recordings are encoded by solfa-24khz, and with --lm
by the codec of that model. "bits/code" and what is saved are of the codes alone; "file" has the header, checksums and index too. "x real
time" is seconds of sound a second of work in one thread, writing or reading the file. EnCodec's paper (arXiv 2210.13438) says that its
language model saves 25 to 40 %, on its own codes and with floating point.
"""

import argparse
import lzma
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from solfa.cli.demo import BUNDLED
from solfa.codecs.bitpacking import pack
from solfa.codecs.token_file import TokenFile, TokenHeader, TokenWriter
from solfa.codecs.token_format import BLOCK_FRAMES


@dataclass(frozen=True)
class Row:
    name: str
    bits: float  # of the codes
    file: float = 0.0  # bits of the files
    encode: float = 0.0  # seconds
    decode: float = 0.0
    books: tuple[float, ...] = ()  # bits of each codebook's planes


Recording = tuple[TokenHeader, np.ndarray]


def recordings(places: Sequence[str], lm: object) -> list[Recording]:
    """Headers and codes [K, T] of token files, and of recordings once encoded."""
    import solfa
    from solfa.cli.inputs import AUDIO_SUFFIXES, TOKEN_SUFFIXES, expand

    found: list[Recording] = []
    codec = None
    for item in expand(places or [str(BUNDLED)], (*TOKEN_SUFFIXES, *AUDIO_SUFFIXES)):
        if item.path.suffix.lower() in TOKEN_SUFFIXES:
            with TokenFile(item.path) as file:
                found.append((file.header, file.read()))
            continue
        codec = codec or solfa.load_codec(lm.config.codec if lm else "solfa-24khz")  # type: ignore[attr-defined]
        codes = codec.encode_file(item.path)
        geometry = (codes.codec, codes.weights_hash, codes.sample_rate, codes.channels, codes.hop)
        header = TokenHeader(*geometry, codes.codebooks, codes.codebook_size)
        found.append((replace(header, frames=codes.lengths[0], samples=codes.samples[0]), codes.tokens[0].numpy()))
    return found


def ours(name: str, coding: str, block_frames: int, sounds: list[Recording], lm: object = None) -> Row:
    stored = encode = decode = 0.0
    books = np.zeros(sounds[0][0].codebooks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.solfa"
        for header, codes in sounds:
            chosen = replace(header, coding=coding, block_frames=block_frames, lm=lm.hash if coding == "lm" else "")  # type: ignore[attr-defined]
            start = time.process_time()
            with TokenWriter(path, chosen, lm if coding == "lm" else None) as writer:  # type: ignore[arg-type]
                writer.write(codes)
                writer.close(header.samples)
            encode += time.process_time() - start
            stored += 8 * path.stat().st_size
            start = time.process_time()
            with TokenFile(path, lm=lm if coding == "lm" else None) as file:  # type: ignore[arg-type]
                assert np.array_equal(file.read(), codes)
            decode += time.process_time() - start
            books += plane_bits(path, len(books))
    return Row(name, books.sum(), stored, encode, decode, tuple(books))


def plane_bits(path: Path, codebooks: int) -> np.ndarray:
    """Bits of each codebook's planes in a file."""
    with TokenFile(path) as file:
        header, blocks = file.header, file._blocks
        if header.version == 1:
            return np.full(codebooks, float(header.bits * header.frames))
        lengths = [[len(plane or b"") for plane in blocks._block(i, codebooks)[0]] for i in range(header.blocks)]  # type: ignore[union-attr]
    return 8.0 * np.sum(lengths, 0)


def compressor(name: str, compress: Callable[[bytes], bytes], sounds: list[Recording]) -> Row:
    """A general compressor on the codes, codebook by codebook, as 16-bit numbers or packed, whichever it likes better."""
    bits = encode = 0.0
    for header, codes in sounds:
        start = time.process_time()
        wide = compress(codes.astype("<u2").tobytes())
        encode += time.process_time() - start
        bits += 8 * min(len(wide), len(compress(pack(codes, header.bits).tobytes())))
    return Row(name, bits, encode=encode)


def table(rows: list[Row], sounds: list[Recording]) -> None:
    header = sounds[0][0]
    seconds = sum(h.duration for h, _ in sounds)
    codes = sum(c.size for _, c in sounds)
    frames = codes / header.codebooks
    print(f"{len(sounds)} recordings, {seconds:.0f} s, {header.codec}: {header.codebooks} codebooks of {header.codebook_size}")
    books = " ".join(f"{k:>5}" for k in range(header.codebooks))
    print(f"{'':24} bits/code  saved file kbps  encode  decode   of codebook {books}")
    for row in rows:
        saved = 1 - row.bits / rows[0].bits
        speed = [f"{seconds / s:6.0f}x" if s else f"{'':7}" for s in (row.encode, row.decode)]
        each = " ".join(f"{bits / frames:5.2f}" for bits in row.books)
        file = f"{row.file / seconds / 1000:9.3f}" if row.file else " " * 9
        print(f"{row.name:24} {row.bits / codes:9.3f} {100 * saved:5.1f}% {file} {' '.join(speed)}   {'':11} {each}".rstrip())
    print("EnCodec's paper: its language model saves 25 to 40 %")


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description="What each coding of codes saves.")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--lm", help="a code LM, by name or folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lm = None
    if arguments.lm:
        from solfa.codecs.entropy.lm_checkpoint import load_lm

        lm = load_lm(arguments.lm)
    sounds = recordings(arguments.files, lm)
    rows = [
        ours("packed", "packed", BLOCK_FRAMES["packed"], sounds),
        ours("adaptive, 4096 a block", "adaptive", 4096, sounds),
        ours("adaptive, 512 a block", "adaptive", 512, sounds),
    ]
    if lm is not None:
        rows.append(ours("lm, 1024 a block", "lm", BLOCK_FRAMES["lm"], sounds, lm))
        rows.append(ours("lm, 256 a block", "lm", 256, sounds, lm))
    rows.append(compressor("zlib", lambda data: zlib.compress(data, 9), sounds))
    rows.append(compressor("lzma", lambda data: lzma.compress(data, preset=9), sounds))
    table(rows, sounds)


if __name__ == "__main__":
    main()
