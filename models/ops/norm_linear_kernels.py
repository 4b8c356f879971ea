"""Dropout, LayerNorm and a linear layer on a CPU in one pass, forward and backward, by Numba.

The kernels of add_norm and linear take addresses, so a block of rows goes through both in one
thread's scratch: a tensor of which only rows r, r + 1, ... are there begins r rows before them.
`head` is a row of integers that all tasks of a call share:

    0 x (T, D), 1 gamma, 2 beta, 3 sum (T, D), 4 panels of the weight, 5 bias, 6 y (T, N), 7 D, 8 N,
    9 eps, 10 and 11 seed and threshold of dropout; for gradients 4 has the panels for these, and
    12 gradient of the sum (T, D) or 0, 13 of y (T, N), 14 of x (T, D), which may be the sum itself
"""

from __future__ import annotations

from typing import Any

from numba import types

from models.ops import add_norm_kernels, linear_kernels
from models.ops.simd import LANES, clear, floats, integers, native, separate, unpack

# Rows of a block, in whole blocks of the kernels.
_BLOCK = 64
_linear, _linear_gradients = linear_kernels.forward, linear_kernels.backward
_add_norm, _add_norm_gradients = add_norm_kernels.forward, add_norm_kernels.backward


def scratch_floats(width: int) -> int:
    """Floats that one thread needs, of D."""
    return 3 * _BLOCK * width + 2 * LANES + 2 * width


@separate
def forward(head_at: int, start: int, stop: int, scratch_at: int) -> None:
    """Write sum and y of rows start..stop."""
    head = integers(head_at)
    width = head[7]
    spare_at = scratch_at + 4 * _BLOCK * width
    for first in range(start, stop, _BLOCK):
        last, normed_at = min(first + _BLOCK, stop), scratch_at - 4 * first * width
        _add_norm(
            head[0], 0, head[1], head[2], head[3], normed_at, width, head[9], head[10], head[11],
            first, last, spare_at,
        )  # fmt: skip
        _linear(normed_at, head[4], head[5], head[6], width, width, head[8], first, last, spare_at)


@separate
def backward(head_at: int, sums_at: int, start: int, stop: int, scratch_at: int) -> None:
    """Write the gradient of x of rows start..stop, and those of weight, bias, gamma and beta,
    summed over them, at `sums_at` one after the other.
    """
    head = integers(head_at)
    width, outputs = head[7], head[8]
    size = 4 * _BLOCK * width
    spare_at = scratch_at + 3 * size
    dbias_at = sums_at + 4 * outputs * width
    dgamma_at = dbias_at + 4 * outputs
    dbeta_at = dgamma_at + 4 * width
    clear(floats(sums_at), 0, (dbeta_at + 4 * width - sums_at) // 4)
    for first in range(start, stop, _BLOCK):
        last, normed_at = min(first + _BLOCK, stop), scratch_at - 4 * first * width
        again_at, dnormed_at = normed_at + size, normed_at + 2 * size
        _add_norm(
            head[3], 0, head[1], head[2], again_at, normed_at, width, head[9], 0, 0,
            first, last, spare_at,
        )  # fmt: skip
        _linear_gradients(
            normed_at, head[4], head[13], dnormed_at, sums_at, dbias_at, width, width, outputs,
            first, last, spare_at,
        )  # fmt: skip
        # Without a residual what reaches the sum is not wanted for itself: x's is written over it.
        _add_norm_gradients(
            again_at, head[1], dnormed_at, head[12], head[14], 0 if head[11] == 0 else head[14],
            dgamma_at, dbeta_at, width, head[9], head[10], head[11], first, last, spare_at,
        )  # fmt: skip


_forward_arguments = unpack(3)
_backward_arguments = unpack(4)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
