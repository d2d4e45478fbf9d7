import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import solfa
from solfa.audio.io import Audio, read
from solfa.audio.io import write as write_audio
from solfa.codecs.played import played_width
from solfa.codecs.token_file import TokenFileError, read_tokens, write_tokens
from solfa.lm.registry import load_lm
from solfa.lm.trunk import trunk_states
from solfa.score.midi import read_midi
from solfa.score.note import Note
from solfa.score.quantising.quantise import QuantiseOptions
from solfa.score.write import SheetWarning
from solfa.transcriber import Transcriber
from solfa.transcription.decoding import DecodingOptions
from solfa.transcription.frames import FrameOptions
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.result import Transcription

Folders = Callable[..., tuple[Path, Path]]
SHORT = DecodingOptions(temperature=1.0, longest=24)
RATE = 8000


@pytest.fixture(scope="module")
def folders(tiny_notes: Folders) -> tuple[Path, Path]:
    return tiny_notes()


@pytest.fixture(scope="module")
def transcriber(folders: tuple[Path, Path]) -> Transcriber:
    return Transcriber.load(folders[1], codec=folders[0])


def sound(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return 0.2 * np.random.default_rng(seed).standard_normal((samples, channels)).astype(np.float32)


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory, transcriber: Transcriber) -> Path:
    """A recording, take.wav, of another rate and two channels, and its token file, take.solfa."""
    folder = tmp_path_factory.mktemp("take")
    soundfile.write(folder / "take.wav", sound(31_717, 2), 11_025)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two channels become one
        write_tokens(folder / "take.solfa", transcriber.codec.encode_file(folder / "take.wav"))
    return folder / "take.wav"


def heard(transcriber: Transcriber, source: Any, mode: str, **more: Any) -> Transcription:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transcriber(source, mode=mode, events=SHORT, **more)  # type: ignore[arg-type]


def test_the_door_has_it() -> None:
    assert solfa.Transcriber is Transcriber


def test_notes_are_read_as_the_model_says(transcriber: Transcriber, take: Path) -> None:
    usual = heard(transcriber, take, "frames").notes
    model, config = transcriber.model, transcriber.model.config
    assert heard(transcriber, take, "frames", frames=config.peaks).notes == usual
    try:
        model.config = replace(config, peaks=FrameOptions(onset=0.9, drum=0.9))
        assert len(heard(transcriber, take, "frames")) < len(usual)
        assert heard(transcriber, take, "frames", frames=config.peaks).notes == usual
    finally:
        model.config = config


def test_sound_is_heard(transcriber: Transcriber, take: Path) -> None:
    codec, config = transcriber.codec, transcriber.model.config
    shape = replace(config, source="sound", source_width=played_width(codec.sample_rate))
    torch.manual_seed(0)
    listener = Transcriber(TokenTranscriber(shape).eval(), codec)
    with torch.no_grad():
        listener.model.frame_head.bias.zero_()
    found = heard(listener, take, "frames")
    assert len(found) > 10
    same = heard(listener, take.with_suffix(".solfa"), "frames")
    assert same.notes == found.notes and heard(listener, take, "frames", codebooks=1).notes != found.notes


@pytest.mark.parametrize("mode", ["frames", "events"])
def test_a_recording_and_its_tokens_give_the_same_notes(transcriber: Transcriber, take: Path, mode: str) -> None:
    found = heard(transcriber, take, mode)
    assert len(found) > 10 and list(found) == sorted(found.notes) and found[0] == found.notes[0]
    codes = read_tokens(take.with_suffix(".solfa"))
    for source in (take.with_suffix(".solfa"), str(take), codes, read(take)):
        same = heard(transcriber, source, mode)
        assert same.notes == found.notes and same.pedals == found.pedals and same.report == found.report
    assert found.report.seconds == codes.tokens.shape[2] / 50
    assert found.report.mode == mode and (mode == "frames" or found.report.account.dropped.total == 0)


@pytest.mark.parametrize("mode", ["frames", "events"])
def test_a_stream_gives_the_same_notes_while_it_goes_on(transcriber: Transcriber, take: Path, mode: Any) -> None:
    codes = read_tokens(take.with_suffix(".solfa")).tokens[0]
    whole = heard(transcriber, take, mode)
    stream = transcriber.stream(mode=mode, events=SHORT)
    early = [note for piece in codes.split(7, 1) for note in stream.push(piece)]
    notes = sorted(early + stream.finish())
    assert len(early) > len(notes) / 2 and stream.account.frames == codes.shape[1]
    assert plain(notes) == plain(whole.notes) and tuple(stream.pedals) == whole.pedals
    samples = torch.from_numpy(soundfile.read(take, dtype="float32")[0].T)
    stream = transcriber.stream(sample_rate=11_025, mode=mode, events=SHORT)
    notes = sorted([note for piece in samples.split(997, 1) for note in stream.push(piece)] + stream.finish())
    assert plain(notes) == plain(whole.notes)
    with pytest.raises(ValueError, match="the stream is finished"):
        stream.push(samples)
    with pytest.raises(ValueError, match="the stream is finished"):
        stream.finish()


