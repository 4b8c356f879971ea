"""Dropout, LayerNorm and a linear layer: what stands before a pre-norm model's first mixer.

    sum = dropout(x)        y = (LayerNorm(sum) gamma + beta) W^T + b

On a CPU, for widths in whole tiles, it is one pass over the rows, a block of them at a time. What
is normed is never written to memory, nor its gradient: the backward pass makes it of `sum` anew.
"""

from __future__ import annotations

from torch import Tensor

from models.ops.add_norm import add_norm
from models.ops.backend import resolve_dense
from models.ops.dropout import noise_for
from models.ops.linear import FEW_ROWS, linear, whole_tiles

# Rows in whole tiles of any processor, as packed ones are (simd_matmul.py has the tiles).
_ROWS = 4


def norm_linear(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    eps: float,
    dropout: float = 0.0,
    in_place: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """x (T, D), gamma and beta (D,), weight (N, D), bias (N,) -> sum (T, D), y (T, N).

    Args:
        dropout: on x; 0 outside of training.
        in_place: whether the sum may take the place of x, and then its gradient that of the sum:
            nothing else reads the one, no gradient needs it, and nobody reads the other any more
            in a backward pass (models/ops/donation.py). `numba` alone does so.
        backend: see `resolve_dense` in models/ops/backend.py.
    """
    if resolve_dense(backend, x) == "numba" and _fits(x, weight):
        # Imported here so that a process which never needs it does not load LLVM.
        from models.ops.norm_linear_numba import norm_linear_numba

        return norm_linear_numba(x, gamma, beta, weight, bias, eps, noise_for(dropout), in_place)
    total, normed = add_norm(
        x, None, gamma, beta, eps=eps, dropout=dropout, in_place=in_place, donated=in_place,
        backend=backend,
    )  # fmt: skip
    return total, linear(normed, weight, bias, donated=True, backend=backend)


def _fits(x: Tensor, weight: Tensor) -> bool:
    """Whether one pass will do: whole tiles, and enough rows."""
    return whole_tiles(weight) and len(x) % _ROWS == 0 and len(x) >= FEW_ROWS
