"""Token files of version 2: entropy coding and segments. What every token file can do, these can; and they are strangers' files too."""

import json
import math
import struct
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.codecs.entropy.adaptive import encode_planes
from solfa.codecs.entropy.integer_lm import IntegerLM, share_table, tensor_shapes, unheard
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.codecs.token_file import TokenFile, TokenFileError, TokenHeader, TokenWriter, read_tokens, write_tokens

SLOW = [HealthCheck.function_scoped_fixture]
HEADER = TokenHeader("solfa-24khz", "ab" * 32, 24_000, 1, 480, 3, 1000, coding="adaptive", block_frames=20)
SEGMENTS = replace(HEADER, coding="packed", segment_samples=9_600, segment_stride=9_000, block_frames=20, scaled=True)


def language_model() -> IntegerLM:
    config = CodeLMConfig("solfa-24khz", "ab" * 32, 4, 1000, widths=(4, 4), dilations=(1, 2), inner=3, hidden=4)
    rng = np.random.default_rng(0)
    tensors = {}
    for name, (shape, kind) in tensor_shapes(config).items():
        low, high = (9, 12) if name.endswith("exponent") else (-60, 60)
        numbers = rng.integers(low, high, shape) if name != "shares" else share_table()
        tensors[name] = np.where(unheard(config, name, numbers.shape), 0, numbers).astype(kind)
    return IntegerLM(config, tensors, "a test's model")


LM = language_model()
HEADERS = {
    "adaptive": HEADER,
    "lm": replace(HEADER, coding="lm", lm=LM.hash),
    "segments": SEGMENTS,
    "coded segments": replace(SEGMENTS, coding="adaptive", scaled=False),
}


