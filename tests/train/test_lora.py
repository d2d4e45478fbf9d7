"""Low-rank adapters: nothing before training, the same merged, and peft's in format and effect."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from solfa.foreign.carried import CodecInside
from solfa.lm.lora import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    LoRAConfig,
    LoRALinear,
    add_lora,
    load_adapter,
    merged,
    save_adapter,
)
from solfa.lm.model import TokenLM
from solfa.lm.registry import load_lm
from solfa.lm.weights.export import save_audiocraft, save_transformers
from solfa.lm.weights.layouts import codec_inside

Make = Callable[[], Path]
CODES = torch.randint(0, 33, (2, 4, 7), generator=torch.Generator().manual_seed(1))
PARTS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "encoder_attn.q_proj",
         "encoder_attn.k_proj", "encoder_attn.v_proj", "encoder_attn.out_proj", "fc1", "fc2"]  # fmt: skip


def adapted(folder: Path, **fields: Any) -> TokenLM:
    """A model with adapters that change something."""
    model = load_lm(folder)
    add_lora(model, LoRAConfig(**({"rank": 3, "alpha": 6.0} | fields)))
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, LoRALinear):
            module.lora_b.data.normal_(generator=generator)
    return model


@torch.no_grad()
def logits(model: TokenLM) -> Tensor:
    return model(CODES, model.describe(["slow waltz", None]))


def test_a_new_adapter_changes_nothing_and_alone_is_trained(tiny_musicgen: Make) -> None:
    model = load_lm(tiny_musicgen())
    before = logits(model)
    add_lora(model, LoRAConfig(rank=2, targets=("q_proj", "v_proj")))
    torch.testing.assert_close(logits(model), before)
    trained = {name: p.shape for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * (2 + 2 + 2) and trained["transformer.blocks.0.qkv.lora_a"] == (2, 2, 16)
    assert "transformer.blocks.1.out.lora_a" not in trained


@pytest.mark.parametrize(
    "targets", [("q_proj", "v_proj"), ("k_proj",), ("out_proj", "fc1", "fc2"), LoRAConfig().targets]
)
def test_merged_is_the_same(tiny_musicgen: Make, targets: tuple[str, ...]) -> None:
    model = adapted(tiny_musicgen(), targets=targets)
    whole = merged(model)
    torch.testing.assert_close(logits(whole), logits(model), rtol=1e-4, atol=1e-5)
    assert [name for name, _ in whole.named_parameters()] == [
        name for name, _ in load_lm(tiny_musicgen()).named_parameters()
    ]
    assert not torch.allclose(logits(model), logits(load_lm(tiny_musicgen())), atol=1e-2)
    assert merged(whole) is whole


def test_steps_hear_the_adapters(tiny_musicgen: Make) -> None:
    model = adapted(tiny_musicgen())
    conditions = model.describe(["slow waltz", None])
    with torch.no_grad():
        state, whole = model.start(2, 6, conditions), model.hidden(CODES[:, :, :-1], conditions)
        parts = []
        for step in range(6):
            hidden, state = model.advance(CODES[:, :, step : step + 1], state)
            parts.append(hidden)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)


def test_saved_and_loaded(tiny_musicgen: Make, tmp_path: Path) -> None:
    model = adapted(tiny_musicgen(), targets=("q_proj", "v_proj", "fc2"))
    save_adapter(model, tmp_path, base="somebody/model")
    again = load_lm(tiny_musicgen())
    load_adapter(again, tmp_path)
    assert torch.equal(logits(again), logits(model))
    assert {n for n, p in again.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
    with pytest.raises(ValueError, match="has an adapter already"):
        load_adapter(again, tmp_path)
    with pytest.raises(ValueError, match="has no adapters"):
        save_adapter(load_lm(tiny_musicgen()), tmp_path / "none")


def test_the_layout_is_pefts(tiny_musicgen: Make, tmp_path: Path) -> None:
    save_adapter(adapted(tiny_musicgen()), tmp_path, base="somebody/model")
    tensors = load_file(tmp_path / WEIGHTS_NAME)
    prefix = "base_model.model.decoder.model.decoder.layers"
    names = {f"{prefix}.{layer}.{part}.lora_{letter}.weight" for layer in range(2) for part in PARTS for letter in "AB"}
    assert tensors.keys() == names
    assert tensors[f"{prefix}.0.fc1.lora_A.weight"].shape == (3, 16) and tensors[
        f"{prefix}.0.fc1.lora_B.weight"
    ].shape == (64, 3)
    document = json.loads((tmp_path / CONFIG_NAME).read_text())
    assert (document["peft_type"], document["r"], document["lora_alpha"], document["bias"]) == ("LORA", 3, 6.0, "none")
    assert document["target_modules"] == ["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"]
    assert document["base_model_name_or_path"] == "somebody/model"


def peft_model(folder: Path) -> tuple[Any, Any]:
    peft = pytest.importorskip("peft", reason="peft is not installed; it is no part of the test environment")
    from transformers import MusicgenForConditionalGeneration

    return peft, MusicgenForConditionalGeneration.from_pretrained(folder).eval()


@torch.no_grad()
def theirs(model: Any, folder: Path) -> Tensor:
    """Logits [B, K, S, N] of transformers' model, told as ours."""
    from transformers import T5Tokenizer

    ids = T5Tokenizer.from_pretrained(folder)(["slow waltz"], return_tensors="pt").input_ids
    mask = torch.stack([torch.ones_like(ids[0]), torch.zeros_like(ids[0])])
    steps = CODES[:, :, :-1]
    out = model(
        input_ids=ids.expand(2, -1), attention_mask=mask, decoder_input_ids=steps.reshape(8, -1)
    ).logits  # [B * K, S, N]
    return out.view(2, 4, *out.shape[1:])


