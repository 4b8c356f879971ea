"""`embed`: the CPU kernel against PyTorch's tables, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.ops.dropout import noise_for
from models.ops.dropout_numba import dropout_numba
from models.ops.embedding import embed


def run(rows: int, width: int, backend: str, *, positions: bool) -> list[Tensor]:
    torch.manual_seed(rows)
    table = torch.randn(30, width, requires_grad=True)
    places = torch.randn(11, width, requires_grad=True)
    ids, at = torch.randint(30, (rows,)), torch.randint(11, (rows,))
    where = {"positions": at, "places": places} if positions else {}
    out = embed(ids, table, factor=8.0, backend=backend, **where)
    out.backward(torch.randn(rows, width))
    return [out.detach(), table.grad, *([places.grad] if positions else [])]


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize(("rows", "width"), [(1, 64), (63, 64), (2000, 32), (50, 20)])
def test_values_and_gradients_equal_pytorchs(rows: int, width: int, positions: bool) -> None:
    got = run(rows, width, "auto", positions=positions)
    want = run(rows, width, "torch", positions=positions)
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)


def test_padding_learns_nothing() -> None:
    table = torch.randn(5, 16, requires_grad=True)
    embed(torch.tensor([0, 0, 2]), table).sum().backward()
    assert torch.equal(table.grad.sum(1), torch.tensor([0.0, 0.0, 16.0, 0.0, 0.0]))


def test_dropout_is_that_of_its_stream() -> None:
    table = torch.randn(9, 32, requires_grad=True)
    ids = torch.randint(1, 9, (700,))
    torch.manual_seed(5)
    fused = embed(ids, table, dropout=0.25)
    torch.manual_seed(5)
    plain = dropout_numba(embed(ids, table), noise_for(0.25))
    assert torch.equal(fused, plain)
    slope = torch.randn(700, 32)
    (mine,) = torch.autograd.grad(fused, table, slope)
    (theirs,) = torch.autograd.grad(plain, table, slope)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [-1, 5])
def test_an_id_outside_of_the_table_is_refused(bad: int) -> None:
    with pytest.raises(IndexError, match=r"ids must lie in 0\.\.4"):
        embed(torch.tensor([1, bad]), torch.randn(5, 16))