def some_codes(frames: int, header: TokenHeader = HEADER, seed: int = 0) -> np.ndarray:
    """Codes [K, T] that an entropy coding can shorten: few different ones, often the one before; the last codebook's are noise."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, min(6, header.codebook_size), (header.codebooks, frames)) * (header.codebook_size // 6 or 1)
    codes[-1] = rng.integers(0, header.codebook_size, frames)
    return np.minimum(codes, header.codebook_size - 1)


def save(path: Path, header: TokenHeader, codes: np.ndarray, samples: int | None = None) -> bytes:
    with TokenWriter(path, header, LM if header.coding == "lm" else None) as writer:
        if header.segment_samples:
            assert samples is not None
            at = 0
            for i, offset in enumerate(range(0, samples, header.segment_stride)):
                size = -(-min(samples - offset, header.segment_samples) // header.hop)
                writer.write(codes[:, at : at + size], 0.5 + i if header.scaled else None)
                at += size
        else:
            writer.write(codes)
        writer.close(samples)
    return path.read_bytes()


def recording(path: Path, kind: str) -> tuple[bytes, np.ndarray]:
    """A file of 50 frames in three blocks, and its codes."""
    header = HEADERS[kind]
    samples = 2 * 9_000 + 4_799 if header.segment_samples else 50 * 480 - 7
    codes = some_codes(50, header)
    return save(path, header, codes, samples), codes


def blocks_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """The JSON and the blocks of a file of three blocks."""
    length = struct.unpack_from("<I", data, 12)[0]
    sizes = struct.unpack("<3I", data[-20:-8])
    at, blocks = 20 + length, []
    for size in sizes:
        blocks.append(data[at : at + size])
        at += size
    return data[20 : 20 + length], blocks


def rebuilt(text: bytes, blocks: list[bytes], index: list[int] | None = None) -> bytes:
    """A file whose outer checksums are right: an attacker can compute them too."""
    start = b"\x89SOLFA\r\n" + struct.pack("<HHI", 2, 0, len(text))
    head = start + struct.pack("<I", zlib.crc32(start + text)) + text
    entries = struct.pack(f"<{len(blocks)}I", *(index or map(len, blocks)))
    return head + b"".join(blocks) + entries + struct.pack("<I", zlib.crc32(entries, zlib.crc32(head))) + b"DONE"


def block_of(planes: list[bytes], number: int, scale: bytes = b"", lengths: list[int] | None = None) -> bytes:
    """docs/token-file.md, followed by hand."""
    head = b""
    for k, plane in enumerate(planes):
        length = struct.pack("<H", lengths[k] if lengths else len(plane))
        head += struct.pack("<I", zlib.crc32(scale + length + plane, number * len(planes) + k)) + length
    return scale + head + b"".join(planes)


def test_bytes_are_those_of_the_written_format(tmp_path: Path) -> None:
    codes = some_codes(50)
    text, blocks = blocks_of(save(tmp_path / "a.solfa", HEADER, codes, 50 * 480 - 7))
    record = json.loads(text)
    assert record == {**vars(HEADER), "frames": 50, "samples": 50 * 480 - 7}
    for number, block in enumerate(blocks):
        piece = codes[:, number * 20 : number * 20 + 20]
        most, planes = -(-piece.shape[1] * 10 // 8), []
        for row, coded in zip(piece.tolist(), encode_planes(piece, 1000), strict=True):
            packed = sum(code << (t * 10) for t, code in enumerate(row)).to_bytes(most, "little")
            coded = coded.ljust(-(-len(row) // 16), b"\0")
            planes.append(coded if len(coded) < most else packed)
        assert block == block_of(planes, number)
        assert len(planes[0]) < most and len(planes[2]) == most  # both kinds are there


@pytest.mark.parametrize("coding", ["adaptive", "packed", "lm"])
@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_any_geometry_comes_back_whole_and_in_part(tmp_path: Path, coding: str, data: st.DataObject) -> None:
    draw = data.draw
    hop, size = draw(st.integers(1, 500)), 1000 if coding == "lm" else draw(st.integers(2, 2050))
    length = draw(st.integers(1, 20 * hop))
    segments = draw(st.booleans()) or coding == "packed"
    header = TokenHeader(
        "solfa-24khz",
        "ab" * 32,
        24_000,
        2,
        hop,
        draw(st.integers(1, 4)),
        size,
        coding=coding,
        block_frames=-(-length // hop) if segments else draw(st.integers(1, 40)),
        segment_samples=length if segments else 0,
        segment_stride=draw(st.integers(-(-length // 2), length)) if segments else 0,
        scaled=segments and draw(st.booleans()),
        lm=LM.hash if coding == "lm" else "",
    )
    samples = draw(st.integers(0, 120 * hop)) if length > hop else draw(st.integers(0, 40))
    offsets = range(0, samples, header.segment_stride) if segments else ()
    sizes = [-(-min(samples - at, length) // hop) for at in offsets]
    frames = sum(sizes) if segments else -(-samples // hop)
    codes = some_codes(frames, header, frames)
    path = tmp_path / "a.solfa"
    save(path, header, codes, samples)
    with TokenFile(path, lm=LM) as file:
        assert {**vars(file.header), "frames": 0, "samples": 0} == vars(header) and file.frames == frames
        start = draw(st.integers(0, frames))
        stop = draw(st.integers(start, frames))
        books = draw(st.integers(1, header.codebooks))
        np.testing.assert_array_equal(file.read(start, stop, books), codes[:books, start:stop])
        pieces = list(file.chunks(draw(st.integers(1, 400))))
        np.testing.assert_array_equal(np.concatenate([codes[:, :0], *pieces], 1), codes)
        assert file.damaged == () and file.flaws == ()
        if segments:
            assert [file.header.frames_in(block) for block in range(file.header.blocks)] == sizes
            starts = [sum(sizes[:block]) for block in range(len(sizes) + 1)]
            assert [file.header.start_of(block) for block in range(len(sizes) + 1)] == starts
            owners = [file.header.block_at(frame) for frame in range(frames)]
            assert owners == [block for block, size in enumerate(sizes) for _ in range(size)]
        if header.scaled:
            np.testing.assert_array_equal(file.scales, np.arange(len(sizes), dtype=np.float32) + 0.5)
        else:
            assert file.scales is None


@pytest.mark.parametrize("kind", ["adaptive", "lm"])
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(cuts=st.lists(st.integers(0, 70), max_size=6))
def test_bytes_do_not_depend_on_the_chunks_that_were_written(tmp_path: Path, kind: str, cuts: list[int]) -> None:
    codes = some_codes(70)
    with TokenWriter(tmp_path / "b.solfa", HEADERS[kind], LM if kind == "lm" else None) as writer:
        for piece in np.split(codes, sorted(cuts), axis=1):
            writer.write(piece)
    assert (tmp_path / "b.solfa").read_bytes() == save(tmp_path / "a.solfa", HEADERS[kind], codes)


@pytest.mark.parametrize("kind", HEADERS)
def test_every_changed_byte_is_found_and_costs_one_block(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.solfa"
    data, codes = recording(path, kind)
    text, blocks = blocks_of(data)
    ends = np.cumsum([20 + len(text), *map(len, blocks)])
    starts = [0, 20, 40, 50]
    for at in range(0, len(data), 1 if kind == "segments" else 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        with pytest.raises(TokenFileError), TokenFile(path, lm=LM) as file:
            _ = file.scales
            file.read()
            pytest.fail(f"byte {at} of {len(data)} was changed and nothing was said")
        block = int(np.searchsorted(ends, at, "right")) - 1
        if not 0 <= block < 3:
            continue
        with TokenFile(path, lm=LM) as file:
            (damage,) = file.damaged
            assert (damage.block, damage.start_frame, damage.stop_frame) == (block, starts[block], starts[block + 1])
            assert set(damage.codebooks) <= set(range(damage.codebooks[0], 3))  # it, or it and those above
            for other in {0, 1, 2} - {block}:
                part = file.read(starts[other], starts[other + 1])
                np.testing.assert_array_equal(part, codes[:, starts[other] : starts[other + 1]])
        with TokenFile(path, "zero", lm=LM) as file:
            expected = codes.copy()
            expected[list(damage.codebooks), starts[block] : starts[block + 1]] = 0
            np.testing.assert_array_equal(file.read(), expected)
            if kind == "segments":  # a scale is trusted as long as one plane confirms it
                right = np.array([0.5, 1.5, 2.5], np.float32)
                right[block] *= len(damage.codebooks) < 3
                np.testing.assert_array_equal(file.scales, right)


@pytest.mark.parametrize("kind", HEADERS)
def test_every_truncation_is_found_and_whole_blocks_stay(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.solfa"
    data, codes = recording(path, kind)
    text, blocks = blocks_of(data)
    ends = 20 + len(text) + np.cumsum([0, *map(len, blocks)])
    for size in range(0, len(data), 7 if kind == "lm" else 2):
        path.write_bytes(data[:size])
        with pytest.raises(TokenFileError):
            TokenFile(path)
        if size >= ends[0]:
            with TokenFile(path, "zero", lm=LM) as file:
                whole = [0, 20, 40, 50][int(np.searchsorted(ends, size, "right")) - 1]
                assert file.frames == whole and "truncated" in file.flaws[0]
                np.testing.assert_array_equal(file.read(), codes[:, :whole])


def test_planes_are_read_without_those_above(tmp_path: Path) -> None:
    for kind in HEADERS:
        path = tmp_path / "a.solfa"
        data, codes = recording(path, kind)
        text, blocks = blocks_of(data)
        lost = bytearray(blocks[1])
        lost[-1] ^= 1  # in the last codebook
        path.write_bytes(rebuilt(text, [blocks[0], bytes(lost), blocks[2]]))
        with TokenFile(path, lm=LM) as file:
            np.testing.assert_array_equal(file.read(codebooks=2), codes[:2])
            with pytest.raises(TokenFileError, match=r"block 1 \(0\.\d+ to 0\.\d+ s\), codebook 2: its checksum"):
                file.read()


def attack(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.solfa"
    path.write_bytes(data)
    with pytest.raises(TokenFileError, match=reason), TokenFile(path, lm=LM) as file:
        _ = file.scales
        file.read()


def test_blocks_that_lie_with_right_checksums(tmp_path: Path) -> None:
    data, codes = recording(tmp_path / "a.solfa", "adaptive")
    text, blocks = blocks_of(data)
    coded, packed = encode_planes(codes[:2, 20:40], 1000), blocks[1][-25:]

    def lying(planes: list[bytes], **more: Any) -> bytes:
        return rebuilt(text, [blocks[0], block_of(planes, 1, **more), blocks[2]])

    assert lying([*coded, packed]) == data
    attack(tmp_path, lying([coded[0][:-1] + b"\7", coded[1], packed]), "codebook 0: its bytes are those of no codes")
    attack(tmp_path, lying([coded[0] + b"\0", coded[1], packed]), "codebook 0: its bytes are those of no codes")
    attack(tmp_path, lying([coded[0], coded[1], bytes([255] * 25)]), r"codebook 2: a code is outside \[0, 1000\)")
    attack(tmp_path, lying([b"", coded[1], packed]), "codebook 0, 1, 2: its length, .* is not 2 to 25 bytes")
    attack(tmp_path, lying([coded[0], bytes(26), packed]), "codebook 1, 2: its length, .* is not 2 to 25 bytes")
    attack(tmp_path, lying([*coded, packed], lengths=[9, 12, 25]), "codebook 0, 1")
    longer = block_of([*coded, packed], 1) + b"more"
    attack(tmp_path, rebuilt(text, [blocks[0], longer, blocks[2]]), "its block is longer than its planes")
    attack(tmp_path, rebuilt(text, [blocks[0], blocks[2], blocks[1]]), "block 1 .* checksum")
    attack(tmp_path, rebuilt(text, blocks, [len(blocks[0]), 3, len(blocks[1]) + len(blocks[2]) - 3]), "index is damaged")
    attack(tmp_path, rebuilt(text, blocks, [2**32 - 1, 2**32 - 1, 2**32 - 1]), "end of the file is damaged")
    attack(tmp_path, data + b"\0", "1 bytes too many")


@pytest.mark.parametrize("scale", [math.nan, math.inf, -1.0])
def test_scales_that_are_none_are_refused(tmp_path: Path, scale: float) -> None:
    data, codes = recording(tmp_path / "a.solfa", "segments")
    text, blocks = blocks_of(data)
    planes = [blocks[1][22 + 25 * k : 22 + 25 * (k + 1)] for k in range(3)]
    assert block_of(planes, 1, struct.pack("<f", 1.5)) == blocks[1]
    bad = block_of(planes, 1, struct.pack("<f", scale))
    attack(tmp_path, rebuilt(text, [blocks[0], bad, blocks[2]]), "its scale is not a finite number")
    with TokenFile(tmp_path / "a.solfa", "zero") as file:
        np.testing.assert_array_equal(file.scales, np.array([0.5, 0, 2.5], np.float32))
    with TokenWriter(tmp_path / "b.solfa", SEGMENTS) as writer:
        with pytest.raises(ValueError, match="finite"):
            writer.write(codes[:, :20], scale)
        writer.close(0)


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "ten trillion frames": ({"frames": 10**13, "samples": 480 * 10**13}, "truncated"),
    "many tiny blocks": ({"frames": 10**12, "samples": 480 * 10**12, "block_frames": 1}, "truncated"),
    "fewer frames": ({"frames": 40, "samples": 480 * 40}, "bytes too many|end of the file"),
    "one codebook more": ({"codebooks": 4}, "truncated|checksum|end of the file|longer than its planes|length"),
    "one codebook fewer": ({"codebooks": 2}, "truncated|checksum|end of the file|longer than its planes|length"),
    "another block": ({"block_frames": 25}, "truncated|too many|index|end of the file"),
    "unknown coding": ({"coding": "rans"}, "coding 'rans' is not known; known: packed, adaptive, lm"),
    "packed": ({"coding": "packed"}, "what it describes is of version 1, the file says 2"),
    "a codebook too large": ({"codebook_size": 1 << 20}, "coding 'adaptive' is for a codebook_size up to 16384"),
    "a model and none": ({"lm": "ab"}, "lm must be a model's hash with coding 'lm' and empty with others"),
    "no model": ({"coding": "lm"}, "lm must be a model's hash"),
    "a model's number": ({"lm": 3}, "lm must be printable"),
    "segments of nothing": ({"segment_stride": 480}, "segment_stride must lie between"),
    "segments that hardly move": ({"segment_samples": 9600, "segment_stride": 1}, "segment_stride must lie between half"),
    "segments with gaps": ({"segment_samples": 9600, "segment_stride": 9601}, "segment_stride must lie between half"),
    "blocks that are no segments": ({"segment_samples": 960, "segment_stride": 960}, "block_frames must be"),
    "frames that are no segments'": ({"segment_samples": 9600, "segment_stride": 9000}, "frames must be the frames of its"),
    "scales of no segments": ({"scaled": True}, "scaled must be"),
    "scales of one": ({"scaled": 1}, "scaled must be"),
    "a huge segment": ({"segment_samples": 2**60, "segment_stride": 2**60}, "segment_samples must be"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_field_attacks(tmp_path: Path, name: str) -> None:
    changes, reason = FIELDS[name]
    data, _ = recording(tmp_path / "a.solfa", "adaptive")
    text, blocks = blocks_of(data)
    data = rebuilt(json.dumps(json.loads(text) | changes).encode(), blocks)
    tracemalloc.start()
    attack(tmp_path, data, reason)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_a_version_does_not_wear_the_others_fields(tmp_path: Path) -> None:
    data, _ = recording(tmp_path / "a.solfa", "adaptive")
    text, _ = blocks_of(data)
    start = data[:8] + struct.pack("<HHI", 1, 0, len(text))
    (tmp_path / "a.solfa").write_bytes(start + struct.pack("<I", zlib.crc32(start + text)) + data[20:])
    with pytest.raises(TokenFileError, match="field 'segment_samples' is not known"):
        TokenFile(tmp_path / "a.solfa")


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(
    kind=st.sampled_from(sorted(HEADERS)),
    edits=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 12), st.binary(max_size=12)), min_size=1, max_size=3),
    block=st.integers(0, 2),
)
def test_mutated_blocks_give_the_codes_or_an_error(
    tmp_path: Path, kind: str, edits: list[tuple[int, int, bytes]], block: int
) -> None:
    data, codes = recording(tmp_path / "a.solfa", kind)
    text, blocks = blocks_of(data)
    for at, cut, put in edits:
        blocks[block] = blocks[block][:at] + put + blocks[block][at + cut :]
    data = rebuilt(text, blocks)
    path = tmp_path / "a.solfa"
    path.write_bytes(data)
    for policy in ("error", "zero"):
        try:
            with TokenFile(path, policy, LM) as file:
                found = file.read()
                assert file.scales is None or np.isfinite(file.scales).all()
                assert ((found == codes[:, : found.shape[1]]) | (found == 0)).all()
                assert len(file.damaged) <= 1
        except TokenFileError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_a_model_that_is_not_here_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.solfa"
    data, _ = recording(path, "lm")
    with TokenFile(path) as file:
        assert file.damaged == () and file.frames == 50  # checksums need no model
        with pytest.raises(TokenFileError, match=rf"language model {LM.hash[:12]}, which is not in the package: .*--lm"):
            file.read()
    other = IntegerLM(LM.config, LM.tensors | {"shares": LM.tensors["shares"][:99]}, "another")
    with pytest.raises(TokenFileError, match=f"another is {other.hash[:12]}"), TokenFile(path, lm=other) as file:
        file.read()
    with pytest.raises(ValueError, match="not in the package"):
        TokenWriter(tmp_path / "b.solfa", HEADERS["lm"])
    wrong = replace(HEADERS["lm"], codec="another")
    with pytest.raises(ValueError, match="a test's model is a language model of codes of solfa-24khz"):
        TokenWriter(tmp_path / "b.solfa", wrong, LM)
    assert [item.name for item in tmp_path.iterdir()] == ["a.solfa"]
    broken = bytearray(data)
    broken[-30] ^= 1
    path.write_bytes(broken)
    with TokenFile(path) as file:
        assert [damage.block for damage in file.damaged] == [2]


def test_codes_of_segments_go_in_and_come_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from solfa.codecs.codec import Codes

    samples = (40_000, 9_001)
    scales = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [1e-8, 7.0, 0.0, 0.0, 0.0]])
    codes = Codes(torch.zeros(2, 3, 1), "e", "cd", 48_000, 2, 480, 1000, samples, scales, (9_600, 9_000))
    assert codes.lengths == (20 + 20 + 20 + 20 + 9, 19 + 1)
    codes = replace(codes, tokens=torch.randint(0, 1000, (2, 3, 89)))
    for coding in ("packed", "adaptive"):
        for item in (0, 1):
            header = write_tokens(tmp_path / "a.solfa", codes, item=item, coding=coding)
            assert (header.samples, header.frames, header.version) == (samples[item], codes.lengths[item], 2)
            back = read_tokens(tmp_path / "a.solfa")
            assert torch.equal(back.tokens[0], codes.tokens[item, :, : header.frames])
            assert back.segment == (9_600, 9_000) and back.lengths == (header.frames,)
            assert back.scales is not None and torch.equal(back.scales[0], scales[item, : header.blocks])
    with TokenFile(tmp_path / "a.solfa") as file, pytest.raises(ValueError, match="10 of 20 frames of segments are no"):
        file.codes(0, 10)
    with pytest.raises(ValueError, match="the blocks of these codes are their segments"):
        write_tokens(tmp_path / "b.solfa", codes, item=0, block_frames=7)


def test_codings_are_chosen(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from solfa.codecs.codec import Codes

    def codes(size: int) -> Codes:
        return Codes(torch.zeros(1, 3, 600, dtype=torch.int64), "solfa-24khz", "ab" * 32, 24_000, 1, 480, size, (480 * 600,))

    path = tmp_path / "a.solfa"
    header = write_tokens(path, codes(1000))
    assert (header.coding, header.block_frames) == ("adaptive", 4096)
    header = write_tokens(path, codes(1 << 20))
    assert (header.coding, header.block_frames, header.version) == ("packed", 256, 1)
    header = write_tokens(path, codes(1000), lm=LM)
    assert (header.coding, header.block_frames, header.lm) == ("lm", 1024, LM.hash)
    assert torch.equal(read_tokens(path, lm=LM).tokens, codes(1000).tokens)
    for arguments, reason in (({"coding": "lm"}, "lm must be a model's hash"), ({"coding": "zip"}, "coding 'zip'")):
        with pytest.raises(ValueError, match=reason):
            write_tokens(path, codes(1000), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lm must be a model's hash with coding 'lm' and empty with others"):
        write_tokens(path, codes(1000), coding="adaptive", lm=LM)
    with pytest.raises(ValueError, match="codebook_size up to 16384"):
        write_tokens(path, codes(1 << 20), coding="adaptive")


def test_segments_that_do_not_fit_the_length_are_refused(tmp_path: Path) -> None:
    codes, path = some_codes(20), tmp_path / "a.solfa"

    def written(*sizes: int, samples: int | None, scale: float | None = 1.0) -> None:
        with TokenWriter(path, SEGMENTS) as writer:
            for size in sizes:
                writer.write(codes[:, :size], scale)
            writer.close(samples)

    for arguments, reason in [
        (dict(sizes=(20, 20), samples=None), "samples must be given"),
        (dict(sizes=(20, 20), samples=9_600), "frames must be the frames of its segments"),
        (dict(sizes=(19, 20, 2), samples=18_400), r"the last segments have \[19, 20, 2\] frames: those of 18400 .* \[20, 20, 1\]"),
        (dict(sizes=(20,), samples=9_000, scale=None), "segments have one"),
        (dict(sizes=(0,), samples=9_000), "a segment has 1 to 20 frames, not 0"),
    ]:  # fmt: skip
        sizes = arguments.pop("sizes")
        with pytest.raises(ValueError, match=reason):
            written(*sizes, **arguments)  # type: ignore[arg-type, misc]
    with pytest.raises(ValueError, match="the header says that there are none"), TokenWriter(path, HEADER) as writer:
        writer.write(codes, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_long_file_is_written_and_read_in_bounded_memory(tmp_path: Path) -> None:
    header = TokenHeader("c", "", 24_000, 1, 480, 8, 64, coding="adaptive", block_frames=500)
    piece = np.random.default_rng(0).integers(0, 64, (8, 500)) // 8
    tracemalloc.start()
    with TokenWriter(tmp_path / "a.solfa", header) as writer:
        for _ in range(8):
            writer.write(piece)
    tracemalloc.reset_peak()
    with TokenWriter(tmp_path / "b.solfa", header) as writer:
        writer.write(np.tile(piece, 40).astype(np.uint8))
    with TokenFile(tmp_path / "b.solfa") as file:
        assert sum(chunk.shape[1] for chunk in file.chunks(4000, 2)) == 20_000
    assert tracemalloc.get_traced_memory()[1] < 16_000_000
    tracemalloc.stop()
