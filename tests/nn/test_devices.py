"""A device that is not there is said in one line, before anything is loaded."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from solfa.codecs.registry import load_codec
from solfa.lm.registry import load_lm
from solfa.music.text_to_music import TextToMusic
from solfa.nn.devices import pick_device
from solfa.train.distributed import join_world
from solfa.transcriber import Transcriber
from solfa.transcription.registry import load_transcriber

LOADERS = [load_codec, load_lm, load_transcriber, TextToMusic.load, Transcriber.load]


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__qualname__)
def test_loading_onto_what_is_not_there(load: Callable[..., Any], device: str) -> None:
    with pytest.raises(ValueError, match=f"^device is '{device}': [^;]{{,60}}; legal are cpu, cuda where there is a GPU, and auto$"):
        load(device=device)


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__qualname__)
def test_auto_is_cuda_where_there_is_one(load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is loaded ends up, as `to` is asked: there may be no GPU here."""
    moved: list[torch.device] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: moved.append(torch.device(device)) or self)
    for there, name in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        load(device="auto")
        assert moved[-1].type == name
        moved.clear()


def test_a_device_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda", 1) and pick_device("auto") == torch.device("cuda")
    with pytest.raises(ValueError, match="'cuda:2': the machine has 2 GPUs"):
        pick_device("cuda:2")


def test_training_asks_too() -> None:
    for wrong in ("cuda:1", "abacus"):
        with pytest.raises(ValueError, match="legal are auto, cpu and cuda"), join_world(wrong):
            pass
