"""`solfa eval generation`: whether generated music is what was asked for, and how near it is to real recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.cli import load, report
from solfa.cli.jobs import run_jobs

if TYPE_CHECKING:
    from solfa.data.manifest import Entry
    from solfa.tokenize_audio.adherence import Clip, Heard


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
    from solfa.eval.music import fit_analyser
    from solfa.tokenize_audio.adherence import Pair, clip_of, compare, match_clips

    true, made = match_clips(_entries(reference), _entries(generated), reference, generated)
    fitting = [clip_of(fit, entry) for entry in _entries(fit).values()][:fit_items]
    plain, through = _Look(None, place), _Look(codec, place, codebooks)
    looks = [plain] if codebooks is None else [plain, through]
    listened = [
        (clip, heard)
        for look in looks
        for clip, heard in zip(fitting, _listen(fitting, look, jobs, "fit"), strict=True)
    ]
    with report.progress("fit", None):
        analyser = fit_analyser((heard.traces, clip.wanted) for clip, heard in listened if heard is not None)
    look, unique = _Look(codec, place), list(dict.fromkeys(true))
    real = dict(zip(unique, _listen(unique, look, jobs, "reference"), strict=True))
    coded = [] if codebooks is None else _listen(unique, through, jobs, "coded")
    found = _listen(made, look, jobs, "generated")
    failed = any(heard is None for heard in (*(heard for _, heard in listened), *real.values(), *coded, *found))
    pairs = [
        Pair(a, b, truth, heard)
        for a, b, heard in zip(true, made, found, strict=True)
        if (truth := real[a]) is not None and heard is not None
    ]
    if len(pairs) < 2:
        raise ValueError(f"{len(pairs)} generated recordings that can be read, with their references: at least two")
    played = []
    if coded:
        played = [(clip.wanted, heard.traces) for clip, heard in zip(unique, coded, strict=True) if heard is not None]
    result = compare(analyser, pairs, [heard for heard in real.values() if heard is not None], played)
    result["settings"] = {
        "reference": str(reference), "generated": str(generated), "fit": str(fit),
        "fitted_on": sum(heard is not None for _, heard in listened), "codec": codec, "codebooks": codebooks,
    }  # fmt: skip
    _show(result, json)
    return report.FAILED if failed else report.DONE


def _entries(folder: Path) -> dict[str, Entry]:
    from solfa.data.manifest import NAME, read_manifest

    path = folder / NAME
    if not path.is_file():
        raise report.UsageError(f"{folder}: no folder with a {NAME}")
    return {entry.id: entry for entry in read_manifest(path)}


@dataclass(frozen=True)
class _Look:
    """Measures one recording, in a process of its own: see `hear`."""

    codec: str | None
    device: str
    codebooks: int | None = None

    def __call__(self, clip: Clip) -> Heard:
        from solfa.tokenize_audio.adherence import hear

        return hear(clip.path, None if self.codec is None else load.codec(self.codec, self.device), self.codebooks)


def _listen(clips: Sequence[Clip], look: _Look, jobs: int, label: str) -> list[Heard | None]:
    """What is measured of each recording; None, and a line that says why, where one cannot be read."""
    found: list[Heard | None] = []
    with report.progress(label, len(clips)) as bar:
        for outcome in run_jobs(look, clips, jobs=jobs):
            if outcome.error is not None:
                report.fail(str(outcome.item.path), outcome.error)
            found.append(outcome.result)
            bar.advance(1, detail=outcome.item.path.name)
    return found


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
