"""A linear layer, y = x weight^T + bias, over the rows of a batch.

The `numba` backend exists because the library behind torch.mm may not know the processor: on AMD
cores it keeps to AVX2 kernels at 60 to 75% of what the register tile of simd_matmul.py reaches.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense

# Below this many rows packing the weights costs more than the product.
FEW_ROWS = 32
# A width of this many is in whole tiles of any processor (simd_matmul.py has the tiles).
_TILE = 64


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    donated: bool = False,
    backend: str = "auto",
) -> Tensor:
    """x (T, K), weight (N, K), bias (N,) or None -> (T, N); differentiable in all three.

    Args:
        donated: whether its gradient may take the place of x, which nobody else reads any more
            then (models/ops/donation.py); `numba` alone does so.
        backend: see `resolve_dense` in models/ops/backend.py.
    """
    if resolve_dense(backend, x) == "torch":
        return F.linear(x, weight, bias)
    # Imported here so that a process which never needs it does not load LLVM.
    from models.ops.linear_numba import linear_numba

    return linear_numba(x, weight, bias, donated)


def whole_tiles(*weights: Tensor) -> bool:
    """Whether the widths of all these weights are whole tiles of any processor, as the kernels that
    take several layers in one pass want them.
    """
    return all(size % _TILE == 0 for weight in weights for size in weight.shape)