def test_peft_loads_what_is_saved(tiny_musicgen: Make, tmp_path: Path) -> None:
    peft, hf = peft_model(tiny_musicgen())
    model = adapted(tiny_musicgen())
    torch.testing.assert_close(logits(load_lm(tiny_musicgen())), theirs(hf, tiny_musicgen()), rtol=1e-4, atol=1e-4)
    save_adapter(model, tmp_path, base=str(tiny_musicgen()))
    wrapped = peft.PeftModel.from_pretrained(hf, tmp_path).eval()
    torch.testing.assert_close(theirs(wrapped, tiny_musicgen()), logits(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("more", [{}, {"use_rslora": True}])
def test_what_peft_saves_is_loaded(tiny_musicgen: Make, tmp_path: Path, more: dict[str, Any]) -> None:
    peft, hf = peft_model(tiny_musicgen())
    wrapped = peft.get_peft_model(
        hf, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "fc1"], **more)
    ).eval()
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    wrapped.save_pretrained(tmp_path)
    model = load_lm(tiny_musicgen())
    load_adapter(model, tmp_path)
    torch.testing.assert_close(logits(model), theirs(wrapped, tiny_musicgen()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "not a LoRA adapter"),
        ({"use_dora": True}, "use_dora is True"),
        ({"rank_pattern": {"x": 2}}, "rank_pattern is"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"r": "3"}, "numbers are needed"),
        ({"r": 0}, "r is 0"),
        ({"lora_alpha": -1}, "alpha is -1"),
    ],
)
def test_a_config_that_is_not_understood_is_refused(
    tiny_musicgen: Make, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    save_adapter(adapted(tiny_musicgen()), tmp_path)
    document = json.loads((tmp_path / CONFIG_NAME).read_text())
    (tmp_path / CONFIG_NAME).write_text(json.dumps(document | change))
    with pytest.raises(ValueError, match=message):
        load_adapter(load_lm(tiny_musicgen()), tmp_path)


def test_tensors_that_do_not_fit_are_refused(tiny_musicgen: Make, tmp_path: Path) -> None:
    save_adapter(adapted(tiny_musicgen()), tmp_path)
    whole, fresh = load_file(tmp_path / WEIGHTS_NAME), load_lm(tiny_musicgen())
    key = "base_model.model.decoder.model.decoder.layers.0.self_attn.q_proj.lora_A.weight"
    lone = {name: tensor for name, tensor in whole.items() if name != key}
    cases = [
        (lone, "has one of A and B only"),
        (whole | {key: torch.zeros(3, 9)}, r"\[3, 9\] where \[3, 16\] is needed"),
        (whole | {key: torch.zeros(2, 16)}, r"q_proj: A is \[2, 16\], but r is 3"),
        (whole | {key: torch.full((3, 16), float("nan"))}, "q_proj: A holds NaN or infinity"),
        (whole | {key.replace("layers.0", "layers.9"): whole[key]}, "has one of A and B only"),
        (
            whole | {key.replace("q_proj", "lm_head").replace("self_attn.", "").replace("layers.0.", ""): whole[key]},
            "no adapter of a",
        ),
        ({name.replace("layers.1", "layers.7"): tensor for name, tensor in whole.items()}, "has no layers.7"),
    ]
    for tensors, message in cases:
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / WEIGHTS_NAME)
        with pytest.raises(ValueError, match=message):
            load_adapter(fresh, tmp_path)
    with pytest.raises(ValueError, match="no adapter"):
        load_adapter(fresh, tmp_path / "nowhere")


