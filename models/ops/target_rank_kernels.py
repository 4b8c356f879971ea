"""Counts of the scores above and equal to a target's on a CPU, compiled by Numba.

As in top_k_kernels.py, a block of scores lies in the cache while it is looked at. The target's own
score is made by the same sum in the same order as the register tile makes it, so that it ties with
itself and with equal items exactly.
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
    load,
    native,
    separate,
    splat,
    spread,
    store,
    unpack,
)
from models.ops.simd_mask import above, ones, same, unordered
from models.ops.simd_matmul import WIDTH
from models.ops.simd_product import product

_ZERO = np.float32(0.0)


@separate
def _count(
    hidden_at: int, weight_at: int, bias_at: int, panels_at: int, targets_at: int, counts_at: int,
    width: int, depth: int, block: int, first: int, stop: int, start_row: int, stop_row: int,
    rows: int, scratch_at: int,
) -> None:  # fmt: skip
    """Add to counts (rows, 3) of rows start_row..stop_row what items first..stop hold that is
    larger than the target's score, equal to it, and NaN; item 0 counts as NaN only.

    hidden (M, width), where M is `rows` padded to ROWS; weight (V, width); bias (V,) padded to
    WIDTH, or 0; panels of the items first..stop, (items / WIDTH, depth, WIDTH), of which the first
    `width` rows count. `block` is a multiple of WIDTH.
    """
    hidden, weight, bias = floats(hidden_at), floats(weight_at), floats(bias_at)
    targets, counts = integers(targets_at), integers(counts_at)
    pitch = block + LANES
    scores, wanted = floats(scratch_at), floats(scratch_at + 4 * (stop_row - start_row) * pitch)
    for row in range(start_row, min(stop_row, rows)):
        target = targets[row]
        total = splat(_ZERO)
        if bias_at != 0:
            total = spread(bias, target)
        for d in range(width):
            total = fma(spread(hidden, row * width + d), spread(weight, target * width + d), total)
        store(wanted, (row - start_row) * LANES, total)
    for begin in range(first, stop, block):
        count = min(block, stop - begin)
        columns = (count + WIDTH - 1) // WIDTH * WIDTH
        offset_at = 0
        if bias_at != 0:
            offset_at = bias_at + 4 * begin
        product(
            scratch_at, pitch, offset_at, hidden_at + 4 * start_row * width, width, 1,
            panels_at + 4 * (begin - first) * depth, depth, WIDTH,
            stop_row - start_row, columns, width,
        )  # fmt: skip
        for row in range(start_row, min(stop_row, rows)):
            at = (row - start_row) * pitch
            target = load(wanted, (row - start_row) * LANES)
            larger, equal, broken = 0, 0, 0
            for c in range(0, count, LANES):
                real = (1 << min(LANES, count - c)) - 1
                items = real - 1 if begin + c == 0 else real
                value = load(scores, at + c)
                larger += ones(above(value, target) & items)
                equal += ones(same(value, target) & items)
                broken += ones(unordered(value) & real)
            counts[3 * row] += larger
            counts[3 * row + 1] += equal
            counts[3 * row + 2] += broken


_arguments = unpack(14)


@native(types.CPointer(types.int64), types.int64)
def count_task(row: Any, scratch_at: int) -> None:
    """`_count` with all arguments but the last in a row of integers (threads.py)."""
    _count(*_arguments(row, scratch_at))
