"""Gradients of attention over packed sequences on a CPU, compiled by Numba.

The probabilities are recomputed, a block of queries times a block of keys at a time (Dao et al.
2022, arXiv 2205.14135). With dO scaled by the inverse sum of its row's softmax, the powers of two
alone stand for the probabilities. A task takes whole sequences of some heads, so that it alone adds
to their gradients. Keys and values of a block are read before their gradients are written, and so
is a query for the last time, since the queries' gradients of longer sequences gather in scratch:
gradients may take the places of what they are taken of.

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
    floats,
    fma,
    inlined,
    integers,
    lane_sum,
    load,
    load_part,
    native,
    separate,
    splat,
    spread,
    store,
    store_part,
    unpack,
)
from models.ops.simd_block import ROWS, gather, prefetch_rows, product, to_panels
from models.ops.simd_math import exp2_falling

KEYS = 128
QUERIES = 64

_ZERO = np.float32(0.0)
_NEVER = np.float32(-math.inf)
_LOG2_E = math.log2(math.e)
_PITCH = KEYS + LANES


def backward_scratch(width: int, queries: int, keys: int) -> int:
    """Floats that one thread needs: head size in whole vectors, most queries and keys of a
    sequence.
    """
    blocks = 8 + 2 * ROWS + 2 * QUERIES + 3 * KEYS + (queries if keys > KEYS else 0)
    return 4 * LANES + 2 * QUERIES + blocks * width + 2 * QUERIES * _PITCH


@separate
def backward(
    head_at: int, sequence_start: int, sequence_stop: int, head_start: int, head_stop: int,
    scratch_at: int,
) -> None:  # fmt: skip
    """Write dquery, dkey and dvalue of some sequences and heads."""
    head = integers(head_at)
    query_row, key_row = head[1], head[4]
    out, kept = floats(head[5]), floats(head[6])
    dquery, dkey, dvalue = floats(head[13]), floats(head[14]), floats(head[15])
    query_offsets, key_offsets = integers(head[7]), integers(head[8])
    heads, size, causal = head[9], head[10], head[11] != 0
    width = (size + LANES - 1) // LANES * LANES
    scale = 1.0 / math.sqrt(size)
    factor = np.float32(scale)
    fence, spare_at = floats(scratch_at), scratch_at + 4 * 2 * LANES
    store(fence, 0, splat(_ZERO))
    store(fence, LANES, splat(_NEVER))
    spare = floats(spare_at)
    tops = floats(spare_at + 4 * (2 * LANES + (8 + 2 * ROWS) * width))
    means = floats(spare_at + 4 * (2 * LANES + (8 + 2 * ROWS) * width + QUERIES))
    queries_at = spare_at + 4 * (2 * LANES + (8 + 2 * ROWS) * width + 2 * QUERIES)
    slopes_at = queries_at + 4 * QUERIES * width
    keys_at = slopes_at + 4 * QUERIES * width
    key_panels_at = keys_at + 4 * KEYS * width
    value_panels_at = key_panels_at + 4 * KEYS * width
    odds_at = value_panels_at + 4 * KEYS * width
    pull_at = odds_at + 4 * QUERIES * _PITCH
    gathered_at = pull_at + 4 * QUERIES * _PITCH
    slope, odds, pull = floats(slopes_at), floats(odds_at), floats(pull_at)
    out_row = heads * size
    for sequence in range(sequence_start, sequence_stop):
        origin = query_offsets[sequence]
        queries = query_offsets[sequence + 1] - origin
        keys = key_offsets[sequence + 1] - key_offsets[sequence]
        for h in range(head_start, head_stop):
            query_at = 4 * (origin * query_row + h * size)
            key_at = 4 * (key_offsets[sequence] * key_row + h * size)
            out_at = origin * out_row + h * size
            if keys == 0:
                _clear_rows(head[13] + query_at, query_row, queries, size)
            if queries == 0:
                _clear_rows(head[14] + key_at, key_row, keys, size)
                _clear_rows(head[15] + key_at, key_row, keys, size)
                continue
            # Where the queries' gradients are summed, and how far apart their rows lie there.
            apart = keys > KEYS
            sums_at, sums_row = head[13] + query_at, query_row
            if apart:
                sums_at, sums_row = gathered_at, width
            for begin in range(0, keys, KEYS):
                count = min(KEYS, keys - begin)
                at = head[2] + key_at + 4 * begin * key_row
                gather(keys_at, at, key_row, count, count, size, width, count, spare_at)
                to_panels(
                    key_panels_at, at, key_row, count, size, width, scale * _LOG2_E, 0, spare_at
                )
                at = head[3] + key_at + 4 * begin * key_row
                to_panels(value_panels_at, at, key_row, count, size, width, 1.0, count, spare_at)
                for first in range(begin if causal else 0, queries, QUERIES):
                    real = min(QUERIES, queries - first)
                    whole = (real + ROWS - 1) // ROWS * ROWS
                    at = query_at + 4 * first * query_row
                    gather(
                        queries_at, head[0] + at, query_row, real, whole, size, width, real,
                        spare_at,
                    )  # fmt: skip
                    at = head[12] + 4 * (out_at + first * out_row)
                    gather(slopes_at, at, out_row, real, whole, size, width, real, spare_at)
                    for row in range(whole):
                        tops[row], means[row] = _ZERO, _ZERO
                        if row < real:
                            place = 2 * ((origin + first + row) * heads + h)
                            share = splat(kept[place + 1])
                            sums = splat(_ZERO)
                            if not apart:
                                at = query_at // 4 + (first + row + real) * query_row
                                prefetch_rows(dquery, at, query_row, 1, size)
                            at = out_at + (first + row) * out_row
                            prefetch_rows(out, at + real * out_row, out_row, 1, size)
                            for c in range(0, width, LANES):
                                slopes = load(slope, row * width + c) * share
                                store(slope, row * width + c, slopes)
                                sums = fma(slopes, load_part(out, at + c, size - c, spare), sums)
                            tops[row], means[row] = kept[place], lane_sum(sums) * factor
                    for tile in range(0, whole, ROWS):
                        seen = min(count, first + tile - begin + ROWS) if causal else count
                        last = (seen - 1) // LANES * LANES
                        product(
                            odds_at + 4 * tile * _PITCH, _PITCH, ROWS, last + LANES, True,
                            queries_at + 4 * tile * width, width, 1,
                            key_panels_at, LANES, LANES * width, size, spare_at,
                        )  # fmt: skip
                        product(
                            pull_at + 4 * tile * _PITCH, _PITCH, ROWS, last + LANES, True,
                            slopes_at + 4 * tile * width, width, 1,
                            value_panels_at, LANES, LANES * width, size, spare_at,
                        )  # fmt: skip
                        for row in range(tile, tile + ROWS):
                            edge = row * _PITCH + last
                            mine = min(count, first + row - begin + 1) if causal else count
                            hidden = load(fence, LANES - (mine - last))
                            store(odds, edge, load(odds, edge) + hidden)
                        for c in range(tile * _PITCH, tile * _PITCH + last + 1, LANES):
                            for row in range(ROWS):
                                at = c + row * _PITCH
                                chance = exp2_falling(load(odds, at) - spread(tops, tile + row))
                                excess = load(pull, at) * splat(factor) - spread(means, tile + row)
                                store(odds, at, chance)
                                store(pull, at, chance * excess)
                        at = sums_at + 4 * (first + tile) * sums_row
                        product(
                            at, sums_row, min(ROWS, real - tile), size, begin == 0,
                            pull_at + 4 * tile * _PITCH, _PITCH, 1,
                            keys_at, width, LANES, seen, spare_at,
                        )  # fmt: skip
                    for k in range(0, count, ROWS):
                        start = begin + k - first if causal else -first
                        if start >= real:
                            break
                        fresh = start >= 0
                        start = max(0, start)
                        at = key_at // 4 + (begin + k + count) * key_row
                        if fresh:
                            prefetch_rows(dkey, at, key_row, ROWS, size)
                            prefetch_rows(dvalue, at, key_row, ROWS, size)
                        at = key_at + 4 * (begin + k) * key_row
                        corner = 4 * (start * _PITCH + k)
                        product(
                            head[15] + at, key_row, min(ROWS, count - k), size, fresh,
                            odds_at + corner, 1, _PITCH,
                            slopes_at + 4 * start * width, width, LANES, real - start, spare_at,
                        )  # fmt: skip
                        product(
                            head[14] + at, key_row, min(ROWS, count - k), size, fresh,
                            pull_at + corner, 1, _PITCH,
                            queries_at + 4 * start * width, width, LANES, real - start, spare_at,
                        )  # fmt: skip
            if apart:
                sums = floats(gathered_at)
                for row in range(queries):
                    at = query_at // 4 + row * query_row
                    for c in range(0, width, LANES):
                        value = load(sums, row * width + c)
                        store_part(dquery, at + c, size - c, value, spare)


@inlined
def _clear_rows(target_at: Any, row: Any, count: Any, size: Any) -> None:
    target = floats(target_at)
    for i in range(count):
        for c in range(size):
            target[i * row + c] = _ZERO


_arguments = unpack(5)


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers (threads.py)."""
    backward(*_arguments(row, scratch_at))
