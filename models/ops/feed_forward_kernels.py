"""The position-wise feed-forward network on a CPU, forward and backward, compiled by Numba.

One call takes some rows, a block at a time: the inner values of a block live in a scratch that fits
the second-level cache and never reach memory; the backward pass computes them again. Tensors come
as addresses of float32; T rows are a multiple of ROWS, D and E of WIDTH.

Shapes: x, y (T, D); inner (T, E); weight1 (E, D), weight2 (D, E).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    floats,
    load,
    native,
    separate,
    splat,
    store,
    unpack,
)
from models.ops.simd_gelu import gelu, gelu_slope
from models.ops.simd_math import maximum, where_positive
from models.ops.simd_matmul import WIDTH
from models.ops.simd_product import add_product, product
from models.ops.simd_random import RESOLUTION, drop

# Rows of a block; `scratch_floats` is three of them by E.
BLOCK = 32

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_WHOLE = np.float32(RESOLUTION)


@separate
def forward(
    x_at: int, panels1_at: int, bias1_at: int, panels2_at: int, bias2_at: int, y_at: int,
    width: int, wide: int, smooth: bool, seed: int, threshold: int,
    start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write y = drop(act(x weight1^T + bias1)) weight2^T + bias2 of rows start..stop."""
    inner = floats(scratch_at)
    scale = _WHOLE / (_WHOLE - np.float32(threshold))
    for first in range(start, stop, BLOCK):
        rows = min(BLOCK, stop - first)
        product(
            scratch_at, wide, bias1_at, x_at + 4 * first * width, width, 1,
            panels1_at, width, WIDTH, rows, wide, width,
        )  # fmt: skip
        for at in range(0, rows * wide, LANES):
            value = load(inner, at)
            if smooth:
                value = gelu(value)
            else:
                value = maximum(value, splat(_ZERO))
            if threshold > 0:
                value = drop(value, seed, first * wide + at, threshold, scale)
            store(inner, at, value)
        product(
            y_at + 4 * first * width, width, bias2_at, scratch_at, wide, 1,
            panels2_at, wide, WIDTH, rows, width, wide,
        )  # fmt: skip


@separate
def backward(
    x_at: int, panels1_at: int, bias1_at: int, panels1_in_at: int, panels2_in_at: int, dy_at: int,
    dx_at: int, dweight1_at: int, dbias1_at: int, dweight2_at: int, dbias2_at: int,
    width: int, wide: int, smooth: bool, seed: int, threshold: int,
    start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write dx of some rows, and add their part to the gradients of weights and biases."""
    dy, dbias1, dbias2 = floats(dy_at), floats(dbias1_at), floats(dbias2_at)
    slope_at = scratch_at + 4 * BLOCK * wide
    dinner_at = slope_at + 4 * BLOCK * wide
    inner, slope, dinner = floats(scratch_at), floats(slope_at), floats(dinner_at)
    scale = _WHOLE / (_WHOLE - np.float32(threshold))
    for first in range(start, stop, BLOCK):
        rows = min(BLOCK, stop - first)
        x_here, dy_here = x_at + 4 * first * width, dy_at + 4 * first * width
        product(
            scratch_at, wide, bias1_at, x_here, width, 1,
            panels1_at, width, WIDTH, rows, wide, width,
        )  # fmt: skip
        for at in range(0, rows * wide, LANES):
            value = load(inner, at)
            if smooth:
                change = gelu_slope(value)
                value = gelu(value)
            else:
                value = maximum(value, splat(_ZERO))
                change = where_positive(value, splat(_ONE))
            if threshold > 0:
                value = drop(value, seed, first * wide + at, threshold, scale)
                change = drop(change, seed, first * wide + at, threshold, scale)
            store(inner, at, value)
            store(slope, at, change)
        product(
            dinner_at, wide, 0, dy_here, width, 1, panels2_in_at, width, WIDTH, rows, wide, width
        )  # fmt: skip
        for row in range(rows):
            for c in range(0, wide, LANES):
                at = row * wide + c
                value = load(dinner, at) * load(slope, at)
                store(dinner, at, value)
                store(dbias1, c, load(dbias1, c) + value)
            for c in range(0, width, LANES):
                store(dbias2, c, load(dbias2, c) + load(dy, (first + row) * width + c))
        product(
            dx_at + 4 * first * width, width, 0, dinner_at, wide, 1,
            panels1_in_at, wide, WIDTH, rows, width, wide,
        )  # fmt: skip
        add_product(dweight1_at, width, dinner_at, 1, wide, x_here, 1, width, wide, width, rows)
        add_product(dweight2_at, wide, dy_here, 1, width, scratch_at, 1, wide, width, wide, rows)


_forward_arguments = unpack(13)
_backward_arguments = unpack(18)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
