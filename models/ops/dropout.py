"""Dropout whose mask is a function of a seed, so that kernels make it where they need it.

The seed of each call is drawn from PyTorch's generator: `torch.manual_seed` decides all masks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense

_RESOLUTION = 2**24  # as simd_random.py


def dropout(
    x: Tensor, probability: float, *, in_place: bool = False, backend: str = "auto"
) -> Tensor:
    """x with each element dropped by `probability`, the others scaled so that the mean stays.

    Args:
        probability: 0 outside of training, when x itself comes back.
        in_place: whether the result may take the place of x, which nothing else reads and no
            gradient needs.
        backend: see `resolve_dense` in models/ops/backend.py.
    """
    if resolve_dense(backend, x) == "torch":
        return F.dropout(x, probability)
    noise = noise_for(probability)
    if noise[1] == 0:
        return x
    # Imported here so that a process which never needs it does not load LLVM.
    from models.ops.dropout_numba import dropout_numba

    return dropout_numba(x, noise, in_place)


def noise_for(probability: float) -> tuple[int, int]:
    """Seed and threshold of one use of dropout; (0, 0) where nothing is dropped."""
    if not 0 <= probability < 1:
        raise ValueError(f"dropout={probability}: at least 0 and below 1 is needed")
    if probability == 0:
        return 0, 0
    seed = int(torch.randint(2**62, ()))
    return seed, max(1, round(probability * _RESOLUTION))
