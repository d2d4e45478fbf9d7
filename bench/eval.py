"""Our metrics beside the implementations that they are tested against: time on the same data in one run, and whether the numbers are equal.

    python bench/eval.py [--runs 5] [--threads 1] [--only NAME ...]

Each metric and its peer run once to warm up and then in turns; times are the medians, in milliseconds of CPU. "ratio" is the peer's
over ours: above 1 ours is the faster. "difference" is the value's, ours less theirs. Sound is 10 s of tones in noise, the estimate the same
with other noise. Where a peer has no such function, its parts are put together as its users do; where ours does more (mutual information
is also corrected and shuffled), that is in its time. bench/notes.py has note measures by the number of notes.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from solfa.eval import bag_of_codes, codebooks, codec, distances, labels, melody
from solfa.eval.code_statistics import PairCounts, mutual_information
from solfa.eval.transcription import note_measures
from solfa.score.note import Note

RATE, SECONDS = 24_000, 10
Metric = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """peer: makes the peer's function, so that one that is not installed is told and left out."""

    name: str
    data: str
    ours: Metric
    library: str
    peer: Callable[[], Metric]


def sounds(rate: int) -> tuple[np.ndarray, np.ndarray]:
    """A reference and an estimate, [S]."""
    rng = np.random.default_rng(0)
    times = np.arange(SECONDS * rate) / rate
    tones = sum(np.sin(2 * np.pi * pitch * times) for pitch in (220, 277.2, 329.6)) / 10
    clean, noisy = (tones + level * rng.standard_normal(len(times)) for level in (0.05, 0.1))
    return clean.astype(np.float32), noisy.astype(np.float32)


def waveform_rows() -> list[Row]:
    x, y = sounds(RATE)
    a, b = torch.from_numpy(x).double(), torch.from_numpy(y).double()

    def si_sdr() -> Metric:
        from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio as theirs

        return lambda: float(theirs(b, a))

    def si_snr() -> Metric:
        from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio as theirs

        return lambda: float(theirs(b, a))

    def loudness() -> Metric:
        import pyloudnorm

        def theirs() -> float:
            meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
            return meter.integrated_loudness(y.astype(np.float64)) - meter.integrated_loudness(x.astype(np.float64))

        return theirs

    said = f"{SECONDS} s, {RATE // 1000} kHz"
    return [
        Row("SI-SDR, dB", said, lambda: codec.si_sdr(x, y), "torchmetrics", si_sdr),
        Row("SI-SNR, dB", said, lambda: codec.si_snr(x, y), "torchmetrics", si_snr),
        Row("loudness, LU", said, lambda: codec.loudness_difference(x, y, RATE), "pyloudnorm", loudness),
    ]


