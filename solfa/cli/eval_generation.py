"""`solfa eval generation`: whether generated music is what was asked for, and how near it is to real recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.cli import load, report
from solfa.cli.jobs import run_jobs

if TYPE_CHECKING:
    from solfa.data.manifest import Entry
    from solfa.eval.music import Analyser, Facts, Traces
    from solfa.eval.music_sound import Floats


@dataclass(frozen=True)
class _Clip:
    """A recording of a folder, and what was asked for."""

    path: Path
    wanted: Facts


@dataclass(frozen=True)
class _Seen:
    """What is measured of a recording; `latents` where a codec was named."""

    traces: Traces
    log_mel: Floats
    latents: Floats | None


def generation(
    reference: Path,
    generated: Path,
    *,
    fit: Path,
    fit_items: int = 1000,
    codec: str | None = None,
    codebooks: int | None = None,
    device: report.Device = "auto",
    jobs: report.Jobs = 1,
    json: report.Flag = False,
) -> int:
    """Whether generated music is what was asked for, and how near its sound is to real recordings

    Every folder holds a manifest.jsonl with id, audio and attributes, as solfa synth writes it. A generated recording belongs to
    the reference of its id, or of the field reference where it has one (several seeds of one prompt).

    Analysers of tempo, metre, key and the lead's family are fitted on a third folder, and listen. Columns: the share right of the
    generated sound, of the true sound of the same prompts (what the analysers can do), and where the prompts are shuffled
    (chance, with the central 95 % of 1,000 permutations); in brackets are 95 % bootstrap intervals. A tempo is right within 8 %.

    A model that writes a codec's tokens cannot sound better than the codec, and analysers that never heard the codec mistake its
    colour for an instrument's. With --codec and --codebooks they are fitted on the recordings as they are and as the codec plays
    them, and the column coded is the share right of the references through the codec: what a perfect model could reach.

    The Fréchet distance compares statistics of log-mel bands, and of a codec's latents, over each second; beside it is that of two
    halves of the reference.

    Example:
        solfa eval generation data/music/test generated/ --fit data/music/train

    Parameters
    ----------
    reference
        The folder with true recordings of the prompts.
    generated
        The folder with generated recordings.
    fit
        The folder that the analysers are fitted on: other recordings of the same kind, of another seed.
    fit_items
        How many of its recordings, from the first.
    codec
        A codec in whose latents a second Fréchet distance is measured.
    codebooks
        How many of the codec's codebooks the generated sound was played from.
    device
        Where the codec runs; auto takes CUDA if it is there.
    jobs
        Recordings at a time, each in a process of its own; 0 is one a core.
    json
        One JSON object on stdout, with the settings and every number.
    """
    if fit_items < 1:
        raise report.UsageError(f"--fit-items {fit_items}: at least 1")
    place = report.device(device)
    if codebooks is not None and codec is None:
        raise report.UsageError("--codebooks needs --codec")
    if codec is not None and getattr(load.checked_codec(codec, place, codebooks), "quantizer", None) is None:
        raise report.UsageError(f"--codec {codec}: it has no latents to measure")
    true, made = _pairs(_entries(reference), _entries(generated), reference, generated)
    fitting = [_clip(fit, entry) for entry in _entries(fit).values()][:fit_items]
    plain, through = _Look(None, place), _Look(codec, place, codebooks)
    looks = [plain] if codebooks is None else [plain, through]
    listened = [
        (clip, seen) for look in looks for clip, seen in zip(fitting, _listen(fitting, look, jobs, "fit"), strict=True)
    ]
    with report.progress("fit", None):
        from solfa.eval.music import fit_analyser

        analyser = fit_analyser((seen.traces, clip.wanted) for clip, seen in listened if seen is not None)
    look = _Look(codec, place)
    unique = list(dict.fromkeys(true))
    real = dict(zip(unique, _listen(unique, look, jobs, "reference"), strict=True))
    coded = [] if codebooks is None else _listen(unique, through, jobs, "coded")
    found = _listen(made, look, jobs, "generated")
    failed = any(seen is None for seen in (*(seen for _, seen in listened), *real.values(), *coded, *found))
    whole = [(a, b, real[a], seen) for a, b, seen in zip(true, made, found, strict=True)]
    kept = [row for row in whole if row[2] is not None and row[3] is not None]
    if len(kept) < 2:
        raise ValueError(f"{len(kept)} generated recordings that can be read, with their references: at least two")
    result = _result(analyser, kept, [seen for seen in real.values() if seen is not None])
    if coded:
        played = [(clip.wanted, seen.traces) for clip, seen in zip(unique, coded, strict=True) if seen is not None]
        _add_coded(result, analyser, played)
    result["settings"] = {
        "reference": str(reference), "generated": str(generated), "fit": str(fit),
        "fitted_on": sum(seen is not None for _, seen in listened), "codec": codec, "codebooks": codebooks,
    }  # fmt: skip
    _show(result, json)
    return report.FAILED if failed else report.DONE


def _entries(folder: Path) -> dict[str, Entry]:
    from solfa.data.manifest import NAME, read_manifest

    path = folder / NAME
    if not path.is_file():
        raise report.UsageError(f"{folder}: no folder with a {NAME}")
    return {entry.id: entry for entry in read_manifest(path)}


def _clip(folder: Path, entry: Entry) -> _Clip:
    from solfa.eval.music import facts_of

    return _Clip(folder / entry.audio, facts_of(entry.attributes))


def _pairs(
    true: Mapping[str, Entry], made: Mapping[str, Entry], true_folder: Path, made_folder: Path
) -> tuple[list[_Clip], list[_Clip]]:
    """For each generated recording its reference, and itself, with the facts that its prompt was written from."""
    names = {identity: str(entry.extra.get("reference", identity)) for identity, entry in made.items()}
    missing = [f"{identity} ({name})" for identity, name in names.items() if name not in true]
    if missing:
        raise ValueError(f"{made_folder}: no reference in {true_folder} for {', '.join(missing[:5])}")
    references = [_clip(true_folder, true[names[identity]]) for identity in made]
    generated = [_clip(made_folder, entry) for entry in made.values()]
    # A manifest of generated sound need not repeat the attributes.
    bare = [entry.attributes == {} for entry in made.values()]
    return references, [
        replace(clip, wanted=of.wanted) if empty else clip
        for clip, of, empty in zip(generated, references, bare, strict=True)
    ]


@dataclass(frozen=True)
class _Look:
    """Measures one recording: as it is, with the latents of a codec, or as the codec plays it from `codebooks`."""

    codec: str | None
    device: str
    codebooks: int | None = None

    def __call__(self, clip: _Clip) -> _Seen:
        from solfa.audio.io import read
        from solfa.eval.generation import log_mel_embedding
        from solfa.eval.music import traces

        audio, latents = read(clip.path), None
        codec = None if self.codec is None else load.codec(self.codec, self.device)
        if codec is not None and self.codebooks is not None:
            audio = codec.decode(codec.encode(audio, codebooks=self.codebooks))
        elif codec is not None:
            latents = _latents(codec, audio)
        samples = audio.samples.numpy()[0]
        return _Seen(traces(samples, audio.sample_rate), log_mel_embedding(samples, audio.sample_rate), latents)


def _latents(codec: Any, audio: Any) -> Floats:
    """The mean over each second of the latents that the codec decodes from: [N, D]."""
    import numpy as np
    import torch

    codes = codec.encode(audio)
    with torch.inference_mode():
        latents = codec.quantizer.decode(codes.tokens.to(codec.device))[0].double().cpu().numpy()  # [D, T]
    second = max(1, round(codes.frame_rate))
    starts = range(0, max(1, latents.shape[1] - second + 1), second)
    return np.stack([latents[:, start : start + second].mean(1) for start in starts])


def _listen(clips: Sequence[_Clip], look: _Look, jobs: int, label: str) -> list[_Seen | None]:
    """What is measured of each recording; None, and a line that says why, where one cannot be read."""
    found: list[_Seen | None] = []
    with report.progress(label, len(clips)) as bar:
        for outcome in run_jobs(look, clips, jobs=jobs):
            if outcome.error is not None:
                report.fail(str(outcome.item.path), outcome.error)
            found.append(outcome.result)
            bar.advance(1, detail=outcome.item.path.name)
    return found


def _result(analyser: Analyser, rows: Sequence[tuple[_Clip, _Clip, Any, Any]], real: Sequence[_Seen]) -> dict[str, Any]:
    from solfa.eval.generation import adherence, chance

    wanted = [clip.wanted for _, clip, _, _ in rows]
    heard = [analyser(seen.traces) for *_, seen in rows]
    truly = [analyser(seen.traces) for _, _, seen, _ in rows]
    # The reference's own facts: a generated manifest may ask for others, and then the ceiling is still that of the truth.
    shares = {
        "generated": adherence(wanted, heard),
        "reference": adherence([clip.wanted for clip, *_ in rows], truly),
        "chance": chance(wanted, heard),
    }
    made = [seen for *_, seen in rows]
    distances = {"log-mel": _distances([s.log_mel for s in real], [s.log_mel for s in made])}
    if made[0].latents is not None:
        distances["latents"] = _distances([s.latents for s in real], [s.latents for s in made])  # type: ignore[misc]
    table = {name: {column: asdict(row[name]) for column, row in shares.items()} for name in shares["generated"]}
    return {"adherence": table, "frechet": distances, "generated": len(made), "reference": len(real)}


def _add_coded(result: dict[str, Any], analyser: Analyser, played: Sequence[tuple[Facts, Traces]]) -> None:
    """The column of the references through the codec, before chance."""
    from solfa.eval.generation import adherence

    shares = adherence([wanted for wanted, _ in played], [analyser(traces) for _, traces in played])
    for name, columns in result["adherence"].items():
        last = columns.pop("chance")
        columns.update(coded=asdict(shares[name]), chance=last)


def _distances(real: Sequence[Floats], made: Sequence[Floats]) -> dict[str, float]:
    import numpy as np

    from solfa.eval.generation import frechet_distance, halves

    distance = frechet_distance(np.concatenate(real), np.concatenate(made))
    return {"generated": distance, "halves of the reference": frechet_distance(*halves(real)) if len(real) > 1 else 0.0}


def _show(result: dict[str, Any], json: bool) -> None:
    if json:
        report.print_json(result)
        return
    rows = []
    for name, columns in result["adherence"].items():
        row: dict[str, Any] = {"attribute": name}
        for column, share in columns.items():
            row[column] = f"{share['share']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
        rows.append({**row, "n": columns["generated"]["n"]})
    report.print_table(rows)
    report.out("")
    report.print_table(
        [
            {"Fréchet distance": name, **{column: round(value, 3) for column, value in values.items()}}
            for name, values in result["frechet"].items()
        ]
    )
