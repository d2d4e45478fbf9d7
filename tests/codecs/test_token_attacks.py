"""Token files from strangers: always a result or one TokenFileError, in memory that the file's size bounds."""

import json
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.codecs.token_file import TokenFile, TokenFileError, TokenHeader, TokenWriter

MAGIC = b"\x89SOLFA\r\n"
FRAMES, BOOKS, BLOCK = 50, 3, 20
CODES = np.random.default_rng(7).integers(0, 1000, (BOOKS, FRAMES))
RECORD: dict[str, Any] = {
    "codec": "solfa-24khz",
    "weights_hash": "ab" * 32,
    "sample_rate": 24_000,
    "channels": 1,
    "hop": 480,
    "codebooks": BOOKS,
    "codebook_size": 1000,
    "precision": "float32",
    "coding": "packed",
    "block_frames": BLOCK,
    "frames": FRAMES,
    "samples": 480 * FRAMES - 7,
    "metadata": {},
}


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("valid") / "a.solfa"
    geometry = {key: value for key, value in RECORD.items() if key not in ("frames", "samples")}
    with TokenWriter(path, TokenHeader(**geometry)) as writer:
        writer.write(CODES)
        writer.close(RECORD["samples"])
    return path.read_bytes()


def body_of(valid: bytes) -> bytes:
    return valid[20 + struct.unpack_from("<I", valid, 12)[0] :]


def with_json(text: bytes, body: bytes, version: int = 1) -> bytes:
    """A file with any JSON, whose checksums are right: the attacker can compute them too."""
    start = MAGIC + struct.pack("<HHI", version, 0, len(text))
    head = start + struct.pack("<I", zlib.crc32(start + text)) + text
    index = body[-8 - 4 * 3 : -8]
    return head + body[:-8] + struct.pack("<I", zlib.crc32(index, zlib.crc32(head))) + b"DONE"


def with_fields(body: bytes, **changes: Any) -> bytes:
    return with_json(json.dumps(RECORD | changes).encode(), body)


Reader = Callable[[bytes], dict[str, np.ndarray | str]]


@pytest.fixture
def read_both_ways(tmp_path: Path, read_bounded: Callable[..., Any]) -> Reader:
    """Everything a program can do with a file's bytes, under both policies; any other exception than TokenFileError fails."""

    def read(path: Path, policy: str) -> np.ndarray:
        with TokenFile(path, policy) as file:
            found = file.read()
            assert all(0 <= damage.start <= damage.stop for damage in file.damaged)
            return found

    # 100: 32 times for one-bit codes as int32, and as much for the arrays on the way; the rest is Python's own.
    return lambda data: {
        policy: read_bounded(partial(read, policy=policy), tmp_path / "a.solfa", data, TokenFileError, 100)
        for policy in ("error", "zero")
    }


