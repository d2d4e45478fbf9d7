"""The Hugging Face hub: what is in the user's cache, and fetching what is not. Loads no torch.

A model's folder holds config.json and its weights. Only `fetch` uses the network, and only for what the cache lacks.
"""

from __future__ import annotations

import re
import socket
import urllib.parse
import urllib.request
from pathlib import Path

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read


def weights_in(folder: Path) -> Path | None:
    """The file of weights in a folder."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def is_repo(name: str) -> bool:
    """Whether this has the form of a hub name, owner/model."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def cached(repo: str) -> Path | None:
    """The folder of the repository's main branch in the cache, if configuration and weights are there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, CONFIG)
    if not isinstance(found, str) or weights_in(Path(found).parent) is None:
        return None
    return Path(found).parent


def configuration(repo: str) -> Path:
    """The repository's config.json, fetched if the cache lacks it. Raises ValueError, in a few words, where that cannot be."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, CONFIG)
    if isinstance(found, str):
        return Path(found)
    path = _download(repo, CONFIG)
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


def _reachable(endpoint: str, seconds: float = 10.0) -> bool:
    """Whether the hub's host answers; taken to be so behind a proxy. Without this the library tries for half a minute, a line a try."""
    if urllib.request.getproxies():
        return True
    address = urllib.parse.urlsplit(endpoint)
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), timeout=seconds).close()
    except OSError:
        return False
    return True
