"""`solfa eval codec`: how near decoded sound is to the original, of files or of codecs at every bitrate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from solfa.cli import eval_report, load, report
from solfa.cli.inputs import AUDIO_SUFFIXES, Input, expand
from solfa.cli.pairs import pair_files
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.audio.io import Audio
    from solfa.eval.evaluation import Evaluation, Measure
    from solfa.tokenize_audio.rate_distortion import ClipResult, Coded, Contender, RatePoint

Key = tuple[str, str]  # coder and setting
OPUS = "6,8,12,16"  # kbps, where none are given


@dataclass(frozen=True)
class _Plan:
    """What every clip goes through; the point of the first codec that is summed up, and another's that it is compared with."""

    contenders: Sequence[Contender]
    opus: Sequence[float]
    perceptual: Sequence[str]
    keys: Sequence[Key]  # one, or two


@dataclass
class _Found:
    """What was measured and what failed; by clip the file that it came from, and the sounds of each key that were kept for the page."""

    results: list[ClipResult] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    sources: dict[str, Path] = field(default_factory=dict)
    sounds: dict[Key, dict[str, Mapping[str, Path]]] = field(default_factory=dict)


def codec(
    *inputs: str,
    codec: str | None = None,
    codebooks: str | None = None,
    opus: str | None = None,
    perceptual: str = "none",
    against: str | None = None,
    ci: report.Flag = False,
    plot: Path | None = None,
    html: eval_report.Html = None,
    device: report.Device = "auto",
    json: report.Flag = False,
) -> int:
    """How near decoded sound is to the original

    With two files, or two folders whose files of the same name and place, whatever their suffix, belong together: the
    second against the first. A file without a partner is named and not compared, and the command then ends with 1. The
    second is resampled to the first's rate; lengths may differ by 0.1 s, and are cut to the shorter; channels not at all.

    With --codec: every input goes through the codec at each number of codebooks, through the codecs that are named after
    it, and through Opus. The reference is the input at the first codec's rate and channel count: all coders are given
    that, and what they make of it is brought back to it. A summary of the first codec with the most codebooks, then the
    rate and distortion table, and one on how the codes are used and how fast they are made.

    Measures: SI-SDR and SI-SNR in dB (higher is better); log-mel distance (log10, 80 bins, at 24 kHz), STFT distance,
    DAC's mel distance, L1 of the waveform (lower is better); loudness difference in LU. --perceptual adds ViSQOL (1 to 5), PESQ
    (1 to 4.64) and STOI, higher is better. --json says how each is defined.

    Example:
        solfa eval codec original.wav decoded.wav
        solfa eval codec clips/ --codec solfa-24khz --codebooks 1,2,4,8 --opus 6,8,12,16
        solfa eval codec clips/ --codec solfa-24khz,encodec-24khz --plot curve.svg
        solfa eval codec originals/ decoded/ --against others/ --perceptual all --ci

    Parameters
    ----------
    inputs
        REFERENCE ESTIMATE; with --codec files, folders, globs, @list.txt, or - for a list on stdin.
    codec
        A name that `solfa models` lists, or a checkpoint folder; more, with commas between them, for the table.
    codebooks
        How many codebooks of the first codec to play, as in 1,2,4,8. By default 1, 2, 4, ... and all, as of the others.
    opus
        With --codec: Opus bitrates in kbps beside it, 6,8,12,16 by default; or none. Needs opus-tools on the PATH.
    perceptual
        Slow measures too: all, or some of visqol,pesq,stoi. Needs pip install "solfa[eval]".
    against
        A third file or folder, of other estimates; with --codec another codec, at its bitrate nearest to the summary's (within 25 %).
    ci
        95 % intervals of the means, by bootstrap over clips.
    plot
        Write the curves of --codec as an SVG.
    device
        Where codecs run; auto takes CUDA if it is there.
    json
        One JSON document on stdout: versions, settings, definitions, means with intervals, tables, and every clip.
    """
    slow = _perceptual(perceptual)
    if codec is not None:
        plan = _plan(codec, codebooks, against, OPUS if opus is None else opus, slow, report.device(device))
        return _curves(expand(inputs, AUDIO_SUFFIXES), plan, ci, plot, html, json)
    for option, value in (("--codebooks", codebooks), ("--opus", opus), ("--plot", plot)):
        if value is not None:
            raise report.UsageError(f"{option} needs --codec")
    if len(inputs) != 2:
        raise report.UsageError(f"{len(inputs)} inputs: REFERENCE ESTIMATE, or --codec NAME with any number")
    first = _compare(inputs[0], inputs[1], slow)
    other = None if against is None else _compare(inputs[0], against, slow)
    eval_report.show(first, against=other, ci=ci, json=json, html=html)
    return report.FAILED if first.failed or (other is not None and other.failed) else report.DONE


