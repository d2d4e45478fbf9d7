"""The two synthesizers that play a soundfont: fluidsynth (by ctypes) and tinysoundfont. Dry sound, no effects of theirs.

fluidsynth follows the SoundFont standard with its modulators (velocity opens filters) and interpolates over four points; it
takes events at blocks of 64 samples. tinysoundfont takes them at any sample and leaves modulators out, so soundfonts that
depend on them (MuseScore_General) sound dull and soft in it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from solfa.data.soundfont import DRUM_BANK, SoundFont, SoundFontError

Samples = np.ndarray
VOICES = 96  # sounding at once (a note takes one or two); beyond, the quietest are cut: 49 dB under the sound in dense pieces
VOLUME, PAN = 7, 10  # MIDI controllers
GET_TINY = "pip install --no-deps tinysoundfont (the pyaudio that it asks for is to hear it by, and has wheels on Windows only)"


@dataclass(frozen=True)
class Channel:
    """One part as the synthesizer sees it: preset, and volume and pan as MIDI controllers (0 to 127, pan 64 is the middle)."""

    program: int
    is_drum: bool
    volume: int = 100
    pan: int = 64


class Event(NamedTuple):
    """A key goes down (velocity above 0) or up at a sample. At one sample, ups sort before downs."""

    sample: int
    velocity: int
    channel: int
    pitch: int


class Backend(Protocol):
    """A synthesizer with a soundfont in it."""

    name: str
    step: int  # events sound at multiples of so many samples

    def play(self, channels: Sequence[Channel], events: Sequence[Event], samples: int, cents: float) -> Samples:
        """The sound of events, sorted, on these channels: [2, samples] float32, left and right, the same whatever was played before.

        Event.channel counts in `channels`; notes that still sound at the end are cut there. cents: how far all but the drums are
        detuned. Nothing is limited: loud pieces go beyond 1. Raises ValueError for more channels than the synthesizer has.
        """
        ...


class FluidSynth:
    """libfluidsynth 2 or 3 by ctypes, with its own reverb and chorus off.

    Raises ImportError where the library is not installed and SoundFontError where it cannot load the file.
    """

    name = "fluidsynth"
    step = 64  # FLUID_BUFSIZE: fixed when the library is compiled
    max_channels = 256
    _fine_tune = 52  # generator number, SoundFont 2.04 section 8.1.2

    @staticmethod
    def library() -> Any:
        for name in (ctypes.util.find_library("fluidsynth"), "libfluidsynth.so.3", "libfluidsynth.so.2"):
            try:
                if name:
                    return _declared(ctypes.CDLL(name))
            except OSError:
                continue
        raise ImportError(
            "no synthesizer: install fluidsynth's library (Debian, Ubuntu: apt install libfluidsynth3; Fedora: "
            f"dnf install fluidsynth-libs; Arch, macOS: fluidsynth) or {GET_TINY}"
        )

    def __init__(self, soundfont: SoundFont, sample_rate: int) -> None:
        self._library = library = self.library()
        self._settings = settings = library.new_fluid_settings()
        for key, number in (("synth.sample-rate", float(sample_rate)), ("synth.gain", 0.4)):
            library.fluid_settings_setnum(settings, key.encode(), number)
        for key, value in (
            ("synth.chorus.active", 0), ("synth.reverb.active", 0), ("synth.polyphony", VOICES), ("synth.cpu-cores", 1),
            ("synth.midi-channels", self.max_channels), ("synth.min-note-length", 0), ("synth.threadsafe-api", 0),
        ):  # fmt: skip
            library.fluid_settings_setint(settings, key.encode(), value)
        # This one owns the soundfont and never plays: what a synthesizer has played leaves traces in what it plays next.
        self._owner = library.new_fluid_synth(settings)
        number = library.fluid_synth_sfload(self._owner, os.fsencode(soundfont.path), 1)
        if number < 0:
            raise SoundFontError(f"{soundfont.path}: fluidsynth cannot load it")
        self._font = library.fluid_synth_get_sfont_by_id(self._owner, number)

    def __del__(self) -> None:
        if getattr(self, "_owner", None):
            self._library.delete_fluid_synth(self._owner)
            self._library.delete_fluid_settings(self._settings)

    @contextmanager
    def _fresh(self) -> Iterator[tuple[int, int]]:
        """A synthesizer that has played nothing, and the number of the soundfont in it."""
        library, synth = self._library, self._library.new_fluid_synth(self._settings)
        try:
            yield synth, library.fluid_synth_add_sfont(synth, self._font)
        finally:
            library.fluid_synth_system_reset(synth)  # no voice may hold a sample when the soundfont is taken away
            library.fluid_synth_remove_sfont(synth, self._font)
            library.delete_fluid_synth(synth)

    def play(self, channels: Sequence[Channel], events: Sequence[Event], samples: int, cents: float) -> Samples:
        """As `Backend.play`; events at the nearest multiple of 64 samples. ValueError, too, for a preset that the soundfont has not."""
        if len(channels) > self.max_channels:
            raise ValueError(f"{len(channels)} parts: fluidsynth plays at most {self.max_channels}")
        with self._fresh() as (synth, font):
            self._prepare(synth, font, channels, cents)
            return self._perform(synth, events, samples)

    def _prepare(self, synth: int, font: int, channels: Sequence[Channel], cents: float) -> None:
        library = self._library
        for number, channel in enumerate(channels):
            bank = DRUM_BANK if channel.is_drum else 0
            if library.fluid_synth_program_select(synth, number, font, bank, channel.program):
                raise ValueError(f"no preset {bank}:{channel.program} in the soundfont")
            library.fluid_synth_cc(synth, number, VOLUME, channel.volume)
            library.fluid_synth_cc(synth, number, PAN, channel.pan)
            if not channel.is_drum:
                library.fluid_synth_set_gen(synth, number, self._fine_tune, cents)

    def _perform(self, synth: int, events: Sequence[Event], samples: int) -> Samples:
        library = self._library
        out = np.zeros((2, -(-samples // self.step) * self.step), np.float32)  # [C, S]
        left, right = out[0].ctypes.data, out[1].ctypes.data
        position = 0
        for event in [*events, Event(out.shape[1], 0, -1, 0)]:
            until = min(round(event.sample / self.step) * self.step, out.shape[1])
            if until > position:
                shift = 4 * position
                library.fluid_synth_write_float(synth, until - position, left + shift, 0, 1, right + shift, 0, 1)
                position = until
            if event.velocity:
                library.fluid_synth_noteon(synth, event.channel, event.pitch, event.velocity)
            elif event.channel >= 0:
                library.fluid_synth_noteoff(synth, event.channel, event.pitch)
        return out[:, :samples]


class TinySoundFont:
    """The tinysoundfont package, offline.

    Raises ImportError where it is not installed and SoundFontError where it cannot load the file.
    """

    name = "tinysoundfont"
    step = 1

    @staticmethod
    def library() -> Any:
        try:
            from tinysoundfont import _tinysoundfont
        except ImportError as error:
            raise ImportError(f"tinysoundfont is not installed ({error}): {GET_TINY}") from error
        return _tinysoundfont

    def __init__(self, soundfont: SoundFont, sample_rate: int) -> None:
        library = self.library()
        try:
            self._font = library.SoundFont(str(soundfont.path))
            self._clone = library.SoundFont
        except RuntimeError as error:
            raise SoundFontError(f"{soundfont.path}: tinysoundfont cannot load it") from error
        self._output = (library.OutputMode.StereoInterleaved, sample_rate, 0.0)

    def play(self, channels: Sequence[Channel], events: Sequence[Event], samples: int, cents: float) -> Samples:
        """As `Backend.play`; events at their very sample, for any number of channels."""
        font = self._clone(self._font)  # shares the sounds; what was played before leaves traces in a used one
        font.set_output(*self._output)
        font.set_max_voices(VOICES)
        for number, channel in enumerate(channels):
            font.channel_set_preset_number(number, channel.program, channel.is_drum)
            font.channel_midi_control(number, VOLUME, channel.volume)
            font.channel_midi_control(number, PAN, channel.pan)
            font.channel_set_tuning(number, 0.0 if channel.is_drum else cents / 100)
        out = np.zeros((samples, 2), np.float32)
        buffer = out.data.cast("B")
        position = 0
        for event in [*events, Event(samples, 0, -1, 0)]:
            until = min(event.sample, samples)
            if until > position:
                font.render(buffer[8 * position : 8 * until])
                position = until
            if event.velocity:
                font.channel_note_on(event.channel, event.pitch, event.velocity / 127)
            elif event.channel >= 0:
                font.channel_note_off(event.channel, event.pitch)
        return np.ascontiguousarray(out.T)


BACKENDS: dict[str, type[FluidSynth] | type[TinySoundFont]] = {"fluidsynth": FluidSynth, "tinysoundfont": TinySoundFont}


def choose_backend(name: str = "auto") -> str:
    """The synthesizer that `name` means here: "auto" is fluidsynth where it is installed, else tinysoundfont.

    Raises ValueError for another name and ImportError, saying what to install, where it is not there.
    """
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"renderer {name!r}: legal are auto, {', '.join(BACKENDS)}")
    if name != "auto":
        BACKENDS[name].library()
        return name
    try:
        return choose_backend("fluidsynth")
    except ImportError as first:
        try:
            return choose_backend("tinysoundfont")
        except ImportError:
            raise first from None


def open_backend(name: str, soundfont: SoundFont, sample_rate: int) -> Backend:
    """A synthesizer by name, with a soundfont; see `choose_backend`."""
    return BACKENDS[choose_backend(name)](soundfont, sample_rate)


def _declared(library: Any) -> Any:
    pointer, integer, number = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
    for name, result, arguments in (
        ("new_fluid_settings", pointer, []),
        ("delete_fluid_settings", None, [pointer]),
        ("fluid_settings_setnum", integer, [pointer, ctypes.c_char_p, number]),
        ("fluid_settings_setint", integer, [pointer, ctypes.c_char_p, integer]),
        ("new_fluid_synth", pointer, [pointer]),
        ("delete_fluid_synth", None, [pointer]),
        ("fluid_synth_get_sfont_by_id", pointer, [pointer, integer]),
        ("fluid_synth_add_sfont", integer, [pointer, pointer]),
        ("fluid_synth_remove_sfont", integer, [pointer, pointer]),
        ("fluid_synth_sfload", integer, [pointer, ctypes.c_char_p, integer]),
        ("fluid_synth_system_reset", integer, [pointer]),
        ("fluid_synth_program_select", integer, [pointer] + 4 * [integer]),
        ("fluid_synth_cc", integer, [pointer] + 3 * [integer]),
        ("fluid_synth_set_gen", integer, [pointer, integer, integer, ctypes.c_float]),
        ("fluid_synth_noteon", integer, [pointer] + 3 * [integer]),
        ("fluid_synth_noteoff", integer, [pointer] + 2 * [integer]),
        ("fluid_synth_write_float", integer, [pointer, integer, pointer, integer, integer, pointer, integer, integer]),
        ("fluid_set_log_function", pointer, [integer, pointer, pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    for level in range(5):  # it would write warnings to stderr; what matters is in the return codes
        library.fluid_set_log_function(level, None, None)
    return library
