"""What holds for every kind of quantizer: the same codes by every path, dropout, bookkeeping, clear errors."""

import copy
import inspect

import pytest
import torch
import vector_quantize_pytorch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.codecs.quantizers import KIND_FIELDS, Quantizer, QuantizerConfig, build_quantizer

SMALL = {"codebooks": 4, "codebook_size": 32}
CONFIGS = {
    "rvq": QuantizerConfig(**SMALL),
    "gradient": QuantizerConfig(**SMALL, update="gradient"),
    "orthogonal": QuantizerConfig(**SMALL, update="gradient", orthogonal=1.0),
    "cosine": QuantizerConfig(**SMALL, cosine=True, dim=8),
    "low_dimensional": QuantizerConfig(**SMALL, dim=3),
    "heads": QuantizerConfig(**SMALL, heads=2),
    "cosine_heads": QuantizerConfig(**SMALL, heads=2, cosine=True, dim=5),
    "product": QuantizerConfig("product", **SMALL),
    "grouped": QuantizerConfig("grouped", **SMALL, groups=2),
    "grouped_heads": QuantizerConfig("grouped", codebooks=8, codebook_size=16, groups=2, heads=2),
    "factorized": QuantizerConfig("factorized", **SMALL, dim=6),
    "simvq": QuantizerConfig("simvq", **SMALL, dim=6),
    "random_projection": QuantizerConfig("random_projection", **SMALL, dim=8),
    "fsq": QuantizerConfig("fsq", codebooks=2, codebook_size=60, levels=(5, 4, 3)),
    "residual_fsq": QuantizerConfig("residual_fsq", codebooks=3, codebook_size=60, levels=(5, 4, 3)),
    "lfq": QuantizerConfig("lfq", **SMALL),
}
RESIDUAL = [name for name, config in CONFIGS.items() if config.step < config.codebooks]
WIDTH = 16


def make(config: QuantizerConfig) -> tuple[Quantizer, Tensor]:
    """A quantizer that has seen three training batches, in eval mode, and latents [4, WIDTH, 40]."""
    torch.manual_seed(0)
    quantizer = build_quantizer(config, WIDTH).train()
    for _ in range(3):
        quantizer(torch.randn(4, WIDTH, 40))
    return quantizer.eval(), torch.randn(4, WIDTH, 40)


def test_every_kind_is_here():
    assert {config.kind for config in CONFIGS.values()} == set(KIND_FIELDS)


@pytest.mark.parametrize("name", CONFIGS)
def test_decoded_codes_are_the_latents_of_forward(name):
    quantizer, latents = make(CONFIGS[name])
    out = quantizer(latents)
    codes = quantizer.encode(latents)
    assert codes.shape == (4, quantizer.codebooks, 40)
    assert codes.dtype == torch.int64
    assert torch.equal(codes, out.codes)
    assert torch.equal(quantizer.decode(codes), out.latents)
    assert out.active.tolist() == [quantizer.codebooks] * 4


@pytest.mark.parametrize("name", ["fsq", "residual_fsq", "lfq"])
def test_training_sees_exactly_what_is_decoded(name):
    quantizer, latents = make(CONFIGS[name])
    for scale in (1e-4, 0.01, 1.0, 100.0):
        out = quantizer.train()(latents * scale)
        assert torch.equal(out.latents, quantizer.decode(out.codes))


@pytest.mark.parametrize("name", RESIDUAL)
def test_fewer_codebooks_are_a_prefix(name):
    quantizer, latents = make(CONFIGS[name])
    codes = quantizer.encode(latents)
    for count in range(quantizer.step, quantizer.codebooks + 1, quantizer.step):
        assert torch.equal(quantizer.encode(latents, count), codes[:, :count])
        out = quantizer(latents, count)
        assert torch.equal(out.latents, quantizer.decode(codes[:, :count]))


@pytest.mark.parametrize("name", RESIDUAL)
def test_each_item_has_its_own_number_of_codebooks(name):
    quantizer, latents = make(CONFIGS[name])
    step, most = quantizer.step, quantizer.codebooks
    counts = torch.tensor([step, most, step, most])
    out = quantizer.train()(latents, counts)
    assert torch.equal(out.active, counts)
    quantizer, latents = make(CONFIGS[name])  # again: training has moved the codebooks
    out = quantizer(latents, counts)
    for item, count in enumerate(counts.tolist()):
        alone = quantizer(latents[item : item + 1], count)
        assert torch.equal(out.latents[item], quantizer.decode(out.codes[item : item + 1, :count])[0])
        torch.testing.assert_close(out.latents[item : item + 1], alone.latents)
    losses = torch.stack([quantizer(latents[i : i + 1], n).loss for i, n in enumerate(counts.tolist())])
    torch.testing.assert_close(out.loss, losses.mean())  # dropped codebooks of an item add no loss
    if quantizer.config.kind != "residual_fsq":
        assert quantizer(latents, step).loss < out.loss < quantizer(latents).loss


