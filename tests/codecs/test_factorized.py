"""DAC's factorised residual VQ against transformers' own: codes, sums, losses and every gradient on the same weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parametrize
from transformers import DacConfig
from transformers.models.dac.modeling_dac import DacResidualVectorQuantizer

from solfa.codecs.quantizers import Quantizer, QuantizerConfig, build_quantizer
from solfa.codecs.quantizers.search import nearest

LEVELS, SIZE, DIM, WIDTH, FRAMES = 4, 32, 3, 16, 50


def pair(dropout: float = 0.0) -> tuple[Quantizer, DacResidualVectorQuantizer]:
    """Ours and theirs with the same random weights, biases too; ours without weight norm, which theirs has not."""
    torch.manual_seed(0)
    shape = {"n_codebooks": LEVELS, "codebook_size": SIZE, "codebook_dim": DIM}
    config = DacConfig(encoder_hidden_size=1, downsampling_ratios=[2] * 4, quantizer_dropout=dropout, **shape)
    theirs = DacResidualVectorQuantizer(config)
    ours = build_quantizer(QuantizerConfig("factorized", LEVELS, SIZE, dim=DIM), WIDTH)
    for part in ours.modules():
        if parametrize.is_parametrized(part):
            parametrize.remove_parametrizations(part, "weight")
    ours.load_state_dict({k.replace("quantizers.", "books."): v for k, v in theirs.state_dict().items()})
    return ours, theirs


def latents(batch: int = 3) -> Tensor:
    return 2 * torch.randn(batch, WIDTH, FRAMES, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("count", range(1, LEVELS + 1))
def test_codes_and_latents_are_those_of_transformers(count):
    ours, theirs = (part.eval() for part in pair())
    with torch.no_grad():
        total, codes, *_ = theirs(latents(), count)
        assert torch.equal(ours.encode(latents(), count), codes)
        torch.testing.assert_close(ours.decode(codes), theirs.from_codes(codes)[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(ours(latents(), count).latents, total, rtol=0, atol=1e-5)


def test_losses_and_all_gradients_are_those_of_transformers():
    ours, theirs = (part.train() for part in pair())
    mine, other = latents().requires_grad_(), latents().requires_grad_()
    total, codes, _, commitment, codebook = theirs(other)
    out = ours(mine)
    weight = torch.randn(total.shape)
    assert torch.equal(out.codes, codes)
    torch.testing.assert_close(out.loss, (0.25 * commitment + codebook).mean())
    ((out.latents * weight).mean() + out.loss).backward()
    ((total * weight).mean() + (0.25 * commitment + codebook).mean()).backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6)
    theirs_by_name = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        wanted = theirs_by_name[name.replace("books.", "quantizers.")].grad
        assert wanted.abs().sum() > 0, name
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6, msg=name)


def test_levels_that_an_item_does_not_play_add_neither_signal_nor_loss():
    """The signal and its gradient are those of transformers. The losses are DAC's: each item's own, where transformers takes the
    mean of the batch first."""
    ours, theirs = (part.train() for part in pair(dropout=1.0))
    torch.manual_seed(0)
    played = torch.randint(1, LEVELS + 1, (3,))
    assert played.unique().numel() > 1
    mine, other = latents().requires_grad_(), latents().requires_grad_()
    torch.manual_seed(0)
    total = theirs(other)[0]  # draws the same numbers
    out = ours(mine, played)
    torch.testing.assert_close(out.latents, total, rtol=0, atol=1e-5)
    weight = torch.randn(total.shape)
    (grad,) = torch.autograd.grad((out.latents * weight).sum(), mine, retain_graph=True)
    torch.testing.assert_close(grad, torch.autograd.grad((total * weight).sum(), other)[0], rtol=1e-4, atol=1e-6)
    items = [ours(latents()[i : i + 1], int(n)) for i, n in enumerate(played)]
    torch.testing.assert_close(out.loss, torch.stack([item.loss for item in items]).mean())
    (grad,) = torch.autograd.grad(out.loss, ours.books[-1].codebook.weight)
    full = [i for i, n in enumerate(played) if n == LEVELS]
    assert grad.abs().sum(1).nonzero()[:, 0].tolist() == out.codes[full, -1].unique().tolist()


def test_the_search_is_by_angle_and_the_code_keeps_its_length():
    ours, _ = pair()
    book = ours.books[0]
    with torch.no_grad():
        book.codebook.weight.mul_(torch.linspace(0.1, 9.0, SIZE)[:, None])
        inner = F.conv1d(latents(), book.in_proj.weight, book.in_proj.bias)
        cosine = F.cosine_similarity(inner[:, None], book.codebook.weight[None, :, :, None], dim=2)  # [B, N, T]
        codes = ours.encode(latents(), 1)[:, 0]
        assert torch.equal(codes, cosine.argmax(1))
        euclidean = nearest(inner.transpose(1, 2).flatten(0, 1), book.codebook.weight).view(codes.shape)
        assert not torch.equal(codes, euclidean)
        picked = book.codebook.weight[codes].transpose(1, 2)
        expected = F.conv1d(picked, book.out_proj.weight, book.out_proj.bias)
        torch.testing.assert_close(ours.decode(codes[:, None]), expected)


def test_every_level_pulls_at_the_encoder_and_at_its_codebook():
    """EnCodec's own code loses the commitment of all levels but the first. A code that no vector chose stays."""
    torch.manual_seed(0)
    quantizer = build_quantizer(QuantizerConfig("factorized", LEVELS, SIZE, dim=DIM), WIDTH).train()
    for level in range(LEVELS):
        x = latents().requires_grad_()
        residual = x.transpose(1, 2)
        for book in quantizer.books[:level]:
            residual = residual - book(residual).quantized
        out = quantizer.books[level](residual)
        (pull,) = torch.autograd.grad(out.loss.sum(), x, retain_graph=True)
        assert pull.norm() > 1e-4
        (moved,) = torch.autograd.grad(out.loss.sum(), quantizer.books[level].codebook.weight)
        assert moved.abs().sum(1).nonzero()[:, 0].tolist() == out.codes.unique().tolist()