JSON_ATTACKS: dict[str, tuple[bytes, str]] = {
    "empty object": (b"{}", "fields are missing: codec"),
    "list": (b"[1, 2]", "not a JSON object"),
    "number": (b"12345", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "not json": (b"{'codec': 1}", "bad header"),
    "cut json": (json.dumps(RECORD).encode()[:-3], "bad header"),
    "not utf-8": (json.dumps(RECORD).encode().replace(b"solfa", b"\xff\xfe\xfa\xfa\xfa"), "bad header"),
    "nul bytes": (bytes(300), "bad header"),
    "deep lists": (b"[" * 60_000, "nested deeper"),
    "deep objects": (b'{"a":' * 12_000, "nested deeper"),
    "duplicate key": (json.dumps(RECORD)[:-1].encode() + b',"frames":9}', "stands twice"),
    "duplicate key in metadata": (
        json.dumps(RECORD).encode().replace(b'"metadata": {}', b'"metadata": {"a":"1","a":"2"}'),
        "stands twice",
    ),
    "nan": (json.dumps(RECORD).encode().replace(b'"hop": 480', b'"hop": NaN'), "NaN"),
    "infinity": (json.dumps(RECORD).encode().replace(b'"hop": 480', b'"hop": -Infinity'), "Infinity"),
    "float": (json.dumps(RECORD).encode().replace(b'"hop": 480', b'"hop": 480.0'), "480.0"),
    "exponent": (json.dumps(RECORD).encode().replace(b'"hop": 480', b'"hop": 1e999'), "1e999"),
    "5000 digits": (json.dumps(RECORD).encode().replace(b"480,", b"9" * 5000 + b","), "bad header"),
    "3000 digits": (json.dumps(RECORD).encode().replace(b"480,", b"9" * 3000 + b","), "integer of 9966 bits"),
}

FIELD_ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"shell": "rm"}, "field 'shell' is not known"),
    "unknown coding": ({"coding": "rans"}, "coding 'rans' is not known; known: packed, adaptive, lm"),
    "ten trillion frames": ({"frames": 10**13, "samples": 480 * 10**13}, "truncated"),
    "most frames": ({"frames": 2**53, "samples": 2**53, "hop": 1}, "truncated"),
    "too many frames": ({"frames": 2**53 + 1, "samples": 2**53 + 1, "hop": 1}, "frames must be"),
    "ten trillion samples": ({"samples": 10**13}, "frames must be ceil"),
    "no samples": ({"samples": 0}, "frames must be ceil"),
    "fewer frames": ({"frames": 49, "samples": 480 * 49}, "bytes too many"),
    "negative frames": ({"frames": -1, "samples": -480}, "frames must be"),
    "no frames": ({"frames": 0, "samples": 0}, "bytes too many"),
    "one codebook more": ({"codebooks": BOOKS + 1}, "truncated"),
    "one codebook fewer": ({"codebooks": BOOKS - 1}, "bytes too many"),
    "no codebooks": ({"codebooks": 0}, "codebooks must be"),
    "many codebooks": ({"codebooks": 10**9}, "codebooks must be"),
    "codebook of one": ({"codebook_size": 1}, "codebook_size must be"),
    "huge codebook": ({"codebook_size": 2**62}, "codebook_size must be"),
    "smaller codebook, same width": ({"codebook_size": 513}, r"a code is outside \[0, 513\)"),
    "hop of zero": ({"hop": 0, "frames": 0, "samples": 0}, "hop must be"),
    "hop of true": ({"hop": True}, "hop must be"),
    "hop of text": ({"hop": "480"}, "hop must be"),
    "rate of null": ({"sample_rate": None}, "sample_rate must be"),
    "huge block": ({"block_frames": 2**40}, "block_frames must be"),
    "another block": ({"block_frames": 25}, "truncated|too many|index"),
    "same size, other blocks": ({"block_frames": 19}, "too many|truncated|index"),
    "terminal escape": ({"codec": "\x1b]0;evil\x07"}, "codec must be printable"),
    "lone surrogate": ({"codec": "\ud800"}, "codec must be printable"),
    "long name": ({"codec": "a" * 5000}, "codec must be printable"),
    "metadata of numbers": ({"metadata": {"a": 1}}, "metadata must map"),
    "metadata of lists": ({"metadata": []}, "metadata must map"),
    "metadata with a surrogate": ({"metadata": {"a": "\udfff"}}, "metadata must map"),
}

BYTE_ATTACKS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda data: b"", "not a .solfa"),
    "one byte": (lambda data: data[:1], "truncated"),
    "magic only": (lambda data: MAGIC, "truncated"),
    "a pickle": (lambda data: b"\x80\x04\x95" + data, "not a .solfa"),
    "a wav": (lambda data: b"RIFF" + data, "not a .solfa"),
    "an ecdc": (lambda data: b"ECDC" + data, "not a .solfa"),
    "text mode copy": (lambda data: data.replace(b"\r\n", b"\n"), "not a .solfa"),
    "seven bits": (lambda data: bytes(byte & 127 for byte in data), "not a .solfa"),
    "version 0": (lambda data: data[:8] + b"\0\0" + data[10:], "version 0 is not known"),
    "version 2": (lambda data: data[:8] + b"\2\0" + data[10:], "its checksum does not match"),
    "version 3": (
        lambda data: data[:8] + b"\3\0" + data[10:],
        "version 3 is not known; this solfa reads versions 1 and 2",
    ),
    "reserved bytes": (lambda data: data[:10] + b"\1\0" + data[12:], "must be zero"),
    "header of 4 GB": (lambda data: data[:12] + b"\xff\xff\xff\xff" + data[16:], "4294967295 bytes long"),
    "header of nothing": (lambda data: data[:12] + bytes(4) + data[16:], "0 bytes long"),
    "header past the end": (lambda data: data[:12] + struct.pack("<I", 65_536) + data[16:], "truncated"),
    "header of 1 MB": (
        lambda data: with_json(json.dumps(RECORD).encode().ljust(1 << 20), body_of(data)),
        "1048576 bytes long; legal: 2 to 65536",
    ),
    "one byte more": (lambda data: data + b"\0", "1 bytes too many"),
    "twice": (lambda data: data + data, "bytes too many"),
    "a megabyte behind": (lambda data: data + bytes(1 << 20), "1048576 bytes too many"),
    "no end mark": (lambda data: data[:-4] + b"DIED", "end of the file is damaged"),
    "lying index": (lambda data: data[:-20] + struct.pack("<I", 2**31) + data[-16:], "index is damaged"),
    "all zeros": (lambda data: bytes(len(data)), "not a .solfa"),
    "header only": (lambda data: data[: len(data) - len(body_of(data))], "truncated"),
}


@pytest.mark.parametrize("name", JSON_ATTACKS)
def test_json_attacks(read_both_ways: Reader, tmp_path: Path, valid: bytes, name: str) -> None:
    text, reason = JSON_ATTACKS[name]
    result = read_both_ways(with_json(text, body_of(valid)))
    assert all(isinstance(outcome, str) for outcome in result.values())
    with pytest.raises(TokenFileError, match=reason):
        TokenFile(tmp_path / "a.solfa")


