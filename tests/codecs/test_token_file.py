import contextlib
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.codecs.token_file import TokenFile, TokenFileError, TokenHeader, TokenWriter, read_tokens, write_tokens

HEADER = TokenHeader("solfa-24khz", "ab" * 32, 24_000, 1, hop=480, codebooks=3, codebook_size=1000, block_frames=20)


def some_codes(frames: int, header: TokenHeader = HEADER, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, header.codebook_size, (header.codebooks, frames))


def save(path: Path, codes: np.ndarray, header: TokenHeader = HEADER, samples: int | None = None) -> bytes:
    with TokenWriter(path, header) as writer:
        writer.write(codes)
        writer.close(samples)
    return path.read_bytes()


def naive_file(codes: np.ndarray, header: TokenHeader, samples: int) -> bytes:
    """docs/token-file.md, followed with a loop over codes: an independent writer."""
    record = {
        "codec": header.codec,
        "weights_hash": header.weights_hash,
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "hop": header.hop,
        "codebooks": header.codebooks,
        "codebook_size": header.codebook_size,
        "precision": header.precision,
        "coding": "packed",
        "block_frames": header.block_frames,
        "frames": codes.shape[1],
        "samples": samples,
        "metadata": dict(header.metadata),
    }
    width = len(
        json.dumps(record | {"frames": 2**53, "samples": 2**53}, separators=(",", ":"), ensure_ascii=False).encode()
    )
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode().ljust(width)
    start = b"\x89SOLFA\r\n" + struct.pack("<HHI", 1, 0, len(text))
    out = start + struct.pack("<I", zlib.crc32(start + text)) + text
    index, crc = b"", zlib.crc32(out)
    bits = (header.codebook_size - 1).bit_length()
    for block, at in enumerate(range(0, codes.shape[1], header.block_frames)):
        planes, sums = b"", b""
        for book, row in enumerate(codes[:, at : at + header.block_frames].tolist()):
            number = sum(code << (t * bits) for t, code in enumerate(row))
            plane = number.to_bytes(-(-len(row) * bits // 8), "little")
            sums += struct.pack("<I", zlib.crc32(plane, block * header.codebooks + book))
            planes += plane
        out += sums + planes
        index += struct.pack("<I", len(sums + planes))
    return out + index + struct.pack("<I", zlib.crc32(index, crc)) + b"DONE"


@pytest.mark.parametrize("frames", [0, 1, 19, 20, 21, 61])
def test_bytes_are_those_of_the_written_format(tmp_path: Path, frames: int) -> None:
    header = TokenHeader("c", "", 44_100, 2, 512, 3, 1024, block_frames=20, metadata={"title": "Größe ♯"})
    codes = some_codes(frames, header)
    samples = max(0, frames * 512 - 100)
    assert save(tmp_path / "a.solfa", codes, header, samples) == naive_file(codes, header, samples)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_geometry_comes_back_whole_and_in_part(tmp_path: Path, data: st.DataObject) -> None:
    draw = data.draw
    header = TokenHeader(
        codec=draw(st.text("abc/-é", min_size=1, max_size=9)),
        weights_hash="0" * draw(st.sampled_from([0, 64])),
        sample_rate=draw(st.integers(1, 96_000)),
        channels=draw(st.integers(1, 8)),
        hop=draw(st.integers(1, 1000)),
        codebooks=draw(st.integers(1, 12)),
        codebook_size=draw(st.one_of(st.integers(2, 2050), st.integers(2, 1 << 24))),
        block_frames=draw(st.integers(1, 70)),
    )
    frames = draw(st.integers(0, 300))
    codes = some_codes(frames, header, frames)
    samples = max(0, frames * header.hop - draw(st.integers(0, header.hop - 1)))
    path = tmp_path / "a.solfa"
    save(path, codes, header, samples)
    with TokenFile(path) as file:
        assert (file.header.frames, file.header.samples, file.frames) == (frames, samples, frames)
        assert {**vars(file.header), "frames": 0, "samples": 0} == vars(header)
        np.testing.assert_array_equal(file.read(), codes)
        start = draw(st.integers(0, frames))
        stop = draw(st.integers(start, frames))
        books = draw(st.integers(1, header.codebooks))
        part = file.read(start, stop, books)
        assert part.dtype == np.int32
        np.testing.assert_array_equal(part, codes[:books, start:stop])
        pieces = list(file.chunks(draw(st.integers(1, 400)), books))
        np.testing.assert_array_equal(np.concatenate([codes[:books, :0], *pieces], 1), codes[:books])
        assert file.damaged == ()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 130), max_size=8), block=st.integers(1, 50))
