"""EnCodec's language model as a step model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from solfa.codecs.other_formats.ecdc_lm import CONFIGS, EncodecLM, EncodecLMConfig, LMState, load_ecdc_lm

CONFIG = EncodecLMConfig(codebooks=3, codebook_size=20, dim=8, layers=1, heads=2, context=4)


@pytest.fixture
def lm() -> EncodecLM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EncodecLM(CONFIG).requires_grad_(False)


def run(lm: EncodecLM, tokens: torch.Tensor) -> tuple[list[torch.Tensor], list[LMState]]:
    state, before, found, states = lm.start(len(tokens)), torch.full_like(tokens[..., 0], -1), [], []
    for frame in tokens.unbind(-1):
        probabilities, state = lm.step(before, state)
        before = frame
        found.append(probabilities)
        states.append(state)
    return found, states


def test_probabilities_of_what_comes_next(lm: EncodecLM) -> None:
    tokens = torch.randint(20, (2, 3, 9), generator=torch.Generator().manual_seed(1))
    found, states = run(lm, tokens)
    for probabilities in found:
        assert probabilities.shape == (2, 20, 3)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 3))
    assert [state.pasts[0].shape[1] for state in states] == [2, 3, 4, 4, 4, 4, 4, 4, 4]
    again, _ = lm.step(tokens[..., 4], states[4])  # a state is a value: it can be gone on from at any time
    assert torch.equal(again, found[5])


def test_what_came_later_or_too_long_ago_does_not_count(lm: EncodecLM) -> None:
    tokens = torch.randint(20, (1, 3, 12), generator=torch.Generator().manual_seed(1))
    other = tokens.clone()
    other[..., 3] = (other[..., 3] + 1) % 20
    pairs = zip(run(lm, tokens)[0], run(lm, other)[0], strict=True)
    changed = [t for t, (a, b) in enumerate(pairs) if not torch.equal(a, b)]
    # The frame is the input of step 4, which 4 more steps see as their past.
    assert changed == [4, 5, 6, 7, 8]


def test_fewer_codebooks_are_the_first_ones(lm: EncodecLM) -> None:
    tokens = torch.randint(20, (1, 3, 4), generator=torch.Generator().manual_seed(1))
    narrow = EncodecLM(replace(CONFIG, codebooks=2))
    narrow.load_state_dict(
        {name: t for name, t in lm.state_dict().items() if not name.startswith(("emb.2", "linears.2"))}
    )
    for wide, found in zip(run(lm, tokens[:, :2])[0], run(narrow, tokens[:, :2])[0], strict=True):
        assert torch.equal(wide, found)


def test_weights_of_the_released_shape_only(tmp_path: Path) -> None:
    with torch.device("meta"):
        names = {name: tensor.shape for name, tensor in EncodecLM(CONFIGS["encodec-24khz"]).state_dict().items()}
    # 5 layers of 200 channels, 32 codebooks of 1024: the tensors that encodec's file has.
    assert names["emb.31.weight"] == (1025, 200) and names["linears.31.bias"] == (1024,)
    assert names["transformer.layers.4.self_attn.in_proj_weight"] == (600, 200)
    assert names["transformer.layers.4.linear1.weight"] == (800, 200) and names["transformer.norm_in.weight"] == (200,)
    path = tmp_path / "lm.th"
    torch.save({name: torch.zeros(shape) for name, shape in names.items()}, path)
    assert load_ecdc_lm(path).config == CONFIGS["encodec-24khz"]
    with pytest.raises(ValueError, match=r"not the language model of encodec-48khz: 'emb\.16\.weight'"):
        load_ecdc_lm(path, "encodec-48khz")
    torch.save({name: torch.zeros(shape) for name, shape in list(names.items())[1:]}, path)
    with pytest.raises(ValueError, match=f"{min(names)!r}|not the language model"):
        load_ecdc_lm(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="not the language model"):
        load_ecdc_lm(path)
    path.write_bytes(b"none")
    with pytest.raises(ValueError, match=r"lm\.th"):
        load_ecdc_lm(path)
    with pytest.raises(ValueError, match="encodec-24khz, encodec-48khz"):
        load_ecdc_lm(path, "dac-44khz")


def test_shapes_that_cannot_be() -> None:
    for changes in ({"layers": 0}, {"dim": 9}, {"dim": 2, "heads": 1}, {"heads": 3}):
        with pytest.raises(ValueError, match=f"{next(iter(changes))} is|dim is"):
            replace(CONFIG, **changes)
