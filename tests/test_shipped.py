"""The weights in the package: their size, what they promise on the bundled piece, and one set of codes with real weights too."""

from pathlib import Path

import pytest
import torch

import solfa
from solfa.codecs.registry import list_codecs
from solfa.eval.codec import log_mel_distance, si_sdr
from solfa.shipped import WEIGHTS

DEMO = Path(solfa.__file__).parent / "assets" / "demo.flac"


@pytest.fixture(scope="module")
def codec() -> solfa.Codec:
    return solfa.load_codec("solfa-24khz")


def test_what_ships_is_small_and_has_its_card() -> None:
    assert "solfa-24khz" in [entry.name for entry in list_codecs()]
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*.safetensors")) <= 80_000_000
    for folder in WEIGHTS.iterdir():
        assert (folder / "model.safetensors").stat().st_size <= 30_000_000
        assert (folder / "README.md").read_text().startswith(f"# {folder.name}")


def test_a_path_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert solfa.load_codec("solfa-24khz").codebooks == 8
    with pytest.raises(ValueError, match="solfa-24khz"):
        solfa.load_codec("./solfa-24khz")  # there is no such folder


def test_the_shipped_codec_is_the_one_described(codec: solfa.Codec) -> None:
    assert (codec.sample_rate, codec.channels, codec.frame_rate) == (24_000, 1, 50.0)
    assert (codec.codebooks, codec.codebook_size, codec.bitrate) == (8, 1024, 4000.0)


def test_more_codebooks_are_closer_to_the_original(codec: solfa.Codec) -> None:
    audio = solfa.read(DEMO)
    codes = codec.encode(audio)
    decoded = [codec.decode(codes, k).samples[0] for k in (1, 2, 4, 8)]
    mel = [log_mel_distance(audio.samples[0], x, 24_000) for x in decoded]
    sdr = [si_sdr(audio.samples[0], x) for x in decoded]
    assert mel == sorted(mel, reverse=True) and mel[-1] < 0.30
    assert sdr == sorted(sdr)


def test_codes_of_the_shipped_codec_do_not_depend_on_the_path(codec: solfa.Codec) -> None:
    """Across a window's edge (10 s): whole, in blocks of odd length, in a batch, from the file, on one thread and on three."""
    audio = solfa.read(DEMO)
    x = audio.samples[0, :, : 24_000 * 12]
    whole = codec.encode(x[None]).tokens[0]
    assert torch.equal(torch.cat(list(codec.encode_blocks(x.split(7919, -1))), -1), whole)
    batch = torch.zeros(2, 1, x.shape[-1])
    batch[0, :, :5000], batch[1] = x[:, :5000], x
    assert torch.equal(codec.encode(batch, lengths=[5000, x.shape[-1]]).tokens[1], whole)
    safe = whole.shape[-1] - codec.encode_context
    assert torch.equal(codec.encode_file(DEMO).tokens[0, :, :safe], whole[:, :safe])
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert torch.equal(codec.encode(x[None]).tokens[0], whole)
    finally:
        torch.set_num_threads(before)


def test_silence_stays_silent(codec: solfa.Codec) -> None:
    decoded = codec.decode(codec.encode(torch.zeros(1, 1, 48_000))).samples
    assert decoded.square().mean().sqrt() < 1e-3  # -60 dBFS
