"""The `solfa` command: a static table of commands, each imported only when it is used."""

import difflib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, get_args

from cyclopts import App, CycloptsError, Parameter, Token, convert

from solfa import __version__
from solfa.cli.report import (
    BROKEN_PIPE,
    DONE,
    FAILED,
    INTERRUPTED,
    USAGE,
    UsageError,
    plain_warnings,
    reason,
    say,
    show_traceback,
)

# name -> (module:function or module:App, one line for `solfa --help`)
COMMANDS: dict[str, tuple[str, str]] = {
    "encode": ("solfa.cli.encode:encode", "Recordings to token files: WAV, FLAC, MP3, OGG -> .solfa"),
    "tokenize": (
        "solfa.cli.tokenize:tokenize",
        "A corpus to a token store: folders, lists, manifests -> STORE/, resumable",
    ),
    "decode": ("solfa.cli.decode:decode", "Token files to recordings: .solfa, .ecdc, .dac -> WAV, FLAC"),
    "generate": ("solfa.cli.generate:generate", "Music from a description: text -> WAV, FLAC, .solfa"),
    "transcribe": (
        "solfa.cli.transcribe:transcribe",
        "Recordings and token files to notes: MIDI, ABC, MusicXML, SVG, JSON",
    ),
    "score": (
        "solfa.cli.score:score",
        "Notes from one format to another: MIDI, ABC, MusicXML, JSON -> a page, and back",
    ),
    "info": ("solfa.cli.info:info", "What is in a token file, a recording, a codec, a model or a token store"),
    "models": ("solfa.cli.models:models", "The codecs and models that can be named"),
    "store": ("solfa.cli.store:app", "Token stores: list, verify, merge, export, import, annotate"),
    "export": ("solfa.cli.export:export", "A codec's networks as ONNX files"),
    "synth": ("solfa.cli.synth:synth", "Composed scores, rendered: audio, captions, notes"),
    "dataset": ("solfa.cli.dataset:dataset", "Published datasets of recordings with notes: what a download holds"),
    "train": ("solfa.cli.train:train", "Run a training recipe"),
    "eval": ("solfa.cli.eval:app", "Measure codecs, their codebooks, generated music, and transcriptions"),
    "demo": ("solfa.cli.demo:demo", "A recording to tokens and back, and a page that plays and shows it"),
    "studio": ("solfa.cli.studio:studio", "Tokens, music and notes in a browser, served to this machine alone"),
}
GROUPS = {name for name, (target, _) in COMMANDS.items() if target.endswith(":app")}  # they have commands of their own
HELP = {"--help", "-h"}
TOP_OPTIONS = (*sorted(HELP), "--version")


def build_app(command: str = "") -> App:
    """The cyclopts App. The module of `command` is imported when it is called; no other is, and none for `--help`."""
    app = App(
        name="solfa",
        version=__version__,
        help="Sound as symbols: audio to tokens and back.\n\nFor example: solfa encode take.wav && solfa demo take.wav",
        help_epilogue="Exit codes: 0 done, 1 some input failed, 2 wrong usage. SOLFA_DEBUG=1 shows tracebacks.",
        help_format="plaintext",
        default_parameter=Parameter(negative=(), converter=_converted),  # no --no-x and --empty-x
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for order, (name, (target, summary)) in enumerate(COMMANDS.items()):
        # A summary given here would hide the docstring in the command's own --help.
        app.command(target, name=name, sort_key=order, help=None if name == command else summary)
    return app


def _converted(kind: Any, tokens: Sequence[Token]) -> Any:
    """As cyclopts converts words, but that it rounds 1.5 where a whole number is asked for."""
    kinds = {kind, *get_args(kind)}
    if int in kinds and float not in kinds:
        for token in tokens:
            if "." in token.value:
                raise ValueError(f"{token.value}: a whole number is needed")
    return convert(kind, tokens)


def run(tokens: Sequence[str]) -> int:
    """Runs one command line and gives its exit code. Never raises for a user's mistake."""
    command = tokens[0] if tokens and tokens[0] in COMMANDS else ""
    title = _title(tokens) if command else "solfa"
    plain_warnings(title)
    try:
        _check_first(tokens)
        if command and HELP & set(tokens):
            _reflow_docstrings(command)
        # A bare hyphen (a list of inputs on stdin) is no option: `@-` is the same list by its other name.
        result = build_app(command)(["@-" if token == "-" else token for token in tokens])
        sys.stdout.flush()
    except (CycloptsError, UsageError) as error:
        show_traceback(error)
        say(f"{title}: {reason(error) if isinstance(error, UsageError) else ' '.join(str(error).split())}")
        say(f"Try: {title} --help")
        return USAGE
    except KeyboardInterrupt:
        say(f"{title}: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`solfa models | head -1`): keep the interpreter's last flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (ValueError, OSError, ImportError, MemoryError) as error:
        show_traceback(error)
        say(f"{title}: {reason(error)}")
        return FAILED
    return result if isinstance(result, int) else DONE


def _title(tokens: Sequence[str]) -> str:
    """The command as it is called, with what follows it of its own commands: `solfa store export`."""
    words = [tokens[0]]
    if tokens[0] in GROUPS and len(tokens) > 1 and re.fullmatch(r"[a-z]+", tokens[1]):
        words.append(tokens[1])
    return " ".join(["solfa", *words])


def _check_first(tokens: Sequence[str]) -> None:
    # Ours rather than cyclopts', which imports every command's module to guess at a misspelt one.
    if tokens and tokens[0] not in COMMANDS and tokens[0] not in TOP_OPTIONS:
        near = difflib.get_close_matches(tokens[0], [*COMMANDS, *TOP_OPTIONS], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"no command {tokens[0]!r}: {hint}")


def _reflow_docstrings(command: str) -> None:
    # Docstrings are broken for an editor: their paragraphs are made whole, for cyclopts to break for the terminal.
    module, _, name = COMMANDS[command][0].partition(":")
    target = getattr(import_module(module), name)
    for part in [target[sub] for sub in target] if isinstance(target, App) else [target]:
        function = part.default_command if isinstance(part, App) else part
        if function is not None and function.__module__.startswith("solfa.") and function.__doc__:
            function.__doc__ = reflow(function.__doc__)


def reflow(doc: str) -> str:
    """A docstring with each paragraph on one line; indented lines, and all from `Parameters` on, stay as they are."""
    text, heading, parameters = inspect.cleandoc(doc).partition("\nParameters\n---")
    lines: list[str] = []
    for line in text.splitlines():
        if lines and lines[-1] and line and not (line[0].isspace() or lines[-1][0].isspace()):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines) + "\n" * text.endswith("\n") + heading + parameters
