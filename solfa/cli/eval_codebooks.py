"""`solfa eval codebooks`: how the codes of token files and token stores use their codebooks, and what they tell of one another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from solfa.cli import report
from solfa.cli.codes_job import CodeSystem, codec_text, coding_asked, read_codes
from solfa.cli.eval_report import LONGEST, Html, show

if TYPE_CHECKING:
    from solfa.eval.evaluation import Evaluation

_PICTURES = (".svg", ".html")

Plot = Annotated[list[Path] | None, Parameter(consume_multiple=(0, 1))]


def codebooks(
    *inputs: str,
    against: str | None = None,
    plot: Plot = None,
    tf_idf: str = "tf_l1,idf_e1",
    codings: report.Flag = False,
    lm: str | None = None,
    ci: report.Flag = False,
    json: report.Flag = False,
    html: Html = None,
) -> int:
    """How well the codes of token files and stores use their codebooks

    Of each recording, then of all together: the share of codes that occur, those that never do, the entropy of a code in
    bits, its perplexity, the entropy's share of the bits that a code takes, how long codes stay, what the one before
    tells, what two codebooks tell of each other, and which codes are typical of which recording (bags of codes, TF-IDF).
    With --codings or --lm also what they take in each coding of token files: bits a code, the share saved, kbps of the file.

    One codec at a time; what is damaged or of another codec is told and left out.

    Example:
        solfa eval codebooks tokens/ --ci
        solfa eval codebooks store/ --plot usage.svg --json
        solfa eval codebooks tokens/ --lm solfa-24khz-lm --ci

    Parameters
    ----------
    inputs
        Token stores, token files, folders of them, globs, @list.txt, or - for a list on stdin.
    against
        Another store, file or folder, of the same codec or another: recordings of one name are compared.
    plot
        Draw the codebooks and their mutual information in this file (.svg or .html; by default codebooks.svg).
    tf_idf
        Weights of the bags of codes: tf_b, tf_l1, tf_l2, tf_o1 or tf_o2, a comma, idf_b, idf_p, idf_e1, idf_e2 or idf_o.
    codings
        Write every recording packed and adaptive, as `solfa encode --coding` would, read it back, compare, and tell what it took.
    lm
        The same, and by this language model of the codec's codes too: a name or folder (solfa train code_lm). Reading back what it
        coded takes a second for five to ten of sound. Token files that it coded are read by it.
    ci
        Add 95 % intervals of the means over recordings.
    json
        One JSON document on stdout.
    """
    picture = _picture(plot)
    weights = _weights(tf_idf)
    coding = coding_asked(codings, lm)
    system = read_codes(inputs, coding)
    other = None if against is None else read_codes([against], coding)
    if any(each is not None and each.collection is None for each in (system, other)):
        return report.FAILED  # nothing to measure: what was wrong is told
    found = _evaluation(system, weights)
    compared = None if other is None else _evaluation(other, weights)
    if picture is not None:
        _draw(picture, system, found)
    if not json:
        found = _introduced(system, found)
        compared = None if other is None or compared is None else _introduced(other, compared)
    show(found, against=compared, ci=ci, json=json, html=html)
    return report.FAILED if found.failed or (compared is not None and compared.failed) else report.DONE


def _picture(plot: list[Path] | None) -> Path | None:
    if plot is None:
        return None
    path = plot[0] if plot else Path("codebooks.svg")
    if path.suffix.lower() not in _PICTURES:
        raise report.UsageError(f"--plot {path}: the name must end in {' or '.join(_PICTURES)}")
    return path


def _weights(text: str) -> tuple[str, str]:
    from solfa.eval.bag_of_codes import IDF, TF

    tf, _, idf = text.partition(",")
    if tf not in TF or idf not in IDF:
        raise report.UsageError(f"--tf-idf {text}: one of {', '.join(TF)}, a comma, and one of {', '.join(IDF)}")
    return tf, idf


def _evaluation(system: CodeSystem, weights: tuple[str, str]) -> Evaluation:
    """What was found, with what is left out said once."""
    head, collection = system.head, system.collection
    assert head is not None and collection is not None
    if not collection.every_pair:
        pairs = "neighbouring ones alone" if collection.pairs.pairs else "none"
        report.say(f"{codec_text(head)}: all pairs of codebooks take more than 256 MB to count: {pairs}")
    if collection.before is None:
        report.say(
            f"{codec_text(head)}: codes with those before take more than 256 MB to count: no conditional entropy"
        )
    if collection.bags is None:
        report.say(f"{len(collection.items)} recordings: too many for bags of codes")
    pooled = collection.report()
    settings = {
        "codec": head.codec,
        "weights_hash": head.weights_hash,
        "codebooks": head.codebooks,
        "codebook_size": head.codebook_size,
        "frame_rate": head.frame_rate,
        "seconds": system.seconds,
        "frames": pooled.frames,
        "bitrate": (head.codebook_size - 1).bit_length() * head.codebooks * head.frame_rate,
        "entropy_rate": pooled.entropy_total * head.frame_rate,
    }
    if system.coding.lm is not None:
        settings |= {"lm": system.coding.name, "lm_hash": system.coding.lm.hash}
    found = replace(collection.evaluation(settings, *weights), failed=system.failed)
    return found if system.costs is None else system.costs.told(found)


def _introduced(system: CodeSystem, found: Evaluation) -> Evaluation:
    """Says whose codes these are, and leaves rows of recordings out where they are more than a table can show."""
    assert system.head is not None
    facts = found.settings
    report.out(
        f"{codec_text(system.head)}: {len(found.items)} recordings, {facts['seconds']:.1f} s, {facts['frames']} frames; "
        f"{facts['bitrate']:.6g} bit/s, of which {facts['entropy_rate']:.6g} are needed"
    )
    many = len(found.items) > LONGEST
    return replace(found, tables={n: t for n, t in found.tables.items() if n != "bags_of_codes" or not many})


def _draw(path: Path, system: CodeSystem, found: Evaluation) -> None:
    """The codebooks as SVG, or as a page that holds it."""
    from solfa.files import write_whole
    from solfa.tokenize_audio.store.usage_chart import usage_chart

    assert system.head is not None and system.collection is not None
    told = {(row["codebook"], row["with"]): row["share"] for row in found.tables.get("mutual_information", ())}
    title = f"{codec_text(system.head)}: {len(found.items)} recordings, {found.settings['frames']} frames"
    picture = usage_chart(system.collection.total.counts, system.collection.report(), title, told)
    if path.suffix.lower() == ".html":
        picture = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Codebooks</title>\n{picture}</html>\n'
    write_whole(path, picture)
    report.say(str(path))
