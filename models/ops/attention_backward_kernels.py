"""Gradients of attention over packed sequences on a CPU, compiled by Numba.

The probabilities are recomputed, a block of queries times a block of keys at a time (Dao et al.
2022, arXiv 2205.14135). With dO scaled by the inverse sum of its row's softmax, the powers of two
alone stand for the probabilities. A task takes whole sequences of some heads, so that it alone adds
to their gradients.

`head` is as in attention_kernels.py, and then: 12 dout (M, D), 13 dquery, 14 dkey, 15 dvalue, whose
rows lie as those of query, key and value.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    clear,
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
from models.ops.simd_block import ROWS, gather, multiply_into, multiply_onto, scatter, to_panels
from models.ops.simd_math import exp2

KEYS = 128
QUERIES = 64

_ZERO = np.float32(0.0)
_NEVER = np.float32(-math.inf)
_LOG2_E = math.log2(math.e)
_PITCH = KEYS + LANES


def backward_scratch(width: int) -> int:
    """Floats that one thread needs; head size in whole vectors."""
    blocks = 6 * KEYS + 3 * QUERIES + ROWS
    return 3 * LANES + 2 * QUERIES + blocks * width + 2 * QUERIES * _PITCH


@separate
def backward(
    head_at: int, sequence_start: int, sequence_stop: int, head_start: int, head_stop: int,
    scratch_at: int,
) -> None:  # fmt: skip
    """Write dquery, dkey and dvalue of some sequences and heads."""
    head = integers(head_at)
    query_row, key_row = head[1], head[4]
    kept = floats(head[6])
    query_offsets, key_offsets = integers(head[7]), integers(head[8])
    heads, size, causal = head[9], head[10], head[11] != 0
    width = (size + LANES - 1) // LANES * LANES
    scale = 1.0 / math.sqrt(size)
    factor = np.float32(scale)
    fence, spare_at = floats(scratch_at), scratch_at + 4 * 2 * LANES
    store(fence, 0, splat(_ZERO))
    store(fence, LANES, splat(_NEVER))
    tops = floats(spare_at + 4 * LANES)
    means = floats(spare_at + 4 * (LANES + QUERIES))
    queries_at = spare_at + 4 * (LANES + 2 * QUERIES)
    slopes_at = queries_at + 4 * QUERIES * width
    outs_at = slopes_at + 4 * QUERIES * width
    tile_at = outs_at + 4 * QUERIES * width
    keys_at = tile_at + 4 * ROWS * width
    values_at = keys_at + 4 * KEYS * width
    key_panels_at = values_at + 4 * KEYS * width
    value_panels_at = key_panels_at + 4 * KEYS * width
    dkeys_at = value_panels_at + 4 * KEYS * width
    dvalues_at = dkeys_at + 4 * KEYS * width
    odds_at = dvalues_at + 4 * KEYS * width
    pull_at = odds_at + 4 * QUERIES * _PITCH
    query, slope, out = floats(queries_at), floats(slopes_at), floats(outs_at)
    tile, key = floats(tile_at), floats(keys_at)
    key_panels, value_panels = floats(key_panels_at), floats(value_panels_at)
    dkey, dvalue = floats(dkeys_at), floats(dvalues_at)
    odds, pull = floats(odds_at), floats(pull_at)
    out_row = heads * size
    for sequence in range(sequence_start, sequence_stop):
        origin = query_offsets[sequence]
        queries = query_offsets[sequence + 1] - origin
        keys = key_offsets[sequence + 1] - key_offsets[sequence]
        for h in range(head_start, head_stop):
            query_at = 4 * (origin * query_row + h * size)
            key_at = 4 * (key_offsets[sequence] * key_row + h * size)
            out_at = 4 * (origin * out_row + h * size)
            if keys == 0:
                clear(tile, 0, ROWS * width)
                for row in range(queries):
                    at = head[13] + query_at + 4 * row * query_row
                    scatter(at, query_row, tile_at, 1, size, width, spare_at)
            for begin in range(0, keys, KEYS):
                count = min(KEYS, keys - begin)
                padded = (count + LANES - 1) // LANES * LANES
                at = key_at + 4 * begin * key_row
                gather(keys_at, head[2] + at, key_row, count, padded, size, width, spare_at)
                gather(values_at, head[3] + at, key_row, count, padded, size, width, spare_at)
                to_panels(key_panels_at, keys_at, padded, width, scale * _LOG2_E)
                to_panels(value_panels_at, values_at, padded, width, 1.0)
                clear(dkey, 0, padded * width)
                clear(dvalue, 0, padded * width)
                for first in range(begin if causal else 0, queries, QUERIES):
                    real = min(QUERIES, queries - first)
                    whole = (real + ROWS - 1) // ROWS * ROWS
                    at = query_at + 4 * first * query_row
                    gather(queries_at, head[0] + at, query_row, real, whole, size, width, spare_at)
                    at = out_at + 4 * first * out_row
                    gather(slopes_at, head[12] + at, out_row, real, whole, size, width, spare_at)
                    gather(outs_at, head[5] + at, out_row, real, whole, size, width, spare_at)
                    for row in range(real):
                        place = 2 * ((origin + first + row) * heads + h)
                        share = splat(kept[place + 1])
                        sums = splat(_ZERO)
                        for c in range(row * width, (row + 1) * width, LANES):
                            slopes = load(slope, c) * share
                            store(slope, c, slopes)
                            sums = fma(slopes, load(out, c), sums)
                        tops[row], means[row] = kept[place], lane_sum(sums) * factor
                    for row in range(real, whole):
                        tops[row], means[row] = _ZERO, _ZERO
                    for tiled in range(0, whole, ROWS):
                        seen = min(count, first + tiled - begin + ROWS) if causal else count
                        last = (seen - 1) // LANES * LANES
                        for left in range(0, last + 1, LANES):
                            multiply_into(
                                odds, tiled * _PITCH + left, _PITCH, query, tiled * width, width,
                                1, key_panels, left * width, LANES, width,
                            )  # fmt: skip
                            multiply_into(
                                pull, tiled * _PITCH + left, _PITCH, slope, tiled * width, width,
                                1, value_panels, left * width, LANES, width,
                            )  # fmt: skip
                        for row in range(tiled, tiled + ROWS):
                            base = row * _PITCH
                            mine = min(count, first + row - begin + 1) if causal else count
                            top, mean = splat(tops[row]), splat(means[row])
                            edge = base + last
                            hidden = load(fence, LANES - (mine - last))
                            store(odds, edge, load(odds, edge) + hidden)
                            for c in range(base, edge + 1, LANES):
                                chance = exp2(load(odds, c) - top)
                                store(odds, c, chance)
                                store(pull, c, chance * (load(pull, c) * splat(factor) - mean))
                        at = head[13] + query_at + 4 * (first + tiled) * query_row
                        rows = min(ROWS, real - tiled)
                        if begin > 0:
                            gather(tile_at, at, query_row, rows, ROWS, size, width, spare_at)
                        else:
                            clear(tile, 0, ROWS * width)
                        for left in range(0, width, LANES):
                            multiply_onto(
                                tile, left, width, pull, tiled * _PITCH, _PITCH, 1,
                                key, left, width, seen,
                            )  # fmt: skip
                        scatter(at, query_row, tile_at, rows, size, width, spare_at)
                    for k in range(0, count, ROWS):
                        start = max(0, begin + k - first) if causal else 0
                        if start >= real:
                            break
                        for left in range(0, width, LANES):
                            multiply_onto(
                                dvalue, k * width + left, width, odds, start * _PITCH + k, 1,
                                _PITCH, slope, start * width + left, width, real - start,
                            )  # fmt: skip
                            multiply_onto(
                                dkey, k * width + left, width, pull, start * _PITCH + k, 1,
                                _PITCH, query, start * width + left, width, real - start,
                            )  # fmt: skip
                at = key_at + 4 * begin * key_row
                scatter(head[14] + at, key_row, dkeys_at, count, size, width, spare_at)
                scatter(head[15] + at, key_row, dvalues_at, count, size, width, spare_at)


_arguments = unpack(5)


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers (threads.py)."""
    backward(*_arguments(row, scratch_at))
