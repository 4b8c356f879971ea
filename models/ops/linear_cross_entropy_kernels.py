"""Linear layer, softmax cross-entropy and both gradients on a CPU, compiled by Numba.

One call takes some positions, a block at a time: the block's logits are made in a scratch that
fits the cache, turned in place into the gradient of the logits, and multiplied from both sides
before the next block overwrites them. Tensors come as addresses of contiguous float32; widths are
padded to whole tiles (simd_matmul.py), positions to `ROWS`.

Shapes: M positions, D hidden size, V classes, all padded.
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
    store,
    unpack,
)
from models.ops.simd_math import exp2_falling, maximum
from models.ops.simd_matmul import ROWS, WIDTH, add_tile
from models.ops.simd_product import add_product, product

# Classes whose weights stay in the cache while all positions of a block go over them.
_DEPTH = 256

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_LOG2_E = np.float32(math.log2(math.e))


@separate
def block_loss(
    hidden_at: int, panels_at: int, weight_at: int, bias_at: int, targets_at: int, losses_at: int,
    dhidden_at: int, dweight_at: int, dbias_at: int,
    positions: int, width: int, classes: int, block: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Write losses and dhidden of positions start..stop, and dweight and dbias summed over them.

    hidden, dhidden: (M, D); panels: (V / WIDTH, D, WIDTH); weight, dweight: (V, D); bias, dbias:
    (V,), where bias is -inf in padded classes, so that their probability is exactly 0; targets,
    losses: (M,). A gradient's address of 0 means that it is not wanted. Positions at or beyond
    `positions` are padding.
    """
    hidden, targets, losses = floats(hidden_at), integers(targets_at), floats(losses_at)
    dhidden, dweight, dbias = floats(dhidden_at), floats(dweight_at), floats(dbias_at)
    # Rows one cache line apart from a power of two, where a column would fall on one cache set.
    pitch = classes + LANES
    logits, spare = floats(scratch_at), floats(scratch_at + 4 * block * pitch)
    share = _ONE / np.float32(positions)
    if dweight_at != 0:
        clear(dweight, 0, classes * width)
    if dbias_at != 0:
        clear(dbias, 0, classes)
    for first in range(start, stop, block):
        rows = min(block, stop - first)
        product(
            scratch_at, pitch, bias_at, hidden_at + 4 * first * width, width, 1,
            panels_at, width, WIDTH, rows, classes, width,
        )  # fmt: skip
        for row in range(rows):
            base = row * pitch
            if first + row >= positions:
                clear(logits, base, classes)
                continue
            tops = load(logits, base)
            for c in range(LANES, classes, LANES):
                tops = maximum(load(logits, base + c), tops)
            store(spare, 0, tops)
            top = spare[0]
            for lane in range(1, LANES):
                top = max(top, spare[lane])
            target = base + targets[first + row]
            at_target = logits[target]
            sums = splat(_ZERO)
            for c in range(0, classes, LANES):
                odds = exp2_falling((load(logits, base + c) - splat(top)) * splat(_LOG2_E))
                store(logits, base + c, odds)
                sums = sums + odds
            total = lane_sum(sums)
            losses[first + row] = np.float32(math.log(total)) + (top - at_target)
            # d mean loss / d logits = (softmax - one_hot) / M.
            scale = splat(share / total)
            for c in range(0, classes, LANES):
                store(logits, base + c, load(logits, base + c) * scale)
            logits[target] -= share
        if dbias_at != 0:
            for row in range(rows):
                for c in range(0, classes, LANES):
                    store(dbias, c, load(dbias, c) + load(logits, row * pitch + c))
        if dhidden_at != 0:
            clear(dhidden, first * width, rows * width)
            for top_class in range(0, classes, _DEPTH):
                add_product(
                    dhidden_at + 4 * first * width, width,
                    scratch_at + 4 * top_class, pitch, 1, weight_at + 4 * top_class * width, 1,
                    width, rows, width, min(_DEPTH, classes - top_class),
                )  # fmt: skip
        if dweight_at != 0:
            for c in range(0, classes, ROWS):
                for left in range(0, width, WIDTH):
                    add_tile(
                        dweight, c * width + left, width, dweight, 0, logits, c, 1, pitch,
                        hidden, first * width + left, width, LANES, rows,
                    )  # fmt: skip


_arguments = unpack(15)


@native(types.CPointer(types.int64), types.int64)
def block_loss_task(row: Any, scratch_at: int) -> None:
    """`block_loss` with all arguments but the last in a row of integers (threads.py)."""
    block_loss(*_arguments(row, scratch_at))