def spectral_rows() -> list[Row]:
    x, y = sounds(RATE)

    def mel(scales: list[tuple[int, int, int]]) -> Callable[[], Metric]:
        def make() -> Metric:
            import librosa

            def distance(window: int, hop: int, mels: int) -> float:
                shape = {"n_fft": window, "hop_length": hop, "n_mels": mels, "power": 1.0, "pad_mode": "reflect"}
                pair = [librosa.feature.melspectrogram(y=z, sr=RATE, **shape) for z in (x, y)]
                logs = [np.log10(np.maximum(each, 1e-5)) for each in pair]
                return float(np.abs(logs[0] - logs[1]).mean(dtype=np.float64))

            return lambda: sum(distance(*scale) for scale in scales)

        return make

    def stft() -> Metric:
        from auraloss.freq import STFTLoss

        signals = [torch.from_numpy(z)[None, None] for z in (y, x)]
        parts = [
            (factor, STFTLoss(window, window // 4, window, w_sc=0.0, w_phs=0.0, eps=1e-10, **weights))
            for window in codec.DAC_STFT_WINDOWS
            for factor, weights in (
                (1.0, {"w_log_mag": 0.0, "w_lin_mag": 1.0}),
                (2 / math.log(10), {"w_log_mag": 1.0, "w_lin_mag": 0.0}),
            )
        ]
        return lambda: sum(factor * float(loss(*signals)) for factor, loss in parts)

    windows = zip(codec.DAC_MELS, codec.DAC_MEL_WINDOWS, strict=True)
    scales = [(window, window // 4, mels) for mels, window in windows]
    said = f"{SECONDS} s, {RATE // 1000} kHz"
    return [
        Row("log-mel distance", said, lambda: codec.log_mel_distance(x, y, RATE), "librosa", mel([(1024, 256, 80)])),
        Row("DAC mel distance", said, lambda: codec.dac_mel_distance(x, y, RATE), "librosa", mel(scales)),
        Row("STFT distance", said, lambda: codec.stft_distance(x, y), "auraloss", stft),
    ]


def chroma_row() -> Row:
    rate, window, hop = melody.RATE, melody.WINDOW, melody.HOP
    pitches = 220 * 2 ** (np.random.default_rng(0).integers(0, 24, 2 * SECONDS) / 12)  # two a second
    phase = 2 * np.pi * np.cumsum(np.repeat(pitches, rate // 2)) / rate
    x = np.sin(phase).astype(np.float32)
    y = np.roll(x, rate // 4)

    def make() -> Metric:
        import librosa

        def strongest(samples: np.ndarray) -> np.ndarray:
            power = np.abs(librosa.stft(samples, n_fft=window, hop_length=hop, pad_mode="reflect")) ** 2
            filters = librosa.filters.chroma(sr=rate, n_fft=window, tuning=0)
            return (filters @ power).argmax(0)[: -(-len(samples) // hop)]

        return lambda: float((strongest(x) == strongest(y)).mean())

    said = f"{SECONDS} s, {rate // 1000} kHz"
    return Row("chroma cosine", said, lambda: melody.chroma_cosine(x, y, rate, rate), "librosa", make)


def set_rows() -> list[Row]:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((128, 128)) / 10
    a, b = rng.standard_normal((2000, 128)) @ mixing, rng.standard_normal((2000, 128)) @ mixing + 0.05
    p, q = rng.dirichlet(np.ones(527), (2, 500))

    def frechet() -> Metric:
        from scipy.linalg import sqrtm

        def theirs() -> float:
            first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
            gap = a.mean(0) - b.mean(0)
            return float(gap @ gap + np.trace(first + second - 2 * sqrtm(first @ second).real))

        return theirs

    def kernel() -> Metric:
        from torchmetrics.image.kid import poly_mmd

        return lambda: float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))

    def divergence() -> Metric:
        from scipy.stats import entropy

        return lambda: float(entropy(p, q, axis=1).mean())

    return [
        Row("Fréchet distance", "2 x 2000 x 128", lambda: distances.frechet_distance(a, b), "scipy sqrtm", frechet),
        Row("kernel distance", "2 x 2000 x 128", lambda: distances.kernel_distance(a, b), "torchmetrics", kernel),
        Row(
            "label KL, nats", "500 x 527", lambda: float(labels.label_divergence(p, q, 0.0).mean()), "scipy", divergence
        ),
    ]


def note_row() -> Row:
    rng = np.random.default_rng(0)
    onsets, pitches = np.sort(rng.uniform(0, 60, 600)), rng.integers(36, 96, 600)
    reference = [Note(float(t), float(t) + 0.3, int(p)) for t, p in zip(onsets, pitches, strict=True)]
    moved = onsets + rng.normal(0, 0.03, 600)
    estimate = [Note(max(0.0, float(t)), float(t) + 0.33, int(p)) for t, p in zip(moved, pitches, strict=True)]

    def make() -> Metric:
        import mir_eval

        sides = [
            (
                np.array([(n.onset, n.offset) for n in notes]),
                mir_eval.util.midi_to_hz(np.array([n.pitch for n in notes])),
            )
            for notes in (reference, estimate)
        ]
        match = mir_eval.transcription.precision_recall_f1_overlap
        return lambda: match(*sides[0], *sides[1], offset_ratio=None)[2]

    return Row(
        "note F1 (ours: all)", "600 notes", lambda: note_measures(reference, estimate).onset.f1, "mir_eval", make
    )


def code_rows() -> list[Row]:
    rng = np.random.default_rng(0)
    first = np.minimum(rng.geometric(0.01, 100_000) - 1, 1023)
    codes = np.stack([first, (first + rng.integers(0, 64, len(first))) % 1024])
    counts = np.stack([np.bincount(row, minlength=1024) for row in codes])
    bags = rng.poisson(2 * rng.dirichlet(np.ones(8192), 64) * 8192) + (np.arange(64)[:, None] == 0)

    def information() -> float:
        pairs = PairCounts([(0, 1)], 1024)
        pairs.add(codes, codes)
        return mutual_information(pairs.joint(0)).bits

    def their_information() -> Metric:
        from sklearn.metrics import mutual_info_score

        return lambda: float(mutual_info_score(*codes)) / math.log(2)

    def entropy() -> Metric:
        from scipy import stats

        return lambda: float(stats.entropy(counts, base=2, axis=1).sum())

    def alike() -> float:  # scikit-learn's idf has 1 more
        weights = bag_of_codes.tf_l2(bags) * (bag_of_codes.idf_b(bags) + 1)
        return float(bag_of_codes.cosine_similarity(weights).mean())

    def their_alike() -> Metric:
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.metrics.pairwise import cosine_similarity

        return lambda: float(
            cosine_similarity(TfidfTransformer(smooth_idf=False, sublinear_tf=True).fit_transform(bags)).mean()
        )

    return [
        Row("code entropy, bits", "2 x 1024", lambda: float(codebooks.entropy(counts).sum()), "scipy", entropy),
        Row("mutual inf., bits", "100,000 frames", information, "scikit-learn", their_information),
        Row("TF-IDF cosine, mean", "64 x 8192", alike, "scikit-learn", their_alike),
    ]


def timed(ours: Metric, peer: Metric, runs: int) -> tuple[float, float]:
    """Medians in CPU milliseconds of both, which take turns."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for times, function in zip(spent, (ours, peer), strict=True):
            start = time.process_time()
            function()
            times.append(1000 * (time.process_time() - start))
    return statistics.median(spent[0]), statistics.median(spent[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch; OMP_NUM_THREADS sets numpy's")
    parser.add_argument("--only", nargs="+", default=[], help="metrics whose name holds one of these")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{os.cpu_count()} cores, {options.threads} torch threads, median of {options.runs} runs, Python {sys.version.split()[0]}"
    )
    print(f"{'metric':22}{'data':16}{'ours ms':>10}{'peer ms':>10}{'ratio':>8}{'value':>12}{'difference':>12}  peer")
    for row in (*waveform_rows(), *spectral_rows(), chroma_row(), *set_rows(), note_row(), *code_rows()):
        if options.only and not any(part.lower() in row.name.lower() for part in options.only):
            continue
        try:
            peer = row.peer()
        except ImportError as error:
            print(f"{row.name:22}{row.data:16}{row.library} is not installed: {error}")
            continue
        value, theirs = row.ours(), peer()
        mine, other = timed(row.ours, peer, options.runs)
        numbers = f"{mine:10.2f}{other:10.2f}{other / mine:8.2f}{value:12.6g}{value - theirs:12.1e}"
        print(f"{row.name:22}{row.data:16}{numbers}  {row.library}", flush=True)


if __name__ == "__main__":
    main()
