"""`.dac` files: what NumPy's pickle writer writes is read, whatever else a pickle can say is not, and nothing in it runs."""

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.codecs.other_formats.code_file import CodeFileError
from solfa.codecs.other_formats.dac_file import DacFile, read_dac, write_dac
from solfa.codecs.other_formats.dac_pickle import array_of, read_object, write_object

CODES = np.random.default_rng(0).integers(0, 1024, (2, 3, 8)).astype(np.uint16)
METADATA: dict[str, Any] = {
    "input_db": np.array([-23.5], np.float32),
    "original_length": 4_000,
    "sample_rate": 44_100,
    "chunk_length": 8,
    "channels": 2,
    "padding": True,
    "dac_version": "1.0.0",
}


def record(**changes: Any) -> dict[str, Any]:
    return {"codes": CODES, "metadata": METADATA | changes}


def saved(value: Any) -> bytes:
    """As the package saves it."""
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def with_pickle(body: bytes) -> bytes:
    return saved({})[:128] + body


VALID = saved(record())


def test_a_file_that_numpy_wrote(tmp_path: Path) -> None:
    (tmp_path / "a.dac").write_bytes(VALID)
    file = read_dac(tmp_path / "a.dac")
    np.testing.assert_array_equal(file.tokens, CODES)
    assert (file.items, file.recordings, file.codebooks, file.frames) == (2, 1, 3, 8)
    assert (file.chunk_length, file.original_length, file.sample_rate, file.channels) == (8, 4_000, 44_100, 2)
    assert (file.padding, file.dac_version, file.input_db, file.levels) == (True, "1.0.0", (-23.5,), (-23.5, -23.5))


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"original_length": np.int64(4_000), "sample_rate": np.uint16(44_100)},
        {"input_db": np.array([-1, -200], ">f8")},
        {"chunk_length": 8, "padding": False},
    ],
)
def test_other_writers(tmp_path: Path, protocol: int, module: bytes, changes: dict[str, Any]) -> None:
    for codes in (CODES, CODES.astype(">i8"), np.asfortranarray(CODES), CODES[:, :, ::-1][:, :, ::-1]):
        array = np.array({"codes": codes, "metadata": METADATA | changes})
        body = pickle.dumps(array, protocol)
        name = b"numpy._core.multiarray"
        if module not in name:  # old NumPy's name, as long as its frame says
            short = name.replace(b"numpy._core", module)
            body = body.replace(b"\x8c" + bytes([len(name)]) + name, b"\x8c" + bytes([len(short)]) + short).replace(
                name, short
            )
        (tmp_path / "a.dac").write_bytes(with_pickle(body))
        file = read_dac(tmp_path / "a.dac")
        np.testing.assert_array_equal(file.tokens, CODES)
        assert (file.original_length, file.sample_rate) == (4_000, 44_100)
        assert type(file.original_length) is int


def test_numpy_reads_what_we_write(tmp_path: Path) -> None:
    file = DacFile(CODES, 7, (1 << 40) + 3, 384_000, 1, True, (-70.0, 3.25))
    write_dac(tmp_path / "a.dac", file)
    found = np.load(tmp_path / "a.dac", allow_pickle=True)[()]
    assert found["codes"].dtype == np.uint16 and list(found) == ["codes", "metadata"]
    np.testing.assert_array_equal(found["codes"], CODES)
    levels = found["metadata"].pop("input_db")
    assert levels.dtype == np.float32 and levels.tolist() == [-70.0, 3.25]
    assert found["metadata"] == {
        "original_length": (1 << 40) + 3,
        "sample_rate": 384_000,
        "chunk_length": 7,
        "channels": 1,
        "padding": True,
        "dac_version": "1.0.0",
    }
    data = (tmp_path / "a.dac").read_bytes()
    assert b"numpy.core.multiarray" in data and b"_core" not in data  # which NumPy 1 does not have
    again = read_dac(tmp_path / "a.dac")
    np.testing.assert_array_equal(again.tokens, CODES)
    assert (again.input_db, again.chunk_length, again.channels) == (file.input_db, 7, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.one_of(
            st.text(),
            st.integers(-(2**70), 2**70),
            st.booleans(),
            st.binary(max_size=6).map(lambda raw: np.frombuffer(raw, np.uint8)),
        ),
        lambda inner: st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    ).map(lambda value: {"a": value})
)
def test_what_is_written_is_what_is_read(value: dict[str, Any]) -> None:
    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: plain(inner) for key, inner in item.items()}
        array = item if isinstance(item, np.ndarray) else array_of(item)
        return item if array is None else array.tolist()

    data = write_object(value)
    assert plain(read_object(data)) == plain(value)
    assert plain(np.load(io.BytesIO(data), allow_pickle=True)[()]) == plain(value)


