"""EnCodec's `.ecdc` files, from bytes written by hand: layout, every length, damage. (Against the package: tests/reference.)"""

import json
import struct
import warnings
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.codecs.codec import Codes
from solfa.codecs.encodec import encodec_24khz
from solfa.codecs.other_formats.ecdc import CodeFileError, read_ecdc, read_ecdc_header, write_ecdc
from solfa.codecs.other_formats.ecdc_header import EcdcHeader
from solfa.codecs.other_formats.ecdc_lm import EncodecLM, EncodecLMConfig
from solfa.codecs.segments import segment_frames
from solfa.codecs.vqvae import VQVAE

SEGMENT = (48_000, 47_520)


def make_codes(samples: int, books: int, stereo: bool = False, seed: int = 0) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    counts = segment_frames(samples, 320, *SEGMENT) if stereo else [-(-samples // 320)]
    tokens = torch.randint(1024, (1, books, sum(counts)), generator=generator)
    scales = 0.01 + torch.rand(1, len(counts), generator=generator) if stereo else None
    name, rate = ("encodec-48khz", 48_000) if stereo else ("encodec-24khz", 24_000)
    segment = SEGMENT if stereo else None
    return Codes(tokens, name, "", rate, 2 if stereo else 1, 320, 1024, (samples,), scales, segment)


def header(**changes: Any) -> bytes:
    text = json.dumps({"m": "encodec_24khz", "al": 24_000, "nc": 8, "lm": False} | changes).encode()
    return b"ECDC" + struct.pack(">BI", 0, len(text)) + text


def packed(tokens: torch.Tensor) -> bytes:
    """Bit by bit: codes [K, T] in order of time, then codebook, ten bits each, lowest first."""
    bits = [code >> place & 1 for code in tokens.T.flatten().tolist() for place in range(10)]
    bits += [0] * (-len(bits) % 8)
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


def equal(a: Codes, b: Codes) -> bool:
    scales = a.scales is b.scales is None or (a.scales is not None and torch.equal(a.scales, b.scales))
    return torch.equal(a.tokens, b.tokens) and scales and replace(a, tokens=b.tokens, scales=b.scales) == b


@cache
def tiny_lm(seed: int = 0, **changes: int) -> EncodecLM:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EncodecLM(
            EncodecLMConfig(**({"codebooks": 4, "dim": 16, "layers": 2, "heads": 2, "context": 6} | changes))
        )
        for linear in model.linears:  # sharper than the start: some codes are likely
            linear.weight.data *= 8
    return model.requires_grad_(False)


def test_the_published_bytes(tmp_path: Path) -> None:
    codes = make_codes(24_000, 8)
    write_ecdc(tmp_path / "a.ecdc", codes)
    data = (tmp_path / "a.ecdc").read_bytes()
    assert len(data) == 816 and data[:66] == header()
    assert data[66:] == packed(codes.tokens[0])
    assert equal(read_ecdc(tmp_path / "a.ecdc"), codes)


def test_the_bytes_of_segments(tmp_path: Path) -> None:
    codes = make_codes(96_000, 3, stereo=True)  # offsets 0, 47520, 95040: 150 + 150 + 3 frames
    write_ecdc(tmp_path / "a.ecdc", codes)
    expected = header(m="encodec_48khz", al=96_000, nc=3)
    for first, last, scale in ((0, 150, 0), (150, 300, 1), (300, 303, 2)):
        expected += struct.pack(">f", codes.scales[0, scale]) + packed(codes.tokens[0, :, first:last])
    assert (tmp_path / "a.ecdc").read_bytes() == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(1, 150_000), books=st.integers(1, 16), stereo=st.booleans(), seed=st.integers(0, 99))
def test_what_was_written_comes_back(tmp_path: Path, samples: int, books: int, stereo: bool, seed: int) -> None:
    codes = make_codes(samples, books, stereo, seed)
    written = write_ecdc(tmp_path / "a.ecdc", codes)
    assert equal(read_ecdc(tmp_path / "a.ecdc"), codes)
    assert written == read_ecdc_header(tmp_path / "a.ecdc") and written.frames == codes.lengths[0]


def test_lengths_that_the_release_miscounts(tmp_path: Path) -> None:
    # encodec 0.1.1 counts the frames of a file in floating point, and asks for one too many at these lengths.
    lengths = [n for n in range(320, 480_001, 320) if EcdcHeader("encodec_24khz", n, 1, False).spare_frames(0)]
    assert len(lengths) == 74 and lengths[:4] == [6_720, 13_440, 16_320, 26_880]
    path = tmp_path / "a.ecdc"
    assert not any(EcdcHeader("encodec_48khz", n, 1, False).spare_frames(0) for n in range(47_521, 48_001))
    for samples in (*lengths[:8], lengths[-1]):
        codes = make_codes(samples, 2)
        path.write_bytes(header(al=samples, nc=2) + packed(codes.tokens[0]))  # as it writes them itself
        assert equal(read_ecdc(path), codes)
        write_ecdc(path, codes)  # as it can read them: the last frame twice
        more = torch.cat([codes.tokens[0], codes.tokens[0, :, -1:]], 1)
        assert path.read_bytes() == header(al=samples, nc=2) + packed(more)
        assert equal(read_ecdc(path), codes)


@pytest.mark.parametrize("samples", [1, 320, 1_000, 6_720])
def test_a_language_model_compresses(tmp_path: Path, samples: int) -> None:
    lm, path = tiny_lm(), tmp_path / "a.ecdc"
    codes = make_codes(samples, 3)
    with pytest.warns(UserWarning, match="another machine"):
        assert write_ecdc(path, codes, lm).lm
    assert equal(read_ecdc(path, lm), codes)
    assert read_ecdc_header(path).samples == samples
    with pytest.raises(CodeFileError, match=r"encodec_lm_24khz-1608e3c0\.th"):
        read_ecdc(path)


@pytest.mark.filterwarnings("ignore:codes that EnCodec")
def test_a_language_model_starts_anew_in_each_segment(tmp_path: Path) -> None:
    lm, path = tiny_lm(), tmp_path / "a.ecdc"
    codes = make_codes(48_500, 2, stereo=True)
    codes.tokens[:, :, 150:] = codes.tokens[:, :, : codes.tokens.shape[-1] - 150]
    write_ecdc(path, codes, lm)
    assert equal(read_ecdc(path, lm), codes)
    short = replace(codes, tokens=codes.tokens[:, :, 150:], scales=codes.scales[:, 1:], samples=(48_500 - 47_520,))
    write_ecdc(tmp_path / "b.ecdc", short, lm)
    tail = (tmp_path / "b.ecdc").read_bytes()[len(header(m="encodec_48khz", al=980, nc=2, lm=True)) - 1 :]
    assert path.read_bytes().endswith(tail[1:])


@pytest.mark.filterwarnings("ignore:codes that EnCodec")
def test_what_another_model_wrote_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ecdc"
    write_ecdc(path, make_codes(8_000, 3), tiny_lm())
    with pytest.raises(CodeFileError, match="other weights, or on a machine that rounds"):
        read_ecdc(path, tiny_lm(seed=1))
    with pytest.raises(CodeFileError, match="is for 2 codebooks of 1024: 3 of 1024 are needed"):
        read_ecdc(path, tiny_lm(codebooks=2))


@pytest.mark.filterwarnings("ignore:codes that EnCodec")
def test_likely_codes_take_less_room(tmp_path: Path) -> None:
    lm = tiny_lm()
    codes = make_codes(16_000, 3)
    state, before = lm.start(), torch.full((1, 3), -1)
    for t in range(codes.tokens.shape[-1]):
        probabilities, state = lm.step(before, state)
        before = probabilities.argmax(1)
        codes.tokens[..., t] = before
    write_ecdc(tmp_path / "a.ecdc", codes)
    write_ecdc(tmp_path / "b.ecdc", codes, lm)
    assert equal(read_ecdc(tmp_path / "b.ecdc", lm), codes)
    assert (tmp_path / "b.ecdc").stat().st_size < 0.8 * (tmp_path / "a.ecdc").stat().st_size


ATTACKS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not a .ecdc file"),
    "magic only": (b"ECDC", "truncated"),
    "a solfa file": (b"\x89SOLFA\r\n" + bytes(100), "not a .ecdc file"),
    "version 1": (b"ECDC\1" + header()[5:] + bytes(750), "version 1 is not known"),
    "header of 4 GB": (
        b"ECDC\0\xff\xff\xff\xff" + header()[9:] + bytes(750),
        "4294967295 bytes long; legal: 2 to 4096",
    ),
    "header past the end": (b"ECDC" + struct.pack(">BI", 0, 900) + header()[9:] + bytes(750), "truncated"),
    "not json": (b"ECDC" + struct.pack(">BI", 0, 5) + b"{'m':", "bad header"),
    "not utf-8": (b"ECDC" + struct.pack(">BI", 0, 5) + b"\xff\xff\xff\xff\xff", "bad header"),
    "a list": (b"ECDC" + struct.pack(">BI", 0, 6) + b"[1, 2]", "exactly the keys m, al, nc, lm"),
    "deep": (b"ECDC" + struct.pack(">BI", 0, 4000) + b"[" * 4000, "nested deeper"),
    "a key twice": (
        b"ECDC" + struct.pack(">BI", 0, 74) + header()[9:-1] + b', "lm": false}' + bytes(759),
        "stands twice",
    ),
    "no nc": (header().replace(b'"nc"', b'"nx"') + bytes(750), "exactly the keys"),
    "one key more": (header(x=1) + bytes(750), "exactly the keys"),
    "another model": (header(m="encodec_32khz") + bytes(750), "known: encodec_24khz, encodec_48khz"),
    "ten trillion samples": (header(al=10**13), "truncated"),
    "ten trillion stereo samples": (header(m="encodec_48khz", al=10**13), "truncated"),
    "ten trillion modelled samples": (header(al=10**13, lm=True), "truncated"),
    "ten trillion modelled samples in 60 bytes": (header(al=10**13, lm=True) + bytes(60), "60 bytes cannot hold"),
    "ten trillion modelled stereo samples": (header(m="encodec_48khz", al=10**13, lm=True) + bytes(60), "truncated"),
    "more digits than a number has": (header(al=10**300) + bytes(750), "integer of 997 bits samples"),
    "no samples": (header(al=0), "0 samples: at least 1"),
    "negative samples": (header(al=-1), "-1 samples: at least 1"),
    "samples of text": (header(al="24000") + bytes(750), "al is '24000', which is not of the type int"),
    "samples of a fraction": (header(al=24_000.0) + bytes(750), "al is 24000.0"),
    "samples of true": (header(al=True) + bytes(750), "al is True"),
    "no codebooks": (header(nc=0) + bytes(750), "0 codebooks: encodec_24khz has 1 to 32"),
    "negative codebooks": (header(nc=-1) + bytes(750), "-1 codebooks"),
    "33 codebooks": (header(nc=33) + bytes(4000), "33 codebooks"),
    "17 stereo codebooks": (header(m="encodec_48khz", nc=17) + bytes(4000), "17 codebooks: encodec_48khz has 1 to 16"),
    "lm of 1": (header(lm=1) + bytes(750), "lm is 1"),
    "lm of null": (header(lm=None) + bytes(750), "lm is None"),
    "no codes": (header(), "truncated: 24000 samples take 750 bytes, and there are 0"),
    "one byte fewer": (header() + bytes(749), "truncated"),
    "one byte more": (header() + bytes(751), "1 bytes too many"),
    "a frame more where none is asked for": (header() + bytes(760), "10 bytes too many"),
    "filling bits": (header(nc=1, al=320) + b"\0\x04", "filling bits of segment 0 are not zero"),
    "scale of zero": (header(m="encodec_48khz", al=320, nc=4) + bytes(9), "scale of a segment is 0.0"),
    "scale of nan": (header(m="encodec_48khz", al=320, nc=4) + b"\x7f\xc0\0\0" + bytes(5), "scale of a segment is nan"),
    "scale below zero": (
        header(m="encodec_48khz", al=320, nc=4) + b"\xbf\x80\0\0" + bytes(5),
        "scale of a segment is -1",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(tmp_path: Path, read_bounded: Any, name: str) -> None:
    data, reason = ATTACKS[name]
    assert isinstance(read_bounded(partial(read_ecdc, lm=tiny_lm()), tmp_path / "a.ecdc", data, CodeFileError), str)
    with pytest.raises(CodeFileError, match=reason):
        read_ecdc(tmp_path / "a.ecdc")


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.ecdc"):
        for read in (read_ecdc, read_ecdc_header):
            with pytest.raises(CodeFileError, match=r"not a regular file|No such file"):
                read(path)
    with pytest.raises(ValueError, match="not a regular file"):
        write_ecdc(tmp_path, make_codes(320, 1))


@cache
def valid_file(stereo: bool, model: bool) -> bytes:
    with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        write_ecdc(Path(folder, "a.ecdc"), make_codes(1_500, 3, stereo), tiny_lm() if model else None)
        return Path(folder, "a.ecdc").read_bytes()


def check_found(found: Codes | str, data: bytes, valid: bytes) -> None:
    if isinstance(found, Codes):
        assert found.tokens.shape[-1] == found.lengths[0] and 0 <= found.tokens.min() <= found.tokens.max() < 1024
    if data[: len(valid)] == valid[: len(data)] and len(data) != len(valid):  # only cut, or only longer
        assert isinstance(found, str)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stereo=st.booleans(), draws=st.data())
def test_damaged_files_give_codes_or_an_error(
    tmp_path: Path, read_bounded: Any, damage: st.SearchStrategy[Any], stereo: bool, draws: st.DataObject
) -> None:
    valid = valid_file(stereo, False)
    data = draws.draw(damage)(valid)
    check_found(read_bounded(read_ecdc, tmp_path / "a.ecdc", data, CodeFileError), data, valid)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stereo=st.booleans(), draws=st.data())
