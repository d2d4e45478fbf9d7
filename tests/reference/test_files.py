"""`.ecdc` and `.dac` files go both ways between solfa and the packages that they are of, with the same random weights on both sides."""

import importlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from audiotools import AudioSignal
from dac.model.base import DACFile
from dac.model.dac import DAC
from encodec.model import EncodecModel, LMModel
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer

from solfa.audio.io import Audio
from solfa.codecs.encodec import encodec_24khz, encodec_48khz
from solfa.codecs.other_formats.dac_file import read_dac, write_dac
from solfa.codecs.other_formats.dac_loudness import dac_loudness
from solfa.codecs.other_formats.dac_sound import compress, dac_codes, decompress
from solfa.codecs.other_formats.ecdc import read_ecdc, write_ecdc
from solfa.codecs.other_formats.ecdc_lm import CONFIGS, EncodecLM, EncodecLMConfig, load_ecdc_lm
from solfa.codecs.vqvae import VQVAE
from solfa.codecs.weights import dac_keys, encodec_keys
from solfa.codecs.weights.configs import dac_of_original
from solfa.codecs.weights.layouts import build

package = importlib.import_module("encodec.compress")
MISCOUNTED = [6_720, 13_440, 16_320]  # samples; 74 such lengths within the first 20 s


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def encodec(stereo: bool) -> tuple[EncodecModel, VQVAE]:
    """The package's model with few channels, and ours with its weights."""
    torch.manual_seed(0)
    shape = {"channels": 2 if stereo else 1, "dimension": 16, "n_filters": 4, "causal": not stereo}
    shape["norm"] = "time_group_norm" if stereo else "weight_norm"
    books = 16 if stereo else 32
    quantizer = ResidualVectorQuantizer(dimension=16, n_q=books, bins=1024)
    for layer in quantizer.vq.layers:
        layer._codebook.embed.normal_()
        layer._codebook.inited.fill_(1)
    rate, name = (48_000, "encodec_48khz") if stereo else (24_000, "encodec_24khz")
    theirs = EncodecModel(
        SEANetEncoder(**shape), SEANetDecoder(**shape), quantizer, [3.0, 6.0], rate, shape["channels"],
        normalize=stereo, segment=1.0 if stereo else None, name=name,
    ).eval()  # fmt: skip
    preset = encodec_48khz() if stereo else encodec_24khz()
    config = replace(preset, latent_dim=16, seanet=replace(preset.seanet, n_filters=4, dimension=16))
    return theirs, build(config, encodec_keys.from_original(theirs.state_dict()), "test")


