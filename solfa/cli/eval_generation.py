"""`solfa eval generation`: whether generated music is what was asked for, and how near it is to real recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solfa.cli import eval_music, eval_report, load, report
from solfa.cli.eval_ears import Hearing, entries_of


def generation(
    reference: Path,
    generated: Path | None = None,
    *,
    model: str | None = None,
    out: report.OutPath = None,
    items: int | None = None,
    duration: float | None = None,
    guidance: float | None = None,
    seed: int | None = None,
    overwrite: report.Flag = False,
    prompts: Path | None = None,
    fit: Path | None = None,
    fit_items: int = 600,
    codec: str | None = None,
    codebooks: int | None = None,
    clap: str | None = None,
    melody: report.Flag = False,
    against: Path | None = None,
    ci: report.Flag = False,
    device: report.Device = "auto",
    jobs: report.Jobs = 1,
    json: report.Flag = False,
    html: eval_report.Html = None,
) -> int:
    """Whether generated music is what was asked for, and how near its sound is to real recordings

    Folders hold a manifest.jsonl with id, audio, text and attributes, as solfa synth writes it; a generated recording belongs to
    the reference of its id, or of the field reference where it has one (several seeds of one prompt). Folders without one are taken by
    the names of their files; where none agrees, the two are compared as sets only. With --model the command writes the music itself.
    Several recordings of one prompt are one value, their mean: n, intervals, chance and p are of prompts, never of recordings.

    With --fit, analysers of tempo, metre, key, density and the lead's family are fitted on a third folder, and listen. Columns: the
    share right of the generated sound, of the true sound of the same prompts (what the analysers can do), and where the prompts are
    shuffled (chance, with the central 95 % of 1,000 permutations, and p: how often chance does as well); in brackets are 95 %
    bootstrap intervals. A tempo is right within 8 %.

    A model that writes a codec's tokens cannot sound better than the codec, and analysers that never heard the codec mistake its
    colour for an instrument's. With --codec and --codebooks they are fitted on the recordings as they are and as the codec plays
    them, and the column coded is the share right of the references through the codec: what a perfect model could reach.

    Distances (Fréchet's, and two of kernels) compare statistics of log-mel bands, of a codec's latents, of CLAP's vectors. The floor is
    the Fréchet distance of two halves of the reference; the extrapolated one is that of endless sets.

    With --model there is also the perplexity of the references' codes, told the prompt (but no beat) and told nothing.

    Example:
        solfa eval generation data/music/test --model solfa-music --fit data/music/train --codec solfa-24khz --codebooks 4 --items 96
        solfa eval generation data/music/test generated/ --fit data/music/train --against others/ --html page.html

    Parameters
    ----------
    reference
        The folder with true recordings of the prompts.
    generated
        The folder with generated recordings.
    model
        In its place: a name that solfa models lists, a checkpoint folder or a hub repository, that is given the reference's prompts.
    out
        With --model: the new folder for the music and its manifest. By default generated-NAME here.
    items
        With --model: how many of the reference's prompts, from the first; all by default.
    duration
        With --model: seconds of each piece, 10 by default.
    guidance
        With --model: how closely the prompt is followed, 3 by default.
    seed
        With --model: the seed of the first piece, 0 by default; each further piece has the next.
    overwrite
        With --model: replace the music in the folder.
    prompts
        What is asked for in words, for --model and --clap: a prompt a line in the order of the reference's manifest, blank where none is
        needed (no line more than it has entries; fewer will do where the first are enough), or a .csv, .tsv or .jsonl with id and
        text. By default of composed pieces their facts in the same words, else the manifest's text.
    fit
        The folder that the analysers are fitted on: other recordings of the same kind, of another seed.
    fit_items
        How many of its recordings, from the first.
    codec
        A codec in whose latents distances are measured. With --model also its codec, where solfa models does not list that.
    codebooks
        How many of the codec's codebooks the generated sound was played from.
    clap
        A CLAP, by folder or hub repository (laion/clap-htsat-unfused): its score of each sound and prompt, and distances.
    melody
        The music was to follow its reference's melody: with --model it hears it, and the chroma cosine says how well it did.
    against
        Another system's folder, of the same references: differences of every measure, with a test paired by prompt.
    ci
        95 % bootstrap intervals in the table of means.
    device
        Where model and codec run; auto takes CUDA if it is there.
    jobs
        Recordings at a time, each in a process of its own; 0 is one a core.
    json
        One JSON document on stdout, with the settings, definitions and every number.
    """
    asked_for = {"-o": out, "--items": items, "--duration": duration, "--guidance": guidance, "--seed": seed}
    _check_music(generated, model, {**asked_for, "--overwrite": overwrite or None}, prompts, clap)
    _check_listening(fit, fit_items, codec, codebooks)
    place = report.device(device)
    if codec is not None and getattr(load.checked_codec(codec, place, codebooks), "quantizer", None) is None:
        raise report.UsageError(f"--codec {codec}: it has no latents to measure")
    if clap is not None:
        _check_clap(clap)
    true, tables = entries_of(reference), {}
    failed: list[str] = []
    settings: dict[str, Any] = {"reference": str(reference), "codec": codec, "codebooks": codebooks, "clap": clap}
    settings |= {"fit": fit and str(fit), "prompts": prompts and str(prompts)}
    hearing = Hearing(reference, true, codec, codebooks, clap, melody, prompts, place, jobs, failed)
    # What cannot be is said before any music is written: that takes longest.
    other = None if against is None else hearing.match(against)
    if fit is not None:
        hearing.fit(fit, fit_items)
        settings["fitted_on"] = hearing.fitted_on
    if model is not None:
        writer = eval_music.load_writer(model, codec, place, duration, guidance, melody)
        chosen = list(true.values())[:items]
        ids = [entry.id for entry in chosen]
        texts = {} if prompts is None else eval_music.prompts_of(prompts, list(true), ids)
        asked = eval_music.ask(chosen, texts, seed or 0)
        generated = eval_music.new_folder(out, model, overwrite)
        failed += eval_music.write(writer, asked, reference, generated)
        tables["perplexity"] = eval_music.perplexity(writer, asked, reference)
        settings |= {
            "model": model,
            "duration": writer.duration,
            "guidance": writer.options.guidance,
            "seed": seed or 0,
        }
        settings["items"] = len(chosen)
    assert generated is not None  # or there is a model
    systems = [hearing.match(generated), *([] if other is None else [other])]
    results = [hearing.evaluate(system, settings, tables if i == 0 else {}) for i, system in enumerate(systems)]
    _say_few(results[0].tables.get("distances", ()))
    ours, theirs = results[0], results[1] if against is not None else None
    eval_report.show(ours, against=theirs, ci=ci, json=json, html=html, per_item=False)
    return report.FAILED if any(each.failed for each in results) else report.DONE


def _say_few(distances: Sequence[Mapping[str, Any]]) -> None:
    """Names the embeddings of which there are too few rows for their covariances, so that distances are mostly bias."""
    for row in distances:
        if (fewest := min(row["rows"], row["rows_reference"])) <= row["width"]:
            report.say(
                f"{row['embedding']}: {fewest} rows of {row['width']} numbers: too few for a covariance, and the Fréchet distance comes "
                "out far too large: compare it with the floor, and with sets of this size only"
            )


def _check_music(
    generated: Path | None, model: str | None, asked_for: Mapping[str, Any], prompts: Path | None, clap: str | None
) -> None:
    if (generated is None) == (model is None):
        raise report.UsageError("REFERENCE GENERATED, two folders; or --model NAME in place of the second")
    if model is None and (named := [name for name, value in asked_for.items() if value is not None]):
        raise report.UsageError(f"{named[0]} needs --model: the music of {generated} is there already")
    if asked_for["--items"] is not None and asked_for["--items"] < 2:
        raise report.UsageError(f"--items {asked_for['--items']}: at least 2")
    if prompts is not None and model is None and clap is None:
        raise report.UsageError("--prompts needs --model or --clap: nothing else reads them")


def _check_listening(fit: Path | None, fit_items: int, codec: str | None, codebooks: int | None) -> None:
    if fit_items < 1:
        raise report.UsageError(f"--fit-items {fit_items}: at least 1")
    if codebooks is not None and (codec is None or fit is None):
        raise report.UsageError(f"--codebooks needs {'--codec' if codec is None else '--fit'}")
    if fit is None:
        report.say("without --fit FOLDER nobody listens for what was asked: sets are compared, and no more")


def _check_clap(name: str) -> None:
    """Raises UsageError for a CLAP that is not there, or broken."""
    from solfa.eval.embeddings import clap_text, load_clap

    try:
        clap_text(load_clap(name), "music")
    except (ValueError, OSError) as error:
        raise report.UsageError(f"--clap {name}: {report.reason(error)}") from error
