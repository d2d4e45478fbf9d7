"""The integer LM gives what the trained one gives, bit for bit, however it is run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa import checkpoint
from solfa.codecs.entropy.code_lm import CodeLM
from solfa.codecs.entropy.integer_lm import IntegerLM, share_table
from solfa.codecs.entropy.lm_checkpoint import load_lm, save_lm
from solfa.codecs.entropy.lm_coding import LMCoding
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.codecs.entropy.planes import BELOW, decode_blocks, encode_blocks

CONFIG = CodeLMConfig("c", "ab", 4, 50, widths=(16, 8), dilations=(1, 3), inner=12, hidden=24)


def trained(config: CodeLMConfig = CONFIG, gain: float = 1.7) -> CodeLM:
    torch.manual_seed(0)
    model = CodeLM(config)
    with torch.no_grad():
        for parameter in model.parameters():  # also the biases, and some weights beyond what the grid holds
            parameter.copy_(parameter * gain + 0.1 * torch.randn_like(parameter))
    return model


def integer(model: CodeLM) -> IntegerLM:
    tensors = {name: tensor.numpy() for name, tensor in model.integers().items()}
    return IntegerLM(model.config, tensors | {"shares": share_table()}, "test")


def some_codes(blocks: int = 2, frames: int = 30, config: CodeLMConfig = CONFIG) -> np.ndarray:
    return np.random.default_rng(1).integers(0, config.codebook_size, (blocks, config.codebooks, frames))


def shares(lm: IntegerLM, codes: np.ndarray, piece: int) -> list[np.ndarray]:
    """The shares [B, F, N] of each codebook, given `piece` frames at a time."""
    blocks, books, frames = codes.shape
    network = lm.first(books)
    before = np.concatenate([np.full((blocks, books, 1), lm.config.codebook_size), codes[:, :, :-1]], 2)
    state, heard = network.start(blocks), []
    for at in range(0, frames, piece):
        part, state = network.hear(before[:, :, at : at + piece], state)
        heard.append(part)
    found, lower = [], None
    for k in range(books):
        found.append(network.shares(k, np.concatenate(heard, 1), lower))
        if k < books - 1:
            lower = network.tell(k, codes[:, k]) + (0 if lower is None else lower)
    return found


@pytest.mark.parametrize("widths", [(16, 8), (20,), (8, 8, 8, 8)])
@pytest.mark.parametrize("gain", [0.5, 1.7, 6.0])
def test_shares_are_those_of_the_trained_model(widths: tuple[int, ...], gain: float) -> None:
    config = CodeLMConfig("c", "ab", 4, 50, widths=widths, dilations=(1, 3, 2), inner=12, hidden=24)
    model, codes = trained(config, gain), some_codes()
    table = share_table()
    with torch.no_grad():
        logits = model(torch.from_numpy(codes))
    for found, row in zip(shares(integer(model), codes, 30), logits, strict=True):
        steps = row.numpy() * 32
        assert (steps == np.round(steps)).all()
        below = np.minimum(steps.max(-1, keepdims=True) - steps, len(table) - 1).astype(int)
        np.testing.assert_array_equal(found, table[below])


def test_frame_by_frame_is_all_at_once() -> None:
    lm, codes = integer(trained()), some_codes()
    for piece in (1, 2, 7):
        for one, other in zip(shares(lm, codes, 30), shares(lm, codes, piece), strict=True):
            np.testing.assert_array_equal(one, other)


def test_nothing_of_the_future_is_heard_and_the_first_codebooks_need_no_others() -> None:
    lm, codes = integer(trained()), some_codes()
    whole = shares(lm, codes, 30)
    other = codes.copy()
    other[:, 2, 17] = (other[:, 2, 17] + 1) % 50
    for k, (one, changed) in enumerate(zip(whole, shares(lm, other, 30), strict=True)):
        same = (one == changed).all((0, 2))  # [F]
        assert same[: 18 if k <= 2 else 17].all()
        assert k < 3 or not same[17]
    other = codes.copy()
    other[:, 1, 17] = (other[:, 1, 17] + 1) % 50  # the first codebooks' past is heard by those that have a group as high
    found = shares(lm, other, 30)
    np.testing.assert_array_equal(whole[0], found[0])
    assert (whole[1][:, 18:] != found[1][:, 18:]).any()
    for books in (1, 2, 3):
        for one, few in zip(whole, shares(lm, codes[:, :books], 30), strict=False):
            np.testing.assert_array_equal(one, few)


def test_how_far_back_it_hears() -> None:
    lm, codes = integer(trained()), some_codes(1, 30)
    other = codes.copy()
    other[0, 0, 4] = (other[0, 0, 4] + 1) % 50
    pairs = zip(shares(lm, codes, 30), shares(lm, other, 30), strict=True)
    changed = np.flatnonzero(np.any([(one != two).any((0, 2)) for one, two in pairs], 0))
    assert changed[0] == 4 and changed[-1] <= 4 + CONFIG.context and CONFIG.context == 5


@settings(max_examples=25, deadline=None)
@given(blocks=st.integers(1, 3), books=st.integers(1, 4), frames=st.integers(0, 40), least=st.integers(0, 9))
def test_any_codes_come_back(blocks: int, books: int, frames: int, least: int) -> None:
    coding = LMCoding(integer(trained()))
    codes = some_codes(blocks, frames)[:, :books]
    planes = encode_blocks(codes, 50, coding, least)
    assert all(least <= len(plane) or len(plane) == -(-frames * 6 // 8) for block in planes for plane in block)
    found, bad = decode_blocks([list(block) for block in planes], frames, 50, coding, least)
    np.testing.assert_array_equal(found, codes)
    assert bad == {}


def test_noise_is_packed_and_what_the_model_expects_is_small() -> None:
    model = trained(gain=0.2)
    with torch.no_grad():
        for layer in model.logits:
            layer.bias[7] += 6.0  # it expects 7, always
    coding = LMCoding(integer(model))
    likely, unlikely = np.full((1, 4, 60), 7), some_codes(1, 60)
    assert sum(map(len, encode_blocks(likely, 50, coding, 4)[0])) < 40
    planes = encode_blocks(unlikely, 50, coding, 4)
    assert [len(plane) for plane in planes[0]] == [45] * 4
    mixed = np.concatenate([likely[:, :2], unlikely[:, 2:3], likely[:, 3:]], 1)
    planes = encode_blocks(mixed, 50, coding, 4)
    assert [len(plane) == 45 for plane in planes[0]] == [False, False, True, False]
    found, bad = decode_blocks([list(block) for block in planes], 60, 50, coding, 4)
    np.testing.assert_array_equal(found, mixed)
    assert not bad


def test_a_lost_plane_costs_those_above_it_in_its_block_alone() -> None:
    coding = LMCoding(integer(trained(gain=0.5)))
    codes = np.where(np.arange(40) % 5 > 0, 3, some_codes(3, 40))
    planes: list[list[bytes | None]] = [list(block) for block in encode_blocks(codes, 50, coding, 3)]
    planes[1][2] = None
    found, bad = decode_blocks(planes, 40, 50, coding, 3)
    assert len(planes[1][3] or b"") < 30 and bad == {(1, 3): BELOW}  # not tried: one in 65536 would decode by chance
    codes[1, 2:] = 0
    np.testing.assert_array_equal(found, codes)


def test_blocks_do_not_depend_on_those_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    coding = LMCoding(integer(trained()))
    codes = some_codes(5, 20) // np.array([1, 3, 9, 30])[:, None]
    together = coding.encode(codes)
    assert together == [plane for block in codes for plane in coding.encode(block[None])]
    monkeypatch.setattr("solfa.codecs.entropy.lm_coding._SHARES_AT_ONCE", 450)  # two blocks at a time, one frame
    assert coding.encode(codes) == together
    found = np.zeros_like(codes)
    assert coding.decode([together[i : i + 4] for i in range(0, 20, 4)], np.ones((5, 4), bool), found).all()
    np.testing.assert_array_equal(found, codes)


THREADS = """
import sys, numpy as np, torch
torch.set_num_threads(int(sys.argv[2]))
from solfa.codecs.entropy.lm_checkpoint import load_lm
from solfa.codecs.entropy.lm_coding import LMCoding
codes = np.random.default_rng(5).integers(0, 50, (2, 4, 300)) // np.array([1, 2, 9, 30])[:, None]
sys.stdout.buffer.write(b"|".join(LMCoding(load_lm(sys.argv[1])).encode(codes)))
"""


def test_bytes_are_the_same_in_any_process_with_any_number_of_threads(tmp_path: Path) -> None:
    lm = integer(trained())
    save_lm(tmp_path / "lm", lm, {"note": "test"})
    assert load_lm(tmp_path / "lm").hash == lm.hash == checkpoint.read_config(tmp_path / "lm")["metadata"]["hash"]
    codes = np.random.default_rng(5).integers(0, 50, (2, 4, 300)) // np.array([1, 2, 9, 30])[:, None]
    here = b"|".join(LMCoding(lm).encode(codes))
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        command = [sys.executable, "-c", THREADS, str(tmp_path / "lm"), threads]
        done = subprocess.run(command, check=True, capture_output=True, env={"PATH": "", **dict.fromkeys(names, threads)})
        assert done.stdout == here


def test_a_model_that_could_round_is_refused() -> None:
    lm = integer(trained())
    for name, value in (("hidden.0.weight", 127), ("hidden.0.bias", 1 << 24)):
        tensors = {key: tensor.copy() for key, tensor in lm.tensors.items()}
        tensors[name][...] = value
        if name.endswith("bias"):
            with pytest.raises(ValueError, match=r"sums of hidden\.0 can reach \d+, which float32 may round"):
                IntegerLM(CONFIG, tensors)
        else:
            IntegerLM(CONFIG, tensors)  # 16 inputs are too few to reach it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("past.0"), r"missing or unknown: past\.0"),
        (lambda t: t.update(shell=t["shares"]), "missing or unknown: shell"),
        (lambda t: t.update({"past.0": t["past.0"][1:]}), r"past\.0 is int8 \[50, 24\]: it must be int8 \[51, 24\]"),
        (lambda t: t.update({"past.0": t["past.0"].astype(np.int16)}), r"past\.0 is int16"),
        (lambda t: t.update({"past.1": t["past.1"] * 0 + 1}), r"past\.1 lets a codebook hear those above"),
        (lambda t: t.update({"blocks.1.taps.weight": t["blocks.1.taps.weight"] * 0 + 1}), "lets a codebook hear"),
        (lambda t: t.update({"blocks.0.out.weight": t["blocks.0.out.weight"] * 0 + 1}), "lets a codebook hear"),
        (lambda t: t.update(shares=t["shares"] * 0), "shares must be"),
        (lambda t: t.update(shares=t["shares"] * 2), "shares must be"),
        (lambda t: t.update(shares=t["shares"][:0]), "shares must be"),
        (lambda t: t.update({"hidden.0.exponent": t["hidden.0.exponent"] * 0}), r"exponent must lie between 2 and 14"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change: object, message: str) -> None:
    tensors = dict(integer(trained()).tensors)
    change(tensors)  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        IntegerLM(CONFIG, tensors)


def test_the_hash_is_of_all_that_the_shares_depend_on() -> None:
    lm = integer(trained())
    other = dict(lm.tensors)
    other["logits.0.bias"] = other["logits.0.bias"].copy()
    other["logits.0.bias"][3] ^= 1
    shape = CodeLMConfig("c", "ab", 4, 50, widths=(16, 8), dilations=(3, 1), inner=12, hidden=24)
    found = {IntegerLM(CONFIG, other).hash, IntegerLM(shape, lm.tensors).hash, lm.hash}
    assert len(found) == 3 and IntegerLM(CONFIG, dict(reversed(lm.tensors.items()))).hash == lm.hash


def test_codes_of_another_codec_are_refused() -> None:
    lm = integer(trained())
    lm.check_codec("c", "ab", 4, 50)
    for theirs in (("d", "ab", 4, 50), ("c", "cd", 4, 50), ("c", "ab", 4, 64), ("c", "ab", 5, 50)):
        with pytest.raises(ValueError, match="test"):
            lm.check_codec(*theirs)


@pytest.mark.parametrize(
    ("field", "value"),
    [("codebooks", 0), ("codebook_size", 1), ("widths", ()), ("widths", (0,)), ("widths", (1,) * 5), ("widths", (600,)),
     ("dilations", ()), ("dilations", (0,)), ("inner", 0), ("hidden", 0)],
)  # fmt: skip
def test_a_shape_says_which_field_is_wrong(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        CodeLMConfig(**{**vars(CONFIG), field: value})  # type: ignore[arg-type]


def test_there_is_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no language model 'none-such': by name"):
        load_lm("none-such")
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        load_lm(tmp_path)
