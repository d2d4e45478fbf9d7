import math
import random
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.data.backends import BACKENDS, choose_backend
from solfa.data.effects import BANDS, PLAIN, Effects, RenderOptions, apply_effects, convolve, draw_effects, room
from solfa.data.programs import Presets, parse_presets, restrict, vary
from solfa.data.render import HIGHEST, SHORTEST, Renderer, events, excerpt, play_rate
from solfa.data.soundfont import SoundFontError, find_soundfont, load_soundfont
from solfa.data.sounds.dsp import band
from solfa.score.note import Note
from solfa.score.score import KeySignature, Metre, Part, Pedal, Score, TempoChange

RATE = 24000
QUIET = Effects(detune=0, level=-20, reverb=0, wet=-10, equalise=(0, 0, 0, 0), noise=None, seed=1)


@pytest.fixture(scope="module", params=BACKENDS)
def renderer(request) -> Renderer:
    try:
        return Renderer(find_soundfont(), RATE, channels=2, backend=request.param)
    except (SoundFontError, ImportError) as error:
        pytest.skip(str(error))


def score(*notes: Note, pedals=(), name="part") -> Score:
    programs = dict.fromkeys((note.program, note.is_drum) for note in notes)
    parts = [
        Part(name, p, drum, tuple(n for n in notes if (n.program, n.is_drum) == (p, drum))) for p, drum in programs
    ]
    return Score(tuple(parts), pedals=tuple(pedals))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def test_a_rendering_does_not_depend_on_what_was_played_before(renderer):
    rng = random.Random(3)
    onsets = [(rng.random() * 2, program) for program in (0, 48, 73) for _ in range(9)]
    notes = [Note(t, t + rng.random(), rng.randrange(30, 90), rng.randrange(20, 127), program) for t, program in onsets]
    first = score(*notes, Note(0.5, 0.6, 42, 90, 0, True))
    whole = renderer.render(first, 5, RenderOptions())
    renderer.render(score(Note(0.01, 3.0, 60, 127, 89)), 6, RenderOptions())
    assert np.array_equal(renderer.render(first, 5, RenderOptions()), whole)
    assert not np.array_equal(renderer.render(first, 6, RenderOptions())[:, :9999], whole[:, :9999])
    assert whole.dtype == np.float32 and np.isfinite(whole).all() and np.abs(whole).max() <= 1


def test_notes_sound_when_the_score_says(renderer):
    times = [0.1003, 0.5501, 1.00007, 1.7777]
    sound = renderer.render(score(*(Note(t, t + 0.1, 37, 120, 0, True) for t in times)))
    power = np.abs(sound).max(0)
    # The first sample above a twentieth of the peak, within 100 ms after each onset; all are delayed alike by the attack.
    heard = [t + np.argmax(power[round(t * RATE) :][:2400] > 0.05 * power.max()) / RATE for t in times]
    late = np.array(heard) - times
    jitter = renderer._backend.step / renderer.play_rate + 1 / RATE
    assert late.max() - late.min() <= jitter + 1e-9
    assert late.max() < 0.01
    assert rms(sound[:, : round(0.095 * RATE)]) < 1e-3 * rms(sound)


def test_the_pedal_holds_notes(renderer):
    note = Note(0.0, 0.3, 60, 100, 0)
    short = renderer.render(replace(score(note, Note(2.0, 2.1, 20, 1, 0)), pedals=()))
    held = renderer.render(replace(score(note, Note(2.0, 2.1, 20, 1, 0)), pedals=(Pedal(0.1, 1.9, 0),)))
    late = slice(round(1.2 * RATE), round(1.8 * RATE))
    assert rms(held[:, late]) > 10 * rms(short[:, late])


def test_programs_drums_and_velocity_are_heard(renderer):
    options = replace(PLAIN, level=(-20, -20))
    sounds = [renderer.render(score(Note(0, 0.5, 60, 90, program)), 0, options) for program in (0, 40, 73)]
    drum = renderer.render(score(Note(0, 0.5, 60, 90, 0, True)), 0, options)
    for a, b in ((sounds[0], sounds[1]), (sounds[1], sounds[2]), (sounds[0], drum)):
        size = min(a.shape[1], b.shape[1])
        assert abs(np.corrcoef(a[0, :size], b[0, :size])[0, 1]) < 0.5
    two = renderer.render(score(Note(0, 0.3, 60, 20, 0), Note(1.5, 1.8, 60, 120, 0)))
    assert rms(two[:, 36000:43200]) > 4 * rms(two[:, :7200])