def test_bytes_do_not_depend_on_the_chunks_that_were_written(tmp_path: Path, cuts: list[int], block: int) -> None:
    header = TokenHeader("c", "", 24_000, 1, 480, 3, 1000, block_frames=block)
    codes = some_codes(130, header)
    with TokenWriter(tmp_path / "b.solfa", header) as writer:
        for piece in np.split(codes, sorted(cuts), axis=1):
            writer.write(piece)
    assert (tmp_path / "b.solfa").read_bytes() == save(tmp_path / "a.solfa", codes, header)


def test_codes_of_a_batch_go_in_and_come_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from solfa.codecs.codec import Codes

    tokens = torch.randint(0, 1000, (2, 3, 50))
    codes = Codes(tokens, "solfa-24khz", "cd", 24_000, 1, 480, 1000, (24_000, 10_001))
    with pytest.raises(ValueError, match="choose an item, 0 to 1"):
        write_tokens(tmp_path / "a.solfa", codes)
    header = write_tokens(tmp_path / "a.solfa", codes, item=1, metadata={"source": "take.wav"})
    assert (header.frames, header.samples, header.metadata) == (21, 10_001, {"source": "take.wav"})
    back = read_tokens(tmp_path / "a.solfa", codebooks=2)
    assert torch.equal(back.tokens, tokens[1:, :2, :21]) and back.tokens.dtype == torch.int64
    assert (back.codec, back.weights_hash, back.samples, back.hop) == ("solfa-24khz", "cd", (10_001,), 480)
    with TokenFile(tmp_path / "a.solfa") as file:
        assert file.codes(5, 10).samples == (5 * 480,)
        assert file.codes(20).samples == (10_001 - 20 * 480,)


def test_a_part_is_read_without_the_rest(tmp_path: Path) -> None:
    # Bad bytes in block 1, codebook 2 must not matter to whoever does not ask for them: they are never looked at.
    path = tmp_path / "a.solfa"
    codes = some_codes(65)
    data = bytearray(save(path, codes))
    body = len(data) - 8 - 4 * 4 - 3 * (12 + 3 * 25) - (12 + 3 * 7)
    data[body + (12 + 75) + 12 + 2 * 25 + 4] ^= 1
    path.write_bytes(data)
    with TokenFile(path) as file:
        np.testing.assert_array_equal(file.read(codebooks=2), codes[:2])
        np.testing.assert_array_equal(file.read(0, 20), codes[:, :20])
        np.testing.assert_array_equal(file.read(40), codes[:, 40:])
        with pytest.raises(TokenFileError, match=r"a\.solfa: block 1 \(0\.40 to 0\.80 s\), codebook 2: its checksum"):
            file.read(39, 41)
        (damage,) = file.damaged
        assert (damage.block, damage.codebooks, damage.start_frame, damage.stop_frame) == (1, (2,), 20, 40)
        assert (damage.start, damage.stop) == (0.4, 0.8)
    with TokenFile(path, on_damage="zero") as file:
        expected = codes.copy()
        expected[2, 20:40] = 0
        np.testing.assert_array_equal(file.read(), expected)
        assert file.flaws == () and len(file.damaged) == 1


