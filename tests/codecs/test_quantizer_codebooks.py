"""EMA codebooks against the library's own, and the defects of the references: gradients, dead codes, k-means."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vector_quantize_pytorch import VectorQuantize

from solfa.codecs.quantizers import QuantizerConfig, build_quantizer
from solfa.codecs.quantizers.codebook import Codebook
from solfa.codecs.quantizers.residual import ResidualQuantizer
from solfa.codecs.quantizers.search import assigned_sums, nearest
from solfa.codecs.quantizers.vector import VectorLevel


def trained(config: QuantizerConfig, width: int = 16, steps: int = 3) -> ResidualQuantizer:
    torch.manual_seed(0)
    quantizer = build_quantizer(config, width).train()
    for _ in range(steps):
        quantizer(torch.randn(4, width, 40))
    return quantizer.eval()


# Search


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32))
def test_nearest_is_the_first_of_the_nearest(count, size, width, seed):
    """Small integers: every distance is exact, so ties are ties, and there are many."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randint(-2, 3, (count, width), generator=generator).float()
    codebook = torch.randint(-2, 3, (size, width), generator=generator).float()
    distances = (vectors[:, None] - codebook).square().sum(2).tolist()
    assert nearest(vectors, codebook).tolist() == [row.index(min(row)) for row in distances]


def test_nearest_agrees_with_the_library_but_for_near_ties():
    torch.manual_seed(0)
    config = QuantizerConfig(codebooks=3, codebook_size=256, kmeans_iters=0)
    quantizer = build_quantizer(config, 16).eval()
    for level, book in enumerate(quantizer.books):
        book.codebook.copy_(torch.randn(256, 16) * 0.7**level)
    latents = torch.randn(8, 16, 1000)
    codes = quantizer.encode(latents).transpose(1, 2)  # [B, T, K]
    residual = latents.transpose(1, 2)
    differing = 0
    for level, book in enumerate(quantizer.books):
        layer = library_layer(config, 16).eval()
        layer.codebook = book.codebook
        theirs = layer(residual)[1]
        ours = codes[..., level]
        rows = residual[ours != theirs]
        gaps = (rows - book.codebook[ours[ours != theirs]]).norm(dim=1) - (
            rows - book.codebook[theirs[ours != theirs]]
        ).norm(dim=1)
        assert gaps.abs().max() < 1e-5 if len(gaps) else True
        differing += len(gaps)
        residual = residual - book.decode(ours[..., None])
    assert differing <= 2, f"{differing} of {codes.numel()} codes differ"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 2**32))
def test_sums_are_those_of_the_one_hot_product(count, size, seed):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, size, (count,), generator=generator)
    vectors = torch.randint(-9, 9, (count, 3), generator=generator).float()
    counts, sums = assigned_sums(vectors, codes, size)
    onehot = F.one_hot(codes, size).float()
    assert torch.equal(counts, onehot.sum(0))
    assert torch.equal(sums, onehot.T @ vectors)


# The moving averages


def library_layer(config: QuantizerConfig, dim: int) -> VectorQuantize:
    return VectorQuantize(
        dim=dim,
        codebook_size=config.codebook_size,
        decay=config.decay,
        eps=config.epsilon,
        kmeans_init=config.kmeans_iters > 0,
        kmeans_iters=config.kmeans_iters,
        use_cosine_sim=config.cosine,
        threshold_ema_dead_code=config.dead_code_threshold,
        commitment_weight=config.commitment,
        rotation_trick=False,
        sync_codebook=False,
        ema_update=config.update == "ema",
        learnable_codebook=config.update == "gradient",
    )


@pytest.mark.parametrize("changes", [{}, {"cosine": True}, {"update": "gradient"}, {"kmeans_iters": 0}])
def test_the_codebook_has_the_tensors_of_the_library_s(changes):
    """Checkpoints hold them by these names; a run that was begun with the library's layer goes on."""
    config = QuantizerConfig(codebooks=1, codebook_size=32, **changes)
    torch.manual_seed(0)
    theirs = library_layer(config, 16)._codebook
    torch.manual_seed(0)
    ours = VectorLevel(config, 16).layer._codebook
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if changes != {"cosine": True}:  # there the maps on both sides have drawn before
        torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("vectors", [20, 300])
