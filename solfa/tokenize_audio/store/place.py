"""What makes a place a token store. Loads nothing, for commands that only ask."""

from pathlib import Path

HEAD_NAME = "store.json"


def is_store(place: str | Path) -> bool:
    """Whether a place is a token store: a folder with its head, or the address of a remote one (s3://bucket/store)."""
    return "://" in str(place) or (Path(place) / HEAD_NAME).is_file()