def plain(notes: Any) -> list[tuple[float, float, int, int, int, bool]]:
    """Notes with times to 10 microseconds: batches of other shapes move shifts by less."""
    return [(round(n.onset, 5), round(n.offset, 5), n.pitch, n.velocity, n.program, n.is_drum) for n in notes]


def test_a_stream_says_what_it_cannot_take(transcriber: Transcriber) -> None:
    codes, samples = torch.zeros(3, 5, dtype=torch.int64), torch.zeros(1, 400)
    stream = transcriber.stream()
    assert stream.push(codes) == []
    with pytest.raises(ValueError, match="samples after codes"):
        stream.push(samples)
    with pytest.raises(ValueError, match="codes lie between 0 and 16: 0 to 15 are legal"):
        stream.push(codes + torch.tensor([0, 0, 0, 0, 16]))
    with pytest.raises(ValueError, match=r"codes have the shape \[2, 5\]"):
        stream.push(codes[:2])
    with pytest.raises(ValueError, match="codes after samples"):
        other = transcriber.stream()
        other.push(samples)
        other.push(codes)
    with pytest.raises(ValueError, match="NaN"):
        transcriber.stream().push(samples / 0)


@pytest.mark.parametrize("mode", ["frames", "events"])
def test_silence_gives_no_notes_and_says_so(transcriber: Transcriber, tmp_path: Path, mode: str) -> None:
    for samples, rate in ((RATE * 2 + 3, RATE), (40_000, 22_050)):
        soundfile.write(tmp_path / "silence.wav", np.zeros(samples), rate)
        found = heard(transcriber, tmp_path / "silence.wav", mode)
        assert len(found) == 0 and found.report.silent and found.remarks == ["no notes: the recording is silent"]
    pause = np.concatenate([sound(6000), np.zeros((RATE * 2, 1)), sound(6000, seed=1)])
    soundfile.write(tmp_path / "pause.wav", pause, RATE)
    found = heard(transcriber, tmp_path / "pause.wav", mode)
    assert found.report.account.silent >= 2 and not found.report.silent
    assert len(found) and not any(1.6 < note.onset < 2.2 for note in found)


def test_what_was_found_is_written(transcriber: Transcriber, take: Path, tmp_path: Path) -> None:
    found = heard(transcriber, take, "events")
    found.to_midi(tmp_path / "take.mid")
    again = read_midi(tmp_path / "take.mid")
    assert len(again.notes) == len(found) and len(again.pedals) == len(found.played.pedals)
    assert {part.program for part in found.played.parts} == {note.program for note in found}
    with warnings.catch_warnings(action="ignore", category=SheetWarning):
        assert "\nX:1\n" in found.to_abc()
    assert found.score.tempi and found.score.notes
    assert found.save(tmp_path / "take.json") is None and (tmp_path / "take.json").is_file()
    nothing = replace(found, notes=(), pedals=())
    nothing.to_midi(tmp_path / "nothing.mid")
    nothing.save(tmp_path / "nothing.abc")
    assert (
        nothing.to_abc() == (tmp_path / "nothing.abc").read_text() and read_midi(tmp_path / "nothing.mid").notes == ()
    )
    assert nothing.remarks[0] == "no notes were found"


def test_a_stream_takes_arrays_as_a_microphone_gives_them(transcriber: Transcriber) -> None:
    samples = sound(12_000).T.astype(np.float32)
    notes: list[list[Note]] = []
    for give in (torch.from_numpy, np.asarray):
        stream = transcriber.stream()
        notes.append([*stream.push(give(samples)), *stream.finish()])
    assert notes[0] == notes[1]
    with pytest.raises(ValueError, match="source sample rate 0"):
        transcriber.stream(sample_rate=0)
    with pytest.raises(ValueError, match="legal are programs 0 to 127 and 128 for drums"):
        transcriber.stream(instruments="piano")  # type: ignore[arg-type]