def _perceptual(text: str) -> tuple[str, ...]:
    """The slow measures that are asked for; ImportError where their libraries are not there."""
    if text == "none":
        return ()
    from solfa.eval.perceptual import NAMES, check_installed

    names = NAMES if text == "all" else tuple(dict.fromkeys(text.split(",")))
    try:
        check_installed(names)
    except ValueError as error:
        raise report.UsageError(f"--perceptual {text}: {error}; or all, or none") from None
    return names


def _measures(perceptual: Sequence[str]) -> list[Measure]:
    from solfa.eval.codec import MEASURES
    from solfa.eval.perceptual import MEASURES as SLOW

    return [*MEASURES, *(measure for measure in SLOW if measure.name in perceptual)]


def _compare(reference: str, estimate: str, perceptual: Sequence[str]) -> Evaluation:
    """Two files, or the files of two folders."""
    from solfa.eval.evaluation import Evaluation, Item
    from solfa.tokenize_audio.rate_distortion import compare_files

    pairs = pair_files(Path(reference), Path(estimate), AUDIO_SUFFIXES)
    pairs.tell()
    items, failed = [], [str(path) for path in pairs.alone]
    with Bar("compare", len(pairs.both)) as bar:
        for name, x, y in pairs.both:
            try:
                items.append(Item(name, compare_files(x, y, perceptual), {"reference": x, "estimate": y}))
            except (ValueError, OSError, MemoryError) as error:
                bad = (
                    x if report.reason(error).startswith(f"{x}: ") else y
                )  # what is said of the reference is not the estimate's
                failed.append(str(bad))
                report.fail(str(bad), error)
            bar.advance(1, detail=x.name)
    settings = {"reference": reference, "estimate": estimate}
    return Evaluation("codec", settings, _measures(perceptual), items, failed=failed)


def _usable(item: Input) -> Path:
    if item.problem:
        raise ValueError(f"{item.path}: {item.problem}")
    return item.path


def _plan(
    names: str, codebooks: str | None, against: str | None, opus: str, perceptual: Sequence[str], device: str
) -> _Plan:
    """The codecs that are named, loaded; UsageError for what they do not have."""
    from solfa.tokenize_audio.rate_distortion import Contender, nearest, rate_of, setting, steps

    found: dict[str, Contender] = {}
    for name in dict.fromkeys([*names.split(","), *([against] if against is not None else [])]):
        coder = load.checked_codec(name, device)
        taken = {contender.name for contender in found.values()}
        found[name] = Contender(coder, coder.name if coder.name not in taken else name, steps(coder))
    key, first = next(iter(found.items()))
    if codebooks is not None:
        counts, most = _numbers("--codebooks", codebooks, int), first.codec.codebooks
        if not all(1 <= count <= most for count in counts):
            raise report.UsageError(f"--codebooks {codebooks}: {first.codec.name} has 1 to {most}")
        first = found[key] = replace(first, codebooks=tuple(dict.fromkeys(counts)))
    keys = [(first.name, setting(max(first.codebooks)))]
    if against == key:
        raise report.UsageError(f"--against {against}: the codec itself; name another one")
    if against is not None:
        other = found[against]
        try:
            near = nearest(other.codec, rate_of(first.codec, max(first.codebooks)))
        except ValueError as error:
            raise report.UsageError(f"--against {against}: {error}") from None
        found[against] = replace(other, codebooks=tuple(sorted({*other.codebooks, near})))
        keys.append((other.name, setting(near)))
    return _Plan(list(found.values()), _opus(opus, first.codec.channels), perceptual, keys)


def _opus(text: str, channels: int) -> list[float]:
    """The bitrates in kbps; none, and a message, where Opus is not there."""
    from solfa.tokenize_audio.opus import HOW_TO_GET, opus_available

    kbps = [] if text == "none" else _numbers("--opus", text, float)
    if not all(6 * channels <= rate <= 256 * channels for rate in kbps):
        raise report.UsageError(f"--opus {text}: 6 to 256 kbps a channel, or none")
    if kbps and not opus_available():
        report.say(f"{HOW_TO_GET}: no Opus rows")
        return []
    return kbps


def _numbers(option: str, text: str, kind: type) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise report.UsageError(f"{option} {text}: numbers with commas between them, as in 1,2,4") from None


def _curves(items: Sequence[Input], plan: _Plan, ci: bool, plot: Path | None, html: Path | None, json: bool) -> int:
    """Every clip through every coder; then the plot, the page, and the summary with its tables."""
    from solfa.tokenize_audio.rate_distortion import points

    with TemporaryDirectory() as folder:
        found = _measure(items, plan, Path(folder) if html is not None else None)
        curve = points(found.results)
        systems = [_system(plan, key, curve, found) for key in plan.keys]
        systems[0] = replace(systems[0], tables=_tables(plan, curve, ci, json))
        if not json:
            report.out(", against ".join(", ".join(key) for key in plan.keys) + ":")
        against = systems[1] if len(systems) > 1 else None
        eval_report.show(systems[0], against=against, ci=ci, json=json, html=None, per_item=False)
        if plot is not None and curve:
            _plot(plot, systems[0])
        if html is not None:
            eval_report.show_page(
                html, *(_with_sounds(s, found, key) for s, key in zip(systems, plan.keys, strict=True))
            )
    return report.FAILED if found.failed else report.DONE


