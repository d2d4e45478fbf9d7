"""`solfa models`: the codecs and models that can be named."""

from typing import TYPE_CHECKING, Any

from solfa.cli import report

if TYPE_CHECKING:
    from solfa.codecs.registry import CodecEntry
    from solfa.lm.registry import LMEntry
    from solfa.shipped import Shipped

PURPOSES = {  # of the kinds of checkpoint that are no codecs
    "code-lm": "smaller token files of {codec} (solfa encode --lm)",
    "lm": "music from text, as codes of {codec}",
    "transcriber": "notes of recordings, from codes of {codec} (solfa transcribe)",
}


def models(*, json: report.Flag = False) -> int:
    """The codecs and models that can be named

    Those in the package work offline. The others are released models, with the place of their weights on this machine or the
    way to get them. Naming one, as in --codec dac-44khz, fetches it from the hub unless HF_HUB_OFFLINE is set.

    For example:
        solfa models

    Parameters
    ----------
    json
        One JSON array on stdout.
    """
    from solfa.codecs.registry import list_codecs
    from solfa.lm.registry import released_lms
    from solfa.shipped import list_shipped

    codecs = {entry.name: _codec(entry) for entry in list_codecs()}
    shipped = {found.name: codecs.get(found.name) or _other(found) for found in list_shipped()}
    lms = {entry.name: _lm(entry) for entry in released_lms()}
    rows = list((shipped | codecs | lms).values())  # those in the package first
    if json:
        report.print_json(rows)
    else:
        report.print_table([_shown(row) for row in rows])
    return report.DONE


def _codec(entry: "CodecEntry") -> dict[str, Any]:
    channels = {1: "mono", 2: "stereo"}.get(entry.channels, f"{entry.channels} channels")
    sound, codes = f"{entry.sample_rate / 1000:g} kHz {channels}", f"{entry.codebooks} x {entry.codebook_size}"
    return {
        "name": entry.name,
        "kind": "codec",
        "for": f"{sound} to {codes} codes, {entry.frame_rate:.4g} frames/s, {entry.bitrate / 1000:.3g} kbps",
        "sample_rate": entry.sample_rate,
        "channels": entry.channels,
        "frame_rate": entry.frame_rate,
        "codebooks": entry.codebooks,
        "codebook_size": entry.codebook_size,
        "kbps": entry.bitrate / 1000,
        "bytes": entry.bytes,
        "licence": entry.licence,
        "installed": entry.folder is not None,
        "folder": entry.folder,
        "how": entry.how,
    }


def _lm(entry: "LMEntry") -> dict[str, Any]:
    sound = "stereo music" if entry.channels == 2 else "music"
    return {
        "name": entry.name,
        "kind": "lm",
        "for": PURPOSES["lm"].format(codec=entry.codec).replace("music", sound, 1),
        "codec": entry.codec,
        "sample_rate": entry.sample_rate,
        "bytes": entry.bytes,
        "licence": entry.licence,
        "installed": entry.folder is not None,
        "folder": entry.folder,
        "how": entry.how,
    }


def _other(found: "Shipped") -> dict[str, Any]:
    """A checkpoint of the package that is no codec; those of kinds that came later are listed too."""
    from solfa.shipped import LICENCE

    codec = found.document["config"].get("codec")
    purpose = PURPOSES.get(found.kind, "")
    return {
        "name": found.name,
        "kind": found.kind,
        "for": purpose.format(codec=codec or "a codec"),
        "codec": codec,
        "sample_rate": found.document["config"].get("sample_rate"),
        "bytes": found.bytes,
        "licence": LICENCE,
        "installed": True,
        "folder": found.folder,
        "how": "in the package",
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    size = "-" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f} MB"
    place = row["folder"] if row["installed"] else f"not here: {row['how']}"
    return {"name": row["name"], "kind": row["kind"], "size": size} | {
        "for": row["for"] or "-",
        "licence": row["licence"],
        "weights": place,
    }
