"""A model with its codec, both with random weights, made once a file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from solfa.music.text_to_music import TextToMusic


@pytest.fixture(scope="module")
def music(tiny_music: Callable[..., tuple[Path, Path]]) -> TextToMusic:
    codec, lm = tiny_music()
    return TextToMusic.load(lm, codec=codec)
