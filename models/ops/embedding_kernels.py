"""Looking up item and position embeddings on a CPU, forward and backward, compiled by Numba.

Tables are contiguous float32 with D columns, a multiple of LANES; ids and positions int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    clear,
    floats,
    fma,
    integers,
    load,
    native,
    separate,
    splat,
    store,
    unpack,
)
from models.ops.simd_random import RESOLUTION, drop

_WHOLE = np.float32(RESOLUTION)


@separate
def forward(
    ids_at: int, table_at: int, positions_at: int, places_at: int, factor_at: int, out_at: int,
    width: int, seed: int, threshold: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write out = drop(factor table[id] + places[position]) of rows start..stop.

    places_at may be 0: no positions.
    """
    ids, table, positions = integers(ids_at), floats(table_at), integers(positions_at)
    places, out = floats(places_at), floats(out_at)
    factor = splat(floats(factor_at)[0])
    scale = _WHOLE / (_WHOLE - np.float32(threshold))
    for row in range(start, stop):
        for c in range(0, width, LANES):
            value = load(table, ids[row] * width + c) * factor
            if places_at != 0:
                value = value + load(places, positions[row] * width + c)
            if threshold > 0:
                value = drop(value, seed, row * width + c, threshold, scale)
            store(out, row * width + c, value)


@separate
def backward(
    ids_at: int, dout_at: int, factor_at: int, dtable_at: int, first_id: int,
    width: int, seed: int, threshold: int, rows: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write rows start..stop of dtable: the sum of factor drop(dout) over all rows with that id.

    Ids below first_id have no gradient (padding).
    """
    ids, dout, dtable = integers(ids_at), floats(dout_at), floats(dtable_at)
    factor = splat(floats(factor_at)[0])
    scale = _WHOLE / (_WHOLE - np.float32(threshold))
    clear(dtable, start * width, (stop - start) * width)
    low = max(start, first_id)
    for row in range(rows):
        number = ids[row]
        if number < low or number >= stop:
            continue
        for c in range(0, width, LANES):
            value = load(dout, row * width + c)
            if threshold > 0:
                value = drop(value, seed, row * width + c, threshold, scale)
            at = number * width + c
            store(dtable, at, fma(value, factor, load(dtable, at)))


_forward_arguments = unpack(11)
_backward_arguments = unpack(11)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