@pytest.mark.parametrize("name", FIELD_ATTACKS)
def test_field_attacks(read_both_ways: Reader, tmp_path: Path, valid: bytes, name: str) -> None:
    changes, reason = FIELD_ATTACKS[name]
    result = read_both_ways(with_fields(body_of(valid), **changes))
    with pytest.raises(TokenFileError, match=reason), TokenFile(tmp_path / "a.solfa") as file:
        file.read()
    if isinstance(result["zero"], np.ndarray):  # what is made of a lying file is never longer than the file
        assert result["zero"].shape[1] <= FRAMES


@pytest.mark.parametrize("name", BYTE_ATTACKS)
def test_byte_attacks(read_both_ways: Reader, tmp_path: Path, valid: bytes, name: str) -> None:
    change, reason = BYTE_ATTACKS[name]
    read_both_ways(change(valid))
    with pytest.raises(TokenFileError, match=reason):
        TokenFile(tmp_path / "a.solfa")


def test_the_attacks_start_from_a_file_that_reads(read_both_ways: Reader, valid: bytes) -> None:
    for data in (valid, with_fields(body_of(valid))):
        for outcome in read_both_ways(data).values():
            np.testing.assert_array_equal(outcome, CODES)


def test_padding_with_a_right_checksum_is_still_refused(tmp_path: Path, valid: bytes) -> None:
    # 10 frames of 10 bits leave four spare bits: two files must not mean the same codes.
    body = bytearray(body_of(valid))
    block = 2 * (12 + 3 * 25)
    plane = body[block + 12 : block + 12 + 13]
    plane[-1] |= 0x80
    body[block + 12 : block + 12 + 13] = plane
    body[block : block + 4] = struct.pack("<I", zlib.crc32(bytes(plane), 2 * BOOKS))
    (tmp_path / "a.solfa").write_bytes(with_fields(bytes(body)))
    with TokenFile(tmp_path / "a.solfa") as file:
        assert [(d.block, d.codebooks, d.reason) for d in file.damaged] == [(2, (0,), "its padding is not zero")]


def test_every_changed_byte_is_found(tmp_path: Path, valid: bytes) -> None:
    path = tmp_path / "a.solfa"
    for at in range(len(valid)):
        path.write_bytes(valid[:at] + bytes([valid[at] ^ (1 << at % 8)]) + valid[at + 1 :])
        with pytest.raises(TokenFileError), TokenFile(path) as file:
            file.read()
            pytest.fail(f"byte {at} of {len(valid)} was changed and nothing was said")


def test_every_truncation_is_found_and_whole_blocks_stay(tmp_path: Path, valid: bytes) -> None:
    path = tmp_path / "a.solfa"
    start = len(valid) - len(body_of(valid))
    for size in range(len(valid)):
        path.write_bytes(valid[:size])
        with pytest.raises(TokenFileError):
            TokenFile(path)
        if size >= start:
            with TokenFile(path, on_damage="zero") as file:
                whole = min((size - start) // 87 * BLOCK, 40) if size < start + 2 * 87 + 12 + 39 else FRAMES
                assert file.frames == whole
                np.testing.assert_array_equal(file.read(), CODES[:, :whole])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draws=st.data())
def test_mutated_files_give_the_codes_or_an_error(
    read_both_ways: Reader, valid: bytes, damage: st.SearchStrategy[Any], draws: st.DataObject
) -> None:
    data = draws.draw(damage)(valid)
    result = read_both_ways(data)
    if isinstance(result["error"], np.ndarray):
        assert data == valid
    if isinstance(result["zero"], np.ndarray):
        found = result["zero"]
        assert found.shape[0] == BOOKS and found.shape[1] <= FRAMES
        assert ((found == CODES[:, : found.shape[1]]) | (found == 0)).all()  # nothing wrong is passed off as right


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(
        st.sampled_from(sorted(RECORD)),
        st.one_of(st.integers(-2, 70), st.integers(), st.text(max_size=5), st.none(), st.booleans(), st.floats()),
        min_size=1,
        max_size=3,
    ),
    draws=st.data(),
)
def test_headers_with_right_checksums_and_wrong_fields(
    read_both_ways: Reader,
    valid: bytes,
    damage: st.SearchStrategy[Any],
    changes: dict[str, Any],
    draws: st.DataObject,
) -> None:
    text = draws.draw(st.one_of(st.just(bytes), damage))(json.dumps(RECORD | changes).encode())
    read_both_ways(with_json(text, body_of(valid)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), magic=st.booleans())
def test_noise_is_refused(read_both_ways: Reader, data: bytes, magic: bool) -> None:
    result = read_both_ways((MAGIC + b"\1\0\0\0" if magic else b"") + data)
    assert all(isinstance(outcome, str) for outcome in result.values())
