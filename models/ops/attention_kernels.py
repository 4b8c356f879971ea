"""Attention over packed sequences on a CPU, forward, compiled by Numba.

One block of keys at a time, with a running maximum and sum for each query (Dao et al. 2022, arXiv
2205.14135, at the size of a CPU's cache), so that no (L, L) matrix is ever made. Keys are
transposed into panels and values gathered side by side; then a tile of queries at a time makes its
scores, their softmax and its output while all of it is in the cache. Causal: keys behind a tile's
last query are never multiplied.

`head` is a row of integers that all tasks of a call share; tensors come as addresses of float32:

    0 query, 1 distance of its rows, 2 key, 3 value, 4 distance of their rows, 5 out (M, D), 6 kept
    (M, H, 2): maximum and inverse sum of each softmax, in powers of two, or 0 where they are not
    wanted, 7 query offsets, 8 key offsets, 9 heads, 10 head size, 11 causal
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    floats,
    inlined,
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
from models.ops.simd_block import (
    ROWS,
    gather,
    lane_max,
    prefetch_rows,
    product,
    to_panels,
)
from models.ops.simd_math import exp2_falling, maximum

KEYS = 256

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_NEVER = np.float32(-math.inf)
_LOG2_E = math.log2(math.e)
# Rows of scores one cache line apart from a power of two, where a column would fall on one set.
_PITCH = KEYS + LANES


def forward_scratch(width: int, queries: int) -> int:
    """Floats that one thread needs: head size in whole vectors, queries of one task."""
    small = (5 + ROWS) * LANES + (8 + 2 * ROWS) * width + 2 * ROWS
    return small + ROWS * _PITCH + 2 * KEYS * width + 2 * (queries + ROWS)


@inlined
def _scale_row(target: Any, at: Any, size: Any, factor: Any) -> None:
    if size % LANES == 0:
        for c in range(0, size, LANES):
            store(target, at + c, load(target, at + c) * splat(factor))
    else:
        for c in range(size):
            target[at + c] *= factor


@separate
def forward(
    head_at: int, sequence_start: int, sequence_stop: int, head_start: int, head_stop: int,
    query_start: int, query_stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write out and kept of some sequences, heads, and queries within each sequence."""
    head = integers(head_at)
    query_row, key_row = head[1], head[4]
    out, kept = floats(head[5]), floats(head[6])
    query_offsets, key_offsets = integers(head[7]), integers(head[8])
    heads, size, causal = head[9], head[10], head[11] != 0
    width = (size + LANES - 1) // LANES * LANES
    scale = _LOG2_E / math.sqrt(size)
    # Added to scores: `fence[LANES - n:]` hides all lanes but the first n.
    fence, spare_at = floats(scratch_at), scratch_at + 4 * 2 * LANES
    store(fence, 0, splat(_ZERO))
    store(fence, LANES, splat(_NEVER))
    spare = floats(spare_at)
    tile_at = spare_at + 4 * (LANES + (8 + ROWS) * width)
    state_at = tile_at + 4 * ROWS * width
    scores_at = state_at + 4 * (2 * ROWS + ROWS * LANES)
    panels_at = scores_at + 4 * ROWS * _PITCH
    values_at = panels_at + 4 * KEYS * width
    tops, totals = floats(state_at), floats(state_at + 4 * ROWS)
    lanes = floats(state_at + 4 * 2 * ROWS)
    scores, past = floats(scores_at), floats(values_at + 4 * KEYS * width)
    out_row = heads * size
    for sequence in range(sequence_start, sequence_stop):
        origin = query_offsets[sequence]
        stop = min(query_stop, query_offsets[sequence + 1] - origin)
        keys = key_offsets[sequence + 1] - key_offsets[sequence]
        if keys == 0:
            for row in range(origin + query_start, origin + stop):
                for c in range(head_start * size, head_stop * size):
                    out[row * out_row + c] = _ZERO
            continue
        for h in range(head_start, head_stop):
            query_at = head[0] + 4 * (origin * query_row + h * size)
            query = floats(query_at)
            key_at = 4 * (key_offsets[sequence] * key_row + h * size)
            out_at = origin * out_row + h * size
            for begin in range(0, min(keys, stop) if causal else keys, KEYS):
                count = min(KEYS, keys - begin)
                at = key_at + 4 * begin * key_row
                to_panels(
                    panels_at, head[2] + at, key_row, count, size, width, scale, count, spare_at
                )
                gather(values_at, head[3] + at, key_row, count, count, size, width, count, spare_at)
                for first in range(max(query_start, begin) if causal else query_start, stop, ROWS):
                    real = min(ROWS, stop - first)
                    seen = min(count, first - begin + ROWS) if causal else count
                    last = (seen - 1) // LANES * LANES
                    a_at, a_row = query_at + 4 * first * query_row, query_row
                    # The same rows of the next sequence, as far as lengths are alike.
                    prefetch_rows(query, (first + stop) * query_row, query_row, real, size)
                    prefetch_rows(out, out_at + (first + stop) * out_row, out_row, real, size)
                    if real < ROWS:
                        gather(tile_at, a_at, a_row, real, ROWS, size, width, 0, spare_at)
                        a_at, a_row = tile_at, width
                    product(
                        scores_at, _PITCH, ROWS, last + LANES, True, a_at, a_row, 1,
                        panels_at, LANES, LANES * width, size, spare_at,
                    )  # fmt: skip
                    # Rows innermost: a tile has as many branches as one row, and chains to overlap.
                    for row in range(ROWS):
                        base = row * _PITCH
                        mine = min(count, first - begin + row + 1) if causal else count
                        edge = load(scores, base + last) + load(fence, LANES - (mine - last))
                        store(scores, base + last, edge)
                        store(lanes, row * LANES, edge)
                    for c in range(0, last, LANES):
                        for row in range(ROWS):
                            more = load(scores, row * _PITCH + c)
                            store(lanes, row * LANES, maximum(more, load(lanes, row * LANES)))
                    for row in range(ROWS):
                        tops[row] = lane_max(load(lanes, row * LANES))
                        store(lanes, row * LANES, splat(_ZERO))
                    if begin > 0:
                        for row in range(ROWS):
                            tops[row] = max(tops[row], past[2 * (first - query_start + row)])
                    for c in range(0, last + 1, LANES):
                        for row in range(ROWS):
                            odds = exp2_falling(load(scores, row * _PITCH + c) - spread(tops, row))
                            store(scores, row * _PITCH + c, odds)
                            store(lanes, row * LANES, load(lanes, row * LANES) + odds)
                    for row in range(ROWS):
                        totals[row] = lane_sum(load(lanes, row * LANES))
                    at = out_at + first * out_row
                    if begin > 0:
                        for row in range(real):
                            place = 2 * (first - query_start + row)
                            store(spare, 0, exp2_falling(splat(past[place] - tops[row])))
                            shrink = spare[0]
                            totals[row] += past[place + 1] * shrink
                            _scale_row(out, at + row * out_row, size, shrink)
                    product(
                        head[5] + 4 * at, out_row, real, size, begin == 0, scores_at, _PITCH, 1,
                        values_at, width, LANES, seen, spare_at,
                    )  # fmt: skip
                    if begin + count == keys or (causal and first < begin + KEYS):
                        for row in range(real):
                            share = _ONE / totals[row]
                            _scale_row(out, at + row * out_row, size, share)
                            if head[6] != 0:
                                to = 2 * ((origin + first + row) * heads + h)
                                kept[to], kept[to + 1] = tops[row], share
                    else:
                        for row in range(real):
                            place = 2 * (first - query_start + row)
                            past[place], past[place + 1] = tops[row], totals[row]


_arguments = unpack(7)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_arguments(row, scratch_at))