def test_k_means_starts_the_codebook_as_the_library_does(cosine, vectors):
    config = QuantizerConfig(codebooks=1, codebook_size=32, cosine=cosine)
    ours, theirs = Codebook(config, 8), library_layer(config, 8)._codebook
    data = torch.randn(vectors, 8, generator=torch.Generator().manual_seed(0))
    data = F.normalize(data, dim=1) if cosine else data
    torch.manual_seed(1)
    ours.start(data)
    torch.manual_seed(1)
    theirs.init_embed_(data[None])
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))
    assert len(ours.embed[0].unique(dim=0)) > 10


@pytest.mark.parametrize("cosine", [False, True])
def test_a_training_step_moves_the_codebook_as_the_library_does(cosine):
    config = QuantizerConfig(codebooks=1, codebook_size=32, cosine=cosine, dim=16, dead_code_threshold=0.0)
    torch.manual_seed(0)
    theirs = library_layer(config, 16).train()
    level = VectorLevel(config, 16).train()
    # Cosine levels have maps on both sides, the library's layer has none.
    level.project_in, level.project_out = torch.nn.Identity(), torch.nn.Identity()
    for step in range(5):
        vectors = torch.randn(3, 50, 16)
        torch.manual_seed(step)
        quantized, codes, loss = theirs(vectors)
        torch.manual_seed(step)
        out = level(vectors)
        assert torch.equal(out.codes[..., 0], codes)
        torch.testing.assert_close(out.quantized, quantized)
        torch.testing.assert_close(out.loss.mean(), loss.squeeze())
        for name in ("embed", "embed_avg", "cluster_size"):
            torch.testing.assert_close(getattr(level.layer._codebook, name), getattr(theirs._codebook, name))


def test_counts_decay_towards_the_vectors_of_a_step():
    quantizer = trained(QuantizerConfig(codebooks=2, codebook_size=8, decay=0.5, dead_code_threshold=0.0), steps=1)
    usage = quantizer.codebook_usage()
    assert usage.shape == (2, 8)
    torch.testing.assert_close(usage.sum(1), torch.full((2,), 160.0))
    quantizer.train()(torch.randn(1, 16, 40))
    torch.testing.assert_close(quantizer.codebook_usage().sum(1), torch.full((2,), 100.0))
    assert build_quantizer(QuantizerConfig("lfq", 2, 8), 16).codebook_usage() is None


# Defects of the reference implementations


def commitment_gradients(config: QuantizerConfig) -> tuple[list[Tensor], list[Tensor]]:
    """Gradient of each level's commitment loss to the latents, and what it must be where nothing is mapped."""
    quantizer = trained(config)
    latents = torch.randn(2, 16, 30, requires_grad=True)
    losses = [quantizer(latents, count).loss for count in range(1, config.codebooks + 1)]
    totals = [torch.autograd.grad(loss, latents)[0] for loss in losses]
    found = [totals[0], *(after - before for before, after in pairwise(totals))]
    codes = quantizer.encode(latents)
    left = [latents - quantizer.decode(codes[:, :count]) for count in range(1, config.codebooks + 1)]
    return found, [2 * config.commitment * rest.detach() / latents.numel() for rest in left]


def test_the_commitment_gradient_of_every_level_reaches_the_encoder():
    found, expected = commitment_gradients(QuantizerConfig(codebooks=4, codebook_size=32))
    for gradient, right in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-8)
        assert gradient.norm() > 1e-3


@pytest.mark.parametrize("changes", [{"dim": 4}, {"cosine": True}, {"update": "gradient"}, {"kind": "simvq"}])
def test_the_commitment_gradient_reaches_the_encoder_through_maps_too(changes):
    found, _ = commitment_gradients(QuantizerConfig(**{"codebooks": 4, "codebook_size": 32, **changes}))
    assert all(gradient.norm() > 1e-5 for gradient in found)


