"""The causal convolution with SiLU on a CPU, forward and backward, compiled by Numba.

Sixteen channels sit in the lanes of a vector (a "column", simd.py). One call does some rows of the
batch; tensors come as addresses of float32. x, y: (T, D), x with rows `x_row` apart; rows: (B, 2)
int64, each sequence's first row and its length; weight: (K, columns * 16);
bias: (columns * 16,), both with zeros in the lanes beyond D.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    clear,
    floats,
    fma,
    integers,
    load,
    load_part,
    native,
    separate,
    splat,
    store,
    store_part,
    unpack,
)
from models.ops.simd_math import sigmoid

_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


@separate
def forward(
    x_at: int, weight_at: int, bias_at: int, rows_at: int, y_at: int,
    x_row: int, channels: int, taps: int, row_start: int, row_stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write y for some rows."""
    x, weight, bias, y = floats(x_at), floats(weight_at), floats(bias_at), floats(y_at)
    rows, spare = integers(rows_at), floats(scratch_at)
    columns = (channels + LANES - 1) // LANES
    for row in range(row_start, row_stop):
        start, length = rows[2 * row], rows[2 * row + 1]
        for t in range(length):
            for column in range(columns):
                first = column * LANES
                count = min(LANES, channels - first)
                here = (start + t) * channels + first
                there = (start + t) * x_row + first
                total = load(bias, first)
                for back in range(min(taps, t + 1)):
                    tap = load(weight, (taps - 1 - back) * columns * LANES + first)
                    value = load_part(x, there - back * x_row, count, spare)
                    total = fma(tap, value, total)
                store_part(y, here, count, total * sigmoid(total), spare)


@separate
def backward(
    x_at: int, weight_at: int, bias_at: int, rows_at: int, dy_at: int,
    dx_at: int, dweight_at: int, dbias_at: int,
    x_row: int, channels: int, taps: int, row_start: int, row_stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write dx for some rows, and dweight and dbias summed over them (laid out as weight, bias).

    The filter's output is computed again rather than kept. A step's gradient reaches `taps` inputs,
    so it is added to dx as soon as it is known, into rows that are still in the cache.
    """
    x, weight, bias, dy = floats(x_at), floats(weight_at), floats(bias_at), floats(dy_at)
    dx, dweight, dbias = floats(dx_at), floats(dweight_at), floats(dbias_at)
    rows, spare = integers(rows_at), floats(scratch_at)
    columns = (channels + LANES - 1) // LANES
    width = columns * LANES
    clear(dweight, 0, taps * width)
    clear(dbias, 0, width)
    for row in range(row_start, row_stop):
        start, length = rows[2 * row], rows[2 * row + 1]
        for t in range(length):
            for column in range(columns):
                first = column * LANES
                count = min(LANES, channels - first)
                here = (start + t) * channels + first
                there = (start + t) * x_row + first
                total = load(bias, first)
                for back in range(min(taps, t + 1)):
                    tap = load(weight, (taps - 1 - back) * width + first)
                    value = load_part(x, there - back * x_row, count, spare)
                    total = fma(tap, value, total)
                open = sigmoid(total)
                slope = fma(total * open, splat(_ONE) - open, open)
                change = load_part(dy, here, count, spare) * slope
                store(dbias, first, load(dbias, first) + change)
                store_part(dx, here, count, splat(_ZERO), spare)
                for back in range(min(taps, t + 1)):
                    at = (taps - 1 - back) * width + first
                    value = load_part(x, there - back * x_row, count, spare)
                    store(dweight, at, fma(change, value, load(dweight, at)))
                    before = here - back * channels
                    sofar = load_part(dx, before, count, spare)
                    sofar = fma(change, load(weight, at), sofar)
                    store_part(dx, before, count, sofar, spare)


_forward_arguments = unpack(10)
_backward_arguments = unpack(13)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
