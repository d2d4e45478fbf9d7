"""One set of codes, however the sound arrives; and exactly the samples that went in come back."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.audio.io import Audio
from solfa.audio.sinc import resample_as
from solfa.codecs.codec import Codec
from solfa.codecs.registry import load_codec
from solfa.codecs.segments import SegmentConfig
from solfa.codecs.vqvae import VQVAE, load_vqvae
from solfa.nn.seanet import SEANetConfig

KINDS = [
    "frames",
    "stereo",
    "seanet",
    "causal",
    "causal lstm",
    "encodec 24k",
    "encodec 32k",
    "encodec 48k",
    "dac",
]
PLAIN = [kind for kind in KINDS if kind != "encodec 48k"]  # without segments


def sound(codec: Codec, samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(codec.channels, samples, generator=torch.Generator().manual_seed(seed)) * 0.3


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=10)
@given(lengths=st.lists(st.integers(1, 700), min_size=1, max_size=3), block=st.integers(1, 300))
def test_whole_batched_and_in_blocks_give_the_same_codes(
    tiny_codecs, name: str, lengths: list[int], block: int
) -> None:
    codec = tiny_codecs[name]
    items = [sound(codec, n, seed) for seed, n in enumerate(lengths)]
    batch = torch.full((len(items), codec.channels, max(lengths)), 9.0)  # what follows a short item must not matter
    for row, item in zip(batch, items, strict=True):
        row[:, : item.shape[-1]] = item
    codes = codec.encode(batch, lengths=lengths)
    if codec.segment is None:
        assert codes.lengths == tuple(-(-n // codec.hop) for n in lengths)
    for i, (item, frames) in enumerate(zip(items, codes.lengths, strict=True)):
        alone = codec.encode(item[None])
        assert alone.tokens.shape[-1] == frames
        assert torch.equal(codes.tokens[i, :, :frames], alone.tokens[0]) and not codes.tokens[i, :, frames:].any()
        assert torch.equal(torch.cat(list(codec.encode_blocks(item.split(block, -1))), -1), alone.tokens[0])
        if codes.scales is not None:
            count = alone.scales.shape[1]
            assert torch.equal(codes.scales[i, :count], alone.scales[0]) and not codes.scales[i, count:].any()


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=10)
@given(samples=st.integers(1, 700), share=st.tuples(st.floats(0, 0.9), st.floats(0, 1)))
def test_decode_gives_back_as_many_samples_and_any_part_alone(
    tiny_codecs, name: str, samples: int, share: tuple[float, float]
) -> None:
    codec = tiny_codecs[name]
    codes = codec.encode(sound(codec, samples)[None])
    audio = codec.decode(codes)
    assert audio.samples.shape == (1, codec.channels, samples) and audio.sample_rate == codec.sample_rate
    start = int(share[0] * samples)
    stop = start + 1 + int(share[1] * (samples - start - 1))
    scales = None if codes.scales is None else codes.scales[0]
    parts = codec.decode_samples(lambda a, b: codes.tokens[0, :, a:b], samples, start, stop, scales)
    assert torch.equal(torch.cat(list(parts), -1), audio.samples[0, :, start:stop])


def test_codes_that_say_the_same_are_equal(tiny_codecs) -> None:
    codec = tiny_codecs["frames"]
    first, second, other = (codec.encode(torch.full((1, codec.channels, 400), value)) for value in (0.0, 0.0, 0.5))
    assert first == second and second in [other, first] and first != "codes"
    wrong = first.tokens.clone()
    wrong[0, 0, 0] += 1
    scales = torch.ones(1, 1)
    for changed in ({"tokens": wrong}, {"tokens": first.tokens[:, :1]}, {"samples": (399,)}, {"scales": scales}):
        assert dataclasses.replace(first, **changed) != first
    assert dataclasses.replace(first, scales=scales) == dataclasses.replace(second, scales=scales.clone())


@pytest.mark.parametrize("name", PLAIN)
def test_decoding_a_part_reads_no_more_than_it_needs(tiny_codecs, name: str) -> None:
    codec = tiny_codecs[name]
    codes = codec.encode(sound(codec, 100 * codec.hop)[None])
    seen: list[int] = []

    def read(a: int, b: int) -> torch.Tensor:
        seen.extend(range(a, b))
        return codes.tokens[0, :, a:b]

    part = torch.cat(list(codec.decode_blocks(read, 100, 42, 49)), -1)
    assert torch.equal(part, codec.decode(codes).samples[0, :, 42 * codec.hop : 49 * codec.hop])
    assert len(seen) == len(set(seen)) and max(seen) <= 48 + 3 * codec.chunk
    remembers = "lstm" in name or "encodec" in name
    assert min(seen) == 0 if remembers else 42 > min(seen) >= 42 - codec.decode_context


def test_decoding_a_part_of_segments_reads_those_alone(tiny_codecs) -> None:
    codec = tiny_codecs["encodec 48k"]  # segments of 120 samples, 110 from one to the next
    codes = codec.encode(sound(codec, 1100)[None])
    assert codes.scales is not None and codes.scales.shape == (1, 10)
    seen: list[tuple[int, int]] = []

    def read(a: int, b: int) -> torch.Tensor:
        seen.append((a, b))
        return codes.tokens[0, :, a:b]

    list(codec.decode_samples(read, 1100, 330, 440, codes.scales[0]))  # the end of the third, the fourth
    assert seen == [(12, 18), (18, 24)]
    with pytest.raises(ValueError, match="10 scales are needed, none given"):
        list(codec.decode_samples(read, 1100))
    with pytest.raises(ValueError, match="decode_samples"):
        list(codec.decode_blocks(read, 60))
    with pytest.raises(ValueError, match="segment"):
        codec.decode(dataclasses.replace(codes, segment=None, tokens=codes.tokens[..., :55]))


@pytest.mark.parametrize("name", KINDS)
def test_the_canonical_path_equals_one_run_of_the_network(tiny_codecs, name: str) -> None:
    """In windows, by steps and in parallel as on the whole at once: for every length."""
    codec = tiny_codecs[name]
    longest = 119 if codec.segment else 655
    for samples in (1, 2, 19, 20, 21, 99, longest):
        x = sound(codec, samples, samples)
        codes = codec.encode(x[None])
        level = 1.0 if codes.scales is None else codes.scales[0, 0]
        tokens = codec.encode_whole(x / level)
        first = -(-samples // codec.hop) if samples <= 110 else tokens.shape[-1]
        assert torch.equal(codes.tokens[0, :, :first], tokens)
        whole = codec.decode_whole(tokens) * level
        stop = min(samples, 110) if codec.segment else samples
        torch.testing.assert_close(codec.decode(codes).samples[0, :, :stop], whole[:, :stop], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_input_is_read_only_a_few_windows_ahead(tiny_codecs, name: str) -> None:
    """However long the recording: what is in memory does not grow with it."""
    codec, read, written, most = tiny_codecs[name], 0, 0, 0

    def parts(count: int):
        nonlocal read
        for _ in range(count):
            read += codec.hop
            yield torch.zeros(codec.channels, codec.hop)

    for block in codec.encode_blocks(parts(600)):
        written += block.shape[-1]
        most = max(most, read // codec.hop - written)
    assert written >= 600 > 200 > most


@pytest.mark.parametrize("name", KINDS)
def test_threads_do_not_change_codes_or_sound(tiny_codecs, name: str) -> None:
    codec, before = tiny_codecs[name], torch.get_num_threads()
    x = sound(codec, 3000)[None]
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            codes = codec.encode(x)
            results.append((codes.tokens, codec.decode(codes).samples))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for result in results[1:] for a, b in zip(result, results[0], strict=True))


def test_codes_of_a_beginning_do_not_depend_on_what_follows(tiny_codecs) -> None:
    codec = tiny_codecs["frames"]
    x = sound(codec, 3000)
    whole = codec.encode(x[None]).tokens
    for cut in (700, 1400, 2222):
        part = codec.encode(x[None, :, :cut]).tokens
        safe = cut // codec.hop - codec.encode_context
        assert torch.equal(part[..., :safe], whole[..., :safe])


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_a_file_gives_the_codes_of_its_samples(tiny_codecs, tmp_path: Path, rate: int) -> None:
    codec = tiny_codecs["frames"]
    x = (np.random.default_rng(0).standard_normal((rate, 1)) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", x, rate, subtype="FLOAT")
    from_file = codec.encode_file(tmp_path / "x.wav")
    from_memory = codec.encode(Audio(torch.from_numpy(x.T.copy())[None], rate))
    assert from_file.samples == from_memory.samples == (8_000,)
    assert torch.equal(from_file.tokens, from_memory.tokens)


def test_first_codebooks_alone(tiny_codecs) -> None:
    codec = tiny_codecs["frames"]
    x = sound(codec, 500)[None]
    assert torch.equal(codec.encode(x, codebooks=2).tokens, codec.encode(x).tokens[:, :2])
    assert codec.encode(x, 2) == codec.encode(x, codebooks=2)  # its place is that of `decode` and `encode_file`
    with pytest.raises(ValueError, match=r"codebooks is \[400\]: a whole number"):
        codec.encode(x, [400])
    with pytest.raises(TypeError, match="unhashable"):
        hash(codec.encode(x))
    assert torch.equal(codec.decode(codec.encode(x), 2).samples, codec.decode(codec.encode(x, codebooks=2)).samples)


def test_stereo_is_averaged_with_a_word_and_mono_is_repeated(tiny_codecs) -> None:
    x = sound(tiny_codecs["stereo"], 300)[None]
    with pytest.warns(UserWarning, match="averaged"):
        mixed = tiny_codecs["frames"].encode(x)
    assert torch.equal(mixed.tokens, tiny_codecs["frames"].encode(x.mean(1, keepdim=True)).tokens)
    assert torch.equal(
        tiny_codecs["stereo"].encode(x[:, :1]).tokens, tiny_codecs["stereo"].encode(x[:, :1].expand(-1, 2, -1)).tokens
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(1, 1, 0), "shape"),
        (torch.zeros(5), "shape"),
        (torch.full((1, 1, 50), float("nan")), "NaN"),
        (torch.zeros(1, 3, 50), "3 channels"),
        (torch.zeros(1, 1, 50, dtype=torch.int16), "samples are torch.int16: a tensor of floats"),
        (torch.zeros(1, 1, 50, dtype=torch.complex64), "samples are torch.complex64"),
        (np.zeros((1, 1, 50), np.float32), "samples are ndarray"),
    ],
)
def test_bad_sound_is_named(tiny_codecs, bad: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_codecs["stereo"].encode(bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.full((2, 50), float("nan")), "NaN or infinity"),
        (torch.full((2, 50), 1e300, dtype=torch.float64), "NaN or infinity"),  # in float32
        (torch.zeros(2, 50, dtype=torch.int16), "samples are torch.int16"),
        (torch.zeros(50), r"the shape \[50\]: \[channels, n\] is needed"),
        (torch.zeros(3, 50), "3 channels"),
    ],
)
def test_bad_blocks_are_named(tiny_codecs, bad: torch.Tensor, message: str) -> None:
    for name in ("stereo", "encodec 48k"):
        with pytest.raises(ValueError, match=message):
            list(tiny_codecs[name].encode_blocks([torch.zeros(2, 30), bad]))


@pytest.mark.parametrize("name", KINDS)
def test_blocks_of_any_floats_and_with_gradients_are_taken(tiny_codecs, name: str) -> None:
    codec = tiny_codecs[name]
    x = sound(codec, 500).half()
    for rate in (None, 11_025):
        expected = torch.cat(list(codec.encode_blocks([x.float()], sample_rate=rate)), -1)
        for part in (x, x.double(), x.float().requires_grad_()):
            assert torch.equal(torch.cat(list(codec.encode_blocks([part], sample_rate=rate)), -1), expected)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_given_out_can_be_trained_on(tiny_codecs, name: str) -> None:
    """Blocks and streams give tensors that autograd takes, as `encode` and `decode` do; in and out of inference mode they are equal."""
    codec = tiny_codecs[name]
    x = sound(codec, 90)

    def made() -> list[torch.Tensor]:
        tokens = [codec.encode_whole(x), *codec.encode_blocks([x])]
        scales = None if codec.segment is None else torch.ones(1)
        sounds = [codec.decode_whole(tokens[0])]
        sounds += codec.decode_samples(lambda a, b: tokens[0][:, a:b], 90, scales=scales)
        if codec.segment is None:
            encoder, decoder = codec.stream(), codec.stream("decode")
            tokens += [encoder.push(x), encoder.finish()]
            sounds += [decoder.push(tokens[0]), decoder.finish()]
        return [*tokens, *sounds]

    plain = made()
    assert not any(tensor.is_inference() or tensor.requires_grad for tensor in plain)
    table, weight = torch.nn.Embedding(16, 4), torch.ones((), requires_grad=True)
    for tensor in plain:
        (weight * tensor if tensor.is_floating_point() else table(tensor)).sum().backward()
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(made(), plain, strict=True))


def test_bad_codes_are_refused(tiny_codecs) -> None:
    codec = tiny_codecs["frames"]
    codes = codec.encode(sound(codec, 100)[None])
    for change, message in [
        ({"weights_hash": "f" * 64}, "codec"),
        ({"tokens": codes.tokens + 16}, "0 to 15"),
        ({"tokens": codes.tokens[..., :2]}, "shape"),
        ({"tokens": codes.tokens > 3}, "tokens are torch.bool"),
        ({"samples": (-5,)}, "one sample at least"),
        ({"tokens": codes.tokens[:0], "samples": ()}, "one item at least"),
    ]:
        with pytest.raises(ValueError, match=message):
            codec.decode(dataclasses.replace(codes, **change))
    with pytest.raises(ValueError, match="between 1 and 3"):
        codec.decode(codes, 4)
    with pytest.raises(ValueError, match="between 1 and 3"):
        codec.encode(sound(codec, 100)[None], codebooks=0)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_saved_codec_gives_the_same_codes(tiny_codecs, tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    codec = copy.deepcopy(tiny_codecs[name])
    codec.load_state_dict(
        {k: v.to(dtype).to(v.dtype) if v.is_floating_point() else v for k, v in codec.state_dict().items()}
    )
    codec.save(tmp_path / "c", dtype=dtype)
    again = load_codec(tmp_path / "c")
    assert again.weights_hash and isinstance(again, VQVAE) and again.config == codec.config
    x = sound(codec, 600)[None]
    assert torch.equal(codec.encode(x).tokens, again.encode(x).tokens)


def test_a_codec_that_is_trained_no_longer_says_that_its_codes_are_the_loaded_ones(tiny_codecs) -> None:
    loaded = tiny_codecs["frames"]
    codec = copy.deepcopy(loaded)
    x = sound(codec, 300)[None]
    assert codec.eval().weights_hash == loaded.weights_hash and loaded.decode(codec.encode(x))
    codes = codec.train().eval().encode(x)
    assert codec.weights_hash == codes.weights_hash == "" and codec.decode(codes)
    with pytest.raises(ValueError, match="the codes are of the codec"):
        loaded.decode(codes)


def test_a_codec_without_weights_is_on_the_cpu(tiny_codecs) -> None:
    codec = copy.deepcopy(tiny_codecs["frames"])
    codec.encoder = codec.decoder = codec.quantizer = torch.nn.Identity()
    assert not list(codec.parameters()) and codec.device == torch.device("cpu")


def test_weights_beyond_float16_are_not_written_in_it(tiny_codecs, tmp_path: Path) -> None:
    codec = copy.deepcopy(tiny_codecs["frames"])
    name, weight = next(iter(codec.named_parameters()))
    weight.data.flatten()[0] = 1e5
    with pytest.raises(ValueError, match=rf"'{name}' holds NaN or infinity \(float16 ends at 65504\)"):
        codec.save(tmp_path / "half", dtype=torch.float16)
    codec.save(tmp_path / "whole")
    assert load_codec(tmp_path / "whole").encode(sound(codec, 300)[None]) and not (tmp_path / "half").exists()


def test_weights_that_do_not_fit_are_refused(tiny_codecs, tmp_path: Path) -> None:
    from solfa import checkpoint

    codec = copy.deepcopy(tiny_codecs["frames"])
    codec.save(tmp_path / "c")
    stored = checkpoint.load(tmp_path / "c")
    tensors = dict(stored.tensors)
    tensors.pop(sorted(tensors)[0])
    checkpoint.save(tmp_path / "c", "codec", stored.config, tensors)
    with pytest.raises(ValueError, match="missing, unknown or of another shape"):
        load_vqvae(tmp_path / "c")
    stored.config["frames"]["width"] = 8192
    stored.config["frames"]["blocks"] = 256
    checkpoint.save(tmp_path / "c", "codec", stored.config, stored.tensors)
    with pytest.raises(ValueError, match="parameters"):
        load_vqvae(tmp_path / "c")
    with pytest.raises(ValueError, match="no codec named 'nothing'"):
        load_codec("nothing")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("frames", {"frames": None}, "exactly one"),
        ("frames", {"seanet": SEANetConfig(dimension=8)}, "exactly one"),
        ("frames", {"segment": SegmentConfig(100, 90)}, "leave them None"),
        ("frames", {"chunk": 0}, "chunk"),
        ("frames", {"resampler": "sox"}, "soxr, torchaudio, julius"),
        ("seanet", {"latent_dim": 9}, "dimension 8"),
        ("seanet", {"decoder": SEANetConfig(dimension=8, causal=False)}, "hop"),
        ("seanet", {"decoder": SEANetConfig(dimension=8, ratios=(5, 4), causal=True)}, "causality"),
        ("encodec 48k", {"segment": None}, "needs a segment"),
    ],
)
def test_illegal_configurations_are_named(tiny_codecs, kind: str, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tiny_codecs[kind].config, **change)


@pytest.mark.parametrize(("samples", "stride"), [(100, 0), (100, 101)])
def test_illegal_segments_are_named(samples: int, stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride {stride}: it must lie between 1 and its samples, 100"):
        SegmentConfig(samples, stride)


@pytest.mark.parametrize("kind", ["torchaudio", "julius"])
def test_the_codec_says_how_its_input_is_resampled(tiny_codecs, tmp_path: Path, kind: str) -> None:
    codec = copy.deepcopy(tiny_codecs["frames"])
    codec.resampler = kind
    x = (np.random.default_rng(0).standard_normal((3000, 1)) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", x, 11_025, subtype="FLOAT")
    expected = codec.encode(resample_as(kind, torch.from_numpy(x.T.copy()), 11_025, 8_000)[None])
    assert torch.equal(codec.encode(Audio(torch.from_numpy(x.T.copy())[None], 11_025)).tokens, expected.tokens)
    assert torch.equal(codec.encode_file(tmp_path / "x.wav").tokens, expected.tokens)
    assert not torch.equal(tiny_codecs["frames"].encode_file(tmp_path / "x.wav").tokens, expected.tokens)


@settings(max_examples=30)
@given(samples=st.integers(1, 900), frames=st.integers(0, 60))
def test_a_file_cut_short_is_known_by_its_frames(tiny_codecs, samples: int, frames: int) -> None:
    for name in ("frames", "encodec 48k"):
        codec = tiny_codecs[name]
        total = codec.encode(torch.zeros(1, codec.channels, samples)).lengths[0]
        enough = codec.samples_in(min(frames, total), samples)
        assert (enough == samples) == (frames >= total)
        if enough:
            assert sum(codec.encode(torch.zeros(1, codec.channels, enough)).lengths) <= min(frames, total)
