"""`solfa eval codebooks`: how well the codes of token files use their codebooks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.cli import report
from solfa.cli.inputs import TOKEN_SUFFIXES, expand

if TYPE_CHECKING:
    from solfa.codecs.token_format import TokenHeader
    from solfa.eval.codebooks import CodebookCounts

# A header can claim anything: 32 MB of counts are far more than any codec has codes.
_MOST_CODES = 1 << 22


@dataclass
class _Tally:
    """What is counted of one codec: files, seconds, codes."""

    header: TokenHeader
    counts: CodebookCounts
    files: int = 0
    seconds: float = 0.0


def codebooks(*files: str, json: report.Flag = False) -> int:
    """How well the codes of token files use their codebooks

    For each codebook: the share of its codes that occur, those that never do, the entropy of the code in bits, its
    perplexity, and the entropy's share of the bits that a code takes. All files of one codec are counted together, a
    damaged file not at all.

    Example:
        solfa eval codebooks tokens/ --json

    Parameters
    ----------
    files
        Token files, folders of them, globs, @list.txt, or - for a list on stdin.
    json
        One JSON array on stdout, an object for each codec.
    """
    tallies: dict[tuple[Any, ...], _Tally] = {}
    failed = False
    items = expand(files, TOKEN_SUFFIXES)
    with report.progress("count", len(items)) as bar:
        for item in items:
            try:
                if item.problem:
                    raise ValueError(item.problem)
                _count(item.path, tallies)
            except (ValueError, OSError) as error:
                failed = True
                report.fail(str(item.path), error)
            bar.advance(1, detail=item.path.name)
    results = [_result(tally) for tally in tallies.values()]
    if json:
        report.print_json(results)
    else:
        for result in results:
            _show(result)
    return report.FAILED if failed else report.DONE


def _count(path: Path, tallies: dict[tuple[Any, ...], _Tally]) -> None:
    """Add the codes of one file to those of its codec, all or none of them."""
    from solfa.codecs.token_file import TokenFile
    from solfa.eval.codebooks import CodebookCounts

    with TokenFile(path) as file:
        header = file.header
        books, size = header.codebooks, header.codebook_size
        if books * size > _MOST_CODES:
            raise ValueError(f"{books} codebooks of {size} codes: no more than {_MOST_CODES} codes can be counted")
        if not file.frames:
            raise ValueError("there are no codes in it to count")
        counts = CodebookCounts(books, size)
        for chunk in file.chunks():
            counts.add(chunk)
    key = (header.codec, header.weights_hash, header.sample_rate, header.hop, books, size)
    if key not in tallies:
        tallies[key] = _Tally(header, CodebookCounts(books, size))
    tally = tallies[key]
    tally.counts.counts += counts.counts
    tally.files += 1
    tally.seconds += header.duration


def _result(tally: _Tally) -> dict[str, Any]:
    found = tally.counts.report()
    header = tally.header
    return {
        "codec": header.codec,
        "weights_hash": header.weights_hash,
        "files": tally.files,
        "seconds": tally.seconds,
        "frame_rate": header.frame_rate,
        "bitrate": header.bitrate,
        "entropy_rate": found.entropy_total * header.frame_rate,
        **asdict(found),
    }


def _show(result: dict[str, Any]) -> None:
    """A heading and one row a codebook."""
    weights = f" (weights {result['weights_hash'][:12]})" if result["weights_hash"] else ""
    report.out(
        f"{result['codec']}{weights}: {result['files']} files, {result['seconds']:.1f} s, {result['frames']} frames; "
        f"{result['bitrate']:.6g} bit/s, of which {result['entropy_rate']:.6g} are needed"
    )
    columns = ("usage", "dead", "entropy", "perplexity", "efficiency")
    rows = [
        {"codebook": str(book), **{name: result[name][book] for name in columns}} for book in range(result["codebooks"])
    ]
    totals = ("usage_total", "dead_total", "entropy_total", "perplexity_mean", "efficiency_total")
    rows.append({"codebook": "all", **{name: result[total] for name, total in zip(columns, totals, strict=True)}})
    report.print_table(rows)