@pytest.mark.parametrize("cents", [-60.0, 35.0])
def test_detuning_moves_the_pitch_by_so_many_cents(renderer, cents):
    def peak(samples):
        spectrum = np.abs(np.fft.rfft(samples[0, 6000:54000] * np.hanning(48000), 1 << 19))
        return np.argmax(spectrum[8000:]) * RATE / (1 << 19) + 8000 * RATE / (1 << 19)

    flute = score(Note(0.0, 2.5, 76, 100, 73))
    moved = renderer.render(flute, 0, replace(PLAIN, detune=(cents, cents)))
    assert 1200 * math.log2(peak(moved) / peak(renderer.render(flute))) == pytest.approx(cents, abs=3)


def test_pan_and_balance_are_drawn_for_each_part(renderer):
    flute = score(Note(0.0, 0.5, 76, 100, 73))
    sides = []
    for seed in range(6):
        left, right = renderer.render(flute, seed, replace(PLAIN, spread=1.0))
        sides.append(rms(left) / rms(right))
    assert max(sides) > 1.2 and min(sides) < 1 / 1.2
    both = replace(flute, parts=flute.parts + score(Note(1.0, 1.5, 76, 100, 73), name="other").parts)
    levels = []
    for seed in range(6):
        sound = renderer.render(both, seed, replace(PLAIN, balance=(-12.0, 0.0)))
        levels.append(rms(sound[:, 24000:36000]) / rms(sound[:, :12000]))
    assert max(levels) / min(levels) > 1.5


def test_mono_is_the_mean_of_stereo(renderer):
    mono = Renderer(renderer.soundfont, RATE, channels=1, backend=renderer.backend)
    notes = score(Note(0.1, 0.4, 60, 100, 0), Note(0.2, 0.6, 40, 90, 32))
    options = replace(PLAIN, level=(-60, -60))
    a, b = mono.render(notes, 0, options), renderer.render(notes, 0, options).mean(0, keepdims=True)
    size = min(a.shape[1], b.shape[1])
    assert np.corrcoef(a[0, :size], b[0, :size])[0, 1] > 0.9999


def test_what_cannot_be_rendered_is_said(renderer):
    with pytest.raises(ValueError, match="no notes"):
        renderer.render(Score(()))
    with pytest.raises(ValueError, match="at most"):
        renderer.render(score(Note(0, 1e5, 60)))
    with pytest.raises(ValueError, match="8000 to 96000"):
        Renderer(renderer.soundfont, 4000)
    with pytest.raises(ValueError, match="auto, fluidsynth, tinysoundfont"):
        choose_backend("timidity")


@settings(max_examples=50, deadline=None)
@given(rate=st.integers(8000, 96000))
def test_the_synthesizer_plays_fast_enough_not_to_fold_into_the_band(rate):
    played = play_rate(rate)
    assert played - HIGHEST >= rate / 2 and rate <= played <= 96000


times = st.floats(0, 20)


@settings(max_examples=50, deadline=None)
@given(
    notes=st.lists(st.tuples(times, st.floats(0, 3), st.integers(60, 63)), min_size=1, max_size=20),
    pedals=st.lists(st.tuples(times, st.floats(0, 3)), max_size=4),
)
def test_every_key_that_goes_down_comes_up_before_it_goes_down_again(notes, pedals):
    made = score(
        *(Note(on, on + length, pitch) for on, length, pitch in notes), pedals=[Pedal(a, a + b, 0) for a, b in pedals]
    )
    down: set[int] = set()
    for event in events(made, 36000):
        if event.velocity:
            assert event.pitch not in down
            down.add(event.pitch)
        else:
            down.remove(event.pitch)
    assert not down


