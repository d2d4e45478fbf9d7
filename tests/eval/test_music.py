"""The analysers on sound whose facts are known by construction, and on what is no music."""

from dataclasses import replace

import numpy as np
import pytest

from solfa.eval.music import Facts, facts_of, fit_analyser, traces
from solfa.eval.music_density import density_features, fit_density
from solfa.eval.music_family import fit_families, timbre
from solfa.eval.music_key import MODES, default_profiles, fit_profiles, key, pitch_classes
from solfa.eval.music_logit import fit_logit, softmax
from solfa.eval.music_rhythm import FRAMES, METRES, default_model, envelopes, fit_rhythm, rhythm, rhythm_features
from solfa.score.families import FAMILIES, family_of
from solfa.score.note import Note

RATE = 16000
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PARTIALS = {"pipe": (1.0,), "reed": (1.0, 0, 0.7, 0, 0.5, 0, 0.3), "strings": (1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)}
BARS = {
    "4/4": ((1.0, 0.3, 0.6, 0.3), 2),
    "3/4": ((1.0, 0.3, 0.3), 2),
    "6/8": ((1.0, 0.7), 3),
}  # accents, parts of a beat


def tone(pitch: float, seconds: float, partials=(1.0, 0.5, 0.25, 0.12), cents: float = 0.0) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    hertz = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
    sound = sum(a * np.sin(2 * np.pi * hertz * (i + 1) * time) for i, a in enumerate(partials))
    return (sound * np.minimum(1, np.minimum(time / 0.01, (seconds - time) / 0.02))).astype(np.float32)


