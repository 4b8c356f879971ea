"""`linear`: the CPU kernel against PyTorch, values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from models.ops.backend import BackendUnavailable
from models.ops.linear import linear


def run(
    rows: int, inputs: int, outputs: int, backend: str, *, bias: bool = True
) -> list[torch.Tensor]:
    torch.manual_seed(rows)
    x = torch.randn(rows, inputs, requires_grad=True)
    weight = torch.randn(outputs, inputs, requires_grad=True)
    offset = torch.randn(outputs, requires_grad=True) if bias else None
    y = linear(x, weight, offset, backend=backend)
    y.backward(torch.randn(rows, outputs))
    found = [y.detach(), x.grad, weight.grad]
    return found if offset is None else [*found, offset.grad]


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(1024, 64, 192), (1, 64, 64), (63, 20, 37), (515, 4, 128), (129, 20, 37), (128, 64, 64)],
)
def test_values_and_gradients_equal_pytorchs(
    rows: int, inputs: int, outputs: int, bias: bool
) -> None:
    got = run(rows, inputs, outputs, "numba", bias=bias)
    want = run(rows, inputs, outputs, "torch", bias=bias)
    for mine, theirs in zip(got, want, strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads: int, set_threads: Callable[[int], None]) -> None:
    set_threads(1)
    want = run(3000, 64, 96, "numba")
    set_threads(threads)
    got = run(3000, 64, 96, "numba")
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_rows_may_lie_apart() -> None:
    wide = torch.randn(1200, 160)
    weight = torch.randn(32, 64)
    torch.testing.assert_close(
        linear(wide[:, 96:], weight), wide[:, 96:] @ weight.T, rtol=1e-4, atol=1e-4
    )


def test_no_gradient_is_made_that_nobody_wants() -> None:
    x, weight = torch.randn(1024, 16), torch.randn(32, 16, requires_grad=True)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(32, 16), rtol=1e-4, atol=1e-3)
    assert x.grad is None


def test_the_kernel_refuses_what_it_cannot_do() -> None:
    x, weight = torch.randn(8, 16, dtype=torch.float64), torch.randn(4, 16, dtype=torch.float64)
    with pytest.raises(BackendUnavailable, match=r"'numba' is float32 on cpu, not torch\.float64"):
        linear(x, weight, backend="numba")
    assert torch.equal(linear(x, weight), x @ weight.T)
    with pytest.raises(ValueError, match="unknown backend 'triton'; allowed: auto, reference"):
        linear(x, weight, backend="triton")
