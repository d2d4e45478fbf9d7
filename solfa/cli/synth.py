"""`solfa synth`: training data from a seed, or from the user's own scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from solfa.cli import report
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.data.collection import Done, Summary


def synth(
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    items: int | None = None,
    seed: int = 0,
    jobs: report.Jobs = 1,
    kind: Literal["scores", "drills", "sounds", "speech"] = "scores",
    seconds: tuple[float, float] | None = None,
    source: Annotated[str | None, Parameter(name="--from")] = None,
    instruments: Literal["keep", "vary", "pianist"] = "keep",
    max_seconds: float | None = None,
    soundfont: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    renderer: Literal["auto", "fluidsynth", "tinysoundfont"] = "auto",
    programs: str | None = None,
    exclude_programs: str | None = None,
    genres: str | None = None,
    textures: str | None = None,
    modes: str | None = None,
    metres: str | None = None,
    balance: report.Flag = False,
    accompaniment: str | None = None,
    steady: report.Flag = False,
    captions: int | None = None,
    sample_rate: int = 24000,
    channels: Literal[1, 2] = 1,
    valid: float = 0.0,
    test: float = 0.0,
    plain: report.Flag = False,
    overwrite: report.Flag = False,
) -> int:
    """Composed scores, rendered: audio (FLAC), captions, notes (MIDI) and a manifest

    The same seed gives the same bytes for any -j, and a killed run goes on where it was when the command is given again.
    With --from, scores of your own are rendered instead.

    Example:
        solfa synth -o data --items 1000 --seed 1 -j 4
        solfa synth -o heldout --items 50 --seed 2 --programs 6,11,22,d32
        solfa synth -o small --genres waltz,folk --textures solo,duo --programs 0,40,73 --balance --captions 4
        solfa synth -o songs --from midi/ --instruments vary --max-seconds 60
        solfa synth -o pianist --from midi/ --instruments pianist --programs 0-1
        solfa synth -o sounds --items 200 --kind sounds

    Parameters
    ----------
    out
        The folder to write: audio/, notes/, journal.jsonl and, when all is done, manifest.jsonl.
    items
        How many recordings; 10 by default. With --from: how many of the scores, in order of name; all by default.
    seed
        Decides everything that is drawn.
    jobs
        Processes; 0 is one a core.
    kind
        scores are composed pieces; drills are notes of any pitch, length and loudness, to train transcribers on; sounds are noise,
        tones, drums and synthesizer lines; speech needs espeak-ng or flite.
    seconds
        The shortest and the longest piece; 10 60 by default.
    source
        A folder or a zip of MIDI and MusicXML files, one such file, or music21 for the corpus of that package.
    instruments
        With --from: keep those of the score, vary them by drawing others, or have one pianist play them all, with rubato, dynamics
        and pedal.
    max_seconds
        With --from: an excerpt, at most so long, from a place that is drawn.
    soundfont
        A .sf2 file; given several times, one is drawn for each piece. By default the one that is found on the system.
    renderer
        The synthesizer; auto takes fluidsynth if it is there, else tinysoundfont.
    programs
        General MIDI programs (from 0) and drum kits that may sound, such as 0-7,40,d0,d25 or 0-127,drums.
    exclude_programs
        Programs and kits that must not sound, in the same way.
    genres
        The genres that are composed, with commas between them; a wrong name is answered with the list. All by default.
    textures
        The textures, such as "solo,duo,nocturne piano"; all by default.
    modes
        The modes, such as "major,minor,harmonic minor"; all by default.
    metres
        The metres, such as 3/4,6/8; all by default.
    balance
        Let every program that can play a tune lead equally often; textures for piano are then played by pianos alone.
    accompaniment
        The programs for all parts but the lead, such as 0,24; by default all that may sound.
    steady
        One tempo throughout, also in genres that have rubato.
    captions
        How many captions a recording has; those after the first, most of them short prompts, lie in the manifest as captions.
    sample_rate
        In Hz, 8000 to 96000.
    channels
        1 is mono, 2 stereo.
    valid
        The share of the recordings that goes into the split valid; the rest is train.
    test
        The share of the recordings that goes into the split test.
    plain
        No reverb, noise, equaliser, detuning or balance: the notes as the soundfont plays them.
    overwrite
        Begin anew in a folder that was made with other settings.
    """
    played = bool(soundfont or programs or exclude_programs or renderer != "auto")
    _check(kind, source, played, instruments != "keep" or max_seconds is not None, seconds is not None)
    composed = (genres, textures, modes, metres, accompaniment, captions, balance or None, steady or None)
    if any(choice is not None for choice in composed) and (kind != "scores" or source is not None):
        raise report.UsageError(
            "--genres, --textures, --modes, --metres, --balance, --accompaniment, --steady and --captions "
            f"go with composed scores, not with --{'from' if source is not None else f'kind {kind}'}"
        )

    from solfa.data.domain import Domain
    from solfa.data.effects import PLAIN, RenderOptions
    from solfa.data.synth import Settings, synthesize

    if items is not None and items < 1:
        raise report.UsageError(f"--items {items}: at least 1")
    try:
        settings = Settings(
            seed=seed,
            kind=kind,
            seconds=seconds or (10.0, 60.0),
            sample_rate=sample_rate,
            channels=channels,
            soundfonts=tuple(map(str, soundfont)),
            renderer=renderer,
            programs=programs,
            exclude=exclude_programs,
            valid=valid,
            test=test,
            options=PLAIN if plain else RenderOptions(),
            domain=Domain.parse(genres, textures, modes, metres),
            balanced=balance,
            accompaniment=accompaniment,
            steady=steady,
            captions=1 if captions is None else captions,
        )
    except ValueError as error:
        raise report.UsageError(str(error)) from error
    if source is None:
        count = 10 if items is None else items
        with Bar("synth", count) as bar:
            made = synthesize(out, count, seed, jobs, settings, overwrite=overwrite, on_item=_Tell(bar))
        return _said(made, out)

    from solfa.data.corpus import find_pieces, render_corpus

    pieces = find_pieces(source)[:items]
    with Bar("synth", len(pieces)) as bar:
        made = render_corpus(
            pieces,
            out,
            jobs,
            settings,
            instruments=instruments,
            max_seconds=max_seconds,
            overwrite=overwrite,
            on_item=_Tell(bar),
        )
    return _said(made, out)


def _check(kind: str, source: str | None, played: bool, cut: bool, timed: bool) -> None:
    """Options that would do nothing are wrong usage."""
    if source is None and cut:
        raise report.UsageError("--instruments and --max-seconds go with --from")
    if source is not None and timed:
        raise report.UsageError("--seconds does not go with --from: see --max-seconds")
    if source is not None and kind != "scores":
        raise report.UsageError(f"--kind {kind} does not go with --from")
    if kind not in ("scores", "drills") and played:
        raise report.UsageError(f"--soundfont, --renderer and programs do not go with --kind {kind}")


class _Tell:
    """Moves the bar on; says what failed."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def __call__(self, done: "Done[Any]") -> None:
        if done.error is not None:
            report.fail(str(done.task), done.error)
        self._bar.advance(1, detail=done.entry.id if done.entry else "")


def _said(made: "Summary", out: Path) -> int:
    kept = f", {made.kept} of them were there" if made.kept else ""
    failed = f", {made.failed} failed" if made.failed else ""
    report.say(f"{out}: {made.entries} recordings, {made.seconds / 60:.1f} minutes{kept}{failed}")
    return report.FAILED if made.failed else report.DONE