def _measure(items: Sequence[Input], plan: _Plan, folder: Path | None) -> _Found:
    """All clips; one that fails costs only itself. folder: where the sounds of the page are kept meanwhile."""
    from solfa.audio.io import read
    from solfa.tokenize_audio.rate_distortion import heard, measure_clip, warm_up

    for contender in plan.contenders:
        warm_up(contender.codec)
    found = _Found(sounds={key: {} for key in plan.keys})
    with Bar("measure", len(items)) as bar:
        for name, item in zip(_names(items), items, strict=True):
            try:
                reference = heard(read(_usable(item)), plan.contenders[0].codec)
                keep = None if folder is None else _Keep(found, plan.keys, folder, name, reference)
                found.results += measure_clip(name, reference, plan.contenders, plan.opus, plan.perceptual, keep)
                found.sources[name] = item.path
            except (ValueError, OSError, MemoryError) as error:
                found.failed.append(str(item.path))
                report.fail(str(item.path), error)
            bar.advance(1, detail=item.path.name)
    return found


def _names(items: Sequence[Input]) -> list[str]:
    """A name a clip: its place without suffix, or its whole path where two would be alike."""
    names = [item.relative.with_suffix("").as_posix() for item in items]
    often = Counter(names)
    return [name if often[name] == 1 else str(item.path) for name, item in zip(names, items, strict=True)]


@dataclass(frozen=True)
class _Keep:
    """Saves the reference, and what becomes of it at the keys, as WAVs."""

    found: _Found
    keys: Sequence[Key]
    folder: Path
    clip: str
    reference: Audio

    def __call__(self, coded: Coded) -> None:
        key = (coded.coder, coded.setting)
        if key in self.keys:
            place = f"{len(self.found.sources)}-{self.keys.index(key)}"
            files = {"reference": self.folder / f"{place}-reference.wav", "estimate": self.folder / f"{place}.wav"}
            self.reference.save(files["reference"])
            coded.audio.save(files["estimate"])
            self.found.sounds[key][self.clip] = files


def _system(plan: _Plan, key: Key, curve: Sequence[RatePoint], found: _Found) -> Evaluation:
    """One codec at one of its points."""
    from solfa.eval.evaluation import Evaluation, Item
    from solfa.tokenize_audio.opus import opus_version
    from solfa.tokenize_audio.rate_distortion import COLUMNS

    point = next((point for point in curve if (point.coder, point.setting) == key), None)
    (contender,) = [c for c in plan.contenders if c.name == key[0]]
    first = plan.contenders[0].codec
    settings = {
        "codec": contender.name,
        "weights_hash": contender.codec.weights_hash,
        "setting": key[1],
        "kbps": None if point is None else point.bitrate / 1000,
        "device": str(contender.codec.device),
        "reference": f"what {first.name} hears: {first.sample_rate} Hz, {first.channels} channels",
        "columns": COLUMNS,
    }
    clips = point.clips if point is not None else ()
    items = [Item(clip.clip, clip.values, {"reference": found.sources[clip.clip]}) for clip in clips]
    programs = {"opus-tools": opus_version()} if plan.opus else {}
    return Evaluation("codec", settings, _measures(plan.perceptual), items, failed=found.failed, programs=programs)


def _with_sounds(system: Evaluation, found: _Found, key: Key) -> Evaluation:
    """For the page, which takes the sounds in: the kept files are gone when it is written."""
    return replace(system, items=[replace(item, files=found.sounds[key][item.name]) for item in system.items])


def _tables(plan: _Plan, curve: Sequence[RatePoint], ci: bool, json: bool) -> dict[str, Any]:
    """Of all points. Intervals are a row a number in JSON, and a row a point where they are to be read."""
    from solfa.tokenize_audio.rate_distortion import curve_table, intervals, speeds

    names = [measure.name for measure in _measures(plan.perceptual)]
    tables = {"rate_distortion": curve_table(curve, names), "codes_and_speed": speeds(curve, plan.contenders)}
    rows = intervals(curve, names) if ci or json else []
    if rows and not json:
        wide: dict[Key, dict[str, Any]] = {}
        for row in rows:
            point = {"coder": row["coder"], "setting": row["setting"]}
            ends = eval_report.interval(row["low"], row["high"])
            wide.setdefault((row["coder"], row["setting"]), point)[row["measure"]] = ends
        rows = list(wide.values())
    return tables | ({"intervals": rows} if rows else {})


def _plot(path: Path, system: Evaluation) -> None:
    from solfa.files import write_whole
    from solfa.studio.rate_chart import rate_chart

    title = f"Rate and distortion, means over {len(system.items)} clips"
    write_whole(path, rate_chart(system.tables["rate_distortion"], system.measures, title))
    report.say(str(path))