def test_only_the_projections_are_weight_normed():
    torch.manual_seed(0)
    quantizer = build_quantizer(QuantizerConfig("factorized", LEVELS, SIZE, dim=DIM), WIDTH).eval()
    names = {name.split(".", 2)[2] for name, _ in quantizer.named_parameters()}
    ends = ("bias", "parametrizations.weight.original0", "parametrizations.weight.original1")
    assert names == {f"{part}.{end}" for part in ("in_proj", "out_proj") for end in ends} | {"codebook.weight"}
    assert abs(quantizer.books[0].codebook.weight.std() - 1) < 0.2


def test_the_first_of_equal_codes_wins_and_silence_has_a_code():
    ours, _ = pair()
    with torch.no_grad():
        ours.books[0].codebook.weight[20:] = ours.books[0].codebook.weight[:12].clone()
        ours.books[0].in_proj.bias.zero_()
        assert ours.encode(latents(), 1).max() < 20
        zero = ours.encode(torch.zeros(1, WIDTH, 5), 1)
        assert torch.equal(ours.encode(latents() * 2.0**-30, 1), ours.encode(latents(), 1))  # by angle, however faint
    assert zero.unique().numel() == 1


@pytest.mark.parametrize("field", ["cosine", "update", "heads", "kmeans_iters", "groups"])
def test_settings_of_other_kinds_are_refused(field):
    value = {"cosine": True, "update": "gradient", "heads": 2, "kmeans_iters": 0, "groups": 2}[field]
    with pytest.raises(ValueError, match=f"{field}=.*does nothing for kind 'factorized'"):
        QuantizerConfig("factorized", **{field: value})