@pytest.mark.parametrize("name", RESIDUAL)
def test_dropout_draws_every_legal_number_in_training_only(name):
    config = CONFIGS[name]
    quantizer = build_quantizer(QuantizerConfig(**{**vars(config), "dropout": 0.5}), WIDTH)
    torch.manual_seed(0)
    drawn = torch.cat([quantizer._active(50, None) for _ in range(40)])
    counts = torch.bincount(drawn, minlength=config.codebooks + 1)
    legal = list(range(config.step, config.codebooks + 1, config.step))
    assert counts.nonzero()[:, 0].tolist() == legal
    # All of those not drawn, and 1 of len(legal) of those drawn, play every codebook: 2000 draws, five sigmas.
    share = 0.5 + 0.5 / len(legal)
    assert abs(int(counts[-1]) - 2000 * share) < 5 * (2000 * share * (1 - share)) ** 0.5
    assert quantizer.eval()._active(50, None).eq(config.codebooks).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_encode_changes_nothing_even_in_training(name):
    quantizer, latents = make(CONFIGS[name])
    codes = quantizer.encode(latents)
    before = {key: value.clone() for key, value in quantizer.state_dict().items()}
    random_state = torch.get_rng_state()
    assert torch.equal(quantizer.train().encode(latents), codes)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[key]) for key, value in quantizer.state_dict().items())


@pytest.mark.parametrize("name", CONFIGS)
def test_runs_in_float32_under_autocast(name):
    quantizer, latents = make(CONFIGS[name])
    coarse = latents.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out, codes = quantizer(coarse), quantizer.encode(coarse)
        decoded = quantizer.decode(codes)
    reference = quantizer(coarse.float())
    assert torch.equal(out.codes, reference.codes)
    assert torch.equal(codes, reference.codes)
    assert torch.equal(out.latents, reference.latents)
    assert torch.equal(decoded, reference.latents)
    assert torch.equal(out.loss, reference.loss)


@pytest.mark.parametrize("name", CONFIGS)
def test_training_resumes_bit_exactly(name):
    def steps(quantizer: Quantizer, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            latents = torch.randn(2, WIDTH, 20, generator=torch.Generator().manual_seed(step))
            out = quantizer(latents)
            optimizer.zero_grad()
            (out.loss + (out.latents - latents).square().mean() + latents.new_zeros((), requires_grad=True)).backward()
            optimizer.step()

    def fresh() -> tuple[Quantizer, torch.optim.Optimizer]:
        quantizer = build_quantizer(config, WIDTH)
        spare = torch.nn.Parameter(torch.zeros(()))  # kinds without weights of their own
        return quantizer, torch.optim.Adam([*quantizer.parameters(), spare], lr=1e-2)

    config = CONFIGS[name]
    torch.manual_seed(0)
    straight, optimizer = fresh()
    steps(straight, optimizer, 0, 4)
    kept = {key: value.clone() for key, value in straight.state_dict().items()}, torch.get_rng_state()
    moments = copy.deepcopy(optimizer.state_dict())
    resumed, second = fresh()
    resumed.load_state_dict(kept[0])
    second.load_state_dict(moments)
    torch.set_rng_state(kept[1])
    steps(straight, optimizer, 4, 8)
    torch.set_rng_state(kept[1])
    steps(resumed, second, 4, 8)
    assert all(torch.equal(value, straight.state_dict()[key]) for key, value in resumed.state_dict().items())


@st.composite
def layouts(draw) -> tuple[QuantizerConfig, int]:
    kind = draw(st.sampled_from(sorted(KIND_FIELDS)))
    heads = draw(st.sampled_from([1, 2, 3])) if kind in ("rvq", "product", "grouped") else 1
    groups = draw(st.integers(2, 3)) if kind == "grouped" else 1
    codebooks = draw(st.integers(1, 3)) * heads * groups
    bits = draw(st.integers(1, 5))
    levels = tuple(draw(st.lists(st.integers(3, 6), min_size=1, max_size=3))) if kind.endswith("fsq") else ()
    size = int(torch.tensor(levels).prod()) if levels else (2**bits if kind == "lfq" else bits + 1)
    config = QuantizerConfig(kind, codebooks, size, heads=heads, groups=groups, levels=levels)
    return config, (codebooks if kind == "product" else heads * groups) * draw(st.integers(1, 3)) * heads


@settings(max_examples=60, deadline=None)
@given(layouts(), st.integers(1, 3), st.integers(0, 7), st.data())
def test_any_layout_keeps_its_books(layout, batch, frames, data):
    config, width = layout
    quantizer = build_quantizer(config, width).eval()
    latents = torch.randn(batch, width, frames)
    assert quantizer.codebooks == config.codebooks
    assert quantizer.codebooks % quantizer.step == 0
    count = quantizer.step * data.draw(st.integers(1, quantizer.codebooks // quantizer.step))
    codes = quantizer.encode(latents, count)
    assert codes.shape == (batch, count, frames)
    assert frames == 0 or (codes.min() >= 0 and codes.max() < config.codebook_size)
    assert quantizer.decode(codes).shape == latents.shape
    illegal = data.draw(st.integers(-2, quantizer.codebooks + 3))
    if illegal % quantizer.step or not 1 <= illegal <= quantizer.codebooks:
        with pytest.raises(ValueError, match=f"{illegal} codebooks: must be"):
            quantizer.encode(latents, illegal)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "vq"}, "'vq': must be one of rvq, product"),
        ({"codebooks": 0}, "codebooks=0: must be 1 to"),
        ({"codebook_size": 1}, "codebook_size=1: must be 2 to"),
        ({"dropout": 1.5}, "dropout=1.5: must be 0.0 to 1.0"),
        ({"decay": -0.1}, "decay=-0.1"),
        ({"epsilon": 0.0}, "epsilon=0.0: must be above 0"),
        ({"update": "adam"}, "'adam': must be one of ema, gradient"),
        ({"groups": 2}, "groups=2 does nothing for kind 'rvq'.*grouped"),
        ({"levels": (5, 5)}, "levels=.*does nothing for kind 'rvq'.*fsq or residual_fsq"),
        ({"kind": "simvq", "cosine": True}, "cosine=True does nothing for kind 'simvq'"),
        ({"kind": "product", "dropout": 0.5}, "dropout=0.5 does nothing for kind 'product'"),
        ({"kind": "grouped"}, "groups=1: kind 'grouped' needs 2 or more"),
        ({"codebooks": 5, "heads": 2}, "codebooks=5: must be a multiple of 2"),
        ({"kind": "product", "codebooks": 5, "heads": 2}, "codebooks=5: must be a multiple of heads=2"),
        ({"orthogonal": 1.0}, "orthogonal=1.0: needs update='gradient'"),
        ({"cosine": True, "update": "gradient"}, "cosine=True: needs update='ema'"),
        ({"kind": "lfq", "codebook_size": 1000}, "codebook_size=1000: kind 'lfq' needs a power of two"),
        ({"kind": "fsq"}, "levels=.*: kind 'fsq' needs numbers of 3 or more"),
        ({"kind": "fsq", "levels": (4, 2)}, "levels=.*needs numbers of 3 or more"),
        ({"kind": "fsq", "levels": (8, 5)}, r"codebook_size=1024: levels \(8, 5\) make 40"),
    ],
)
def test_a_bad_configuration_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        QuantizerConfig(**changes)


