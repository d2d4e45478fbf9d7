"""`solfa models`: the codecs and models that can be named."""

from solfa.cli import report


def models(*, json: report.Flag = False) -> int:
    """The codecs and models that can be named

    Each ships inside the package and works offline. A card in its folder says how it was trained and what it scores.

    For example:
        solfa models

    Parameters
    ----------
    json
        One JSON array on stdout.
    """
    from solfa.codecs.registry import list_codecs

    entries = list_codecs()
    rows = [
        {
            "name": entry.name,
            "kind": "codec",
            "sample_rate": entry.sample_rate,
            "channels": entry.channels,
            "frame_rate": entry.frame_rate,
            "codebooks": entry.codebooks,
            "codebook_size": entry.codebook_size,
            "kbps": entry.frame_rate * entry.codebooks * (entry.codebook_size - 1).bit_length() / 1000,
            "folder": entry.folder,
        }
        for entry in entries
    ]
    if json:
        report.print_json(rows)
    elif rows:
        report.print_table(rows)
    else:
        report.say("no codec or model ships with this installation; a checkpoint folder can be named in their place")
    return report.DONE