def cadence(tonic: int, mode: str, cents: float = 0.0, partials=(1.0, 0.5, 0.25, 0.12)) -> np.ndarray:
    """I IV V I with the scale above it."""
    scale = SCALES[mode]
    pieces = []
    for degree in (0, 3, 4, 0):
        chord = [tonic + 48 + scale[(degree + i) % 7] + 12 * ((degree + i) // 7) for i in (0, 2, 4)]
        sound = sum(tone(pitch, 0.8, partials, cents) for pitch in chord)
        pieces.append(sound + 0.5 * tone(chord[0] - 12, 0.8, partials, cents))
    pieces += [tone(tonic + 60 + step, 0.25, partials, cents) for step in (*scale, 12)] + [
        tone(tonic + 60, 0.8, partials, cents)
    ]
    return np.concatenate(pieces)


def beats(tempo: float, metre: str, seconds: float = 10.0, seed: int = 0) -> np.ndarray:
    """Struck tones: accents on the beats, softer parts between, a low note at the start of each bar."""
    accents, parts = BARS[metre]
    sound = np.zeros(int(seconds * RATE) + RATE, np.float32)
    rng = np.random.default_rng(seed)
    step = 60 / tempo / parts
    decay = np.exp(-np.arange(int(0.2 * RATE)) / RATE / 0.05).astype(np.float32)
    for index in range(int(seconds / step)):
        beat, part = divmod(index, parts)
        level = accents[beat % len(accents)] if part == 0 else 0.15
        pitch = 45 if beat % len(accents) == 0 and part == 0 else 69 + rng.integers(3)
        at = int(index * step * RATE)
        sound[at : at + len(decay)] += level * decay * tone(pitch, 0.2)[: len(decay)]
    return sound[: int(seconds * RATE)]


@pytest.mark.parametrize("mode", MODES)
def test_the_default_hears_a_cadence_in_every_key(mode):
    for tonic in range(12):
        heard = key(cadence(tonic, mode), RATE)
        assert (heard.tonic, heard.mode) == (tonic, mode) and 1 / 24 < heard.probability <= 1


def test_tuning_level_and_channels_do_not_matter():
    plain, off = pitch_classes(cadence(2, "major"), RATE), pitch_classes(cadence(2, "major", cents=40), RATE)
    assert plain.shape == (4, 12) and np.allclose(plain.sum(1), 1) and np.abs(plain - off).max() < 0.03
    sound = cadence(2, "major")
    assert np.allclose(pitch_classes(sound * 0.01, RATE), plain, atol=1e-3)
    assert np.allclose(pitch_classes(np.stack([sound, sound]), RATE), plain, atol=1e-6)
    assert plain[0].argmax() == 2 and plain[1].argmax() in (2, 7, 9)


def test_fitted_profiles_turn_with_the_tonic():
    facts = [(tonic, mode) for tonic in range(0, 12, 2) for mode in MODES]
    found = fit_profiles([pitch_classes(cadence(*fact), RATE) for fact in facts], facts)
    for tonic in (1, 6, 11):  # tonics that it was not fitted on
        for mode in MODES:
            heard = found.best(pitch_classes(cadence(tonic, mode), RATE))
            assert (heard.tonic, heard.mode) == (tonic, mode)
    scores = default_profiles().scores(pitch_classes(cadence(0, "major"), RATE))
    turned = default_profiles().scores(np.roll(pitch_classes(cadence(0, "major"), RATE), 5, 1))
    assert np.allclose(np.roll(scores, 5, 0), turned)


@pytest.mark.parametrize(("tempo", "metre"), [(100, "4/4"), (90, "3/4"), (120, "4/4"), (126, "3/4")])
def test_the_default_hears_accented_beats(tempo, metre):
    heard = rhythm(beats(tempo, metre), RATE)
    assert heard.tempo == pytest.approx(tempo, rel=0.03) and heard.metre == metre and 0 < heard.probability <= 1


def test_fitted_on_beats_it_hears_others_in_every_metre():
    facts = [(tempo, metre) for metre in METRES for tempo in (64, 80, 100, 125)]
    found = fit_rhythm(
        [rhythm_features(beats(t, m, seed=i), RATE) for i, (t, m) in enumerate(facts)], *zip(*facts, strict=True)
    )
    others = [(tempo, metre) for metre in METRES for tempo in (72, 112)]
    right = [found(rhythm_features(beats(t, m, seed=99), RATE)) for t, m in others]
    assert sum(h.metre == m and abs(h.tempo / t - 1) < 0.04 for h, (t, m) in zip(right, others, strict=True)) >= 5


def test_families_are_told_apart_by_their_partials():
    def clips(seed):
        rng = np.random.default_rng(seed)
        for name, partials in PARTIALS.items():
            for _ in range(12):
                notes = [tone(rng.integers(60, 80), 0.3, partials) for _ in range(5)]
                yield timbre(np.concatenate(notes) * rng.uniform(0.1, 1), RATE), name

    found = fit_families(*map(list, zip(*clips(0), strict=True)))
    assert np.mean([found(features) == name for features, name in clips(1)]) > 0.9
    assert found.families == tuple(sorted(PARTIALS))
    with pytest.raises(ValueError, match="two or more"):
        fit_families([np.zeros(3)], ["pipe"])
    assert len(FAMILIES) == 16 and family_of(0) == "piano" and family_of(73) == "pipe" and family_of(19) == "organ"


def test_probabilities_of_families_are_those_of_two_gaussians():
    rng = np.random.default_rng(0)
    clips = [(rng.standard_normal(1) + side, name) for side, name in ((-1, "pipe"), (1, "reed")) for _ in range(20000)]
    found = fit_families(*map(list, zip(*clips, strict=True)))
    for value in (-2.0, -0.3, 0.0, 1.0):
        chances = found.probabilities(np.array([value]))
        assert chances[1] == pytest.approx(1 / (1 + np.exp(-2 * value)), abs=0.02) and chances.sum() == pytest.approx(1)
        assert found.families[int(chances.argmax())] == found(np.array([value]))


def strokes(rate: float, seed: int, seconds: float = 6.0) -> np.ndarray:
    """Struck chords, `rate` a second, uneven in time and level."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * RATE) + RATE, np.float32)
    for at in (np.arange(int(rate * seconds)) + rng.uniform(0, 0.3, int(rate * seconds))) / rate:
        chord = sum(tone(60 + pitch, 0.5) for pitch in rng.choice(24, 3, replace=False))
        start = int(at * RATE)
        sound[start : start + len(chord)] += rng.uniform(0.4, 1) * chord * np.exp(-np.arange(len(chord)) / RATE / 0.2)
    return sound[: int(seconds * RATE)]


def test_fitted_on_strokes_it_counts_others():
    def features(rate, seed):
        return density_features(envelopes(strokes(rate, seed), RATE)[0], FRAMES)

    rates = np.tile(np.geomspace(0.7, 8, 10), 2)
    found = fit_density([features(rate, i) for i, rate in enumerate(rates)], rates, penalty=1.0)
    for seed, rate in enumerate((1.0, 2.5, 5.0)):
        assert found(features(rate, 100 + seed)) == pytest.approx(rate, rel=0.25)
    quiet = density_features(envelopes(0.01 * strokes(2.5, 101), RATE)[0], FRAMES)
    assert found(quiet) == pytest.approx(found(features(2.5, 101)), rel=0.02)
    for wrong in ([], [0.0] * 20, [1.0]):
        with pytest.raises(ValueError, match="as many of each, above 0"):
            fit_density([features(1.0, 0)] * 20 if wrong else [], wrong)


def test_peaks_are_counted_once_each():
    rows = np.zeros((1, 400))
    rows[0, [50, 150, 151, 250, 252]] = 1.2, 0.6, 0.7, 2.0, 1.9  # what is within three frames of a higher one is none
    found = np.exp(density_features(rows, 100)) - 0.25
    assert found == pytest.approx([0.75, 0.75, 0.5, 0.25, 0.0, 0.0])
    assert density_features(np.zeros((4, 400)), 100) is None


@pytest.mark.parametrize(
    "samples", [np.zeros(48000), np.ones(1), np.zeros((2, 1)), tone(60, 0.01), np.full(9000, 1e-7)]
)
def test_silence_and_a_moment_are_nothing(samples):
    samples = samples.astype(np.float32)
    assert key(samples, RATE) is None and rhythm(samples, RATE) is None and timbre(samples, RATE) is None
    found = traces(samples, RATE)
    assert found.timbre is None and found.pitch_classes is None and found.rhythm is None and found.onsets is None


def test_short_sound_has_a_key_but_no_metre():
    sound = np.concatenate([tone(60, 0.3), tone(64, 0.3), tone(67, 0.3), tone(60, 0.3)])
    assert key(sound, RATE).tonic == 0 and rhythm(sound, RATE) is None and timbre(sound, RATE) is not None
    noise = np.random.default_rng(0).standard_normal(RATE * 4).astype(np.float32)
    found = traces(noise, RATE)
    assert np.isfinite(found.rhythm).all() and np.isfinite(found.timbre).all() and np.isfinite(found.onsets).all()


@pytest.mark.parametrize("wrong", [np.zeros(0), np.zeros((1, 1, 5)), np.array([np.nan]), np.array([np.inf, 0])])
def test_what_is_no_sound_is_refused(wrong):
    with pytest.raises(ValueError, match="samples"):
        traces(wrong.astype(np.float32), RATE)


def test_facts_of_a_manifest():
    attributes = {"metre": [6, 8], "mode": "harmonic minor", "tonic": 3, "tempo": 90, "instruments": [{"program": 40}]}
    assert facts_of(attributes) == Facts("strings", 90, 3, "minor", "6/8")
    assert facts_of({}) == Facts() and facts_of({"metre": [5, 4], "mode": "blues", "density": "thick"}) == Facts()
    for said in (
        {"tempo": "fast"},
        {"tempo": 0},
        {"tempo": float("nan")},
        {"tonic": "C"},
        {"tonic": True},
        {"tonic": 12},
    ):
        assert facts_of(said) == Facts()
    notes = [Note(0.5 * i, 0.5 * i + 0.5, 60) for i in range(8)]
    assert (
        facts_of({"density": "dense"}, notes) == Facts(density="dense", onset_rate=2.0) and facts_of({}, ()) == Facts()
    )


def test_an_analyser_is_fitted_on_what_is_known_and_needs_enough_of_it():
    facts = [Facts(family, 100.0, tonic, "major", "4/4") for family in ("pipe", "strings") for tonic in range(12)]
    click = beats(100, "4/4", seconds=7.0)
    tunes = [cadence(f.tonic, f.mode, partials=PARTIALS[f.family]) for f in facts]
    sounds = [tune + click[: len(tune)] for tune in tunes]
    examples = [(traces(sound, RATE), fact) for sound, fact in zip(sounds, facts, strict=True)]
    analyser = fit_analyser(examples)
    heard = analyser(examples[5][0])
    assert heard.tonic == 5 and heard.family == "pipe" and heard.metre == "4/4"
    assert analyser(traces(np.zeros(9, np.float32), RATE)) == Facts()
    wanted = replace(facts[5], density="medium", onset_rate=3.0)
    assert analyser.onsets is None and heard.onset_rate is None and analyser.listened_for(wanted) == facts[5]
    told = [(trace, replace(fact, onset_rate=3.0 + i % 2)) for i, (trace, fact) in enumerate(examples)]
    analyser = fit_analyser(told)
    assert analyser.listened_for(wanted) == wanted and 2 < analyser(examples[5][0]).onset_rate < 5
    assert (
        analyser(examples[5][0]).density == "medium"
        and replace(analyser(examples[5][0]), density=None, onset_rate=None) == heard
    )
    with pytest.raises(ValueError, match="at least 16"):
        fit_analyser(examples[:9])


def test_the_logit_finds_the_weights_that_drew_the_data():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((600, 2, 5, 3)).astype(np.float32)
    true = np.array([[2.0, -1.0, 0.5], [0.0, 1.5, -2.0]])
    chances = softmax(np.einsum("ngcf,gf->ngc", features, true).reshape(600, -1))
    drawn = [rng.choice(10, p=row) for row in chances]
    right = np.zeros((600, 10))
    right[np.arange(600), drawn] = 1
    found = fit_logit(features, right.reshape(600, 2, 5), 1e-4)
    assert np.array_equal(found, fit_logit(features, right.reshape(600, 2, 5), 1e-4))
    assert np.abs(found - true).max() < 0.35 and default_model().weights.shape[0] == 3