@pytest.mark.parametrize("kind", ["rvq", "product", "simvq"])
def test_the_gradient_of_the_latents_passes_straight_through(kind):
    quantizer = trained(QuantizerConfig(kind, codebooks=4, codebook_size=32))
    latents = torch.randn(2, 16, 30, requires_grad=True)
    weights = torch.randn(2, 16, 30)
    (quantizer(latents).latents * weights).sum().backward()
    assert torch.equal(latents.grad, weights)


def test_the_orthogonal_loss_is_the_library_s():
    from vector_quantize_pytorch.vector_quantize_pytorch import orthogonal_loss_fn

    quantizer = trained(QuantizerConfig(codebooks=2, codebook_size=8, update="gradient", orthogonal=3.0))
    plain = build_quantizer(QuantizerConfig(codebooks=2, codebook_size=8, update="gradient"), 16).eval()
    plain.load_state_dict(quantizer.state_dict())
    latents = torch.randn(2, 16, 30)
    extra = quantizer(latents).loss - plain(latents).loss
    expected = sum(3.0 * orthogonal_loss_fn(book.codebook[None]) for book in quantizer.books)
    torch.testing.assert_close(extra, expected)
    assert torch.autograd.grad(extra, quantizer.books[0].layer._codebook.embed)[0].norm() > 1e-3


def test_residual_fsq_passes_the_gradient_once_not_once_a_level():
    config = QuantizerConfig("residual_fsq", codebooks=3, codebook_size=125, levels=(5, 5, 5))
    quantizer = build_quantizer(config, 3)
    latents = (torch.rand(2, 3, 30) * 0.2 - 0.1).requires_grad_()
    quantizer(latents).latents.sum().backward()
    assert (latents.grad - 1).abs().max() < 0.02  # the soft clamp is almost linear here


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_a_dead_code_is_replaced_and_stays_so(update):
    config = QuantizerConfig(codebooks=1, codebook_size=8, update=update, dead_code_threshold=2.0)
    quantizer = trained(config, width=2, steps=2)
    book = quantizer.books[0].layer._codebook
    far = torch.full((2,), 1000.0)  # far from all vectors: never chosen again
    book.embed.data[0, 3], book.embed_avg[0, 3], book.cluster_size[0, 3] = far, far * 0.5, 0.5
    latents = torch.randn(4, 2, 40)
    quantizer.train()(latents)
    vectors = latents.transpose(1, 2).reshape(-1, 2)
    value = book.embed[0, 3].detach().clone()
    assert (vectors == value).all(1).any()  # it is one of the batch's vectors
    torch.testing.assert_close(book.embed_avg[0, 3] / book.cluster_size[0, 3], value)
    assert book.cluster_size[0, 3] > config.dead_code_threshold
    for _ in range(5):
        quantizer(torch.randn(4, 2, 40))
        assert (book.embed[0, 3] - value).norm() < 1  # the old code never comes back
        assert (book.embed_avg[0, 3] / book.cluster_size[0, 3] - value).norm() < 1
        assert book.cluster_size[0, 3] > config.dead_code_threshold
    assert (quantizer.encode(torch.randn(4, 2, 40)) == 3).any()


def test_small_batches_do_not_replace_every_code():
    """Eight vectors a step for 16 codes: no code reaches a moving count of 2, and yet they are not dead."""
    config = QuantizerConfig(codebooks=1, codebook_size=16, decay=0.99, kmeans_iters=0)
    torch.manual_seed(0)
    quantizer = build_quantizer(config, 4).train()
    centres = torch.randn(16, 4) * 10
    quantizer.books[0].codebook.copy_(centres)
    quantizer.books[0].layer._codebook.embed_avg.copy_(centres)
    for _ in range(50):
        quantizer(centres[torch.randperm(16)[:8]].T[None])
    assert quantizer.codebook_usage().max() < 2
    torch.testing.assert_close(quantizer.books[0].codebook, centres)


def test_threshold_zero_replaces_nothing():
    quantizer = trained(QuantizerConfig(codebooks=1, codebook_size=8, dead_code_threshold=0.0))
    book = quantizer.books[0].layer._codebook
    book.embed[0, 3], book.embed_avg[0, 3], book.cluster_size[0, 3] = 1000.0, 10.0, 0.01
    quantizer.train()(torch.randn(4, 16, 40))
    assert book.embed[0, 3].min() > 900


