"""Texts as a memory: bytes and released T5 encoders, the cache, what is too long, what is not there."""

from __future__ import annotations

import copy
import runpy
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel, T5ForConditionalGeneration

from solfa.lm.conditioners.cache import EmbeddingCache
from solfa.lm.conditioners.memory import joined, null_where_empty
from solfa.lm.conditioners.t5 import FrozenT5, repository
from solfa.lm.conditioners.text import ByteText, ByteTextConfig, T5Text, T5TextConfig
from solfa.nn.transformer import Memory

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_musicgen.py"))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Flan-T5, decoder and all, as it is on the hub."""
    torch.manual_seed(0)
    shape = T5Config(
        vocab_size=40, d_model=24, d_kv=6, d_ff=32, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    path = tmp_path_factory.mktemp("t5")
    T5ForConditionalGeneration(shape).save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


def text(folder: Path, **how: object) -> T5Text:
    torch.manual_seed(1)
    return T5Text(T5TextConfig(str(folder), width=24, **how), 16)


def test_t5_is_theirs(folder: Path) -> None:
    ours, theirs = text(folder), T5EncoderModel.from_pretrained(folder).eval()
    given = tiny.tokenizer()(tiny.TEXTS, padding=True, return_tensors="pt")
    ids, mask = ours.tokenize(tiny.TEXTS)
    assert torch.equal(ids, given.input_ids) and torch.equal(mask.long(), given.attention_mask)
    with torch.no_grad():
        expected = ours.project(theirs(**given).last_hidden_state) * mask[..., None]
    assert (ours(ids, mask).values - expected).abs().max() < 1e-5
    assert torch.equal(ours(ids, mask).mask, mask)


def test_neighbours_and_the_null_condition(folder: Path) -> None:
    """Each text is encoded alone; only the projection runs in another shape."""
    ours = text(folder)
    (alone,) = ours(*ours.tokenize([tiny.TEXTS[0]])).values
    together = ours(*ours.tokenize([tiny.TEXTS[0], tiny.TEXTS[1], None, ""]))
    assert (together.values[0, : len(alone)] - alone).abs().max() < 1e-6
    assert not together.values[2:].any() and together.mask[2:].all() and not together.values[0, len(alone) :].any()
    attended = text(folder, pad_attended=True)
    heard = attended(*attended.tokenize([tiny.TEXTS[0], tiny.TEXTS[1], None]))
    assert heard.mask is None and (heard.values - together.values[:3]).abs().max() < 1e-6


def test_a_text_is_encoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, seen = text(folder), []
    encode = FrozenT5._encode
    monkeypatch.setattr(FrozenT5, "_encode", lambda self, ids, device: seen.append(ids) or encode(self, ids, device))
    for texts in (["a", "b"], ["b", "a", "a"], ["a"]):
        ours(*ours.tokenize(texts))
    assert len(seen) == 2
    copied = copy.deepcopy(ours)
    copied(*copied.tokenize(["a"]))
    assert copied.frozen is ours.frozen and len(seen) == 2
    assert [name for name, _ in ours.named_parameters()] == [
        "project.weight",
        "project.bias",
    ]  # T5 is not trained, nor saved


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=40), st.integers(0, 80))
def test_the_cache_is_bounded(asked: list[tuple[int, int]], limit: int) -> None:
    cache, recent = EmbeddingCache(limit), []
    for key in asked:
        assert torch.equal(
            cache.get(key, lambda key=key: torch.full((key[1],), float(key[0]))), torch.full((key[1],), float(key[0]))
        )
        recent = [key, *(other for other in recent if other != key)]
        assert cache.bytes <= limit and cache.bytes == sum(4 * size for _, size in list(cache._kept))
        assert list(cache._kept) == recent[: len(cache)][::-1]  # the least recent went first


def test_threads_that_make_the_same_count_it_once() -> None:
    cache, both = EmbeddingCache(4000), threading.Barrier(2)

    def make() -> torch.Tensor:
        both.wait(timeout=30)  # until the other one makes it too
        return torch.zeros(10)

    threads = [threading.Thread(target=lambda: [cache.get(key, make) for key in range(5)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(cache), cache.bytes) == (5, 200)
    assert len(copy.deepcopy(cache)) == 0 and copy.deepcopy(cache).limit == 4000


def test_nothing_is_cut(folder: Path) -> None:
    ours = text(folder, longest=6)
    ours.tokenize(["ab"])
    with pytest.raises(ValueError, match="a text of 12 tokens: at most 6 are read"):
        ours.tokenize(["ab", "abcdefghij"])


def test_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    for name, match in (
        ("no such", "no such folder, and none of t5-small"),
        ("t5-large", r"google-t5/t5-large"),
        ("flan-t5-base", r"HF_HUB_OFFLINE forbids fetching: hf download google/flan-t5-base"),
        (str(tmp_path), "config.json|No such file"),
    ):
        with pytest.raises((ValueError, OSError), match=match):
            FrozenT5(name).tokens("a")
    assert repository("someone/t5") == "someone/t5"
    wide = T5Text(T5TextConfig(str(folder), width=32), 16)
    with pytest.raises(ValueError, match="gives vectors of 24, the model reads 32"):
        wide(*wide.tokenize(["a"]))


def test_bytes_are_byt5s() -> None:
    torch.manual_seed(0)
    ours = ByteText(ByteTextConfig(width=8, layers=1, heads=2, hidden=8, longest=6), 16)
    texts = ["aé", "x"]
    expected = ByT5Tokenizer()(texts, padding=True, return_tensors="pt")
    ids, mask = ours.tokenize(texts)
    assert torch.equal(ids, expected.input_ids) and torch.equal(mask.long(), expected.attention_mask)
    with pytest.warns(RuntimeWarning, match="a text of 8 bytes: the first 6 are read"):
        assert ours.tokenize(["abcdefgh"])[0].shape == (1, 7)


def test_memories_are_joined() -> None:
    """Of each row what is told, and only that: no zeros of the other kind beside it."""
    here, there = torch.tensor([[True, True], [False, False]]), torch.tensor([[False], [True]])
    one, two = null_where_empty(torch.ones(2, 2, 4), here), null_where_empty(2 * torch.ones(2, 1, 4), there)
    both = joined([one, two])
    assert both.mask.tolist() == [[True, True, False], [False, False, True]]
    neither = joined(
        [null_where_empty(torch.ones(1, 2, 4), here[1:]), null_where_empty(torch.ones(1, 1, 4), there[:1])]
    )
    assert not neither.values.any() and neither.mask.all()
    attended: Tensor = joined([Memory(torch.zeros(1, 2, 4)), null_where_empty(torch.ones(1, 1, 4), there[1:])]).mask
    assert attended.all()  # what has no mask is heard whole, zeros too
