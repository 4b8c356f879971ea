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


def gradient(leaf: Tensor, result: Tensor, **how: Any) -> Tensor:
    (found,) = torch.autograd.grad(result.sin().sum(), leaf, **how)
    return found


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [[1, 7, 0, 50], [KEYS, 65, 3], [KEYS + 1, 5]])
def test_attentions_gradient_has_the_same_bits(lengths: list[int], causal: bool) -> None:
    found = []
    for donated in (True, False):
        leaf, qkv, out = attend(lengths, causal=causal, donated=donated)
        before = qkv.detach().clone()
        found.append(gradient(leaf, out))
        taken = not torch.equal(qkv, before)
        assert taken == (donated and max(lengths) <= KEYS)
    assert torch.equal(*found)


def test_the_passs_gradient_has_the_same_bits() -> None:
    found = []
    for donated in (True, False):
        leaf, total, normed = mix(donated=donated)
        before = total.detach().clone()
        found.append(gradient(leaf, normed))
        assert torch.equal(total, before) != donated
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "make", [lambda **how: attend([9, 30], causal=True, **how), mix], ids=["attention", "pass"]
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