def test_kmeans_starts_every_level_on_real_residuals_in_the_first_step():
    torch.manual_seed(0)
    centres = torch.randn(8, 16) * 3
    latents = (centres[torch.randint(0, 8, (4, 100))] + torch.randn(4, 100, 16)).transpose(1, 2)
    quantizer = build_quantizer(QuantizerConfig(codebooks=4, codebook_size=32), 16).train()
    quantizer(latents)
    codes = quantizer.eval().encode(latents)
    errors = [latents.square().mean()]
    errors += [(latents - quantizer.decode(codes[:, :count])).square().mean() for count in range(1, 5)]
    for before, after in pairwise(errors):
        assert after < 0.85 * before
    assert all(len(level.unique()) > 24 for level in codes.transpose(0, 1))


def test_the_kmeans_start_survives_the_next_step():
    torch.manual_seed(0)
    quantizer = build_quantizer(QuantizerConfig(codebooks=1, codebook_size=16), 16).train()
    latents = torch.randn(4, 16, 100)
    quantizer(latents)
    first = quantizer.books[0].codebook.clone()
    quantizer(latents)
    assert (quantizer.books[0].codebook - first).norm() < 0.05 * first.norm()


def test_one_bad_batch_does_not_destroy_the_codebooks():
    quantizer = trained(QuantizerConfig(codebooks=2, codebook_size=8)).train()
    before = {key: value.clone() for key, value in quantizer.state_dict().items()}
    out = quantizer(torch.full((1, 16, 10), torch.nan))
    assert out.loss.isnan()
    assert all(torch.equal(value, before[key]) for key, value in quantizer.state_dict().items())
    with pytest.raises(ValueError, match="k-means needs finite values"):
        build_quantizer(QuantizerConfig(codebooks=2, codebook_size=8), 16)(torch.full((1, 16, 10), torch.nan))


# Beyond one process

WORKER = """
import sys, torch, torch.distributed as dist
from solfa.codecs.quantizers import QuantizerConfig, build_quantizer
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
torch.manual_seed(rank)
config = QuantizerConfig(codebooks=2, codebook_size=8, decay=0.5, dead_code_threshold=50.0)
quantizer = build_quantizer(config, 4).train()
for _ in range(4):
    quantizer(torch.randn(2, 4, 30) + 3 * rank)
from safetensors.torch import save_file
save_file(quantizer.state_dict(), f"{folder}/{rank}.safetensors")
dist.destroy_process_group()
"""


def test_two_processes_keep_one_codebook(tmp_path):
    from safetensors.torch import load_file

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER]
    workers = [subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment) for rank in range(2)]
    assert [worker.wait(300) for worker in workers] == [0, 0]
    one, two = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    # The vectors of both processes are in it: half of them lie far from the other half.
    codes = one["books.0.layer._codebook.embed"][0].mean(1)
    assert (codes > 2).any()
    assert (codes < 1).any()


def test_conscience_evens_out_the_use_of_codes() -> None:
    """Nine vectors of ten come from a narrow cluster: without it most codes go to the tenth, with it use is more even."""
    perplexities = []
    for conscience in (0.0, 0.5):
        torch.manual_seed(0)
        quantizer = build_quantizer(
            QuantizerConfig(codebooks=1, codebook_size=32, decay=0.9, dead_code_threshold=0.0, conscience=conscience), 2
        )
        for _ in range(150):
            wide = torch.rand(1, 400, 1) < 0.1
            quantizer(torch.where(wide, torch.randn(1, 400, 2) * 4, torch.randn(1, 400, 2) * 0.2).transpose(1, 2))
        quantizer.eval()
        wide = torch.rand(1, 8000, 1) < 0.1
        codes = quantizer.encode(
            torch.where(wide, torch.randn(1, 8000, 2) * 4, torch.randn(1, 8000, 2) * 0.2).transpose(1, 2)
        )
        share = torch.bincount(codes.flatten(), minlength=32) / codes.numel()
        perplexities.append(float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum())))
    assert perplexities[1] > 1.3 * perplexities[0]
