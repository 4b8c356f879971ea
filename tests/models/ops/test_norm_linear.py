"""`norm_linear`: the CPU kernel against PyTorch, values and gradients of both results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from models.ops import norm_linear_numba
from models.ops.add_norm import add_norm
from models.ops.linear import linear
from models.ops.norm_linear import norm_linear


def inputs(rows: int, width: int, outputs: int) -> list[Tensor]:
    torch.manual_seed(rows)
    shapes = [(rows, width), (width,), (width,), (outputs, width), (outputs,)]
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def run(given: list[Tensor], backend: str, **how: Any) -> tuple[Tensor, Tensor]:
    x, *weights = given
    # What may be written in place is nobody's leaf.
    return norm_linear(x * 1.0, *weights, eps=1e-8, backend=backend, **how)


def gradients(results: tuple[Tensor, ...], given: list[Tensor]) -> list[Tensor | None]:
    torch.manual_seed(1)
    arriving = [torch.randn(r.shape) for r in results]
    return list(torch.autograd.grad(results, given, arriving, allow_unused=True))


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(
    ("rows", "width", "outputs"),
    # The last four are no whole tiles, or too few rows.
    [(700, 64, 192), (32, 128, 64), (4196, 64, 64), (701, 64, 192), (12, 64, 64), (64, 48, 64),
     (64, 64, 20)],
)  # fmt: skip
def test_values_and_gradients_equal_pytorchs(
    rows: int, width: int, outputs: int, in_place: bool
) -> None:
    given = inputs(rows, width, outputs)
    # Both results, the sum alone and y alone.
    for keep in (slice(2), slice(1), slice(1, 2)):
        got, want = run(given, "numba", in_place=in_place), run(given, "torch")
        for mine, theirs in zip(got, want, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)
        for mine, theirs in zip(
            gradients(got[keep], given), gradients(want[keep], given), strict=True
        ):
            theirs = torch.zeros(1) if theirs is None else theirs
            mine = torch.zeros(theirs.shape) if mine is None else mine
            scale = float(theirs.abs().max())
            torch.testing.assert_close(
                mine, theirs.expand(mine.shape), rtol=1e-4, atol=1e-5 * max(scale, 1)
            )


@pytest.mark.parametrize("in_place", [True, False])
def test_it_is_the_norm_and_the_layer_one_after_the_other(in_place: bool) -> None:
    """The same masks and the same bits, but for the norm's own gradients: their parts differ."""
    given = inputs(1000, 64, 192)
    x, gamma, beta, weight, bias = given
    torch.manual_seed(3)
    fused = run(given, "numba", dropout=0.3, in_place=in_place)
    torch.manual_seed(3)
    total, normed = add_norm(x, None, gamma, beta, eps=1e-8, dropout=0.3, backend="numba")
    plain = total, linear(normed, weight, bias, backend="numba")
    for mine, theirs in zip(fused, plain, strict=True):
        assert torch.equal(mine, theirs)
    assert 0.25 < float((fused[0] == 0).float().mean()) < 0.35
    found = [gradients(results, given) for results in (fused, plain)]
    for index, (mine, theirs) in enumerate(zip(*found, strict=True)):
        assert mine is not None
        assert theirs is not None
        if index in (1, 2):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-3)
        else:
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int, set_threads: Callable[[int], None]) -> None:
    def found() -> list[Tensor | None]:
        given = inputs(3000, 64, 192)
        return gradients(run(given, "numba", dropout=0.2, in_place=True), given)

    set_threads(1)
    want = found()
    set_threads(threads)
    for mine, theirs in zip(found(), want, strict=True):
        assert mine is not None
        assert theirs is not None
        assert torch.equal(mine, theirs)


def test_without_gradients_the_values_are_the_same() -> None:
    given = inputs(640, 64, 128)
    want = run(given, "numba")
    with torch.no_grad():
        for mine, theirs in zip(run(given, "numba", in_place=True), want, strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("rows", "outputs", "fused"), [(640, 192, 1), (642, 192, 0), (640, 20, 0)])
def test_one_pass_is_taken_where_tiles_are_whole(
    rows: int, outputs: int, fused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Mock(wraps=norm_linear_numba.run_tasks)
    monkeypatch.setattr(norm_linear_numba, "run_tasks", seen)
    run(inputs(rows, 64, outputs), "numba")
    assert seen.call_count == fused