def test_abc_says_which_notes_a_sheet_lost(transcriber: Transcriber, take: Path) -> None:
    struck = tuple(Note(i / 10, i / 10 + 0.05, 60) for i in range(20))
    found = replace(heard(transcriber, take, "frames"), notes=struck)
    with pytest.warns(SheetWarning, match="of 20 notes fall on others of the same pitch"):
        assert "\nX:1\n" in found.to_abc(QuantiseOptions(tempo=5))


def test_names_of_parts(transcriber: Transcriber, take: Path) -> None:
    found = replace(heard(transcriber, take, "frames"), notes=(Note(0, 1, 60, 90, 40), Note(0, 1, 38, 90, 0, True)))
    assert [part.name for part in found.played.parts] == ["violin", "drums"]
    assert [part.name for part in replace(found, names=()).played.parts] == ["Violin", "drums"]


def test_what_was_cut_and_dropped_is_said(transcriber: Transcriber, take: Path) -> None:
    short = DecodingOptions(temperature=2.0, longest=3, ties="matched")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = transcriber(take, mode="events", events=short)
    account = found.report.account
    assert account.cut > 0 and account.dropped.tie_silent > 0
    assert f"{account.cut} of {account.segments} segments were cut" in found.remarks[1 if not len(found) else 0]
    assert "made no sense and were dropped" in found.remarks[-1] and "tie silent" in found.remarks[-1]


def test_fewer_codebooks(transcriber: Transcriber, take: Path, tmp_path: Path) -> None:
    found = heard(transcriber, take, "frames", codebooks=2)
    assert found.notes and found.notes != heard(transcriber, take, "frames").notes
    codes = read_tokens(take.with_suffix(".solfa"), codebooks=2)
    write_tokens(tmp_path / "two.solfa", codes)
    assert transcriber(tmp_path / "two.solfa", codebooks=2).notes == found.notes
    with pytest.warns(UserWarning, match=r"two.solfa: 2 codebooks, of 3 that are read: less is heard"):
        assert transcriber(tmp_path / "two.solfa").notes == found.notes
    for wrong in (0, 4):
        with pytest.raises(ValueError, match=f"codebooks is {wrong}: tiny-notes reads 1 to 3"):
            transcriber(take, codebooks=wrong)


def test_a_model_of_latents(tiny_notes: Folders, take: Path) -> None:
    codec, folder = tiny_notes(events=False, source="latents", source_width=8)
    transcriber = Transcriber.load(folder, codec=codec)
    assert heard(transcriber, take, "frames").notes == heard(transcriber, take.with_suffix(".solfa"), "frames").notes
    with pytest.raises(ValueError, match="tiny-notes writes no events"):
        heard(transcriber, take, "events")


def test_a_model_of_a_language_model(tiny_notes: Folders, tiny_music: Folders, take: Path) -> None:
    lm = tiny_music()[1]
    codec, folder = tiny_notes(events=False, source="trunk", source_width=16, trunk="tiny-lm")
    transcriber = Transcriber.load(folder, codec=codec, trunk=lm)
    found = heard(transcriber, take, "frames")
    trunk = load_lm(lm)
    same = Transcriber(transcriber.model, transcriber.codec, lambda codes, lengths: trunk_states(trunk, codes))
    assert found.notes and heard(same, take, "frames").notes == found.notes
    with pytest.raises(ValueError, match="tiny-notes hears trunk: none was handed in"):
        Transcriber(transcriber.model, transcriber.codec)
    with pytest.raises(ValueError, match="it hears the language model 'tiny-lm', not one of"):
        Transcriber.load(folder, codec=codec)


def test_codes_of_another_codec(transcriber: Transcriber, take: Path, tmp_path: Path) -> None:
    codes = read_tokens(take.with_suffix(".solfa"))
    write_tokens(tmp_path / "other.solfa", replace(codes, codec="other", weights_hash="0" * 64))
    made = "made by the codec other (000000000000): tiny-notes reads codes of tiny "
    with pytest.raises(ValueError) as caught:
        transcriber(tmp_path / "other.solfa")
    assert str(caught.value).startswith(f"{tmp_path / 'other.solfa'}: {made}")
    with pytest.raises(ValueError, match="made by the codec other"):
        transcriber(replace(codes, weights_hash="0" * 64, codec="other"))


