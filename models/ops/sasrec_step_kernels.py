"""One event of a whole SASRec for some users on a CPU, compiled by Numba.

From the item's embedding to the hidden state in one call, against the keys and values of the
events before, of which only real ones are read: attention of one query is two products of one row
(simd_row.py). Every weight is read once, as it lies.
"""

from __future__ import annotations

import math
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
    spread,
    store,
    unpack,
)
from models.ops.simd_block import lane_max
from models.ops.simd_mask import load_first, store_first
from models.ops.simd_math import exp2_falling, maximum
from models.ops.simd_row import GROUP, room, row_add, row_linear, row_norm

# How many addresses of weights come before the layers', and of each layer.
HEAD, LAYER = 4, 12

_ZERO = np.float32(0.0)
_LOWEST = np.float32(-math.inf)
_LOG2_E = math.log2(math.e)


@separate
def _row_copy(y_at: int, x_at: int, width: int) -> None:
    y, x = floats(y_at), floats(x_at)
    for d in range(0, width, LANES):
        count = min(LANES, width - d)
        store_first(y, d, count, load_first(x, d, count))


@separate
def _attend(
    y_at: int, query_at: int, keys_at: int, values_at: int, length: int, size: int, odds_at: int
) -> None:
    """y (size,) = softmax(query keys^T / sqrt(size)) values; keys, values (length, size).

    odds: room for `length` and a vector more.
    """
    y, values, odds = floats(y_at), floats(values_at), floats(odds_at)
    row_linear(odds_at, query_at, keys_at, 0, length, size, False)
    padded = (length + LANES - 1) // LANES * LANES
    for i in range(length, padded):
        odds[i] = _LOWEST
    tops = load(odds, 0)
    for i in range(LANES, padded, LANES):
        tops = maximum(load(odds, i), tops)
    top = splat(lane_max(tops))
    factor = splat(np.float32(_LOG2_E / math.sqrt(np.float64(size))))
    sums = splat(_ZERO)
    for i in range(0, padded, LANES):
        value = exp2_falling((load(odds, i) - top) * factor)
        store(odds, i, value)
        sums = sums + value
    share = splat(np.float32(1.0) / lane_sum(sums))
    whole = length // GROUP * GROUP
    for d in range(0, size, LANES):
        count = min(LANES, size - d)
        # Sums in several chains, since one would wait for each addition before the next.
        y0, y1, y2, y3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
        for i in range(0, whole, GROUP):
            at = i * size + d
            y0 = fma(spread(odds, i), load_first(values, at, count), y0)
            y1 = fma(spread(odds, i + 1), load_first(values, at + size, count), y1)
            y2 = fma(spread(odds, i + 2), load_first(values, at + 2 * size, count), y2)
            y3 = fma(spread(odds, i + 3), load_first(values, at + 3 * size, count), y3)
        for i in range(whole, length):
            y0 = fma(spread(odds, i), load_first(values, i * size + d, count), y0)
        store_first(y, d, count, ((y0 + y1) + (y2 + y3)) * share)


@separate
def _embed(y_at: int, item_at: int, place_at: int, width: int) -> None:
    """y = item sqrt(width) + place."""
    y, item, place = floats(y_at), floats(item_at), floats(place_at)
    factor = splat(np.float32(math.sqrt(np.float64(width))))
    for d in range(0, width, LANES):
        count = min(LANES, width - d)
        value = load_first(item, d, count) * factor + load_first(place, d, count)
        store_first(y, d, count, value)


@separate
def _step(
    item_at: int, weights_at: int, keys_at: int, values_at: int, hidden_at: int, table_rows: int,
    layers: int, width: int, heads: int, inner: int, capacity: int, eps: int, batch: int,
    length: int, start: int, stop: int, failed_at: int, scratch_at: int,
) -> None:  # fmt: skip
    """hidden (B, width) of rows start..stop, whose event number `length` (from 0) this is.

    weights: addresses, HEAD and then LAYER of each layer, in the order of sasrec_step_numba.py;
    keys, values: (layers, B, heads, capacity, width / heads), written at place `length`. failed[0]
    becomes 1 where an id is not in 0..table_rows - 1.
    """
    item, weights, failed = integers(item_at), integers(weights_at), integers(failed_at)
    size = width // heads
    x_at, normed_at, mixed_at = room(width + LANES), room(width + LANES), room(width + LANES)
    qkv_at, inner_at = room(3 * width + LANES), room(inner + LANES)
    odds_at, ffn = room(length + 1 + LANES), floats(inner_at)
    for row in range(start, stop):
        if not 0 <= item[row] < table_rows:
            failed[0] = 1
            return
        _embed(x_at, weights[0] + 4 * item[row] * width, weights[1] + 4 * length * width, width)
        for layer in range(layers):
            w = HEAD + LAYER * layer
            row_norm(normed_at, x_at, weights[w], weights[w + 1], width, eps)
            row_linear(qkv_at, normed_at, weights[w + 2], weights[w + 3], 3 * width, width, False)
            for head in range(heads):
                cache = 4 * ((layer * batch + row) * heads + head) * capacity * size
                here, at = cache + 4 * length * size, qkv_at + 4 * head * size
                _row_copy(keys_at + here, at + 4 * width, size)
                _row_copy(values_at + here, at + 8 * width, size)
                _attend(
                    normed_at + 4 * head * size, at, keys_at + cache, values_at + cache,
                    length + 1, size, odds_at,
                )  # fmt: skip
            row_linear(mixed_at, normed_at, weights[w + 4], weights[w + 5], width, width, False)
            row_add(x_at, mixed_at, width)
            row_norm(normed_at, x_at, weights[w + 6], weights[w + 7], width, eps)
            row_linear(inner_at, normed_at, weights[w + 8], weights[w + 9], inner, width, False)
            for c in range(0, inner, LANES):
                store(ffn, c, maximum(load(ffn, c), splat(_ZERO)))
            row_linear(mixed_at, inner_at, weights[w + 10], weights[w + 11], width, inner, False)
            row_add(x_at, mixed_at, width)
        row_norm(hidden_at + 4 * row * width, x_at, weights[2], weights[3], width, eps)


_arguments = unpack(17)


@native(types.CPointer(types.int64), types.int64)
def step_task(row: Any, scratch_at: int) -> None:
    """`_step` with all arguments but the last in a row of integers (threads.py)."""
    _step(*_arguments(row, scratch_at))
