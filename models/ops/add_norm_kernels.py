"""Dropout, residual and LayerNorm on a CPU in one pass, forward and backward, by Numba.

One call takes some rows. Tensors come as addresses of contiguous float32 (T, D); D may be anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    floats,
    fma,
    lane_sum,
    load,
    load_part,
    native,
    separate,
    splat,
    store,
    store_part,
    unpack,
)
from models.ops.simd_math import EPS_UNIT, inverse_root
from models.ops.simd_random import RESOLUTION, drop

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_WHOLE = np.float32(RESOLUTION)


@separate
def forward(
    x_at: int, residual_at: int, gamma_at: int, beta_at: int, sum_at: int, normed_at: int,
    width: int, eps: int, seed: int, threshold: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write sum = residual + drop(x) and normed = norm(sum) gamma + beta of rows start..stop.

    residual_at may be 0. gamma and beta are padded to whole lanes.
    """
    x, residual, total, normed = (
        floats(x_at), floats(residual_at), floats(sum_at), floats(normed_at)
    )  # fmt: skip
    gamma, beta, spare = floats(gamma_at), floats(beta_at), floats(scratch_at)
    scale = _WHOLE / (_WHOLE - np.float32(threshold))
    share = _ONE / np.float32(width)
    for row in range(start, stop):
        base = row * width
        sums = splat(_ZERO)
        for c in range(0, width, LANES):
            count = min(LANES, width - c)
            value = load_part(x, base + c, count, spare)
            if threshold > 0:
                value = drop(value, seed, base + c, threshold, scale)
            if residual_at != 0:
                value = value + load_part(residual, base + c, count, spare)
            store_part(total, base + c, count, value, spare)
            sums = sums + value
        mean = lane_sum(sums) * share
        sums = splat(_ZERO)
        for c in range(0, width, LANES):
            count = min(LANES, width - c)
            value = load_part(total, base + c, count, spare) - splat(mean)
            if count < LANES:
                store(spare, 0, value)
                value = load_part(spare, 0, count, floats(scratch_at + 4 * LANES))
            sums = fma(value, value, sums)
        variance = np.float64(lane_sum(sums) * share)
        spread = splat(np.float32(inverse_root(variance + eps * EPS_UNIT)))
        for c in range(0, width, LANES):
            count = min(LANES, width - c)
            value = (load_part(total, base + c, count, spare) - splat(mean)) * spread
            value = fma(value, load(gamma, c), load(beta, c))
            store_part(normed, base + c, count, value, spare)


@separate
def backward(
    sum_at: int, gamma_at: int, dnormed_at: int, dsum_at: int,
    dresidual_at: int, dx_at: int, dgamma_at: int, dbeta_at: int,
    width: int, eps: int, seed: int, threshold: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write the gradients of residual and x of some rows, and add to those of gamma and beta.

    dsum_at: the gradient that reaches the sum itself, or 0. dx_at: 0 where it equals dresidual.
    dresidual may be the sum itself.
    """
    total, gamma = floats(sum_at), floats(gamma_at)
    dnormed, dsum, dresidual, dx = (
        floats(dnormed_at), floats(dsum_at), floats(dresidual_at), floats(dx_at)
    )  # fmt: skip
    dgamma, dbeta, spare = floats(dgamma_at), floats(dbeta_at), floats(scratch_at)
    padded = (width + LANES - 1) // LANES * LANES
    unit, slope = floats(scratch_at + 8 * LANES), floats(scratch_at + 8 * LANES + 4 * padded)
    scale = _WHOLE / (_WHOLE - np.float32(threshold))
    share = _ONE / np.float32(width)
    for row in range(start, stop):
        base = row * width
        sums = splat(_ZERO)
        for c in range(0, width, LANES):
            sums = sums + load_part(total, base + c, min(LANES, width - c), spare)
        mean = lane_sum(sums) * share
        sums = splat(_ZERO)
        for c in range(0, width, LANES):
            count = min(LANES, width - c)
            value = load_part(total, base + c, count, spare) - splat(mean)
            store(unit, c, value)
            if count < LANES:
                value = load_part(unit, c, count, spare)
            sums = fma(value, value, sums)
        variance = np.float64(lane_sum(sums) * share)
        root = np.float32(inverse_root(variance + eps * EPS_UNIT))
        first, second = splat(_ZERO), splat(_ZERO)
        for c in range(0, width, LANES):
            change = load_part(dnormed, base + c, min(LANES, width - c), spare)
            value = load(unit, c) * splat(root)
            store(unit, c, value)
            store(dgamma, c, fma(change, value, load(dgamma, c)))
            store(dbeta, c, load(dbeta, c) + change)
            change = change * load(gamma, c)
            store(slope, c, change)
            first = first + change
            second = fma(change, value, second)
        mean_slope, mean_product = splat(lane_sum(first) * share), splat(lane_sum(second) * share)
        for c in range(0, width, LANES):
            count = min(LANES, width - c)
            value = load(slope, c) - mean_slope - load(unit, c) * mean_product
            value = value * splat(root)
            if dsum_at != 0:
                value = value + load_part(dsum, base + c, count, spare)
            store_part(dresidual, base + c, count, value, spare)
            if dx_at != 0:
                value = drop(value, seed, base + c, threshold, scale)
                store_part(dx, base + c, count, value, spare)


_forward_arguments = unpack(12)
_backward_arguments = unpack(14)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
