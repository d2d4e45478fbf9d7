"""`solfa generate`: music from a description."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from solfa.cli import report
from solfa.cli.inputs import TOKEN_SUFFIXES
from solfa.cli.music_job import Job, make
from solfa.cli.prompts import STDOUT, Prompt, read_prompts, with_targets
from solfa.cli.report import UsageError
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.music.heard import Recording
    from solfa.music.text_to_music import TextToMusic

DURATION, GAP = 10.0, 2.0  # seconds, where none is asked for
BATCH = 8  # prompts at a time


def generate(
    *prompts: str,
    out: report.OutPath = None,
    duration: float | None = None,
    seed: int = 0,
    bpm: float | None = None,
    metre: str | None = None,
    guidance: float = 3.0,
    temperature: float = 1.0,
    top_k: int = 250,
    top_p: float = 0.0,
    continue_from: Path | None = None,
    melody: Path | None = None,
    text_guidance: float | None = None,
    infill: Annotated[tuple[Path, Path] | None, Parameter(consume_multiple=False)] = None,
    candidates: int | None = None,
    stream: report.Flag = False,
    format: Literal["wav", "flac", "solfa"] | None = None,
    model: str = "solfa-music",
    adapter: Path | None = None,
    codec: str | None = None,
    precision: Literal["float32", "bfloat16", "int8", "int4"] = "float32",
    device: report.Device = "auto",
    overwrite: report.Flag = False,
) -> int:
    """Music from a description: text -> WAV, FLAC, .solfa

    The same prompt, seed and options give the same music, whatever other prompts are beside it.

    For example:
        solfa generate "lively waltz for solo piano in G major, 140 bpm" -o waltz.wav
        solfa generate @prompts.txt -o music/ --duration 20 --seed 7
        solfa generate "the same, faster" --continue-from take.wav -o longer.wav
        solfa generate "the same, slower" --continue-from take.solfa -o longer.solfa
        solfa generate "calm strings" --stream -o - | aplay

    Parameters
    ----------
    prompts
        What to play, in words; @list.txt for a prompt a line, or - for such a list on stdin.
    out
        The file for one prompt: .wav, .flac, or .solfa for its tokens; - writes a WAV to stdout while it is made. Else a
        folder, where names are made from the prompts; the current one by default.
    duration
        Seconds of new music, 10 by default, at most 3600; with --infill those of the gap, 2 by default. What is longer than
        the model was trained on is written in windows that overlap.
    seed
        Another seed gives another take, 0 to 2^63 - 1. All prompts have the same.
    bpm
        Beats a minute that are kept, 20 to 400, dotted quarters in 6/8; for models that are told a beat. By default what the
        prompt says in numbers: "140 bpm".
    metre
        The metre that is kept, 3/4 or 6/8; by default what the prompt says, or else 4/4.
    guidance
        How closely the prompt is followed, 0 to 100: 1 is as the model is, 0 does not hear it.
    temperature
        Above 1 is more surprising, below 1 less; 0 takes the likeliest token each time.
    top_k
        Draw from this many likeliest tokens; 0 from all.
    top_p
        Draw from the fewest tokens that are together this likely; 0 from all that --top-k leaves.
    continue_from
        A recording that the music continues; the result begins with it. A .solfa file of the model's codec too: its codes are
        taken as they are.
    melody
        A recording whose melody the music follows, for models that hear one (musicgen-melody).
    text_guidance
        With --melody: how closely the prompt is followed beside it, 0 to 100.
    infill
        Two recordings, or .solfa files: the music leads from the first to the second, and the result has both. The best of some
        candidates is taken; none of them is written with the second in mind.
    candidates
        With --infill: how many are tried, 1 to 64; 8 by default.
    stream
        Write the WAV under its own name while it is made, so that a player can follow.
    format
        What is written to a folder: wav by default.
    model
        A name that `solfa models` lists, a checkpoint folder or a hub repository.
    adapter
        A folder of adapters of that model: the adapter/ of a run of musicgen:lora, or what peft saved.
    codec
        The codec of the model, where it is not one that `solfa models` lists: a folder.
    precision
        float32, or faster and a little different: bfloat16, int8, int4.
    device
        Where the model runs; auto takes CUDA if it is there.
    overwrite
        Replace files that are there.
    """
    asked = read_prompts(prompts)
    placed = with_targets(asked, out, format)
    job = _job(
        duration=duration, seed=seed, bpm=bpm, metre=metre, continue_from=continue_from, melody=melody,
        infill=infill, candidates=candidates, stream=stream or out == STDOUT, placed=placed,
        sampling={"guidance": guidance, "temperature": temperature, "top_k": top_k, "top_p": top_p,
                  "text_guidance": text_guidance},
    )  # fmt: skip
    ready = _not_there(placed, overwrite)
    if not ready:
        return report.DONE
    _check_folders(ready)
    music = _load(model, adapter, codec, precision, report.device(device))
    config = music.model.config
    if (bpm is not None or metre is not None) and config.beat is None:
        raise UsageError(f"--bpm, --metre: {config.name} is told no beat; say it in the prompt")
    if melody is not None and config.melody is None:
        raise UsageError(f"--melody: {config.name} hears no melody")
    if tokens := [prompt for prompt in ready if _is_tokens(prompt.target)]:
        _check_codes(music, tokens[0])
    sounds = _read(music, [path for path in (continue_from, melody, *(infill or ())) if path is not None])
    if sounds is None:
        return report.FAILED
    return _run(music, job, ready, sounds)


def _job(
    *,
    duration: float | None,
    seed: int,
    bpm: float | None,
    metre: str | None,
    continue_from: Path | None,
    melody: Path | None,
    infill: tuple[Path, Path] | None,
    candidates: int | None,
    stream: bool,
    placed: Sequence[Prompt],
    sampling: dict[str, Any],
) -> Job:
    """What is to be done. Raises UsageError for options that are out of range, or do not go together."""
    from solfa.lm.sampling import SamplingOptions, check_seed
    from solfa.music.text_to_music import CANDIDATES, LONGEST, TRIED

    seconds = duration if duration is not None else GAP if infill else DURATION
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"--duration {seconds}: seconds, above 0 and at most {LONGEST:g}")
    if candidates is not None and not infill:
        raise UsageError(
            f"--candidates {candidates}: they are ways from one recording to another, name both with --infill"
        )
    if candidates is not None and not 1 <= candidates <= CANDIDATES:
        raise UsageError(f"--candidates {candidates}: 1 to {CANDIDATES}")
    if infill and (continue_from or melody or stream):
        raise UsageError("--infill: not together with --continue-from, --melody, --stream or -o -")
    if stream and any(prompt.target != STDOUT and prompt.target.suffix.lower() != ".wav" for prompt in placed):
        raise UsageError("--stream: only a .wav can be written while it is made")
    if sampling["text_guidance"] is not None and melody is None:
        raise UsageError("--text-guidance: it weighs the prompt against a melody, give one with --melody")
    if melody is not None and _is_tokens(melody):
        raise UsageError(f"--melody {melody}: a melody is heard in sound, decode it first (solfa decode)")
    _check_beat(placed, bpm, metre)
    try:
        options = SamplingOptions(**sampling)
        check_seed(seed)
    except ValueError as error:
        raise UsageError(f"--{str(error).partition(' ')[0].replace('_', '-')}: {error}") from error
    return Job(seconds, seed, options, continue_from, melody, infill, candidates or TRIED, stream, bpm, metre)


def _check_beat(placed: Sequence[Prompt], bpm: float | None, metre: str | None) -> None:
    """UsageError for a tempo or a metre that cannot be, and for a metre alone where a prompt says no tempo."""
    from solfa.lm.conditioners.grid import grid_of

    for prompt in placed if (bpm, metre) != (None, None) else ():
        try:
            grid = grid_of(prompt.text, bpm, metre)
        except ValueError as error:
            raise UsageError(f"{'--metre' if str(error).startswith('metre') else '--bpm'}: {error}") from error
        if grid is None:
            raise UsageError(f"--metre {metre}: {prompt.short!r} says no tempo, give one with --bpm")


def _not_there(placed: Sequence[Prompt], overwrite: bool) -> list[Prompt]:
    ready = []
    for prompt in placed:
        if prompt.target != STDOUT and prompt.target.exists() and not overwrite:
            report.say(
                f"{prompt.short}: skipped, {prompt.target} is there (--overwrite replaces it, -o writes elsewhere)"
            )
        else:
            ready.append(prompt)
    return ready


def _check_folders(ready: Sequence[Prompt]) -> None:
    """Raises OSError for a folder that cannot be made or written to: before music is made for it."""
    for folder in dict.fromkeys(prompt.target.parent for prompt in ready if prompt.target != STDOUT):
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(there)) from error


def _load(model: str, adapter: Path | None, codec: str | None, precision: str, device: str) -> "TextToMusic":
    from solfa.music.text_to_music import TextToMusic

    try:
        return TextToMusic.load(model, device, precision, codec, adapter)
    except ValueError as error:
        asked = f"--model {model}" if adapter is None else f"--model {model} --adapter {adapter}"
        raise UsageError(f"{asked}: {error}") from error


def _check_codes(music: "TextToMusic", prompt: Prompt) -> None:
    """UsageError where what the model writes cannot be kept as tokens."""
    try:
        music.check_codes()
    except ValueError as error:
        raise UsageError(f"{prompt.target}: {error}") from error


def _read(music: "TextToMusic", paths: Sequence[Path]) -> "dict[Path, Recording] | None":
    """The recordings, or None, once it was said why not."""
    from solfa.audio.io import read
    from solfa.codecs.token_file import read_tokens

    sounds: dict[Path, Recording] = {}
    for path in paths:
        try:
            if _is_tokens(path):
                sounds[path] = read_tokens(path)
                music.heard(sounds[path], whole=False)  # what does not fit is said here, once, and of which file
            else:
                sounds[path] = read(path)
        except (ValueError, OSError) as error:
            report.fail(str(path), error)
            return None
    return sounds


def _is_tokens(path: Path) -> bool:
    return path.suffix.lower() in TOKEN_SUFFIXES


def _run(music: "TextToMusic", job: Job, ready: Sequence[Prompt], sounds: "dict[Path, Recording]") -> int:
    """All prompts, some at a time; one that fails costs only itself."""
    size = 1 if job.stream or job.infill else BATCH
    total = len(ready) * job.duration * (job.candidates if job.infill else 1)
    failed = 0
    with Bar("generate", round(total)) as bar:
        waiting = [list(ready[i : i + size]) for i in range(0, len(ready), size)]
        while waiting:
            some = waiting.pop(0)
            before = bar.done
            try:
                make(music, job, some, sounds, bar)
            except (ValueError, OSError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                bar.advance(before - bar.done)  # what was written of them is lost
                if len(some) > 1:
                    waiting[:0] = [[prompt] for prompt in some]
                    continue
                failed += 1
                report.fail(some[0].short, error)
    if len(ready) > 1:
        report.say(f"{len(ready) - failed} done, {failed} failed")
    return report.FAILED if failed else report.DONE