def test_a_pedalled_note_lasts_until_the_pedal_is_up_or_the_key_is_struck_again():
    made = score(Note(0, 1, 60), Note(0, 1, 62), Note(2, 2.5, 60), pedals=[Pedal(0.5, 4.0, 0)])
    ends = [(event.sample, event.pitch) for event in events(made, 1000) if not event.velocity]
    assert ends == [(2000, 60), (4000, 60), (4000, 62)]
    assert [e.sample for e in events(score(Note(1, 1, 60)), 1000)] == [1000, 1000 + round(SHORTEST * 1000)]


def test_an_excerpt_begins_at_nought_and_keeps_what_holds():
    whole = replace(
        score(
            Note(0, 9, 50), Note(4, 5, 60), Note(7, 12, 62), Note(10, 11, 64), pedals=[Pedal(1, 6, 0), Pedal(20, 21, 0)]
        ),
        tempi=(TempoChange(0, 100), TempoChange(6, 80), TempoChange(30, 60)),
        metres=(Metre(0, 3, 4),),
        keys=(KeySignature(5, 2, "major"),),
    )
    part = excerpt(whole, 4.0, 5.0)
    assert [(n.onset, n.offset, n.pitch) for n in part.notes] == [(0, 1, 60), (3, 5, 62)]
    assert part.pedals == (Pedal(0, 2, 0),)
    assert part.tempi == (TempoChange(0, 100), TempoChange(2, 80))
    assert part.metres == (Metre(0, 3, 4),) and part.keys == (KeySignature(1, 2, "major"),)


# effects


def test_convolution_is_that_of_numpy():
    generator = np.random.default_rng(0)
    x, h = generator.standard_normal((2, 5000), dtype=np.float32), generator.standard_normal((2, 300), dtype=np.float32)
    expected = np.stack([np.convolve(a.astype(float), b.astype(float)) for a, b in zip(x, h, strict=True)])
    # float32 spectra of sums of 300 products near 1
    assert np.abs(convolve(x, h) - expected).max() < 1e-3


@pytest.mark.parametrize("seconds", [0.4, 1.0, 2.5])
def test_the_reverb_decays_by_60_db_in_its_time(seconds):
    response = room(replace(QUIET, reverb=seconds, wet=0), 1, RATE, np.random.default_rng(3))[0].astype(float)
    response[0] -= 1.0  # the direct sound
    middle = band(np.pad(response, RATE), RATE, 300, 900)[RATE:]
    left = 10 * np.log10(np.cumsum(middle[::-1] ** 2)[::-1] / np.sum(middle**2))  # Schroeder's backward integral
    a, b = np.argmax(left < -5), np.argmax(left < -25)
    assert (b - a) / RATE * 3 == pytest.approx(seconds, rel=0.25)


def test_the_equaliser_has_the_gains_that_it_is_given():
    effects = replace(QUIET, equalise=(6.0, -3.0, 0.0, 4.0))
    spectrum = np.abs(np.fft.rfft(room(effects, 1, RATE, np.random.default_rng(0))[0], RATE))
    assert [20 * math.log10(spectrum[round(f)]) for f in BANDS] == pytest.approx([6.0, -3.0, 0.0, 4.0], abs=0.5)


def test_level_and_noise_floor_are_as_asked():
    generator = np.random.default_rng(1)
    sound = generator.standard_normal((1, 48000), dtype=np.float32) * 0.01
    assert 20 * math.log10(rms(apply_effects(sound, RATE, replace(QUIET, level=-26.0)))) == pytest.approx(-26, abs=0.1)
    silent = np.zeros((1, 48000), np.float32)
    assert not apply_effects(silent, RATE, QUIET).any()
    assert 20 * math.log10(rms(apply_effects(silent, RATE, replace(QUIET, noise=-50.0)))) == pytest.approx(-50, abs=0.1)
    loud = apply_effects(np.eye(1, 48000, dtype=np.float32), RATE, replace(QUIET, level=0.0))
    assert np.abs(loud).max() <= 0.981


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**63), dry=st.floats(0, 1))
def test_drawn_effects_lie_in_their_ranges_and_options_do_not_shift_each_other(seed, dry):
    options = RenderOptions(dry=dry)
    effects = draw_effects(random.Random(seed), options)
    assert options.detune[0] <= effects.detune <= options.detune[1]
    assert effects.reverb == 0 or options.reverb[0] - 1e-3 <= effects.reverb <= options.reverb[1] + 1e-3
    other = draw_effects(random.Random(seed), replace(options, dry=1.0, noisy=0.0, level=(-5, -5)))
    assert (other.detune, other.equalise, other.seed) == (effects.detune, effects.equalise, effects.seed)


