"""The softmax cross-entropy over a very large catalogue on a CPU, compiled by Numba.

For a hundred thousand classes and more the logits of even four positions leave the cache, and a
copy of the weights' gradient for each thread would not fit in memory. So each task owns a range of
classes and goes over all positions in small blocks, twice: once for the largest logit and the sum
of exponentials, and once more, with the logits computed again, for the gradients.

A block holds its logits transposed (classes, positions): reductions over classes are then plain
vector arithmetic, and the weights are read as they are. Shapes: M positions and D channels, padded
to WIDTH; V classes to ROWS.
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
from models.ops.simd_math import exp2_falling, maximum
from models.ops.simd_matmul import WIDTH
from models.ops.simd_product import add_product

# Positions and classes of a block: its logits are a quarter of a second-level cache.
POSITIONS, CLASSES = 256, 256
PITCH = POSITIONS + LANES

_ZERO = np.float32(0.0)
_LOWEST = np.float32(-3e38)
_LOG2_E = np.float32(math.log2(math.e))


@separate
def _logits(
    panels_at: int, weight_at: int, bias_at: int, logits_at: int,
    width: int, first: int, count: int, begin: int, classes: int,
) -> None:  # fmt: skip
    """Transposed logits of `count` positions from `first` on, and `classes` from `begin` on."""
    logits, bias = floats(logits_at), floats(bias_at)
    for c in range(classes):
        offset = spread(bias, begin + c)
        for at in range(0, count, LANES):
            store(logits, c * PITCH + at, offset)
    add_product(
        logits_at, PITCH, weight_at + 4 * begin * width, width, 1,
        panels_at + 4 * first * width, width, WIDTH, classes, count, width,
    )  # fmt: skip


@separate
def totals(
    panels_at: int, weight_at: int, bias_at: int, tops_at: int, sums_at: int,
    positions: int, width: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write for each position the largest logit of classes start..stop, and the sum of
    exp(logit - largest).

    panels: (M / WIDTH, D, WIDTH); weight: (V, D); bias: (V,), -inf in padded classes.
    """
    tops, sums, logits = floats(tops_at), floats(sums_at), floats(scratch_at)
    for at in range(0, positions, LANES):
        store(tops, at, splat(_LOWEST))
        store(sums, at, splat(_ZERO))
    for begin in range(start, stop, CLASSES):
        classes = min(CLASSES, stop - begin)
        for first in range(0, positions, POSITIONS):
            count = min(POSITIONS, positions - first)
            _logits(panels_at, weight_at, bias_at, scratch_at, width, first, count, begin, classes)
            for at in range(0, count, LANES):
                before = load(tops, first + at)
                top = before
                for c in range(classes):
                    top = maximum(load(logits, c * PITCH + at), top)
                total = load(sums, first + at) * exp2_falling((before - top) * splat(_LOG2_E))
                for c in range(classes):
                    total = total + exp2_falling(
                        (load(logits, c * PITCH + at) - top) * splat(_LOG2_E)
                    )
                store(tops, first + at, top)
                store(sums, first + at, total)


@separate
def gradients(
    panels_at: int, hidden_at: int, weight_at: int, bias_at: int, targets_at: int, norms_at: int,
    share_at: int, dhidden_at: int, dweight_at: int, dbias_at: int,
    positions: int, width: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write dweight and dbias of classes start..stop, and dhidden's sum over them.

    hidden: (M, D); norms: (M,), the log of the whole sum of exponentials, infinite in padding;
    share: what the loss of one position counts. An address of 0: that gradient is not wanted.
    """
    targets, norms, share = integers(targets_at), floats(norms_at), floats(share_at)[0]
    dhidden, dweight, dbias = floats(dhidden_at), floats(dweight_at), floats(dbias_at)
    logits = floats(scratch_at)
    if dhidden_at != 0:
        clear(dhidden, 0, positions * width)
    if dweight_at != 0:
        clear(dweight, start * width, (stop - start) * width)
    if dbias_at != 0:
        for c in range(start, stop):
            dbias[c] = _ZERO
    for begin in range(start, stop, CLASSES):
        classes = min(CLASSES, stop - begin)
        for first in range(0, positions, POSITIONS):
            count = min(POSITIONS, positions - first)
            _logits(panels_at, weight_at, bias_at, scratch_at, width, first, count, begin, classes)
            for c in range(classes):
                total = splat(_ZERO)
                for at in range(0, count, LANES):
                    here = c * PITCH + at
                    value = (load(logits, here) - load(norms, first + at)) * splat(_LOG2_E)
                    value = exp2_falling(value) * splat(share)
                    store(logits, here, value)
                    total = total + value
                if dbias_at != 0:
                    dbias[begin + c] += lane_sum(total)
            for at in range(count):
                target = targets[first + at]
                if begin <= target < begin + classes:
                    logits[(target - begin) * PITCH + at] -= share
                    if dbias_at != 0:
                        dbias[target] -= share
            if dhidden_at != 0:
                add_product(
                    dhidden_at + 4 * first * width, width, scratch_at, 1, PITCH,
                    weight_at + 4 * begin * width, 1, width, count, width, classes,
                )  # fmt: skip
            if dweight_at != 0:
                add_product(
                    dweight_at + 4 * begin * width, width, scratch_at, PITCH, 1,
                    hidden_at + 4 * first * width, 1, width, classes, width, count,
                )  # fmt: skip


_totals_arguments = unpack(9)
_gradients_arguments = unpack(14)


@native(types.CPointer(types.int64), types.int64)
def totals_task(row: Any, scratch_at: int) -> None:
    """`totals` with all arguments but the last in a row of integers (threads.py)."""
    totals(*_totals_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def gradients_task(row: Any, scratch_at: int) -> None:
    """`gradients` with all arguments but the last in a row of integers."""
    gradients(*_gradients_arguments(row, scratch_at))
