"""What follows the token mixer in a layer, in one pass on a CPU, compiled by Numba. Inference only.

A block of rows goes from the mixer's output to the next layer's input in a scratch that fits the
caches. Rows are a multiple of ROWS, widths of WIDTH (simd_matmul.py). `head` is a row of integers
that all tasks of a call share; tensors come as addresses of contiguous float32:

    0 mixed (T, K), 1 residual (T, D), 2 panels of the output layer, 3 its bias, 4 gamma, 5 beta,
    6 panels of the inner layer, 7 its bias, 8 panels of the outer layer, 9 its bias, 10 gamma and
    11 beta of the last norm, 12 sum (T, D), 13 normed (T, D), 14 K, 15 D, 16 E, 17 whether gelu,
    18 whether post-norm, where no sum is written, 19 and 20 eps of both norms in EPS_UNIT
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    copy,
    floats,
    fma,
    integers,
    lane_sum,
    load,
    native,
    separate,
    splat,
    store,
    unpack,
)
from models.ops.simd_gelu import gelu
from models.ops.simd_math import EPS_UNIT, inverse_root
from models.ops.simd_matmul import WIDTH
from models.ops.simd_product import add_product, product, rectified_product

_BLOCK = 32
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def scratch_floats(width: int, wide: int) -> int:
    """Floats that one thread needs, of D and E."""
    return _BLOCK * (2 * width + wide)


@separate
def _norm_rows(
    x_at: int, y_at: int, gamma_at: int, beta_at: int, rows: int, width: int, eps: int
) -> None:
    """y = LayerNorm(x) of some rows (rows, width)."""
    x, y, gamma, beta = floats(x_at), floats(y_at), floats(gamma_at), floats(beta_at)
    share = _ONE / np.float32(width)
    for base in range(0, rows * width, width):
        sums = splat(_ZERO)
        for c in range(base, base + width, LANES):
            sums = sums + load(x, c)
        mean = splat(lane_sum(sums) * share)
        sums = splat(_ZERO)
        for c in range(base, base + width, LANES):
            value = load(x, c) - mean
            sums = fma(value, value, sums)
        variance = np.float64(lane_sum(sums) * share)
        scale = splat(np.float32(inverse_root(variance + eps * EPS_UNIT)))
        for c in range(0, width, LANES):
            value = (load(x, base + c) - mean) * scale
            store(y, base + c, fma(value, load(gamma, c), load(beta, c)))


@separate
def _add(y_at: int, x_at: int, bias_at: int, rows: int, width: int) -> None:
    """y = x + bias of some rows; y may be x."""
    y, x, bias = floats(y_at), floats(x_at), floats(bias_at)
    for base in range(0, rows * width, width):
        for c in range(0, width, LANES):
            store(y, base + c, load(x, base + c) + load(bias, c))


@separate
def forward(head_at: int, start: int, stop: int, scratch_at: int) -> None:
    """Write sum and normed of rows start..stop."""
    head = integers(head_at)
    keys, width, wide = head[14], head[15], head[16]
    smooth, post_norm = head[17] != 0, head[18] != 0
    total_at = scratch_at + 4 * _BLOCK * wide
    normed_at = total_at + 4 * _BLOCK * width
    base_at = normed_at if post_norm else total_at
    inner = floats(scratch_at)
    for first in range(start, stop, _BLOCK):
        rows, here = min(_BLOCK, stop - first), 4 * first * width
        _add(total_at, head[1] + here, head[3], rows, width)
        add_product(
            total_at, width, head[0] + 4 * first * keys, keys, 1,
            head[2], keys, WIDTH, rows, width, keys,
        )  # fmt: skip
        _norm_rows(total_at, normed_at, head[4], head[5], rows, width, head[19])
        if smooth:
            product(
                scratch_at, wide, head[7], normed_at, width, 1,
                head[6], width, WIDTH, rows, wide, width,
            )  # fmt: skip
            for at in range(0, rows * wide, LANES):
                store(inner, at, gelu(load(inner, at)))
        else:
            rectified_product(
                scratch_at, wide, head[7], normed_at, width, 1,
                head[6], width, WIDTH, rows, wide, width,
            )  # fmt: skip
        _add(base_at, base_at, head[9], rows, width)
        add_product(base_at, width, scratch_at, wide, 1, head[8], wide, WIDTH, rows, width, wide)
        if not post_norm:
            copy(floats(head[12] + here), 0, floats(base_at), 0, rows * width)
        _norm_rows(base_at, head[13] + here, head[10], head[11], rows, width, head[20])


_arguments = unpack(3)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_arguments(row, scratch_at))