def test_what_cannot_be_read(transcriber: Transcriber, take: Path, tmp_path: Path) -> None:
    data = bytearray(take.with_suffix(".solfa").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.solfa").write_bytes(data)
    (tmp_path / "cut.solfa").write_bytes(data[:60])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "empty.solfa").write_bytes(b"")
    for name in ("bad.solfa", "cut.solfa", "empty.solfa"):
        with pytest.raises(TokenFileError, match=name):
            transcriber(tmp_path / name)
    for name in ("empty.wav", "none.wav"):
        with pytest.raises(ValueError, match=name):
            transcriber(tmp_path / name)
    (tmp_path / "codes.ecdc").write_bytes(b"ECDC")
    with pytest.raises(ValueError, match=r"codes\.ecdc: a file of another package, .* `solfa decode`"):
        transcriber(tmp_path / "codes.ecdc")
    renamed = tmp_path / "tokens.bin"
    renamed.write_bytes(take.with_suffix(".solfa").read_bytes())
    assert transcriber(renamed).notes == heard(transcriber, take, "frames").notes  # known by its first bytes
    with pytest.raises(ValueError, match="mode is 'both': legal are frames and events"):
        transcriber(renamed, mode="both")  # type: ignore[arg-type]
    for ask in (lambda **more: transcriber(renamed, **more), transcriber.stream):
        with pytest.raises(ValueError, match=r"^codebook is nothing .*: legal are mode, .*did you mean codebooks\?$"):
            ask(codebook=1)
    with pytest.raises(ValueError, match="a batch of 2 recordings"):
        transcriber(Audio(torch.zeros(2, 1, 800), RATE))


@pytest.mark.filterwarnings("ignore:.*the channels of the input are averaged")
def test_channels_that_cancel_out_are_said_and_others_are_not(transcriber: Transcriber, tmp_path: Path) -> None:
    one, other = sound(4000).T, sound(4000, seed=1).T
    said = "its channels cancel out"
    for channels in (np.stack([one, -one]), np.stack([one, -0.9 * one])):
        take = channels[:, 0]
        soundfile.write(tmp_path / "out.wav", take.T, RATE)
        with pytest.warns(UserWarning, match=f"out.wav: {said}"):
            transcriber(tmp_path / "out.wav")
        with pytest.warns(UserWarning, match=said):
            transcriber(Audio(torch.from_numpy(take)[None], RATE))
    for channels in (np.stack([one, other]), np.stack([one, 0 * one]), np.stack([0 * one, 0 * one]), one[None]):
        soundfile.write(tmp_path / "out.wav", channels[:, 0].T, RATE)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            transcriber(tmp_path / "out.wav")
        assert not [each for each in caught if said in str(each.message)]


def test_sound_of_all_kinds(transcriber: Transcriber, tmp_path: Path) -> None:
    """One sample, clipped, 8 kHz, three channels: a result."""
    kinds = {"one": (sound(1), RATE), "clipped": (np.sign(sound(9000)), 44_100), "three": (sound(9000, 3), 48_000)}
    for name, (samples, rate) in kinds.items():
        write_audio(tmp_path / f"{name}.wav", Audio(torch.from_numpy(samples.T.copy())[None], rate))
        for mode in ("frames", "events"):
            found = heard(transcriber, tmp_path / f"{name}.wav", mode)
            assert all(0 <= note.onset < note.offset <= found.report.seconds + 0.03 for note in found)


def test_what_does_not_fit_together(transcriber: Transcriber, tiny_notes: Folders, folders: tuple[Path, Path]) -> None:
    codec, config = transcriber.codec, transcriber.model.config
    for fields, words in (
        ({"weights_hash": "1" * 64}, r"is for codes of tiny \(111111111111\): the codec tiny here has the weights"),
        ({"frame_rate": 25.0}, r"= \(8000, 25.0, 16, 1\); tiny has 4 and \(8000, 50.0, 16, 1\)"),
        ({"codebooks": 5, "weights_hash": ""}, "5 codebooks"),
    ):
        model = transcriber.model
        model.config = replace(config, **fields)  # type: ignore[arg-type]
        try:
            with pytest.raises(ValueError, match=words):
                Transcriber(model, codec)
        finally:
            model.config = config
    with pytest.raises(ValueError, match="tiny-notes hears codes: it has no use for a trunk"):
        Transcriber.load(folders[1], codec=folders[0], trunk="tiny-lm")
    with pytest.raises(ValueError, match="it hears the codec 'tiny', not one of solfa-24khz"):
        Transcriber.load(folders[1])
    with pytest.raises(ValueError, match="no transcriber named 'nothing'"):
        Transcriber.load("nothing")


def test_progress(transcriber: Transcriber, take: Path) -> None:
    seconds: list[float] = []
    heard(transcriber, take, "frames", progress=seconds.append)
    assert seconds == sorted(seconds) and seconds[-1] > 2.8
