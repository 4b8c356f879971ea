"""Gradients in the place of values: the same bits, and never over what somebody still reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.ops import donation
from models.ops.add_norm import add_norm
from models.ops.attention import attention_absorbed, attention_packed
from models.ops.attention_backward_kernels import KEYS
from models.ops.linear import linear
from models.ops.norm_linear import norm_linear
from models.ops.post_mixer import Weights, post_mixer
from models.ops.selective_scan import selective_scan
from tests.models.ops.test_post_mixer_training import made

told = pytest.mark.skipif(
    donation._keeps_graph is None, reason="PyTorch before 2.5 does not tell of retained graphs"
)


def attend(lengths: list[int], *, causal: bool, donated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A leaf, what attention reads of it, and attention's result."""
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    make = torch.Generator().manual_seed(4)
    leaf = torch.randn(int(offsets[-1]) + 3, 3 * 64, generator=make, requires_grad=True)
    qkv = leaf * 1.5
    out = attention_packed(qkv, offsets, num_heads=2, causal=causal, donated=donated)
    return leaf, qkv, out


def mix(*, donated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A leaf, the sum behind a layer and its normed form."""
    mixed, residual, *weights = made(100, (64, 64, 128))
    total, normed = post_mixer(
        mixed, residual, Weights(*weights), eps=(1e-8, 1e-8), activation="relu",
        post_norm=False, donated=donated,
    )  # fmt: skip
    return residual, total, normed


def scan(*, donated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A leaf, the step sizes made of it and the scan's result; the last row is no sequence's."""
    make = torch.Generator().manual_seed(5)
    leaf = torch.randn(40, 24, generator=make, requires_grad=True)
    delta = leaf * 0.5
    u, B, C = (torch.randn(40, width, generator=make) for width in (24, 4, 4))
    A = -torch.rand(24, 4, generator=make)
    y = selective_scan(
        u, delta, A, B, C, torch.ones(24), offsets=torch.tensor([0, 30, 39]), donated=donated
    )
    assert isinstance(y, Tensor)
    return leaf, delta, y


def absorb(*, donated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A leaf, the rows made of it and what the last one of each sequence sees; one is empty, one
    has no query, and two rows are no sequence's."""
    make = torch.Generator().manual_seed(8)
    leaf = torch.randn(62, 64, generator=make, requires_grad=True)
    rows, offsets = leaf * 0.5, torch.tensor([0, 20, 27, 60])
    query, weight = (torch.randn(size, 64, generator=make) for size in (2, 128))
    mixed = attention_absorbed(
        query, rows, weight, torch.zeros(128), torch.tensor([0, 1, 1, 2]), offsets,
        num_heads=2, donated=donated,
    )  # fmt: skip
    return leaf, rows, mixed


def project(*, donated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A leaf, rows of whole tiles made of it and a linear layer's result."""
    make = torch.Generator().manual_seed(9)
    leaf = torch.randn(300, 64, generator=make, requires_grad=True)
    x = leaf * 0.5
    weight = torch.randn(192, 64, generator=make, requires_grad=True)
    return leaf, x, linear(x, weight, torch.zeros(192), donated=donated)


def norm(*, donated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A leaf, its sum with another tensor and both normed."""
    make = torch.Generator().manual_seed(10)
    leaf = torch.randn(70, 64, generator=make, requires_grad=True)
    total, normed = add_norm(
        torch.ones(70, 64), leaf, torch.ones(64), torch.zeros(64), eps=1e-8, donated=donated
    )
    return leaf, total, normed


def norm_and_project(*, donated: bool) -> tuple[Tensor, Tensor, Tensor]:
    """A leaf, its sum (itself where nothing is dropped), and a layer's result of both normed."""
    make = torch.Generator().manual_seed(12)
    leaf = torch.randn(300, 64, generator=make, requires_grad=True)
    weight = torch.randn(192, 64, generator=make, requires_grad=True)
    ones, zeros = torch.ones(64), torch.zeros(192)
    total, y = norm_linear(leaf * 0.5, ones, zeros[:64], weight, zeros, eps=1e-8, in_place=donated)
    return leaf, total, y


def gradient(leaf: Tensor, result: Tensor, **how: Any) -> Tensor:
    (found,) = torch.autograd.grad(result.sin().sum(), leaf, **how)
    return found


@told
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "lengths",
    [[1, 7, 0, 50], [KEYS, 65, 3], [KEYS + 1, 5], [3, 3 * KEYS + 17, 0, 200], [1, 1, 0, 1]],
)
def test_attentions_gradient_has_the_same_bits(lengths: list[int], causal: bool) -> None:
    found = []
    for donated in (True, False):
        leaf, qkv, out = attend(lengths, causal=causal, donated=donated)
        before = qkv.detach().clone()
        found.append(gradient(leaf, out))
        assert torch.equal(qkv, before) != donated
    assert torch.equal(*found)


@told
@pytest.mark.parametrize("make", [mix, scan, absorb, project, norm, norm_and_project])
def test_the_gradient_has_the_same_bits(make: Callable[..., Any]) -> None:
    found = []
    for donated in (True, False):
        leaf, value, result = make(donated=donated)
        before = value.detach().clone()
        found.append(gradient(leaf, result))
        assert torch.equal(value, before) != donated
    assert torch.equal(*found)


@told
@pytest.mark.parametrize(
    "make",
    [
        lambda **how: attend([9, 30], causal=True, **how),
        mix,
        scan,
        absorb,
        project,
        norm,
        norm_and_project,
    ],
    ids=["attention", "pass", "scan", "absorbed", "linear", "add_norm", "norm_linear"],
)
class TestOthers:
    def test_a_retained_graph_keeps_the_value(self, make: Callable[..., Any]) -> None:
        leaf, value, result = make(donated=True)
        before = value.detach().clone()
        first = gradient(leaf, result, retain_graph=True)
        assert torch.equal(value, before)
        assert torch.equal(gradient(leaf, result), first)
        assert not torch.equal(value, before)

    def test_who_kept_it_too_is_told(self, make: Callable[..., Any]) -> None:
        leaf, value, result = make(donated=True)
        factor = torch.ones((), requires_grad=True)
        other = value.detach() * factor  # its backward pass reads the value
        gradient(leaf, result)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            other.sum().backward()


@told
def test_inside_of_a_model_a_gradient_takes_the_place_of_another() -> None:
    found = []
    for inside in (True, False):
        mixed, residual, *weights = made(100, (64, 64, 128))
        _, normed = post_mixer(
            mixed, residual, Weights(*weights), eps=(1e-8, 1e-8), activation="relu",
            post_norm=False, inside=inside,
        )  # fmt: skip
        arriving = torch.randn(100, 64, generator=torch.Generator().manual_seed(11))
        before = arriving.clone()
        found.append(torch.autograd.grad(normed, [mixed, residual, *weights], arriving))
        assert torch.equal(arriving, before) != inside
        assert (found[-1][0].data_ptr() == arriving.data_ptr()) == inside
    for mine, other in zip(*found, strict=True):
        assert torch.equal(mine, other)


def test_what_is_not_laid_out_as_its_gradient_stays() -> None:
    """Queries, keys and values in columns, and step sizes in bfloat16."""
    make = torch.Generator().manual_seed(6)
    columns = torch.randn(3 * 64, 40, generator=make, requires_grad=True)
    half = torch.randn(40, 24, generator=make).bfloat16().requires_grad_()
    ones, offsets = torch.ones(40, 24), torch.tensor([0, 30, 40])
    found = []
    for donated in (True, False):
        qkv, delta = columns.mT * 1.5, half * 0.5
        assert not qkv.is_contiguous()
        before = qkv.detach().clone(), delta.detach().clone()
        out = attention_packed(qkv, offsets, num_heads=2, causal=True, donated=donated)
        y = selective_scan(
            ones, delta, -torch.ones(24, 4), ones[:, :4], ones[:, :4], torch.ones(24),
            offsets=offsets, donated=donated,
        )  # fmt: skip
        assert isinstance(y, Tensor)
        found.append((gradient(columns, out), gradient(half, y)))
        assert torch.equal(qkv, before[0])
        assert torch.equal(delta, before[1])
    for mine, other in zip(*found, strict=True):
        assert torch.equal(mine, other)


def test_rows_that_stay_a_distance_apart_stay() -> None:
    """A linear layer's input, and what one query of each sequence sees."""
    make = torch.Generator().manual_seed(13)
    leaf = torch.randn(60, 100, generator=make, requires_grad=True)
    weight, query = torch.randn(128, 64, generator=make), torch.randn(2, 64, generator=make)
    found = []
    for donated in (True, False):
        wides = leaf * 0.5, leaf * 0.5
        before = wides[0].detach().clone()
        y = linear(wides[0][:, :64], weight, donated=donated)
        mixed = attention_absorbed(
            query, wides[1][:, 20:84], weight, torch.zeros(128), torch.tensor([0, 1, 2]),
            torch.tensor([0, 30, 60]), num_heads=2, donated=donated,
        )  # fmt: skip
        found.append((gradient(leaf, y), gradient(leaf, mixed)))
        assert all(torch.equal(wide, before) for wide in wides)
    for mine, other in zip(*found, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("trained", [True, False])
def test_a_leaf_stays(trained: bool) -> None:
    """A tensor of the caller's own, whether its gradient is wanted or only those of weights."""
    make = torch.Generator().manual_seed(14)
    rows = torch.randn(60, 64, generator=make, requires_grad=trained)
    weight = torch.randn(128, 64, generator=make, requires_grad=True)
    query = torch.randn(2, 64, generator=make, requires_grad=True)
    before = rows.detach().clone()
    linear(rows, weight, donated=True).sum().backward()
    attention_absorbed(
        query, rows, weight, torch.zeros(128), torch.tensor([0, 1, 2]), torch.tensor([0, 30, 60]),
        num_heads=2, donated=True,
    ).sum().backward()  # fmt: skip
    assert torch.equal(rows, before)


def test_where_pytorch_does_not_tell_of_retained_graphs_the_value_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(donation, "_keeps_graph", None)
    leaf, value, result = scan(donated=True)
    before = value.detach().clone()
    gradient(leaf, result)
    assert torch.equal(value, before)