def test_bad_calls_are_named():
    quantizer, latents = make(CONFIGS["rvq"])
    for call, words in (
        (lambda: quantizer(latents[:, :3]), r"\[4, 3, 40\]: must be \[B, 16, T\]"),
        (lambda: quantizer.encode(latents[0]), r"must be \[B, 16, T\]"),
        (lambda: quantizer(latents, 5), "5 codebooks: must be 1 or 2 or 3 or 4"),
        (lambda: quantizer(latents, torch.tensor([1, 2, 3, 0])), "0 codebooks"),
        (lambda: quantizer(latents, torch.tensor([1, 2])), r"shape \[2\]: must be integers \[4\]"),
        (lambda: quantizer.decode(torch.zeros(1, 5, 2, dtype=torch.int64)), "5 codebooks"),
        (lambda: quantizer.decode(torch.full((1, 4, 2), 32)), "codes 32 to 32: must be 0 to 31"),
        (lambda: quantizer.decode(torch.full((1, 4, 2), -1)), "codes -1 to -1: must be 0 to 31"),
        (lambda: quantizer.decode(torch.zeros(1, 4, 2)), "must be integers"),
        (lambda: build_quantizer(CONFIGS["grouped"], 7), "2 groups: must divide the 7 channels"),
        (lambda: build_quantizer(CONFIGS["heads"], 7), "heads=2: must divide the 7 channels"),
        (lambda: build_quantizer(CONFIGS["rvq"], 0), "input_dim=0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("name", ["SimVQ", "RandomProjectionQuantizer", "FSQ", "ResidualFSQ", "LFQ"])
def test_no_default_of_the_library_is_relied_on(name, monkeypatch):
    """Its defaults change between versions: each is passed by name (FSQ's dtypes, numbers of torch's, aside)."""
    library = getattr(vector_quantize_pytorch, name)
    passed: list[set[str]] = []
    original = library.__init__

    def record(self, *args, **kwargs):
        if type(self) is library:
            passed.append(set(kwargs))
        original(self, *args, **kwargs)

    expected = set(inspect.signature(original).parameters) - {"self", "kwargs", "allowed_dtypes"}
    if name == "ResidualFSQ":  # the settings of dropout, which is off
        expected -= {"quantize_dropout_cutoff_index", "quantize_dropout_multiple_of"}
    monkeypatch.setattr(library, "__init__", record)
    for config in CONFIGS.values():
        build_quantizer(config, WIDTH)
    assert passed
    outer = [keys for keys in passed if "_codebook" not in keys]
    assert any(expected <= keys for keys in outer), expected - set.union(*outer)