def test_a_truncated_file_plays_up_to_its_last_whole_block(tmp_path: Path) -> None:
    path = tmp_path / "a.solfa"
    codes = some_codes(65)
    data = save(path, codes)
    body = len(data) - 8 - 4 * 4 - 3 * (12 + 3 * 25) - (12 + 3 * 7)
    path.write_bytes(data[: body + 2 * 87 + 50])
    with pytest.raises(TokenFileError, match=r"truncated: \d+ bytes of \d+; 2 of 4 blocks are whole \(0\.80 s\)"):
        TokenFile(path)
    with TokenFile(path, on_damage="zero") as file:
        assert file.frames == 40 and file.flaws and file.damaged == ()
        np.testing.assert_array_equal(file.read(), codes[:, :40])
        with pytest.raises(ValueError, match=r"within \[0, 40\]"):
            file.read(0, 41)


def test_planes_and_blocks_in_another_place_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.solfa"
    data = save(path, some_codes(60))
    body, block = len(data) - 8 - 12 - 3 * 87, 87
    swapped = data[:body] + data[body + block : body + 2 * block] + data[body : body + block] + data[body + 2 * block :]
    path.write_bytes(swapped)
    with TokenFile(path) as file:
        assert [damage.block for damage in file.damaged] == [0, 1]
    head = data[body : body + 12]
    planes = data[body + 12 : body + 87]
    moved = head[4:8] + head[:4] + head[8:] + planes[25:50] + planes[:25] + planes[50:]  # with their own checksums
    path.write_bytes(data[:body] + moved + data[body + block :])
    with TokenFile(path) as file:
        assert file.damaged[0].codebooks == (0, 1)


def test_a_long_file_is_written_and_read_in_bounded_memory(tmp_path: Path) -> None:
    header = TokenHeader("c", "", 24_000, 1, 480, 8, 1024)
    piece = some_codes(1000, header)
    tracemalloc.start()
    with TokenWriter(tmp_path / "a.solfa", header) as writer:
        for _ in range(500):
            writer.write(piece)
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    codes = np.zeros((8, 500_000), np.uint16)
    tracemalloc.reset_peak()
    with TokenWriter(tmp_path / "b.solfa", header) as writer:
        writer.write(codes)
    at_once = tracemalloc.get_traced_memory()[1] - codes.nbytes
    tracemalloc.reset_peak()
    with TokenFile(tmp_path / "a.solfa") as file:
        assert sum(chunk.shape[1] for chunk in file.chunks()) == 500_000
        file.read(400_000, 400_100)
    read = tracemalloc.get_traced_memory()[1] - codes.nbytes
    tracemalloc.stop()
    assert (tmp_path / "a.solfa").stat().st_size > 5_000_000
    assert max(written, read) < 2_000_000 and at_once < 8_000_000


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 5), int), r"codes must be \[3, frames\]"),
        (np.zeros(5, int), r"codes must be \[3, frames\]"),
        (np.zeros((3, 5)), "codes must be integers"),
        (np.full((3, 5), 1000), r"code 1000 at codebook 0, frame 0 .* outside \[0, 1000\)"),
        (np.array([[0], [0], [-1]]), r"code -1 at codebook 2"),
    ],
)
def test_codes_that_do_not_fit_are_refused_and_leave_nothing(tmp_path: Path, codes: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "a.solfa", codes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("samples", [0, 59 * 480, 60 * 480 + 1, -1, 2**60])
def test_a_length_that_does_not_fit_the_frames_is_refused(tmp_path: Path, samples: int) -> None:
    with pytest.raises(ValueError, match="samples"):
        save(tmp_path / "a.solfa", some_codes(60), samples=samples)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("codec", ""),
        ("codec", "a\x1b[2Jb"),
        ("codec", 3),
        ("weights_hash", "a" * 129),
        ("sample_rate", 0),
        ("sample_rate", 24_000.0),
        ("channels", True),
        ("hop", -1),
        ("codebooks", 129),
        ("codebook_size", 1),
        ("block_frames", 1 << 15),
        ("coding", "rans"),
        ("metadata", {"a": 1}),
        ("metadata", {"a": "\ud800"}),
        ("metadata", ["a"]),
    ],
)
def test_a_header_says_which_field_is_wrong(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        TokenHeader(**{**vars(HEADER), field: value})  # type: ignore[arg-type]


def test_metadata_has_an_end(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 65536"):
        TokenWriter(tmp_path / "a.solfa", TokenHeader("c", "", 24_000, 1, 480, 8, 1024, metadata={"a": "b" * 65_536}))
    assert list(tmp_path.iterdir()) == []


def test_failing_at_any_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.solfa"
    old = save(path, some_codes(10))
    whole, calls, fail_at = TokenWriter._write, 0, 0

    def failing(self: TokenWriter, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            raise OSError(28, "No space left on device")
        whole(self, data)

    monkeypatch.setattr(TokenWriter, "_write", failing)
    while path.read_bytes() == old:
        calls, fail_at = 0, fail_at + 1
        with contextlib.suppress(OSError):
            save(path, some_codes(65, seed=1))
        assert list(tmp_path.iterdir()) == [path]
    assert fail_at > 5
    fail_at = 0
    assert path.read_bytes() == save(tmp_path / "b.solfa", some_codes(65, seed=1))


def test_a_killed_writer_leaves_no_token_file(tmp_path: Path) -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from solfa.codecs.token_file import TokenHeader, TokenWriter\n"
        "writer = TokenWriter(sys.argv[1], TokenHeader('c', '', 24000, 1, 480, 8, 1024))\n"
        "writer.write(np.zeros((8, 100000), int))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.solfa")], check=False)
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".tmp"
    with pytest.raises(TokenFileError, match=r"not a \.solfa token file"):
        TokenFile(left)


