"""What `solfa info` says of a token store, and the picture that it draws."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from solfa.progress import Bar


def facts(name: str, plot: Path | None) -> dict[str, Any]:
    """Hours, items, tokens, and how the codebooks are used; drawn, too, where `plot` says so."""
    from solfa.tokenize_audio.store.store import TokenStore
    from solfa.tokenize_audio.store.usage import usage

    store = TokenStore(name)
    with Bar("read", len(store.manifests)) as bar:
        found = usage(store, lambda done, of: bar.advance())
    if plot is not None:
        if found.codebooks is None:
            raise ValueError(f"{name}: there are no codes in it to draw")
        from solfa.files import write_whole
        from solfa.tokenize_audio.store.usage_chart import usage_chart

        title = f"{name}: {found.seconds / 3600:.4g} hours of {store.head.codec}, {found.frames} frames"
        write_whole(plot, usage_chart(found.counts, found.codebooks, title))
    numbers = {name: value for name, value in vars(found).items() if name not in ("counts", "codebooks")}
    return {
        "name": name,
        "kind": "store",
        "hours": found.seconds / 3600,
        **numbers,
        "splits": {split or "no split": items for split, items in found.splits.items()},
        "frame_rate": store.head.frame_rate,
        **asdict(store.head),
        "usage": [] if found.codebooks is None else _rows(asdict(found.codebooks)),
    }


def _rows(usage: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a codebook, and one for all."""
    columns = ("usage", "dead", "entropy", "perplexity", "efficiency")
    totals = ("usage_total", "dead_total", "entropy_total", "perplexity_mean", "efficiency_total")
    rows = [
        {"codebook": str(book), **{name: usage[name][book] for name in columns}} for book in range(usage["codebooks"])
    ]
    return [*rows, {"codebook": "all", **{name: usage[total] for name, total in zip(columns, totals, strict=True)}}]
