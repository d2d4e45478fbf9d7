"""`solfa info`: what is in a token file, a recording, a codec, a model or a token store."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from solfa.cli import info_store, other_formats, report
from solfa.cli.inputs import AUDIO_SUFFIXES, OTHER_SUFFIXES, TOKEN_SUFFIXES, expand
from solfa.progress import on_a_line


def info(*names: str, plot: Path | None = None, json: report.Flag = False) -> int:
    """What is in a token file, a recording, a codec, a model or a token store

    A token file is read through, and every block checked: damage is reported, with exit code 1. Of .ecdc and .dac files,
    which have no checksums, the shape is checked. Of a token store hours, items and tokens are counted, and how often each code occurs:
    the share of a codebook's codes that do, its entropy in bits, its perplexity. Of a recording the header is read, not the samples: NaN
    among them goes unseen here.

    For example:
        solfa info take.solfa
        solfa info store/ --plot usage.svg
        solfa info solfa-24khz --json

    Parameters
    ----------
    names
        Names that `solfa models` lists, checkpoint folders, token stores, files, folders, globs, @list.txt, or - for a list on stdin.
    plot
        Of a token store: draw the use of its codebooks in this file (.svg).
    json
        One JSON object on stdout for one name, an array for several.
    """
    if not names:
        raise report.UsageError("no input: name a token file, a recording, a codec, a model or a token store")
    if plot is not None and (plot.suffix.lower() != ".svg" or len(names) != 1 or not _is_store(names[0])):
        raise report.UsageError(f"--plot {plot}: one token store is drawn, in a file that ends in .svg")
    found: list[dict[str, Any]] = []
    failed = False
    for name in names:
        for target, problem in _targets(name):
            try:
                if problem:
                    raise ValueError(problem)
                facts = info_store.facts(target, plot) if _is_store(target) else _facts(target)
            except (ValueError, OSError) as error:
                failed = True
                report.fail(str(target), error)
                continue
            failed |= bool(facts.get("damage"))
            found.append(facts)
            if not json:
                _show({name: value for name, value in facts.items() if name != "usage"})
                report.print_table(facts.get("usage") or [])
    if json:
        alone = found and len(names) == 1 and found[0]["name"] == names[0]  # not one that a folder or a list named
        report.print_json(found[0] if alone else found)
    return report.FAILED if failed else report.DONE


def _is_store(name: str) -> bool:
    from solfa.tokenize_audio.store.place import is_store

    return is_store(name)


def _is_checkpoint(path: Path) -> bool:
    return (path / "config.json").is_file()


def _targets(name: str) -> list[tuple[str, str | None]]:
    """What a name on the command line stands for, each with its problem if it has one."""
    if _is_store(name) or _holds_codec(name):
        return [(name, None)]
    items = expand([name], (*TOKEN_SUFFIXES, *OTHER_SUFFIXES, *AUDIO_SUFFIXES))
    if len(items) == 1 and items[0].single and items[0].problem:
        return [(name, f"no such file, codec or model (by name: {', '.join(_names())})")]
    return [(str(item.path), item.problem) for item in items]


def _names() -> list[str]:
    """What `solfa models` lists."""
    from solfa.codecs.registry import list_codecs
    from solfa.lm.registry import released_lms
    from solfa.shipped import list_shipped

    names = [found.name for found in list_shipped()] + [entry.name for entry in list_codecs()]
    return list(dict.fromkeys([*names, *(entry.name for entry in released_lms())]))


def _holds_codec(name: str) -> bool:
    """Whether this is the folder of a codec or another model, its file of weights, or its name."""
    from solfa.codecs.weights.released import ORIGINALS, find
    from solfa.lm.registry import knows

    path = Path(name)
    if name in _names() or (find(name) is not None and not path.exists()) or knows(name):
        return True
    return _is_checkpoint(path) or (path.is_file() and path.suffix in ORIGINALS)


def _facts(target: str) -> dict[str, Any]:
    from solfa.codecs.token_format import MAGIC

    path = Path(target)
    if _holds_codec(target):
        from solfa.codecs.registry import describe
        from solfa.lm.registry import describe_lm, knows

        return {"name": target, **(describe_lm(target) if knows(target) else describe(target))}
    with open(path, "rb") as file:
        start = file.read(len(MAGIC))
    if start == MAGIC or path.suffix.lower() in TOKEN_SUFFIXES:
        return _token_facts(path)
    if path.suffix.lower() in OTHER_SUFFIXES:
        return other_formats.facts(path)
    from solfa.audio.io import info as audio_info

    return {"name": target, "kind": "recording", **asdict(audio_info(path))}


def _token_facts(path: Path) -> dict[str, Any]:
    from solfa.codecs.token_file import TokenFile

    with TokenFile(path, on_damage="zero") as file:
        header = file.header
        damage = [*file.flaws, *map(str, file.damaged)]
        return {
            "name": str(path),
            "kind": "tokens",
            "duration": header.duration,
            "bitrate": header.bitrate,
            "frame_rate": header.frame_rate,
            **asdict(header),
            "bytes": file.size,
            "damage": damage,
        }


def _show(facts: dict[str, Any], indent: str = "") -> None:
    """Facts as indented lines `name: value`."""
    width = max(map(len, facts), default=0)
    for name, value in report.plain(facts).items():
        if isinstance(value, dict) and value:
            report.out(f"{indent}{on_a_line(name)}:")
            _show(value, indent + "  ")
        elif value not in (None, [], {}):
            text = f"{value:.6g}" if isinstance(value, float) else on_a_line(str(value))
            report.out(f"{indent}{on_a_line(name).ljust(width)}  {text}")
