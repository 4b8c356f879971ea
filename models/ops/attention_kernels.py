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
    integers,
    lane_sum,
    load,
    native,
    separate,
    splat,
    store,
    unpack,
)
from models.ops.simd_block import (
    ROWS,
    gather,
    lane_max,
    multiply_into,
    multiply_onto,
    scatter,
    to_panels,
)
from models.ops.simd_math import exp2, maximum

KEYS = 256

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_NEVER = np.float32(-math.inf)
_LOG2_E = math.log2(math.e)
# Rows of scores one cache line apart from a power of two, where a column would fall on one set.
_PITCH = KEYS + LANES


def forward_scratch(width: int, queries: int) -> int:
    """Floats that one thread needs: head size in whole vectors, queries of one task."""
    return 3 * LANES + 2 * ROWS * width + ROWS * _PITCH + 3 * KEYS * width + 2 * (queries + ROWS)


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
    tile_at = spare_at + 4 * LANES
    mixed_at = tile_at + 4 * ROWS * width
    scores_at = mixed_at + 4 * ROWS * width
    rows_at = scores_at + 4 * ROWS * _PITCH
    panels_at = rows_at + 4 * KEYS * width
    values_at = panels_at + 4 * KEYS * width
    state = floats(values_at + 4 * KEYS * width)
    tile, mixed, scores = floats(tile_at), floats(mixed_at), floats(scores_at)
    panels, values = floats(panels_at), floats(values_at)
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
            key_at = 4 * (key_offsets[sequence] * key_row + h * size)
            out_at = head[5] + 4 * (origin * out_row + h * size)
            for begin in range(0, min(keys, stop) if causal else keys, KEYS):
                count = min(KEYS, keys - begin)
                padded = (count + LANES - 1) // LANES * LANES
                at = key_at + 4 * begin * key_row
                gather(rows_at, head[2] + at, key_row, count, padded, size, width, spare_at)
                to_panels(panels_at, rows_at, padded, width, scale)
                gather(values_at, head[3] + at, key_row, count, count, size, width, spare_at)
                for first in range(max(query_start, begin) if causal else query_start, stop, ROWS):
                    real = min(ROWS, stop - first)
                    seen = min(count, first - begin + ROWS) if causal else count
                    last = (seen - 1) // LANES * LANES
                    final = begin + count == keys or (causal and first < begin + KEYS)
                    at = query_at + 4 * first * query_row
                    gather(tile_at, at, query_row, real, ROWS, size, width, spare_at)
                    for left in range(0, last + 1, LANES):
                        multiply_into(
                            scores, left, _PITCH, tile, 0, width, 1, panels, left * width, LANES,
                            width,
                        )  # fmt: skip
                    at = out_at + 4 * first * out_row
                    if begin > 0:
                        gather(mixed_at, at, out_row, real, ROWS, size, width, spare_at)
                    for row in range(ROWS):
                        base = row * _PITCH
                        mine = min(count, first - begin + row + 1) if causal else count
                        edge = load(scores, base + last) + load(fence, LANES - (mine - last))
                        store(scores, base + last, edge)
                        for c in range(0, last, LANES):
                            edge = maximum(load(scores, base + c), edge)
                        top = lane_max(edge)
                        place = 2 * (first - query_start + row)
                        if begin > 0:
                            top = max(top, state[place])
                        sums = splat(_ZERO)
                        for c in range(0, last + 1, LANES):
                            odds = exp2(load(scores, base + c) - splat(top))
                            store(scores, base + c, odds)
                            sums = sums + odds
                        total = lane_sum(sums)
                        if begin > 0:
                            shrink = exp2(splat(state[place] - top))
                            store(spare, 0, shrink)
                            total += state[place + 1] * spare[0]
                            for c in range(row * width, (row + 1) * width, LANES):
                                store(mixed, c, load(mixed, c) * shrink)
                        state[place], state[place + 1] = top, total
                    for left in range(0, width, LANES):
                        if begin == 0:
                            multiply_into(
                                mixed, left, width, scores, 0, _PITCH, 1, values, left, width, seen
                            )
                        else:
                            multiply_onto(
                                mixed, left, width, scores, 0, _PITCH, 1, values, left, width, seen
                            )
                    if final:
                        for row in range(real):
                            place = 2 * (first - query_start + row)
                            share = _ONE / state[place + 1]
                            for c in range(row * width, (row + 1) * width, LANES):
                                store(mixed, c, load(mixed, c) * splat(share))
                            if head[6] != 0:
                                to = 2 * ((origin + first + row) * heads + h)
                                kept[to], kept[to + 1] = state[place], share
                    scatter(at, out_row, mixed_at, real, size, width, spare_at)


_arguments = unpack(7)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_arguments(row, scratch_at))
