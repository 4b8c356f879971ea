"""`feed_forward`: the CPU kernel against PyTorch, values and gradients, and with dropout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.dropout import noise_for
from models.ops.dropout_numba import dropout_numba
from models.ops.feed_forward import feed_forward


def inputs(rows: int, width: int, wide: int) -> list[Tensor]:
    torch.manual_seed(rows)
    shapes = ((rows, width), (wide, width), (wide,), (width, wide), (width,))
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def outputs(y: Tensor, given: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    return [y.detach(), *torch.autograd.grad(y, given, torch.randn(y.shape))]


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize(
    ("rows", "width", "wide"), [(600, 64, 256), (1, 64, 256), (7, 20, 37), (515, 48, 64)]
)
def test_values_and_gradients_equal_pytorchs(
    rows: int, width: int, wide: int, activation: str
) -> None:
    given = inputs(rows, width, wide)
    got = outputs(feed_forward(*given, activation=activation, backend="numba"), given)
    want = outputs(feed_forward(*given, activation=activation, backend="torch"), given)
    for mine, theirs in zip(got, want, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(mine / scale, theirs / scale, rtol=0, atol=3e-6)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_dropout_inside_is_that_of_its_stream(activation: str) -> None:
    given = inputs(520, 64, 256)
    x, weight1, bias1, weight2, bias2 = given
    torch.manual_seed(3)
    fused = feed_forward(*given, activation=activation, dropout=0.3, backend="numba")
    torch.manual_seed(3)
    noise = noise_for(0.3)
    act = F.gelu if activation == "gelu" else torch.relu
    inner = dropout_numba(act(F.linear(x, weight1, bias1)), noise)
    plain = F.linear(inner, weight2, bias2)
    for mine, theirs in zip(outputs(fused, given), outputs(plain, given), strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(mine / scale, theirs / scale, rtol=0, atol=3e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads: int, set_threads: Callable[[int], None]) -> None:
    def run() -> list[Tensor]:
        given = inputs(3000, 32, 64)
        torch.manual_seed(0)
        return outputs(feed_forward(*given, activation="gelu", dropout=0.1), given)

    set_threads(1)
    want = run()
    set_threads(threads)
    got = run()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_gelu_is_exact_over_its_whole_range() -> None:
    """An identity as the second layer shows the activation alone."""
    x = torch.linspace(-12, 12, 16_000).view(-1, 16).requires_grad_()
    eye, zero = torch.eye(16), torch.zeros(16)
    y = feed_forward(x, eye, zero, eye, zero, activation="gelu", backend="numba")
    (slope,) = torch.autograd.grad(y.sum(), x)
    exact = x.detach().double().requires_grad_()
    want = F.gelu(exact)
    (want_slope,) = torch.autograd.grad(want.sum(), exact)
    assert float((y - want).detach().abs().max()) < 5e-7
    assert float((slope - want_slope).abs().max()) < 1e-6


def test_values_of_exactly_zero_have_no_slope_where_denormals_are_flushed() -> None:
    given = inputs(260, 16, 16)
    with torch.no_grad():
        given[1].zero_()
        given[2].zero_()
    torch.set_flush_denormal(True)
    try:
        y = feed_forward(*given, activation="relu", backend="numba")
        found = outputs(y, given)
    finally:
        torch.set_flush_denormal(False)
    assert bool((found[1] == 0).all())


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="activation='silu': allowed are relu, gelu"):
        feed_forward(*inputs(2, 16, 16), activation="silu")
