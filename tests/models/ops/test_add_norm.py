"""`add_norm`: the CPU kernel against PyTorch, values and gradients of both results."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.add_norm import add_norm
from models.ops.dropout import noise_for
from models.ops.dropout_numba import dropout_numba


def inputs(rows: int, width: int, *, residual: bool) -> list[Tensor]:
    torch.manual_seed(rows)
    shapes = [(rows, width), (width,), (width,)] + [(rows, width)] * residual
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def both(given: list[Tensor], backend: str, **how: float) -> tuple[Tensor, Tensor]:
    x, gamma, beta, *rest = given
    return add_norm(x, rest[0] if rest else None, gamma, beta, backend=backend, eps=1e-8, **how)


def gradients(results: tuple[Tensor, ...], given: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    return list(torch.autograd.grad(results, given, [torch.randn(r.shape) for r in results]))


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("rows", "width"), [(700, 64), (1, 64), (5, 20), (3, 7), (519, 128)])
def test_values_and_gradients_equal_pytorchs(rows: int, width: int, residual: bool) -> None:
    given = inputs(rows, width, residual=residual)
    got, want = both(given, "numba"), both(given, "torch")
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    # Both results, and the normed one alone as post-norm models use it.
    for keep in (slice(2), slice(1, 2)):
        mine_all, their_all = gradients(got[keep], given), gradients(want[keep], given)
        got, want = both(given, "numba"), both(given, "torch")
        for mine, theirs in zip(mine_all, their_all, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_dropout_is_that_of_its_stream_and_spares_the_residual() -> None:
    given = inputs(600, 64, residual=True)
    x, gamma, beta, residual = given
    torch.manual_seed(3)
    fused = both(given, "numba", dropout=0.4)
    torch.manual_seed(3)
    total = residual + dropout_numba(x, noise_for(0.4))
    plain = (total, F.layer_norm(total, (64,), gamma, beta, 1e-8))
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(gradients(fused, given), gradients(plain, given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_rows_that_are_constant_stay_finite() -> None:
    x = torch.full((4, 64), 3.0, requires_grad=True)
    ones, zeros = torch.ones(64), torch.zeros(64)
    _, normed = add_norm(x, None, ones, zeros, eps=1e-12, backend="numba")
    normed.sum().backward()
    assert bool(torch.isfinite(normed).all())
    assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads: int, set_threads: Callable[[int], None]) -> None:
    def run() -> list[Tensor]:
        given = inputs(3000, 64, residual=True)
        return gradients(both(given, "numba", dropout=0.2), given)

    set_threads(1)
    want = run()
    set_threads(threads)
    got = run()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("width", [64, 7])
def test_in_place_the_sum_stands_where_x_was(width: int, training: bool) -> None:
    found = []
    with torch.set_grad_enabled(training):
        for in_place in (False, True):
            given = inputs(70, width, residual=False)
            torch.manual_seed(3)
            x = given[0] * 2
            results = add_norm(
                x, None, *given[1:], eps=1e-8, dropout=0.3, in_place=in_place, backend="numba"
            )
            assert (results[0] is x) == in_place
            found.append((*results, *(gradients(results, given) if training else ())))
    assert all(torch.equal(mine, other) for mine, other in zip(*found, strict=True))


def test_in_place_what_does_not_lie_in_one_piece_is_left_alone() -> None:
    x, gamma, beta = torch.randn(64, 32).T, torch.ones(64), torch.zeros(64)
    before = x.clone()
    with torch.no_grad():
        found = add_norm(x, None, gamma, beta, eps=1e-8, in_place=True, backend="numba")
    assert torch.equal(x, before)
    assert torch.equal(found[0], before)