class Runs:
    """What it is unpickled by."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


@pytest.mark.parametrize("place", ["alone", "in codes", "in metadata", "in a list"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_nothing_runs(tmp_path: Path, place: str, protocol: int) -> None:
    trap = tmp_path / "trap"
    for bait in (Runs(os.system, f"touch {trap}"), Runs(eval, f"open({str(trap)!r}, 'w')"), Runs(os.mkdir, str(trap))):
        value = {
            "alone": bait,
            "in codes": {"codes": bait, "metadata": METADATA},
            "in metadata": record(padding=bait),
            "in a list": [bait, record()],
        }[place]
        body = pickle.dumps(np.array(value, dtype=object), protocol)
        (tmp_path / "a.dac").write_bytes(with_pickle(body))
        with pytest.raises(CodeFileError, match=r"which no \.dac file needs|header"):
            read_dac(tmp_path / "a.dac")
        assert not trap.exists()


NDARRAY, DTYPE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
PICKLES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "truncated"),
    "end at once": (b".", "more or less than one object"),
    "two objects": (b"NN.", "more or less than one object"),
    "an open mark": (b"(N.", "more or less than one object"),
    "a number": (b"K\x05.", "does not hold one object"),
    "os.system": (b"cos\nsystem\n(X\x02\0\0\0ls\x85R.", "'os system', which no .dac file needs: it is not run"),
    "builtins": (b"cbuiltins\neval\n.", "'builtins eval'"),
    "a class of numpy": (b"cnumpy\nmemmap\n.", "'numpy memmap'"),
    "a path through numpy": (b"cnumpy\nndarray.__class__\n.", "which no .dac file needs"),
    "a name without end": (b"cos" + b"x" * 1000, "name without an end"),
    "an instance": (b"(ios\nsystem\n.", r"instruction b'i'"),
    "an extension": (b"\x82\x01.", "instruction"),
    "a persistent object": (b"Px\n.", "instruction b'P'"),
    "an object of a class": (NDARRAY + b")\x81.", "instruction"),
    "old numbers": (b"I5\n.", "instruction b'I'"),
    "old text": (b"S'a'\n.", "instruction b'S'"),
    "an empty stack": (b"R.", "takes what is not there"),
    "pop below a mark": (b"N(a.", "takes what is not there"),
    "no mark": (b"t.", "takes what is not there"),
    "no memory": (b"h\x07.", "takes what is not there"),
    "call of a number": (b"K\x01)R.", "makes an object"),
    "call of ndarray": (NDARRAY + b")R.", "makes an object"),
    "reconstruct of dtype": (RECONSTRUCT + DTYPE + b"K\0\x85C\1b\x87R.", "makes an object"),
    "reconstruct of a size": (RECONSTRUCT + NDARRAY + b"J\xff\xff\xff\x7f\x85C\1b\x87R.", "makes an object"),
    "a structured dtype": (DTYPE + b"X\4\0\0\0i4,O\x89\x88\x87R.", "makes an object"),
    "state of a number": (b"K\x01K\x02b.", "fills an object"),
    "state of ndarray": (NDARRAY + b"}b.", "fills an object"),
    "items of a number": (b"K\x01K\x02a.", "what is no list"),
    "keys of numbers": (b"}K\x01K\x02s.", "keys are not text"),
    "keys of tuples": (b"})K\x02s.", "keys are not text"),
    "text of 18 exabytes": (b"\x8d" + b"\xff" * 8 + b"a.", "truncated"),
    "bytes of 4 GB": (b"B\xff\xff\xff\xffa.", "truncated"),
    "bytes of 18 exabytes": (b"\x8e" + b"\xff" * 8 + b"a.", "truncated"),
    "text that is none": (b"X\2\0\0\0\xff\xff.", "not UTF-8"),
    "a long of 4 GB": (b"\x8b\xff\xff\xff\x7f.", "instruction"),
    "no end": (b"N" * 100, "truncated"),
    "10 MB of marks": (b"(" * 10_000_000, "more than 10000 instructions"),
    "deep lists": (b"]" * 4_000 + b"a" * 3_999 + b".", "does not hold one object"),
    "deeper lists": (b"]" * 100_000 + b"a" * 99_999 + b".", "more than 10000 instructions"),
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_no_dac_file_is(tmp_path: Path, name: str) -> None:
    body, reason = PICKLES[name]
    (tmp_path / "a.dac").write_bytes(with_pickle(b"\x80\x03" + body))
    with pytest.raises(CodeFileError, match=reason):
        read_dac(tmp_path / "a.dac")


def test_a_tuple_of_itself_many_times_takes_no_time(tmp_path: Path) -> None:
    # 2^200 leaves, if anything walks through them: as a key, in a shape, in a message.
    heavy = b")" + b"q\0h\0\x86" * 200
    for tail in (b"}h\0N", b"}", b"\x85"):
        for end in (b"s.", b"."):
            (tmp_path / "a.dac").write_bytes(with_pickle(b"\x80\x03" + heavy + tail + end))
            with pytest.raises(CodeFileError):
                read_dac(tmp_path / "a.dac")


def array(shape: bytes, kind: bytes, content: bytes, order: bytes = b"<") -> bytes:
    state = b"(K\3X\1\0\0\0" + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    dtype = DTYPE + b"X" + struct.pack("<I", len(kind)) + kind + b"\x89\x88\x87R" + state
    return RECONSTRUCT + NDARRAY + b"K\0\x85C\1b\x87R(K\1(" + shape + b"t" + dtype + b"\x89" + content + b"tb"


ARRAYS: dict[str, tuple[bytes, str]] = {
    "fewer bytes": (array(b"K\2K\2", b"u2", b"C\7" + bytes(7)), r"shape \[2, 2\] and 2 bytes a number in 7 bytes"),
    "more bytes": (array(b"K\2K\2", b"u2", b"C\x09" + bytes(9)), "in 9 bytes"),
    "a petabyte": (array(b"\x8a\x06" + bytes(5) + b"\x01" + b"K\1K\1", b"u8", b"C\4" + bytes(4)), "in 4 bytes"),
    "beyond int64": (array(b"\x8a\x09" + bytes(8) + b"\x01", b"u1", b"C\0"), "whose shape is none"),
    "nothing times much": (
        array((b"\x8a\x06" + b"\xff" * 5 + b"\x01") * 7 + b"K\0", b"u1", b"C\0"),
        "array|shape|codes",
    ),
    "a negative size": (array(b"J\xff\xff\xff\xffK\1", b"u1", b"C\1a"), "whose shape is none"),
    "a size of true": (array(b"\x88", b"u1", b"C\1a"), "whose shape is none"),
    "a size of text": (array(b"X\1\0\0\0a", b"u1", b"C\1a"), "whose shape is none"),
    "nine axes": (array(b"K\1" * 9, b"u1", b"C\1a"), "whose shape is none"),
    "several objects": (array(b"K\2", b"O8", b"](NNe"), "several objects"),
    "a list for bytes": (array(b"K\1", b"u1", b"]K\1a"), "without its numbers"),
    "text for bytes": (array(b"K\1", b"u1", b"X\1\0\0\0a"), "without its numbers"),
    "an order that is none": (array(b"K\1", b"u1", b"C\1a", order=b"?"), "fills an object"),
    "filled twice": (
        array(b"K\1", b"u1", b"C\1a") + array(b"K\1", b"u1", b"C\1a").partition(b"R")[2],
        "fills an object",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_lie(tmp_path: Path, name: str) -> None:
    body, reason = ARRAYS[name]
    box = array(b"", b"O8", b"]}(X\5\0\0\0codes" + body + b"X\x08\0\0\0metadata}ua", order=b"|")
    (tmp_path / "a.dac").write_bytes(with_pickle(b"\x80\x03" + box + b"."))
    with pytest.raises(CodeFileError, match=reason):
        read_dac(tmp_path / "a.dac")


RECORDS: dict[str, tuple[Any, str]] = {
    "a list": ([record()], "header is not that of one object"),
    "text": ("x", "header is not that of one object"),
    "none": (None, "exactly codes and metadata"),
    "nothing": ({}, "exactly codes and metadata"),
    "codes only": ({"codes": CODES}, "exactly codes and metadata"),
    "more": (record() | {"x": 1}, "exactly codes and metadata"),
    "metadata of text": ({"codes": CODES, "metadata": "x"}, "metadata must be a dict"),
    "one field more": (record(x=1), "metadata must be a dict of exactly"),
    "codes of text": ({"codes": "abc", "metadata": METADATA}, "codes are no array"),
    "codes of fractions": ({"codes": CODES.astype(float), "metadata": METADATA}, "codes are float64"),
    "codes of two axes": ({"codes": CODES[0], "metadata": METADATA}, r"codes are uint16 \[3, 8\]"),
    "no codes": ({"codes": CODES[:, :, :0], "metadata": METADATA}, "none of them 0"),
    "negative codes": ({"codes": CODES.astype(int) - 2000, "metadata": METADATA}, "0 to 65535 can be stored"),
    "huge codes": ({"codes": CODES.astype(int) << 40, "metadata": METADATA}, "0 to 65535 can be stored"),
    "129 codebooks": ({"codes": np.zeros((2, 129, 8), np.uint16), "metadata": METADATA}, "129 codebooks"),
    "three channels": (record(channels=3), "2 items are no whole number of recordings of 3 channels"),
    "no channels": (record(channels=0), "channels must be an integer from 1 to 64, not 0"),
    "ten trillion trillion samples": (record(original_length=10**25), "original_length must be"),
    "no samples": (record(original_length=0), "original_length must be"),
    "samples of text": (record(original_length="9"), "original_length must be an integer from 1 to .*, not '9'"),
    "samples of true": (record(original_length=True), "original_length must be"),
    "a chunk of nothing": (record(chunk_length=0), "chunk_length must be"),
    "a rate of 1 GHz": (record(sample_rate=10**9), "sample_rate must be an integer from 1000 to 384000"),
    "padding of 1": (record(padding=1), "padding must be True or False, not 1"),
    "padding of none": (record(padding=None), "padding must be True or False, not None"),
    "unpadded chunks that are not whole": (record(padding=False, chunk_length=3), "no whole number of chunks of 3"),
    "another version": (record(dac_version="2.0.0"), r"dac_version '2.0.0' is not known; known: 1\.0\.0"),
    "a version of numbers": (record(dac_version=1), "dac_version 1 is not known"),
    "loudness of nan": (record(input_db=np.array([np.nan], np.float32)), "between -200 and 200 LUFS"),
    "loudness of much": (record(input_db=np.array([1e9], np.float32)), "between -200 and 200 LUFS"),
    "loudness of five": (record(input_db=np.zeros(5, np.float32)), "5 values for 1 recordings, 2 items"),
    "loudness of whole numbers": (record(input_db=np.zeros(1, int)), "no array of fractions"),
    "loudness of a number": (record(input_db=-20), "no array of fractions"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_that_no_dac_file_is(tmp_path: Path, name: str) -> None:
    value, reason = RECORDS[name]
    (tmp_path / "a.dac").write_bytes(saved(value))
    with pytest.raises(CodeFileError, match=reason):
        read_dac(tmp_path / "a.dac")


@pytest.mark.parametrize("missing", METADATA)
def test_every_field_is_needed(tmp_path: Path, missing: str) -> None:
    metadata = {name: value for name, value in METADATA.items() if name != missing}
    (tmp_path / "a.dac").write_bytes(saved({"codes": CODES, "metadata": metadata}))
    with pytest.raises(CodeFileError, match=f"exactly .*{missing}"):
        read_dac(tmp_path / "a.dac")


BYTES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", r"not a \.dac file"),
    "magic only": (VALID[:6], "truncated"),
    "a cut header": (VALID[:30], "header is not that of one object"),
    "a cut pickle": (VALID[:-1], "truncated"),
    "one byte more": (VALID + b"x", "1 bytes too many"),
    "twice": (VALID + VALID, "bytes too many"),
    "a bare pickle": (VALID[128:], r"not a \.dac file"),
    "a zip": (b"PK\3\4" + VALID, r"not a \.dac file"),
    "an array of numbers": (saved(CODES), "header is not that of one object"),
    "an array of objects": (saved(np.array([{}, {}])), "header is not that of one object"),
    "a header that runs": (VALID.replace(b"'shape': ()", b"'shape': f()"), "header"),
    "a header of 64 KB": (VALID[:8] + b"\xff\xff" + VALID[10:], "header"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_no_dac_file_is(tmp_path: Path, name: str) -> None:
    data, reason = BYTES[name]
    (tmp_path / "a.dac").write_bytes(data)
    with pytest.raises(CodeFileError, match=reason):
        read_dac(tmp_path / "a.dac")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ours=st.booleans(), draws=st.data())
def test_damaged_files_give_a_result_or_an_error(
    tmp_path: Path, read_bounded: Any, damage: st.SearchStrategy[Any], ours: bool, draws: st.DataObject
) -> None:
    if ours:
        write_dac(tmp_path / "a.dac", DacFile(CODES, 8, 4_000, 44_100, 2, True, (-23.5,)))
    data = draws.draw(damage)((tmp_path / "a.dac").read_bytes() if ours else VALID)
    found = read_bounded(read_dac, tmp_path / "a.dac", data, CodeFileError)
    assert isinstance(found, str) or found.tokens.ndim == 3


OPCODES = b"\x80\x95(N\x88\x89KMJ\x8aG\x8cX\x8dCB\x8e)t\x85\x86\x87]ae}suqr\x94hjc\x93Rb."
PIECES = st.one_of(
    st.sampled_from([NDARRAY, DTYPE, RECONSTRUCT, b"C\1b", b"K\0\x85", b"X\2\0\0\0u2", b"K\1", b"\x89\x88\x87R"]),
    st.sampled_from(sorted(OPCODES)).map(lambda code: bytes([code])),
    st.binary(max_size=4),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=40))
def test_random_programs_are_refused(tmp_path: Path, read_bounded: Any, pieces: list[bytes]) -> None:
    data = with_pickle(b"".join(pieces) + b".")
    assert isinstance(read_bounded(read_dac, tmp_path / "a.dac", data, CodeFileError), str)
