"""From what a user types to prompts: words, `@list.txt`, `-`; and the file where the music of each goes."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from solfa.cli.inputs import TOKEN_SUFFIXES
from solfa.cli.report import UsageError

WRITES = (".wav", ".flac", *TOKEN_SUFFIXES)
STDOUT = Path("@-")  # what `-` has become
LONGEST_NAME, LONGEST_LINE = 48, 72  # letters of a file's name, and of a prompt where it is only mentioned


@dataclass(frozen=True)
class Prompt:
    """What to play. single: typed itself, rather than found in a list."""

    text: str
    single: bool = True
    target: Path = Path()

    @property
    def short(self) -> str:
        """The prompt on one line, cut where it is long."""
        line = " ".join(self.text.split())
        return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."

    @property
    def name(self) -> str:
        """A file's name, without a suffix, from the prompt's first words."""
        words = "".join(letter.lower() if letter.isalnum() else " " for letter in self.text).split()
        kept = ""
        for word in words:
            if kept and len(kept) + len(word) >= LONGEST_NAME:
                break
            kept = f"{kept}-{word[:LONGEST_NAME]}" if kept else word[:LONGEST_NAME]
        return kept or "music"


def read_prompts(arguments: Sequence[str]) -> list[Prompt]:
    """The prompts that the arguments are, or name. Raises UsageError for none, an empty one, or a list that cannot be read."""
    found = []
    for argument in arguments:
        if argument.startswith("@"):
            found += [Prompt(line, single=False) for line in _lines(argument[1:])]
        elif not argument.strip():
            raise UsageError("an empty prompt: say in words what to play")
        else:
            found.append(Prompt(argument))
    if not found:
        raise UsageError(
            'no prompt: say in words what to play, "slow waltz for flute", or @list.txt for a prompt a line'
        )
    return found


def _lines(name: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"@{name}: cannot read this list: {error.strerror}") from error
    lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if not lines:
        raise UsageError(f"@{name}: this list is empty")
    return lines


def with_targets(prompts: Sequence[Prompt], out: Path | None, kind: str | None) -> list[Prompt]:
    """The prompts with their `target`: `out` itself for one that was typed, else a name from the prompt in that folder.

    kind: the suffix, without its dot, where `out` does not say it. Several prompts are numbered. Raises UsageError for a name that
    cannot be.
    """
    one = len(prompts) == 1 and prompts[0].single
    if out == STDOUT:
        if not one or kind not in (None, "wav"):
            raise UsageError("-o -: one prompt as a WAV goes to stdout; name a folder for several")
        return [replace(prompts[0], target=STDOUT)]
    if out is not None and out.suffix and not out.is_dir():
        if one and out.suffix.lower() not in WRITES:
            raise UsageError(f"-o {out}: the name must end in {', '.join(WRITES)} (or be a folder that is there)")
        if one and kind not in (None, out.suffix.lower()[1:]):
            raise UsageError(f"-o {out} --format {kind}: leave one out")
        if one:
            return [replace(prompts[0], target=out)]
        if out.suffix.lower() in WRITES:
            raise UsageError(f"-o {out} names one file, and there may be several prompts: name a folder")
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"-o {out} is a file: name a folder")
    folder, suffix, digits = out or Path(), kind or "wav", len(str(len(prompts)))
    names = [prompt.name if one else f"{i:0{digits}d}-{prompt.name}" for i, prompt in enumerate(prompts, 1)]
    return [replace(prompt, target=folder / f"{name}.{suffix}") for prompt, name in zip(prompts, names, strict=True)]
