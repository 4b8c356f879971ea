"""What follows the token mixer in a layer, forward and backward with dropout, compiled by Numba.

The kernels of linear, add_norm and feed_forward take addresses, so a block of rows goes through all
four layers in one thread's scratch: a tensor of which only rows r, r + 1, ... are there begins r
rows before them, and dropout's masks are those of the whole. The backward pass computes all but the
last sum once more, so that nothing between the layers is ever written to memory.

`head` is a row of integers that all tasks of a call share: 0 to 20 as post_mixer_kernels.py has
them, where 12 is the sum also of a post-norm model, and

    21 to 26 seed and threshold of dropout behind the output layer, on the inner values and behind
    the feed-forward network, 27 to 29 panels of the output, inner and outer layer for gradients, 30
    gradient of the sum (T, D) or 0, 31 of normed (T, D), 32 of the residual (T, D), 33 of mixed
    (T, K), 34 how many rows 30 has where it has some only, (M, D), else 0, 35 their numbers,
    ascending
"""

from __future__ import annotations

from typing import Any

from numba import types

from models.ops import add_norm_kernels, feed_forward_kernels, linear_kernels
from models.ops.simd import LANES, clear, floats, integers, load, native, separate, store, unpack

# Rows of a block, in whole blocks of the kernels.
_BLOCK = 64
_linear, _linear_gradients = linear_kernels.forward, linear_kernels.backward
_add_norm, _add_norm_gradients = add_norm_kernels.forward, add_norm_kernels.backward
_feed, _feed_gradients = feed_forward_kernels.forward, feed_forward_kernels.backward


def scratch_floats(width: int, wide: int) -> int:
    """Floats that one thread needs, of D and E."""
    spare = max(3 * feed_forward_kernels.BLOCK * wide, 2 * LANES + 2 * width)
    return 8 * _BLOCK * width + spare


@separate
def _until_inner(
    head_at: int, start: int, stop: int, out_at: int, total_at: int, inner_at: int, spare_at: int
) -> None:
    """Write the first sum and the first normed of rows start..stop; `out` is overwritten."""
    head = integers(head_at)
    keys, width = head[14], head[15]
    _linear(head[0], head[2], head[3], out_at, keys, keys, width, start, stop, spare_at)
    _add_norm(
        out_at, head[1], head[4], head[5], total_at, inner_at, width, head[19], head[21], head[22],
        start, stop, spare_at,
    )  # fmt: skip


@separate
def forward(head_at: int, start: int, stop: int, scratch_at: int) -> None:
    """Write sum and normed of rows start..stop."""
    head = integers(head_at)
    width, wide, smooth, post_norm = head[15], head[16], head[17], head[18] != 0
    size = 4 * _BLOCK * width
    spare_at = scratch_at + 3 * size
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        out_at = scratch_at - 4 * first * width
        total_at, inner_at = out_at + size, out_at + 2 * size
        _until_inner(head_at, first, last, out_at, total_at, inner_at, spare_at)
        _feed(
            inner_at, head[6], head[7], head[8], head[9], out_at, width, wide, smooth,
            head[23], head[24], first, last, spare_at,
        )  # fmt: skip
        _add_norm(
            out_at, inner_at if post_norm else total_at, head[10], head[11], head[12], head[13],
            width, head[20], head[25], head[26], first, last, spare_at,
        )  # fmt: skip


@separate
def _spread(head_at: int, start: int, stop: int, spread_at: int) -> None:
    """Write the sum's gradient of rows start..stop: zeros but for those it has."""
    head = integers(head_at)
    width, numbers = head[15], integers(head[35])
    given, spread = floats(head[30]), floats(spread_at)
    clear(spread, start * width, (stop - start) * width)
    at, after = 0, head[34]  # the first one not before `start` is found between
    while at < after:
        middle = (at + after) // 2
        if numbers[middle] < start:
            at = middle + 1
        else:
            after = middle
    while at < head[34] and numbers[at] < stop:
        for c in range(0, width, LANES):
            store(spread, numbers[at] * width + c, load(given, at * width + c))
        at += 1


@separate
def backward(head_at: int, sums_at: int, start: int, stop: int, scratch_at: int) -> None:
    """Write the gradients of mixed and residual of rows start..stop, and those of the weights,
    summed over them, at `sums_at` one after the other as in `Weights`. That of the residual may
    take the place of the sum, and that of mixed the place of that of normed.
    """
    head = integers(head_at)
    keys, width, wide = head[14], head[15], head[16]
    smooth, post_norm = head[17], head[18] != 0
    dbias_at = sums_at + 4 * width * keys
    dgamma_at, dbeta_at = dbias_at + 4 * width, dbias_at + 8 * width
    dweight1_at = dbeta_at + 4 * width
    dbias1_at = dweight1_at + 4 * wide * width
    dweight2_at = dbias1_at + 4 * wide
    dbias2_at = dweight2_at + 4 * width * wide
    dgamma2_at, dbeta2_at = dbias2_at + 4 * width, dbias2_at + 8 * width
    size = 4 * _BLOCK * width
    spare_at = scratch_at + 8 * size
    clear(floats(sums_at), 0, (dbeta2_at + 4 * width - sums_at) // 4)
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        out_at = scratch_at - 4 * first * width
        total_at, inner_at, dbase_at = out_at + size, out_at + 2 * size, out_at + 3 * size
        dinner_at = out_at + 4 * size
        _until_inner(head_at, first, last, out_at, total_at, inner_at, spare_at)
        dtotal_at = head[30]
        if head[34] != 0:
            dtotal_at = out_at + 7 * size
            _spread(head_at, first, last, dtotal_at)
        dfed_at = dbase_at if head[26] == 0 else out_at + 5 * size
        _add_norm_gradients(
            head[12], head[10], head[31], dtotal_at, dbase_at, 0 if head[26] == 0 else dfed_at,
            dgamma2_at, dbeta2_at, width, head[20], head[25], head[26], first, last, spare_at,
        )  # fmt: skip
        _feed_gradients(
            inner_at, head[6], head[7], head[28], head[29], dfed_at, dinner_at,
            dweight1_at, dbias1_at, dweight2_at, dbias2_at, width, wide, smooth,
            head[23], head[24], first, last, spare_at,
        )  # fmt: skip
        if post_norm:
            dinner, dbase = floats(dinner_at), floats(dbase_at)
            for at in range(first * width, last * width, LANES):
                store(dinner, at, load(dinner, at) + load(dbase, at))
        dout_at = head[32] if head[22] == 0 else out_at + 6 * size
        _add_norm_gradients(
            total_at, head[4], dinner_at, 0 if post_norm else dbase_at, head[32],
            0 if head[22] == 0 else dout_at, dgamma_at, dbeta_at, width, head[19], head[21],
            head[22], first, last, spare_at,
        )  # fmt: skip
        _linear_gradients(
            head[0], head[27], dout_at, head[33], sums_at, dbias_at, keys, keys, width,
            first, last, spare_at,
        )  # fmt: skip


_forward_arguments = unpack(3)
_backward_arguments = unpack(4)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