@pytest.fixture(params=["mono", "stereo"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[EncodecModel, VQVAE]:
    theirs, ours = encodec(request.param == "stereo")
    monkeypatch.setitem(package.MODELS, theirs.name, lambda: theirs)
    return theirs, ours


def sound(samples: int, channels: int) -> torch.Tensor:
    return 0.2 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(samples))


def their_codes(model: EncodecModel, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([codes[0] for codes, _ in model.encode(x[None])], 1)


@pytest.mark.parametrize("samples", [1, 319, 320, 5_000, *MISCOUNTED, 47_520, 48_000, 60_001])
def test_ecdc_both_ways(pair: tuple[EncodecModel, VQVAE], samples: int, tmp_path: Path) -> None:
    theirs, ours = pair
    theirs.set_target_bandwidth(3.0)
    x, path = sound(samples, theirs.channels), tmp_path / "a.ecdc"
    data = package.compress(theirs, x)
    path.write_bytes(data)
    codes = read_ecdc(path, codec=ours)
    assert torch.equal(codes.tokens[0], their_codes(theirs, x))
    played = ours.decode(codes).samples[0]
    assert played.shape == x.shape
    write_ecdc(path, replace(codes, codec="encodec-48khz" if ours.channels == 2 else "encodec-24khz"))
    if samples in MISCOUNTED:
        with pytest.raises(EOFError):  # it cannot read its own
            package.decompress(data)
        assert path.read_bytes() != data
    else:
        torch.testing.assert_close(package.decompress(data)[0], played, atol=1e-5, rtol=0)
        assert path.read_bytes() == data
    again, rate = package.decompress(path.read_bytes())
    assert again.shape == x.shape and rate == ours.sample_rate
    if samples not in MISCOUNTED or ours.channels == 1:  # a frame more changes the norm of a whole stereo segment
        torch.testing.assert_close(again, played, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rest", [160, 161, 320, 321])
def test_ecdc_whose_last_segment_is_a_frame(rest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its overlap-add makes room for the last segment, and the one before may reach further.
    theirs, ours = encodec(stereo=True)
    monkeypatch.setitem(package.MODELS, theirs.name, lambda: theirs)
    theirs.set_target_bandwidth(3.0)
    x, path = sound(47_520 + rest, 2), tmp_path / "a.ecdc"
    data = package.compress(theirs, x)
    path.write_bytes(data)
    played = ours.decode(read_ecdc(path, codec=ours)).samples[0]
    assert played.shape == x.shape
    if 160 < rest <= 320:
        with pytest.raises(RuntimeError, match="must match the size"):
            package.decompress(data)
    else:
        torch.testing.assert_close(package.decompress(data)[0], played, atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [320, 6_720, 48_000])
def test_ecdc_with_a_language_model_both_ways(pair: tuple[EncodecModel, VQVAE], samples: int, tmp_path: Path) -> None:
    theirs, ours = pair
    theirs.set_target_bandwidth(3.0)
    shape = EncodecLMConfig(codebooks=ours.codebooks, dim=16, layers=2, heads=2, context=7)
    torch.manual_seed(1)
    their_lm = LMModel(shape.codebooks, 1024, dim=16, num_layers=2, num_heads=2, past_context=7).eval()
    their_lm.linears.requires_grad_(False).apply(lambda part: hasattr(part, "weight") and part.weight.mul_(5))
    theirs.get_lm_model = lambda: their_lm
    lm = EncodecLM(shape)
    lm.load_state_dict(their_lm.state_dict())
    x, path = sound(samples, theirs.channels), tmp_path / "a.ecdc"
    data = package.compress(theirs, x, use_lm=True)
    path.write_bytes(data)
    codes = read_ecdc(path, lm)
    assert torch.equal(codes.tokens[0], their_codes(theirs, x))
    write_ecdc(path, codes, lm)
    assert (path.read_bytes() == data) == (samples != 6_720)
    again, _ = package.decompress(path.read_bytes())
    if samples != 6_720 or ours.channels == 1:
        torch.testing.assert_close(again, ours.decode(read_ecdc(path, lm, ours)).samples[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("codec", CONFIGS)
def test_the_language_model_of_full_size_bit_for_bit(codec: str, tmp_path: Path) -> None:
    config = CONFIGS[codec]
    torch.manual_seed(2)
    theirs = LMModel(config.codebooks, 1024, num_layers=5, dim=200, past_context=config.context).eval()
    torch.save(theirs.state_dict(), tmp_path / "lm.th")
    ours = load_ecdc_lm(tmp_path / "lm.th", codec)
    tokens = torch.randint(1024, (1, 8, 12))
    state, before = ours.start(), torch.full((1, 8), -1)
    states, offset, given = None, 0, torch.zeros(1, 8, 1, dtype=torch.long)
    with torch.no_grad():
        for t in range(tokens.shape[-1]):
            expected, states, offset = theirs(given, states, offset)
            found, state = ours.step(before, state)
            assert torch.equal(found, expected[..., 0])
            before, given = tokens[..., t], 1 + tokens[..., t : t + 1]


def dac(rate: int) -> tuple[DAC, VQVAE]:
    torch.manual_seed(0)
    ratios = [8, 8, 4, 2] if rate == 44_100 else [8, 5, 4, 2]
    shape = {
        "encoder_dim": 4,
        "encoder_rates": ratios[::-1],
        "latent_dim": 16,
        "decoder_dim": 32,
        "decoder_rates": ratios,
    }
    shape |= {"n_codebooks": 3, "sample_rate": rate}
    theirs = DAC(**shape).eval()
    for name, parameter in theirs.named_parameters():
        if name.endswith("weight_g"):
            parameter.data *= 1.3
        if name.endswith("bias"):
            parameter.data.normal_(0, 0.02)
    return theirs, build(dac_of_original(shape, "test"), dac_keys.from_original(theirs.state_dict()), "test")


# Samples, their rate, channels, the window (s) of the package: shorter sounds are one chunk, longer ones several.
SOUNDS = [
    (1, 0, 1, 1.0),
    (30_000, 0, 1, 5.0),
    (50_000, 0, 2, 1.0),
    (20_000, 32_000, 1, 1.0),
    (30_001, 48_000, 1, 0.6),
    (31_234, 48_000, 2, 5.0),
]


@pytest.mark.parametrize("rate", [44_100, 24_000])
def test_dac_both_ways(rate: int, tmp_path: Path) -> None:
    theirs, ours = dac(rate)
    path = tmp_path / "a.dac"
    for samples, own, channels, window in SOUNDS:
        x = sound(samples, channels) * torch.tensor([1.0, 0.3])[:channels, None]
        own = own or rate
        file = theirs.compress(AudioSignal(x[None].clone(), own), window)
        assert file.padding == (samples / own <= window)
        file.save(path)
        found = read_dac(path)
        np.testing.assert_array_equal(found.tokens, file.codes.numpy())
        assert (found.chunk_length, found.original_length, found.padding) == (file.chunk_length, samples, file.padding)
        played = theirs.decompress(DACFile.load(path)).audio_data
        torch.testing.assert_close(decompress(ours, found).samples, played, atol=1e-5, rtol=0)

        written = compress(ours, Audio(x[None], own))
        if file.padding:
            np.testing.assert_array_equal(written.tokens[..., : file.codes.shape[-1]], file.codes.numpy())
            if channels == 1:
                assert written.input_db == pytest.approx(file.input_db.tolist(), abs=5e-5)
        write_dac(path, written)
        again = theirs.decompress(DACFile.load(path)).audio_data
        mine = decompress(ours, read_dac(path)).samples
        assert again.shape == mine.shape == (1, channels, samples)
        if written.frames == written.chunk_length:
            torch.testing.assert_close(mine, again, atol=1e-5, rtol=0)


@pytest.mark.parametrize("short", [0, 1, 4, 7, 8])
def test_dac_where_the_package_fails(short: int, tmp_path: Path) -> None:
    theirs, ours = dac(24_000)
    path = tmp_path / "a.dac"
    samples = 320 * 60 - short  # 19200 samples are 60 frames, of which its decoder makes 19192
    x = sound(samples, 1)
    file = theirs.compress(AudioSignal(x[None].clone(), 24_000), 5.0)
    file.save(path)
    played = decompress(ours, read_dac(path)).samples
    assert played.shape == (1, 1, samples)
    if short < 8:
        with pytest.raises(RuntimeError, match="is invalid for input of size 19192"):
            theirs.decompress(DACFile.load(path))
    write_dac(path, written := compress(ours, Audio(x[None], 24_000)))
    assert written.frames == 60 + (short < 8)
    assert torch.equal(dac_codes(ours, read_dac(path)).tokens, file.codes)
    again = theirs.decompress(DACFile.load(path)).audio_data  # which it reads
    mine = decompress(ours, read_dac(path)).samples
    assert again.shape == mine.shape == (1, 1, samples)
    torch.testing.assert_close(mine[..., :19_192], again[..., :19_192], atol=1e-5, rtol=0)
    # The same sound; its level is measured with the frame more, as the package does, which may move it a little.
    gain = float(mine.abs().max() / played.abs().max())
    assert abs(gain - 1) < 0.03
    torch.testing.assert_close(mine, played * gain, atol=1e-5, rtol=0)


def test_dac_keeps_the_balance_of_stereo(tmp_path: Path) -> None:
    theirs, ours = dac(44_100)
    path = tmp_path / "a.dac"
    x = sound(30_000, 2) * torch.tensor([1.0, 0.1])[:, None]
    levels = [dac_loudness(row[None].numpy(), 44_100) for row in x]
    theirs.compress(AudioSignal(x[None].clone(), 44_100), 5.0).save(path)
    lost = theirs.decompress(DACFile.load(path)).audio_data[0]
    assert abs(dac_loudness(lost[:1].numpy(), 44_100) - dac_loudness(lost[1:].numpy(), 44_100)) < 0.5  # 20 dB before
    write_dac(path, compress(ours, Audio(x[None], 44_100)))
    kept = theirs.decompress(DACFile.load(path)).audio_data[0]
    assert [dac_loudness(row[None].numpy(), 44_100) for row in kept] == pytest.approx(levels, abs=0.5)


@pytest.mark.parametrize(
    ("rate", "samples", "channels"), [(44_100, 100_000, 1), (44_100, 5_000, 1), (24_000, 70_000, 3)]
)
def test_loudness_is_that_of_audiotools(rate: int, samples: int, channels: int) -> None:
    x = sound(samples, channels) * torch.linspace(0.01, 1, samples)
    expected = AudioSignal(x[None].clone(), rate).loudness().item()
    assert dac_loudness(x.numpy(), rate) == pytest.approx(expected, abs=5e-5)


def test_numpy_is_not_needed_to_be_new(tmp_path: Path) -> None:
    _, ours = dac(44_100)
    write_dac(tmp_path / "a.dac", compress(ours, Audio(sound(3_000, 1)[None], 44_100)))
    data = (tmp_path / "a.dac").read_bytes()
    assert b"numpy.core.multiarray" in data and b"numpy._core" not in data
    assert np.load(io.BytesIO(data), allow_pickle=True)[()]["metadata"]["dac_version"] == "1.0.0"
