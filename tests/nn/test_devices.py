"""A device that is not there is said in one line, before anything is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from solfa.codecs.registry import load_codec
from solfa.lm.registry import load_lm
from solfa.music.text_to_music import TextToMusic
from solfa.nn.devices import check_device
from solfa.train.code_cache import pick_codec_device
from solfa.transcriber import Transcriber
from solfa.transcription.registry import load_transcriber


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
@pytest.mark.parametrize(
    "load",
    [load_codec, load_lm, load_transcriber, TextToMusic.load, Transcriber.load],
    ids=lambda load: load.__qualname__,
)
def test_loading_onto_what_is_not_there(load: Callable[..., Any], device: str) -> None:
    with pytest.raises(ValueError, match=f"^device is '{device}': .*cpu is always there"):
        load(device=device)


def test_training_asks_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device is 'cuda:99'"):
        pick_codec_device("cuda:99")
    assert pick_codec_device("cpu") == "cpu"
    check_device("cpu")
