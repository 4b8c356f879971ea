"""Attention of a few positions only, forward and backward on a CPU, compiled by Numba.

With one query to a sequence, as at the last position of a causal model, each key and value is used
once and memory sets the pace: keys and values are read where they lie, row after row for all heads,
with no tile and no copy. `head` is as in the other attention kernels, never causal, with two
numbers more: how far apart the keys (and values) of two heads lie, 0 where all heads share them,
and the head size that scores are scaled by. Tasks are some sequences and heads; all heads where
these share keys.
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
    store,
    store_part,
    unpack,
)
from models.ops.simd_block import gather, lane_max
from models.ops.simd_math import exp2_falling, maximum

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_NEVER = np.float32(-math.inf)
_LOG2_E = math.log2(math.e)


def few_scratch(width: int, keys: int, heads: int) -> int:
    """Floats that one thread needs: head size in whole vectors, most keys of a sequence."""
    return LANES + 2 * heads * width + 2 * heads * (keys + LANES)


@inlined
def _dot(vector: Any, at: Any, row: Any, to: Any, size: Any, spare: Any) -> Any:
    """The product of a padded vector with the `size` numbers at row[to]."""
    sums = load(vector, at) * load_part(row, to, size, spare)
    for c in range(LANES, size, LANES):
        sums = fma(load(vector, at + c), load_part(row, to + c, size - c, spare), sums)
    return lane_sum(sums)


@inlined
def _mix(weights: Any, at: Any, rows: Any, to: Any, row: Any, keys: Any, part: Any,
         spare: Any) -> Any:  # fmt: skip
    """The sum of LANES columns (or `part`) of some rows, each times its weight."""
    even, odd = splat(_ZERO), splat(_ZERO)
    for j in range(0, keys - 1, 2):
        even = fma(splat(weights[at + j]), load_part(rows, to + j * row, part, spare), even)
        odd = fma(splat(weights[at + j + 1]), load_part(rows, to + (j + 1) * row, part, spare), odd)
    if keys % 2 == 1:
        last = load_part(rows, to + (keys - 1) * row, part, spare)
        even = fma(splat(weights[at + keys - 1]), last, even)
    return even + odd


@separate
def few_forward(
    head_at: int, sequence_start: int, sequence_stop: int, head_start: int, head_stop: int,
    scratch_at: int,
) -> None:  # fmt: skip
    """Write out and kept of some sequences and heads."""
    head = integers(head_at)
    query_row, key_row = head[1], head[4]
    key, value, out, kept = floats(head[2]), floats(head[3]), floats(head[5]), floats(head[6])
    query_offsets, key_offsets = integers(head[7]), integers(head[8])
    heads, size, step = head[9], head[10], head[16]
    width = (size + LANES - 1) // LANES * LANES
    factor = np.float32(_LOG2_E / math.sqrt(head[17]))
    spare, query_at = floats(scratch_at), scratch_at + 4 * LANES
    query, scores = floats(query_at), floats(query_at + 4 * 2 * heads * width)
    for sequence in range(sequence_start, sequence_stop):
        keys = key_offsets[sequence + 1] - key_offsets[sequence]
        pitch = (keys + LANES - 1) // LANES * LANES
        for row in range(query_offsets[sequence], query_offsets[sequence + 1]):
            for h in range(head_start, head_stop):
                at = head[0] + 4 * (row * query_row + h * size)
                gather(query_at + 4 * h * width, at, 0, 1, 1, size, width, 0, scratch_at)
            for j in range(keys):
                at = (key_offsets[sequence] + j) * key_row
                for h in range(head_start, head_stop):
                    product = _dot(query, h * width, key, at + h * step, size, spare)
                    scores[h * pitch + j] = product * factor
            for h in range(head_start, head_stop):
                base = h * pitch
                for j in range(base + keys, base + pitch):
                    scores[j] = _NEVER
                tops = splat(_NEVER)
                for c in range(base, base + pitch, LANES):
                    tops = maximum(load(scores, c), tops)
                top = lane_max(tops)
                sums = splat(_ZERO)
                for c in range(base, base + pitch, LANES):
                    odds = exp2_falling(load(scores, c) - splat(top))
                    store(scores, c, odds)
                    sums = sums + odds
                share = _ONE / lane_sum(sums) if keys > 0 else _ZERO
                if head[6] != 0:
                    to = 2 * (row * heads + h)
                    kept[to], kept[to + 1] = top, share
                for c in range(0, size, LANES):
                    at = key_offsets[sequence] * key_row + h * step + c
                    mixed = _mix(scores, base, value, at, key_row, keys, size - c, spare)
                    at = (row * heads + h) * size + c
                    store_part(out, at, size - c, mixed * splat(share), spare)


@separate
def few_backward(
    head_at: int, sequence_start: int, sequence_stop: int, head_start: int, head_stop: int,
    scratch_at: int,
) -> None:  # fmt: skip
    """Write dquery, dkey and dvalue of some sequences and heads; both sums where these are one."""
    head = integers(head_at)
    query_row, key_row = head[1], head[4]
    key, value, out, kept = floats(head[2]), floats(head[3]), floats(head[5]), floats(head[6])
    query_offsets, key_offsets = integers(head[7]), integers(head[8])
    heads, size, step = head[9], head[10], head[16]
    dquery, dkey, dvalue = floats(head[13]), floats(head[14]), floats(head[15])
    width = (size + LANES - 1) // LANES * LANES
    factor = np.float32(1.0 / math.sqrt(head[17]))
    steep = np.float32(_LOG2_E / math.sqrt(head[17]))
    spare, query_at = floats(scratch_at), scratch_at + 4 * LANES
    slope_at = query_at + 4 * heads * width
    scores_at = slope_at + 4 * heads * width
    query, slope, scores = floats(query_at), floats(slope_at), floats(scores_at)
    for sequence in range(sequence_start, sequence_stop):
        first = query_offsets[sequence]
        stop = query_offsets[sequence + 1]
        keys = key_offsets[sequence + 1] - key_offsets[sequence]
        pitch = (keys + LANES - 1) // LANES * LANES
        pull = floats(scores_at + 4 * heads * pitch)
        if first == stop:
            for j in range(key_offsets[sequence], key_offsets[sequence] + keys):
                for h in range(head_start, head_stop):
                    for c in range(j * key_row + h * step, j * key_row + h * step + size):
                        dkey[c], dvalue[c] = _ZERO, _ZERO
        for row in range(first, stop):
            for h in range(head_start, head_stop):
                at, to = 4 * h * width, (row * heads + h) * size
                start = head[0] + 4 * (row * query_row + h * size)
                gather(query_at + at, start, 0, 1, 1, size, width, 0, scratch_at)
                gather(slope_at + at, head[12] + 4 * to, 0, 1, 1, size, width, 0, scratch_at)
            for j in range(keys):
                at = (key_offsets[sequence] + j) * key_row
                for h in range(head_start, head_stop):
                    scores[h * pitch + j] = _dot(query, h * width, key, at + h * step, size, spare)
                    pull[h * pitch + j] = _dot(slope, h * width, value, at + h * step, size, spare)
            for h in range(head_start, head_stop):
                to = row * heads + h
                mean = _dot(slope, h * width, out, to * size, size, spare)
                top, share = kept[2 * to], kept[2 * to + 1]
                for c in range(h * pitch, h * pitch + pitch, LANES):
                    odds = exp2_falling(load(scores, c) * splat(steep) - splat(top)) * splat(share)
                    store(scores, c, odds)
                    store(pull, c, odds * ((load(pull, c) - splat(mean)) * splat(factor)))
                for c in range(0, size, LANES):
                    at = key_offsets[sequence] * key_row + h * step + c
                    mixed = _mix(pull, h * pitch, key, at, key_row, keys, size - c, spare)
                    at = row * query_row + h * size + c
                    store_part(dquery, at, size - c, mixed, spare)
            for j in range(keys):
                at = (key_offsets[sequence] + j) * key_row
                for h in range(head_start, head_stop):
                    odds, push = splat(scores[h * pitch + j]), splat(pull[h * pitch + j])
                    for c in range(0, size, LANES):
                        to = at + h * step + c
                        more_key = push * load(query, h * width + c)
                        more_value = odds * load(slope, h * width + c)
                        if step == 0:
                            more_key = more_key + more_value
                            if row > first or h > head_start:
                                more_key = more_key + load_part(dkey, to, size - c, spare)
                            store_part(dkey, to, size - c, more_key, spare)
                        else:
                            if row > first:
                                more_key = more_key + load_part(dkey, to, size - c, spare)
                                more_value = more_value + load_part(dvalue, to, size - c, spare)
                            store_part(dkey, to, size - c, more_key, spare)
                            store_part(dvalue, to, size - c, more_value, spare)


_arguments = unpack(5)


@native(types.CPointer(types.int64), types.int64)
def few_forward_task(row: Any, scratch_at: int) -> None:
    """`few_forward` with all arguments but the last in a row of integers (threads.py)."""
    few_forward(*_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def few_backward_task(row: Any, scratch_at: int) -> None:
    """`few_backward` with all arguments but the last in a row of integers (threads.py)."""
    few_backward(*_arguments(row, scratch_at))