def test_an_exception_in_the_with_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), TokenWriter(tmp_path / "a.solfa", HEADER) as writer:
        writer.write(some_codes(30))
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        writer.write(some_codes(30))


def test_links_are_followed_and_devices_are_left_alone(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "real.solfa", tmp_path / "link.solfa", tmp_path / "pipe"
    link.symlink_to(target)
    save(link, some_codes(10))
    assert link.is_symlink() and target.is_file()
    os.mkfifo(pipe)
    for place in (pipe, tmp_path):
        with pytest.raises(ValueError, match="not a regular file"):
            TokenWriter(place, HEADER)
        with pytest.raises(TokenFileError, match="not a regular file"):
            TokenFile(place)
    with pytest.raises(TokenFileError, match=r"none\.solfa: No such file"):
        TokenFile(tmp_path / "none.solfa")


def test_wrong_arguments_name_the_legal_ones(tmp_path: Path) -> None:
    save(tmp_path / "a.solfa", some_codes(10))
    with pytest.raises(ValueError, match="error, zero"):
        TokenFile(tmp_path / "a.solfa", on_damage="guess")
    with TokenFile(tmp_path / "a.solfa") as file:
        for start, stop in [(-1, 5), (6, 5), (0, 11)]:
            with pytest.raises(ValueError, match=r"within \[0, 10\]"):
                file.read(start, stop)
        for books in (0, 4, -1):
            with pytest.raises(ValueError, match="1 to 3"):
                file.read(codebooks=books)
        with pytest.raises(ValueError, match="at least 1"):
            next(file.chunks(0))


def test_reading_a_header_loads_no_torch(tmp_path: Path) -> None:
    save(tmp_path / "a.solfa", some_codes(10))
    code = (
        "import sys; from solfa.codecs.token_file import TokenFile\n"
        "assert TokenFile(sys.argv[1]).header.frames == 10 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.solfa")], check=True)