def test_damaged_files_of_a_model_give_codes_or_an_error(
    tmp_path: Path, read_bounded: Any, damage: st.SearchStrategy[Any], stereo: bool, draws: st.DataObject
) -> None:
    valid = valid_file(stereo, True)
    data = draws.draw(damage)(valid)
    read = partial(read_ecdc, lm=tiny_lm())
    check_found(read_bounded(read, tmp_path / "a.ecdc", data, CodeFileError), data, valid)


def test_a_file_takes_the_codec_that_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "a.ecdc"
    codes = make_codes(1_000, 4)
    write_ecdc(path, codes)
    preset = encodec_24khz()
    shape = replace(preset.seanet, n_filters=2, dimension=4, lstm_layers=1)
    quantizer = replace(preset.quantizer, codebooks=4)
    codec = VQVAE(replace(preset, name="mine", latent_dim=4, seanet=shape, quantizer=quantizer), "hash").eval()
    found = read_ecdc(path, codec=codec)
    assert (found.codec, found.weights_hash) == ("mine", "hash") and torch.equal(found.tokens, codes.tokens)
    assert codec.decode(found).samples.shape == (1, 1, 1_000)
    few = VQVAE(replace(codec.config, quantizer=replace(quantizer, codebooks=3)), "hash")
    with pytest.raises(
        ValueError, match=r"a\.ecdc: made by encodec-24khz with 4 codebooks: mine \(24000 Hz, 3 codebooks\)"
    ):
        read_ecdc(path, codec=few)


def test_codes_that_a_file_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.ecdc"
    path.write_text("mine")
    codes, stereo = make_codes(1_000, 4), make_codes(1_000, 4, stereo=True)
    batch = replace(codes, tokens=codes.tokens.repeat(2, 1, 1), samples=(1_000, 700))
    wrong = [
        (replace(codes, codec="dac-44khz"), "not of dac-44khz"),
        (replace(codes, hop=640), "a .ecdc file means"),
        (replace(codes, tokens=codes.tokens + 1000), "0 to 1023 are legal"),
        (replace(codes, tokens=codes.tokens.repeat(1, 9, 1)), "36 codebooks"),
        (replace(stereo, scales=None), "a .ecdc file means"),
        (replace(stereo, scales=stereo.scales * 0), "scale of a segment is 0.0"),
        (replace(stereo, scales=stereo.scales[:, :0]), "has 1 segments"),
        (batch, "choose an item, 0 to 1"),
    ]
    for bad, reason in wrong:
        with pytest.raises(ValueError, match=reason):
            write_ecdc(path, bad)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]
    write_ecdc(path, batch, item=1)
    assert read_ecdc(path).samples == (700,) and np.array_equal(read_ecdc(path).tokens, batch.tokens[1:, :, :3])
