"""The decoding process: what it makes of sound is what the codec would make of it, and it is kept from file to file and shard to shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.audio.io import blocks
from solfa.codecs.codec import Codec
from solfa.tokenize_audio.store.format import read_manifest
from solfa.tokenize_audio.work import decode
from solfa.tokenize_audio.work.decode import BadSound, Decoder
from solfa.tokenize_audio.work.encoding import make_decoder
from solfa.tokenize_audio.work.shard import encode_shard

pytestmark = pytest.mark.filterwarnings("ignore:.*channels of the input are averaged")


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[Decoder]:
    """A decoder for each process that was started."""
    found: list[Decoder] = []
    spawn = Decoder._spawn
    monkeypatch.setattr(Decoder, "_spawn", lambda self: (found.append(self), spawn(self))[1])
    return found


def taken(decoder: Decoder, path: Path) -> tuple[np.ndarray, decode.Sound]:
    """Samples [C, S], and the sound they are of."""
    decoder.ask(str(path))
    sound = decoder.sound()
    return np.concatenate(list(sound.blocks()), axis=1), sound


def test_sound_comes_as_the_codec_takes_it_to_the_bit(
    corpus: Path, tmp_path: Path, codec: Codec, planned: Callable
) -> None:
    with make_decoder(planned(corpus, tmp_path / "store").job, codec) as decoder:
        for name, rate, channels, samples in (
            ("two.wav", 44_100, 2, 300_001),  # of several blocks
            ("up.flac", 3_000, 2, 5_003),
            ("one.wav", 11_025, 1, 200_003),
            ("same.wav", codec.sample_rate, 2, 777),
            ("three.wav", 16_000, 3, 10_007),  # more than two channels are the codec's to mix
        ):
            path = tmp_path / name
            noise = np.random.default_rng(samples).uniform(-1, 1, (samples, channels))
            soundfile.write(path, noise, rate)
            expected = torch.cat(list(codec.fit(map(torch.from_numpy, blocks(path, size=4001)), rate)), -1).numpy()
            found, sound = taken(decoder, path)
            if channels == 3:
                assert found.shape == (3, samples) and sound.sample_rate == rate
                found = torch.cat(list(codec.fit([torch.from_numpy(found)], rate)), -1).numpy()
            else:
                assert sound.sample_rate == codec.sample_rate
            assert np.array_equal(found, expected), name
            assert sound.seconds == samples / rate and sound.mixed == (channels == 2)


def test_a_slow_recording_is_resampled_in_small_blocks(tmp_path: Path) -> None:
    """A block of 500 Hz is long: at 48 kHz it must not take 96 times the memory."""
    soundfile.write(tmp_path / "slow.wav", np.zeros(20_000), 500)
    with Decoder(60.0, 256, rate=48_000) as decoder:
        decoder.ask(str(tmp_path / "slow.wav"))
        sizes = [block.shape[1] for block in decoder.sound().blocks()]
    assert sum(sizes) == 20_000 * 96 and max(sizes) <= 2 << 18


def test_the_process_stays_and_is_replaced_in_time(
    tmp_path: Path, spawned: list[Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(50, 0.25), 8_000)
    (tmp_path / "bad.wav").write_text("no sound")
    with Decoder(60.0, 256) as decoder:
        with pytest.raises(BadSound):
            taken(decoder, tmp_path / "bad.wav")
        assert taken(decoder, path)[0].shape == (1, 50) and len(spawned) == 1
        decoder.ask(str(tmp_path / "bad.wav"))
        decoder.close()  # what was asked for is forgotten
        assert taken(decoder, path)[0].shape == (1, 50) and len(spawned) == 2
        monkeypatch.setattr(decode, "MANY", 2)
        taken(decoder, path)
        taken(decoder, path)
        assert len(spawned) == 3


def test_one_process_for_many_shards(
    corpus: Path, tmp_path: Path, codec: Codec, planned: Callable, store_bytes: Callable, spawned: list[Decoder]
) -> None:
    (first, second) = (planned(corpus, tmp_path / name, shard_items=2).job for name in ("first", "second"))
    for shard in first.shards:
        encode_shard(first, shard.index, codec)
    assert len(spawned) == len(first.shards) == 3
    spawned.clear()

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with make_decoder(second, codec) as decoder:
        encode_shard(second, 0, codec, None, decoder)
        with pytest.raises(KeyboardInterrupt):
            encode_shard(second, 1, codec, stop, decoder)  # with files asked for that nobody takes
        for shard in second.shards:
            encode_shard(second, shard.index, codec, None, decoder)
    assert len(spawned) == 2
    assert store_bytes(second.store) == store_bytes(first.store)


def test_an_m4a_and_a_video_are_sound_as_a_wav_is(
    tmp_path: Path, codec: Codec, planned: Callable, codes_of: Callable, write_media: Callable[..., Path]
) -> None:
    """Apple's lossless codec holds the samples of the WAV: the codes are the same. They are decoded in the decoder's own process."""
    corpus, sound = tmp_path / "in", np.random.default_rng(0).integers(-20000, 20000, (1, 30_000)).astype(np.int16)
    corpus.mkdir()
    soundfile.write(corpus / "a.wav", sound.T, 44_100)
    write_media(corpus / "b.m4a", sound, 44_100, "alac")
    write_media(corpus / "c.mov", sound, 44_100, "pcm_s16le", pictures=True)
    (corpus / "d.m4a").write_bytes((corpus / "b.m4a").read_bytes()[:20_000])
    job = planned(corpus, tmp_path / "store").job
    for shard in job.shards:
        encode_shard(job, shard.index, codec)
    found = codes_of(job)
    assert sorted(found) == ["a.wav", "b.m4a", "c.mov"]
    assert all(np.array_equal(found["a.wav"], found[name]) for name in ("b.m4a", "c.mov"))
    quarantined = [each for shard in job.shards for each in read_manifest(job.store, shard.index).quarantined]
    assert [each.key for each in quarantined] == ["d.m4a"] and "is truncated or damaged" in quarantined[0].reason