def test_options_out_of_range_are_named():
    for wrong in ({"detune": (5.0, -5.0)}, {"level": (-20.0, 3.0)}, {"dry": 1.5}, {"noise": (-90.0, float("nan"))}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RenderOptions(**wrong)


# soundfonts and presets


def soundfont_bytes(presets) -> bytes:
    def chunk(tag, body):
        return struct.pack("<4sI", tag, len(body)) + body + b"\0" * (len(body) % 2)

    records = b"".join(struct.pack("<20sHH14x", name.encode(), program, bank) for name, program, bank in presets)
    pdta = b"pdta" + chunk(b"phdr", records + struct.pack("<20s18x", b"EOP"))
    return chunk(b"RIFF", b"sfbk" + chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd")) + chunk(b"LIST", pdta))


def test_presets_are_read(tmp_path):
    path = tmp_path / "small.sf2"
    path.write_bytes(soundfont_bytes([("Grand", 0, 0), ("Drums", 8, 128), ("Flute", 73, 0)]))
    font = find_soundfont(path)
    assert font.presets == {(0, 0): "Grand", (128, 8): "Drums", (0, 73): "Flute"}
    assert font.programs == (0, 73) and font.kits == (8,)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_damaged_soundfont_is_an_error_that_names_it(data, tmp_path_factory):
    whole = bytearray(soundfont_bytes([("Grand", 0, 0), ("Drums", 8, 128)]))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fonts", numbered=True) / "bad.sf2"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        assert load_soundfont(path).presets
    except SoundFontError as error:
        assert "bad.sf2" in str(error)


def test_no_soundfont_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("SOLFA_SOUNDFONT", raising=False)
    monkeypatch.setattr("solfa.data.soundfont.FOLDERS", (str(tmp_path),))
    with pytest.raises(SoundFontError, match=r"apt install fluid-soundfont-gm.*SOLFA_SOUNDFONT"):
        find_soundfont()
    for name in ("other.sf2", "FluidR3_GM.sf2"):
        (tmp_path / name).write_bytes(soundfont_bytes([("Grand", 0, 0)]))
    assert find_soundfont().name == "FluidR3_GM.sf2"
    monkeypatch.setenv("SOLFA_SOUNDFONT", str(tmp_path / "other.sf2"))
    assert find_soundfont().name == "other.sf2"


def test_presets_from_text():
    chosen = parse_presets("0-3, 40,d16,d24-25", "2,d24")
    assert chosen == Presets(frozenset({0, 1, 3, 40}), frozenset({16, 25}))
    assert parse_presets(None, "drums,8-127") == Presets(frozenset(range(8)), frozenset())
    for wrong in ("", "5-3", "128", "x", "d", "-1", "1,,2"):
        with pytest.raises(ValueError, match="programs"):
            parse_presets(wrong)
    with pytest.raises(ValueError, match="nothing is left"):
        parse_presets("40", "40,drums")


@settings(max_examples=50, deadline=None)
@given(programs=st.sets(st.integers(0, 127)), kits=st.sets(st.sampled_from([0, 8, 25])), seed=st.integers(0, 99))
def test_only_the_presets_that_may_sound_do(programs, kits, seed):
    made = replace(
        score(Note(0, 1, 60, 80, 5), Note(0, 1, 60, 80, 25, True), Note(1, 2, 60, 80, 44)),
        pedals=(Pedal(0, 1, 0), Pedal(1, 2, 2)),
    )
    presets = Presets(frozenset(programs), frozenset(kits))
    for changed in (restrict(made, presets, random.Random(seed)), vary(made, presets, random.Random(seed))):
        for part in changed.parts:
            assert part.program in (kits if part.is_drum else programs)
        assert len(changed.notes) == 2 * bool(programs) + bool(kits)
        assert len(changed.pedals) == 2 * bool(programs)
