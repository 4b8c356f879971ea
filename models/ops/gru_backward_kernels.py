"""The backward pass of a GRU layer on a CPU, compiled by Numba: see gru_kernels.py.

Steps go backwards through a group; what they leave, the gradients before the gates, is gathered
with its inputs until there are rows enough for the large products (weights, biases, dx), which so
never leave the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    clear,
    copy,
    floats,
    integers,
    load,
    native,
    separate,
    splat,
    store,
    unpack,
)
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.simd_product import add_product, product

# Rows whose gradients wait for the products that sum over rows; the best of 32 .. 256.
BLOCK = 96

_ONE = np.float32(1.0)


@separate
def _sum_block(
    slope_at: int, input_at: int, dx_at: int, rows_at: int, panels_at: int,
    dweight_ih_at: int, dweight_hh_at: int, dbias_at: int,
    width: int, states: int, count: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write dx of the block's rows, and add to the gradients of weights and biases.

    slope: dn, dr, dz, dm of each row; input: x and the state before.
    """
    slope, dbias, dx = floats(slope_at), floats(dbias_at), floats(dx_at)
    pitch, wide = width + states + LANES, 4 * states + LANES
    add_product(
        dweight_ih_at, width, slope_at, 1, wide, input_at, 1, pitch, 3 * states, width, count
    )
    add_product(
        dweight_hh_at, states, slope_at + 4 * states, 1, wide, input_at + 4 * width, 1, pitch,
        3 * states, states, count,
    )  # fmt: skip
    for c in range(0, 4 * states, LANES):
        total = load(dbias, c)
        for row in range(count):
            total = total + load(slope, row * wide + c)
        store(dbias, c, total)
    if dx_at != 0:
        result, rows = floats(scratch_at), (count + ROWS - 1) // ROWS * ROWS
        product(
            scratch_at, width, 0, slope_at, wide, 1, panels_at, 3 * states, WIDTH,
            rows, width, 3 * states,
        )  # fmt: skip
        for row in range(count):
            copy(dx, integers(rows_at)[row] * width, result, row * width, width)


@separate
def backward(
    x_at: int, y_at: int, kept_at: int, dy_at: int, dlast_at: int, panels_ih_at: int,
    panels_hh_at: int, starts_at: int, lengths_at: int, places_at: int, slots_at: int,
    bounds_at: int, dx_at: int, dweight_ih_at: int, dweight_hh_at: int, dbias_at: int,
    width: int, states: int, group_start: int, group_stop: int, most: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write dx of some groups and, summed over them, dweight_ih (3E, D) of n, r, z, dweight_hh
    (3E, E) of r, z, n, and dbias (4E,) of dn, dr, dz, dm.

    Either dy (T, E) or dlast (B, E) comes. panels_ih: (D / WIDTH, 3E, WIDTH) of n, r, z;
    panels_hh: (E / WIDTH, 3E, WIDTH). Groups have at most `most` sequences.
    """
    x, y, kept, dy = floats(x_at), floats(y_at), floats(kept_at), floats(dy_at)
    dlast, bounds, slots = floats(dlast_at), integers(bounds_at), integers(slots_at)
    starts, lengths, places = integers(starts_at), integers(lengths_at), integers(places_at)
    pitch, wide = width + states + LANES, 4 * states + LANES
    slope_at = scratch_at + 4 * most * states
    input_at = slope_at + 4 * (BLOCK + most) * wide
    result_at = input_at + 4 * (BLOCK + most) * pitch
    rows_at = result_at + 4 * (BLOCK + most) * width
    dh, slope, inputs, rows = (
        floats(scratch_at),
        floats(slope_at),
        floats(input_at),
        integers(rows_at),
    )
    clear(floats(dweight_ih_at), 0, 3 * states * width)
    clear(floats(dweight_hh_at), 0, 3 * states * states)
    clear(floats(dbias_at), 0, 4 * states)
    count = 0
    for group in range(group_start, group_stop):
        first, stop = bounds[group], bounds[group + 1]
        slot = slots[stop] * 4 * states
        active = 0
        for t in range(lengths[first] - 1, -1, -1):
            # A sequence begins at its last step.
            while first + active < stop and lengths[first + active] > t:
                if dlast_at == 0:
                    clear(dh, active * states, states)
                else:
                    copy(dh, active * states, dlast, places[first + active] * states, states)
                active += 1
            slot -= active * 4 * states
            for i in range(active):
                row = starts[first + i] + t
                rows[count + i] = row
                at, to = slot + i * 4 * states, (count + i) * wide
                before = (count + i) * pitch + width
                copy(inputs, before - width, x, row * width, width)
                if t > 0:
                    copy(inputs, before, y, (row - 1) * states, states)
                else:
                    clear(inputs, before, states)
                for e in range(0, states, LANES):
                    one = splat(_ONE)
                    r, z = load(kept, at + e), load(kept, at + states + e)
                    m, n = load(kept, at + 2 * states + e), load(kept, at + 3 * states + e)
                    dout = load(dh, i * states + e)
                    if dy_at != 0:
                        dout = dout + load(dy, row * states + e)
                    dn = dout * (one - z) * (one - n * n)
                    store(slope, to + e, dn)
                    store(slope, to + states + e, dn * m * r * (one - r))
                    dz = dout * (load(inputs, before + e) - n) * z * (one - z)
                    store(slope, to + 2 * states + e, dz)
                    store(slope, to + 3 * states + e, dn * r)
                    store(dh, i * states + e, dout * z)
            if t > 0:
                add_product(
                    scratch_at, states, slope_at + 4 * (count * wide + states), wide, 1,
                    panels_hh_at, 3 * states, WIDTH, (active + ROWS - 1) // ROWS * ROWS, states,
                    3 * states,
                )  # fmt: skip
            count += active
            if count >= BLOCK:
                _sum_block(
                    slope_at, input_at, dx_at, rows_at, panels_ih_at, dweight_ih_at,
                    dweight_hh_at, dbias_at, width, states, count, result_at,
                )  # fmt: skip
                count = 0
    if count > 0:
        _sum_block(
            slope_at, input_at, dx_at, rows_at, panels_ih_at, dweight_ih_at, dweight_hh_at,
            dbias_at, width, states, count, result_at,
        )  # fmt: skip


def backward_scratch(width: int, states: int, most: int) -> int:
    """Floats that `backward` needs."""
    row = 4 * states + LANES + width + states + LANES + width + 2
    return most * states + (BLOCK + most) * row


_backward_arguments = unpack(21)


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers (threads.py)."""
    backward(*_backward_arguments(row, scratch_at))
