"""Embeddings, their norm and a linear layer of it looked up on a CPU, compiled by Numba.

Tensors come as addresses of contiguous float32; D and N are multiples of LANES. `made` is what
`lookup_table` in embed_linear.py makes: (V + P + 2, N).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
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
from models.ops.simd_math import EPS_UNIT, inverse_root

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@separate
def forward(
    ids_at: int, table_at: int, positions_at: int, places_at: int, gamma_at: int, beta_at: int,
    made_at: int, factor_at: int, embedded_at: int, normed_at: int, y_at: int,
    items: int, spots: int, width: int, outputs: int, eps: int, start: int, stop: int,
    scratch_at: int,
) -> None:  # fmt: skip
    """Write embedded and normed (T, D) and y (T, N) of rows start..stop."""
    ids, table, positions = integers(ids_at), floats(table_at), integers(positions_at)
    places, gamma, beta, made = (
        floats(places_at),
        floats(gamma_at),
        floats(beta_at),
        floats(made_at),
    )
    embedded, normed, y = floats(embedded_at), floats(normed_at), floats(y_at)
    factor, share = splat(floats(factor_at)[0]), _ONE / np.float32(width)
    ones = (items + spots) * outputs
    for row in range(start, stop):
        item, spot, base = ids[row] * width, positions[row] * width, row * width
        sums = splat(_ZERO)
        for c in range(0, width, LANES):
            value = fma(load(table, item + c), factor, load(places, spot + c))
            store(embedded, base + c, value)
            sums = sums + value
        mean = splat(lane_sum(sums) * share)
        sums = splat(_ZERO)
        for c in range(0, width, LANES):
            value = load(embedded, base + c) - mean
            sums = fma(value, value, sums)
        variance = np.float64(lane_sum(sums) * share)
        scale = splat(np.float32(inverse_root(variance + eps * EPS_UNIT)))
        for c in range(0, width, LANES):
            value = (load(embedded, base + c) - mean) * scale
            store(normed, base + c, fma(value, load(gamma, c), load(beta, c)))
        item, spot, base = ids[row] * outputs, (items + positions[row]) * outputs, row * outputs
        for c in range(0, outputs, LANES):
            value = fma(load(made, item + c), factor, load(made, spot + c))
            value = value - mean * load(made, ones + c)
            store(y, base + c, fma(value, scale, load(made, ones + outputs + c)))


_arguments = unpack(18)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_arguments(row, scratch_at))
