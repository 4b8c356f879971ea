"""A linear layer on a CPU, forward and both gradients, compiled by Numba.

One call takes some rows, a block at a time. Tensors come as addresses of float32; rows are a
multiple of ROWS, widths of WIDTH (simd_matmul.py). Shapes: T rows, K inputs, N outputs.
"""

from __future__ import annotations

from typing import Any

from numba import types

from models.ops.simd import LANES, floats, load, native, separate, store, unpack
from models.ops.simd_matmul import WIDTH
from models.ops.simd_product import add_product, product

_BLOCK = 64


@separate
def forward(
    x_at: int, panels_at: int, bias_at: int, y_at: int,
    x_row: int, inputs: int, outputs: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write y (T, N) of rows start..stop; x has rows `x_row` apart; bias_at may be 0."""
    for first in range(start, stop, _BLOCK):
        rows = min(_BLOCK, stop - first)
        product(
            y_at + 4 * first * outputs, outputs, bias_at, x_at + 4 * first * x_row, x_row, 1,
            panels_at, inputs, WIDTH, rows, outputs, inputs,
        )  # fmt: skip


@separate
def backward(
    x_at: int, panels_at: int, dy_at: int, dx_at: int, dweight_at: int, dbias_at: int,
    x_row: int, inputs: int, outputs: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write dx (T, K) of some rows, and add their part to dweight (N, K) and dbias (N,).

    An address of 0 means that this gradient is not wanted. dx may be x itself, if its rows have no
    room between them.
    """
    dy, dbias = floats(dy_at), floats(dbias_at)
    for first in range(start, stop, _BLOCK):
        rows = min(_BLOCK, stop - first)
        slope_at = dy_at + 4 * first * outputs
        if dbias_at != 0:
            for row in range(first, first + rows):
                for c in range(0, outputs, LANES):
                    store(dbias, c, load(dbias, c) + load(dy, row * outputs + c))
        if dweight_at != 0:
            add_product(
                dweight_at, inputs, slope_at, 1, outputs,
                x_at + 4 * first * x_row, 1, x_row, outputs, inputs, rows,
            )  # fmt: skip
        if dx_at != 0:
            product(
                dx_at + 4 * first * inputs, inputs, 0, slope_at, outputs, 1,
                panels_at, outputs, WIDTH, rows, inputs, outputs,
            )  # fmt: skip


_forward_arguments = unpack(9)
_backward_arguments = unpack(11)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
