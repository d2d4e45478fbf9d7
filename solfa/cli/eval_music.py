"""What `solfa eval generation --model` does before it listens: it writes the music, and asks how likely the references are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.cli import report
from solfa.cli.report import UsageError
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.data.manifest import Entry
    from solfa.lm.model import TokenLM
    from solfa.lm.sampling import SamplingOptions
    from solfa.music.text_to_music import TextToMusic

BATCH = 8  # prompts at a time
DURATION, GUIDANCE = 10.0, 3.0  # seconds, where none is asked for


@dataclass(frozen=True)
class Asked:
    """A piece to be written: the entry of its reference, what is asked for in words, and the seed."""

    entry: Entry
    text: str
    seed: int


@dataclass(frozen=True)
class Writer:
    """A model that writes. lm: the model in the form that tells how likely codes are; it shares its weights with `music`.

    melody: whether each piece follows the melody of its reference.
    """

    lm: TokenLM
    music: TextToMusic
    duration: float
    options: SamplingOptions
    melody: bool


def load_writer(
    model: str, codec: str | None, device: str, duration: float | None, guidance: float | None, melody: bool
) -> Writer:
    """The model with its own codec; `codec` where it knows of none. Raises UsageError in the words of the options."""
    from solfa.lm.fast import fast_lm
    from solfa.lm.registry import load_lm
    from solfa.lm.sampling import SamplingOptions
    from solfa.music.codec_of_model import codec_of
    from solfa.music.text_to_music import LONGEST, TextToMusic

    seconds = DURATION if duration is None else duration
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"--duration {seconds}: seconds, above 0 and at most {LONGEST:g}")
    try:
        options = SamplingOptions(guidance=GUIDANCE if guidance is None else guidance)
    except ValueError as error:
        raise UsageError(f"--guidance: {error}") from error
    try:
        lm = load_lm(model, device)
        try:
            player = codec_of(model, None, lm.config.codec, device)
        except ValueError:
            if codec is None:
                raise
            player = codec_of(model, codec, lm.config.codec, device)
        music = TextToMusic(fast_lm(lm), player)
    except ValueError as error:
        raise UsageError(f"--model {model}: {error}") from error
    if melody and lm.config.melody is None:
        raise UsageError(f"--melody: {lm.config.name} hears none")
    return Writer(lm, music, seconds, options, melody)


def prompts_of(path: Path, ids: Sequence[str], needed: Collection[str]) -> dict[str, str]:
    """The texts of a file by id. .csv, .tsv and .jsonl have columns id and text (or caption, description, prompt); any other file has a
    line for each of `ids`, in their order; a blank one says nothing, and the last may be left out. Raises UsageError for a file that
    cannot be read, more lines than ids, and where a needed id has no text.
    """
    from solfa.data.tables import rows, texts_of

    found: dict[str, str] = {}
    try:
        if path.suffix.lower() in (".csv", ".tsv", ".jsonl"):
            found = {str(row.get("id")): texts[0] for _, row in rows(path) if (texts := texts_of(row))}
        else:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
            found = _in_order(lines, ids)
    except UnicodeDecodeError as error:
        raise UsageError(f"--prompts {path}: not text in UTF-8 ({error.reason})") from error
    except (ValueError, OSError) as error:
        raise UsageError(f"--prompts {path}: {report.reason(error)}") from error
    missing = [identity for identity in ids if identity in needed and identity not in found]
    if missing:
        raise UsageError(f"--prompts {path}: no text for {', '.join(missing[:5])}: a line each, or columns id and text")
    return found


def _in_order(lines: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """The lines as texts of ids. A blank one keeps its place; those at the end are none."""
    texts = [line.strip() for line in lines]
    count = max((number for number, text in enumerate(texts, 1) if text), default=0)
    if count > len(ids):
        raise ValueError(f"{count} lines for {len(ids)} prompts: must be one each, blank where nothing is asked for")
    return {identity: text for identity, text in zip(ids, texts, strict=False) if text}


def ask(entries: Sequence[Entry], texts: Mapping[str, str], seed: int) -> list[Asked]:
    """What is asked for: a text of the user's; else, of composed pieces, all facts in the same words; else the manifest's text.

    The first piece has the seed, each further one the next. Raises ValueError for a piece of which nothing is said.
    """
    from solfa.data.composer.prompt import plain_prompt
    from solfa.lm.sampling import check_seed

    try:
        check_seed(seed)
    except ValueError as error:
        raise UsageError(f"--seed: {error}") from error
    asked = []
    for number, entry in enumerate(entries):
        text = texts.get(entry.id) or plain_prompt(entry.attributes) or entry.text.strip()
        if not text:
            raise ValueError(f"{entry.id}: its manifest says nothing that could be asked for; give --prompts")
        asked.append(Asked(entry, text, seed + number))
    return asked


def new_folder(out: Path | None, model: str, overwrite: bool) -> Path:
    """Where the music goes. Raises UsageError where there is some already."""
    from solfa.data.manifest import NAME

    folder = out or Path(f"generated-{Path(model).name}")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder} is a file: name a folder")
    if (folder / NAME).exists() and not overwrite:
        raise UsageError(f"{folder} holds music already: measure it in place of --model, or use -o or --overwrite")
    return folder


def write(writer: Writer, asked: Sequence[Asked], reference: Path, out: Path) -> list[str]:
    """Writes the pieces into `out`/audio and their manifest, which says prompt and seed; gives the names of those that fail."""
    from solfa.data.manifest import NAME, write_manifest

    (out / "audio").mkdir(parents=True, exist_ok=True)
    made: list[Entry] = []
    failed: list[str] = []
    size = 1 if writer.melody else BATCH
    waiting = [list(asked[start : start + size]) for start in range(0, len(asked), size)]
    with Bar("generate", round(len(asked) * writer.duration)) as bar:
        while waiting:
            some = waiting.pop(0)
            try:
                made += _write_some(writer, some, reference, out, bar)
            except (ValueError, OSError) as error:
                if len(some) > 1:  # the others shall not suffer
                    waiting[:0] = [[each] for each in some]
                    continue
                failed.append(some[0].entry.id)
                report.fail(some[0].entry.id, error)
    write_manifest(out / NAME, made)
    return failed


def _write_some(writer: Writer, some: Sequence[Asked], reference: Path, out: Path, bar: Bar) -> list[Entry]:
    from solfa.audio.io import read
    from solfa.data.manifest import Entry

    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        seconds = done / total * writer.duration * len(some)
        bar.advance(seconds - told, some[0].text[:40])
        told = seconds

    wishes: dict[str, Any] = {"options": writer.options, "progress": progress}
    if writer.melody:
        wishes["melody"] = read(reference / some[0].entry.audio)
    sounds = writer.music.generate([one.text for one in some], writer.duration, [one.seed for one in some], **wishes)
    made = []
    for one, sound in zip(some, sounds, strict=True):
        path = f"audio/{one.seed:06d}.flac"  # an id is a stranger's, and may be no name of a file
        sound.save(out / path)
        entry = one.entry
        made.append(Entry(entry.id, path, one.text, entry.attributes, seconds=sound.duration, extra={"seed": one.seed}))
    return made


def perplexity(writer: Writer, asked: Sequence[Asked], reference: Path) -> list[dict[str, Any]]:
    """How well the model predicts the codes of the references that can be read, told the prompt and told nothing: rows of a table."""
    import numpy as np

    from solfa.audio.io import read
    from solfa.tokenize_audio.generation_evaluation import perplexity_table
    from solfa.train.code_nats import nats_of_each

    codes, texts = [], []
    with Bar("perplexity", len(asked)) as bar:
        for one in asked:
            try:
                tokens = writer.music.heard(read(reference / one.entry.audio), whole=False).tokens
            except (ValueError, OSError):
                continue  # it is named where it is listened to
            codes.append(tokens[0].cpu().numpy())
            texts.append(one.text)
            bar.advance(1)
    if not codes:
        raise ValueError(f"{reference}: no recording that can be read")
    frames = np.array([min(each.shape[1], writer.lm.config.crop_frames) for each in codes])
    told, untold = (nats_of_each(writer.lm, codes, words) for words in (texts, [None] * len(codes)))
    return perplexity_table(told, untold, frames)
