"""Dropout on a CPU, compiled by Numba; forward and backward are the same product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import LANES, floats, load, native, separate, store, unpack
from models.ops.simd_random import RESOLUTION, drop

_WHOLE = np.float32(RESOLUTION)


@separate
def forward(
    x_at: int, y_at: int, seed: int, threshold: int, start: int, stop: int, scratch_at: int
) -> None:
    """Write y[start:stop], whole lanes, with the stream's numbers of the same places."""
    x, y = floats(x_at), floats(y_at)
    scale = _WHOLE / (_WHOLE - np.float32(threshold))
    for at in range(start, stop, LANES):
        store(y, at, drop(load(x, at), seed, at, threshold, scale))


_arguments = unpack(6)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_arguments(row, scratch_at))
