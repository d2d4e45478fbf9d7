"""The Hugging Face hub: what is in the user's cache, and fetching what is not. Loads no torch.

A model's folder holds config.json and its weights. Only `fetch` uses the network, and only for what the cache lacks.
"""

from __future__ import annotations

import re
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from solfa import strict_json

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read
INDEX = ".index.json"  # after either name: weights in several files
MAX_INDEX = 16 << 20  # bytes
PATIENCE = 10.0  # seconds for the hub's host to answer


def weight_files(folder: Path) -> list[Path]:
    """All files of weights in a folder: one, or those that an index names; none where one of them is missing."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        if (folder / (name + INDEX)).is_file():
            shards = shards_of(folder / (name + INDEX))
            return shards if all(path.is_file() for path in shards) else []
    return []


def shards_of(index: Path) -> list[Path]:
    """The files that an index names, beside it. Raises ValueError for an index that is none, or that names anything else."""
    try:
        if index.stat().st_size > MAX_INDEX:
            raise ValueError(f"it is larger than {MAX_INDEX} bytes")
        names = set(strict_json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: not an index of weights: {error}") from error
    strange = [name for name in names if not re.fullmatch(r"[\w-][\w.-]*\.(safetensors|bin)", str(name))]
    if strange or not names:
        raise ValueError(f"{index}: names {strange[:1] or 'no files'}, files beside it are needed")
    return [index.parent / name for name in sorted(names)]


def is_repo(name: str) -> bool:
    """Whether this has the form of a hub name, owner/model."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def cached(repo: str) -> Path | None:
    """The folder of the repository's main branch in the cache, if configuration and all weights are there."""
    found = cached_file(repo, CONFIG)
    return found.parent if found is not None and weight_files(found.parent) else None


def cached_file(repo: str, name: str) -> Path | None:
    """One file of the repository's main branch, if the cache has it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, name)
    return Path(found) if isinstance(found, str) else None


def obtain_file(repo: str, name: str) -> Path | None:
    """The same, fetched if the cache lacks it; None if there is no such file. Raises ValueError where that cannot be known."""
    return cached_file(repo, name) or _download(repo, name)


def configuration(repo: str) -> Path:
    """The repository's config.json, fetched if the cache lacks it. Raises ValueError, in a few words, where that cannot be."""
    path = obtain_file(repo, CONFIG)
    if path is None:
        raise ValueError(f"{repo} has no {CONFIG}")
    return path


def fetch(repo: str) -> Path:
    """The repository's folder, with what the cache lacks of configuration and weights fetched. Raises ValueError as above."""
    found = cached(repo)
    if found is not None:
        return found
    configuration(repo)
    for name in WEIGHTS:
        path = _download(repo, name)
        if path is not None:
            return path.parent
        index = _download(repo, name + INDEX)
        if index is not None:
            missing = [shard.name for shard in shards_of(index) if obtain_file(repo, shard.name) is None]
            if missing:
                raise ValueError(f"{repo} lacks {missing[0]}, which its {index.name} names")
            return index.parent
    raise ValueError(f"{repo} holds none of {', '.join(WEIGHTS)}")


def _download(repo: str, name: str) -> Path | None:
    """One file of a repository; None if there is no such file in it."""
    from huggingface_hub import constants, hf_hub_download, is_offline_mode
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    if is_offline_mode():
        raise ValueError("HF_HUB_OFFLINE forbids fetching")
    if not _reachable(constants.ENDPOINT):
        raise ValueError("the hub cannot be reached")
    try:
        return Path(hf_hub_download(repo, name))
    except LocalEntryNotFoundError as error:
        raise ValueError("the hub cannot be reached") from error
    except RepositoryNotFoundError as error:
        raise ValueError(f"the hub has no {repo}, or not for everybody") from error
    except EntryNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"the hub says: {' '.join(str(error).split())[:200]}") from error


def _reachable(endpoint: str) -> bool:
    """Whether the hub's host answers; taken to be so behind a proxy. Without this the library tries for half a minute, a line a try."""
    if urllib.request.getproxies():
        return True
    address = urllib.parse.urlsplit(endpoint)
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), timeout=PATIENCE).close()
    except OSError:
        return False
    return True
