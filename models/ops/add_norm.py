"""Dropout, residual connection and LayerNorm: what stands between the layers of every model here.

    sum = residual + dropout(x)        normed = LayerNorm(sum) gamma + beta

Post-norm models go on with `normed` alone; pre-norm models keep `sum` as the next residual. On a
CPU in one pass over the rows, which keeps `sum` only.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense
from models.ops.dropout import noise_for


def add_norm(
    x: Tensor,
    residual: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    *,
    eps: float,
    dropout: float = 0.0,
    in_place: bool = False,
    donated: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """x and residual (T, D), gamma and beta (D,) -> sum (T, D), normed (T, D).

    Args:
        residual: None for none.
        dropout: on x; 0 outside of training.
        in_place: whether the sum may take the place of x, which nothing else reads and no gradient
            needs.
        donated: whether the residual's gradient may take the place of the sum, which nobody else
            reads any more then (models/ops/donation.py); `numba` alone does so.
        backend: see `resolve_dense` in models/ops/backend.py.
    """
    if resolve_dense(backend, x) == "torch":
        total = F.dropout(x, dropout)
        total = total if residual is None else residual + total
        return total, F.layer_norm(total, gamma.shape, gamma, beta, eps)
    # Imported here so that a process which never needs it does not load LLVM.
    from models.ops.add_norm_numba import add_norm_numba

    return add_norm_numba(x, residual, gamma, beta, eps, noise_for(dropout), in_place, donated)
