"""`solfa models`: the codecs and models that can be named."""

from solfa.cli import report


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

    rows = [
        {
            "name": entry.name,
            "kind": "codec",
            "sample_rate": entry.sample_rate,
            "channels": entry.channels,
            "frame_rate": entry.frame_rate,
            "codebooks": entry.codebooks,
            "codebook_size": entry.codebook_size,
            "kbps": entry.bitrate / 1000,
            "licence": entry.licence,
            "installed": entry.folder is not None,
            "folder": entry.folder,
            "how": entry.how,
        }
        for entry in list_codecs()
    ]
    if json:
        report.print_json(rows)
    else:
        where = [row["folder"] if row["installed"] else f"not here: {row['how']}" for row in rows]
        shown = [
            {name: row[name] for name in row if name not in ("kind", "installed", "folder", "how")} | {"weights": place}
            for row, place in zip(rows, where, strict=True)
        ]
        report.print_table(shown)
    return report.DONE