def test_what_cannot_be_is_said() -> None:
    for field, value in (("rank", -1), ("alpha", 0.0), ("dropout", 1.0), ("targets", ("query",)), ("targets", ())):
        with pytest.raises(ValueError, match=field):
            replace(LoRAConfig(), **{field: value})


def test_a_model_has_one_adapter_at_most(tiny_musicgen: Make, tmp_path: Path) -> None:
    """A second one would replace the first, whose layers are then lost."""
    model = adapted(tiny_musicgen(), targets=("q_proj",))
    before = logits(model)
    with pytest.raises(ValueError, match="qkv has an adapter: merge it first"):
        add_lora(model, LoRAConfig(rank=5))
    assert torch.equal(logits(model), before)
    with pytest.raises(ValueError, match="rank is 0"):
        add_lora(load_lm(tiny_musicgen()), LoRAConfig())
    save_adapter(adapted(tiny_musicgen(), targets=("fc1",), rank=2), tmp_path)
    load_adapter(model, tmp_path)  # of other layers
    with pytest.raises(ValueError, match=r"several ranks and scales, \[\(2, 3\.0\), \(3, 2\.0\)\]"):
        save_adapter(model, tmp_path / "mixed")


def test_a_model_with_adapters_is_not_written_as_if_it_had_none(tiny_musicgen: Make, tmp_path: Path) -> None:
    model = adapted(tiny_musicgen())
    inside = codec_inside(tiny_musicgen())
    assert isinstance(inside, CodecInside)
    for write in (
        lambda: model.save(tmp_path / "ours"),
        lambda: save_transformers(model, tmp_path / "theirs", inside),
        lambda: save_audiocraft(replaced(model, codec="encodec-32khz"), tmp_path / "audiocraft"),
    ):
        with pytest.raises(ValueError, match="has an adapter: merge it first"):
            write()
    assert not list(tmp_path.iterdir())


def replaced(model: TokenLM, **fields: Any) -> TokenLM:
    model.config = replace(model.config, **fields)
    return model


def test_an_adapter_is_not_added_to_weights_that_have_it(tiny_musicgen: Make, tmp_path: Path) -> None:
    """In either layout; another one may be, and both are then known."""
    model, other = adapted(tiny_musicgen()), adapted(tiny_musicgen(), targets=("fc1",))
    save_adapter(model, tmp_path / "adapter")
    save_adapter(other, tmp_path / "other")
    inside = codec_inside(tiny_musicgen())
    assert isinstance(inside, CodecInside)
    merged(model).save(tmp_path / "ours", {"recordings": 3})
    save_transformers(merged(model), tmp_path / "theirs", inside)
    for place in ("ours", "theirs"):
        with pytest.raises(ValueError, match="has this adapter in its weights already"):
            load_adapter(load_lm(tmp_path / place), tmp_path / "adapter")
        twice = load_lm(tmp_path / place)
        load_adapter(twice, tmp_path / "other")
        twice = merged(twice)
        for name in ("adapter", "other"):
            with pytest.raises(ValueError, match="has this adapter in its weights already"):
                load_adapter(twice, tmp_path / name)
