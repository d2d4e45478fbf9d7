"""What `make cards` does: the numbers of the models' cards, printed again by the commands that stand above them.

A block of a card is a comment with a command and, below it, what the command printed:

    <!-- $ solfa eval codec data/codec/held-out/audio --codec solfa-24khz -->
    ```
    ...
    ```

`(summary)`, `(table NAME)`, or several with commas between them, behind the command keep that of its output: the table of means, and
that under the line `NAME:`.
Only `solfa eval ...` is run, never through a shell. A card whose data is not there, or of which a command fails, stays as it is. What
changed is printed; the text around the blocks is for people to mend.

    python bench/_cards.py [--list] [CARD ...]       by default README.md and solfa/weights/*/README.md, from the root of the repository
"""

import argparse
import difflib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from solfa.files import write_whole

BLOCK = re.compile(
    r"(?P<head>^<!-- \$ (?P<command>[^\n]*?)(?: \((?P<parts>(?:summary|table )[^\n)]*)\))? -->\n+```[^\n]*\n)(?P<body>.*?)(?=^```$)",
    re.M | re.S,
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
DATA = "data/"
# How data is made, by where it lies: the longest name that fits counts.
MAKE = {
    "data/codec": "make codec-data SONGS=scores.zip (its first two commands are enough)",
    "data/codec/held-out/codes": "solfa encode data/codec/held-out/audio -o data/codec/held-out/codes --coding packed",
    "data/music": "make music-data",
    "data/notes": "make notes-data SONGS=scores.zip",
    "data/notes/basic-pitch": "python bench/transcription.py --basic-pitch bp/bin/python --notes data/notes/basic-pitch -j 2 "
    "(its first lines make bp)",
    "data/notes/corpus": "make notes-test",
    "data/notes/pianos": "make notes-test",
    "data/notes/recital": "make notes-test",
}


def words_of(command: str) -> list[str]:
    """The command as words. Raises ValueError for another than `solfa eval ...`."""
    words = shlex.split(command)
    if words[:2] != ["solfa", "eval"]:
        raise ValueError(f"{command!r}: a card runs `solfa eval ...` and nothing else")
    return words


def missing(words: Sequence[str]) -> list[str]:
    """The folders of data that a command reads and that are not there."""
    read = [word for before, word in pairwise(words) if before not in ("-o", "--out")]
    return [word for word in read if word.startswith(DATA) and not Path(word).exists()]


def how_to_make(folder: str) -> str:
    """The command that makes a folder of data."""
    known = [name for name in MAKE if folder == name or folder.startswith(f"{name}/")]
    return MAKE[max(known, key=len)] if known else "nobody knows how it is made"


def told(commands: Iterable[Sequence[str]]) -> list[str]:
    """What commands miss, and how it is made; each folder once."""
    folders = dict.fromkeys(folder for words in commands for folder in missing(words))
    return [f"{folder} is not there: {how_to_make(folder)}" for folder in folders]


def output(words: Sequence[str]) -> str:
    """What the command prints. Raises ValueError where it fails; its messages go where ours go."""
    done = subprocess.run([sys.executable, "-m", "solfa", *words[1:]], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(f"{shlex.join(words)}: ended with {done.returncode}")
    if "```" in done.stdout:
        raise ValueError(f"{shlex.join(words)}: its output would end the block")
    return done.stdout


def body(block: re.Match[str], printed: str) -> str:
    """What the block holds of the output. Raises ValueError where that is not in it."""
    if block["parts"] is None:
        return printed
    tables = printed.removesuffix("\n").split("\n\n")
    found = []
    for part in block["parts"].split(", "):
        begin = "measure " if part == "summary" else f"{part.removeprefix('table ')}:"
        fitting = [table for table in tables if any(line.startswith(begin) for line in table.splitlines()[:2])]
        if not fitting:
            raise ValueError(f"{block['command']}: printed no {part}")
        found.append(fitting[0])
    return "\n\n".join(found) + "\n"


def changes(old: str, new: str) -> Iterator[str]:
    """Lines that went and came, and how many numbers differ where their count is the same."""
    before, after = old.splitlines(), new.splitlines()
    for kind, i, j, k, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"    - {line}" for line in before[i:j])
            yield from (f"    + {line}" for line in after[k:end])
    one, two = NUMBER.findall(old), NUMBER.findall(new)
    if len(one) == len(two) and one != two:
        yield f"    {sum(a != b for a, b in zip(one, two, strict=True))} of {len(one)} numbers changed"


def regenerate(card: Path, known: dict[str, str]) -> bool:
    """Rewrite the blocks of a card; False where it had to stay as it is. known: outputs of commands that were run already."""
    text = card.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    if text.count("<!-- $ ") != len(blocks):
        print(f"{card}: {text.count('<!-- $ ') - len(blocks)} commands without a block below them")
        return False
    try:
        commands = [words_of(block["command"]) for block in blocks]
        if gone := told(commands):
            raise ValueError("; ".join(gone))
        for words, block in zip(commands, blocks, strict=True):
            if block["command"] not in known:
                print(f"{card}: {block['command']}", flush=True)
                known[block["command"]] = output(words)
        bodies = [body(block, known[block["command"]]) for block in blocks]
    except ValueError as error:
        print(f"{card}: left as it is: {error}")
        return False
    for block, new in zip(blocks, bodies, strict=True):
        lines = list(changes(block["body"], new))
        print("\n".join([f"  {block['command']}: {'changed' if lines else 'the same'}", *lines]))
    following = iter(bodies)
    write_whole(card, BLOCK.sub(lambda block: block["head"] + next(following), text))
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Print the numbers of the models' cards again.")
    parser.add_argument("cards", nargs="*", type=Path, help="by default README.md and solfa/weights/*/README.md")
    parser.add_argument("--list", action="store_true", help="only name the commands, and what they miss")
    given = parser.parse_args(arguments)
    cards = given.cards or [Path("README.md"), *sorted(Path("solfa/weights").glob("*/README.md"))]
    if given.list:
        found = [
            (card, block["command"]) for card in cards for block in BLOCK.finditer(card.read_text(encoding="utf-8"))
        ]
        print("\n".join(f"{card}: {command}" for card, command in found))
        for line in told(words_of(command) for _, command in found):
            print(line)
        return 0
    known: dict[str, str] = {}
    done = [regenerate(card, known) for card in cards]
    print(f"{sum(done)} of {len(cards)} cards hold what their commands print")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
