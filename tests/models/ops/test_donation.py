"""Gradients in the place of values: the same bits, and never over what somebody still reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.ops import donation
from models.ops.attention import attention_packed
from models.ops.attention_backward_kernels import KEYS
from models.ops.post_mixer import Weights, post_mixer
from models.ops.rows import cleared
from models.ops.selective_scan import selective_scan
from tests.models.ops.test_post_mixer_training import made

pytestmark = pytest.mark.skipif(
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


def gradient(leaf: Tensor, result: Tensor, **how: Any) -> Tensor:
    (found,) = torch.autograd.grad(result.sin().sum(), leaf, **how)
    return found


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "lengths", [[1, 7, 0, 50], [KEYS, 65, 3], [KEYS + 1, 5], [3, 3 * KEYS + 17, 0, 200]]
)
def test_attentions_gradient_has_the_same_bits(lengths: list[int], causal: bool) -> None:
    found = []
    for donated in (True, False):
        leaf, qkv, out = attend(lengths, causal=causal, donated=donated)
        before = qkv.detach().clone()
        found.append(gradient(leaf, out))
        assert torch.equal(qkv, before) != donated
    assert torch.equal(*found)


@pytest.mark.parametrize("make", [mix, scan])
def test_the_gradient_has_the_same_bits(make: Callable[..., Any]) -> None:
    found = []
    for donated in (True, False):
        leaf, value, result = make(donated=donated)
        before = value.detach().clone()
        found.append(gradient(leaf, result))
        assert torch.equal(value, before) != donated
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "make",
    [lambda **how: attend([9, 30], causal=True, **how), mix, scan],
    ids=["attention", "pass", "scan"],
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


@pytest.mark.parametrize(
    ("rows", "free"),
    [
        ([(0, 2), (2, 3)], [5, 6]),
        ([(4, 3), (0, 4)], []),
        ([(1, 2), (5, 1)], [0, 3, 4, 6]),
        ([(3, 1), (0, 3), (4, 0)], [4, 5, 6]),
        ([(2, 2), (0, 0)], [0, 1, 4, 5, 6]),
        ([], [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_rows_of_no_sequence_are_cleared(rows: list[tuple[int, int]], free: list[int]) -> None:
    out = torch.ones(7, 3)
    given = torch.tensor(rows, dtype=torch.int64).view(-1, 2)
    assert cleared(out, given) is out
    assert [i for i in range(7) if out[i].sum() == 0] == free
