"""A transformer's first layer on a CPU, compiled by Numba. Inference only.

The kernels of embed_linear, attention and post_mixer take addresses, so some sequences at a time go
through all three in one thread's scratch: a tensor of which only rows r, r + 1, ... are there
begins r rows before them. `head` is a row of integers that all tasks of a call share:

    0 to 2 addresses of embed_linear's arguments, of attention's head and of post_mixer's, whose
    entries for tensors in the scratch are set here, 3 D, 4 heads, 5 whether post-norm, where the
    residual is the normed embedding and no sum is written, 6 rows at a time, 7 rows that there is
    room for: at least those, and those of the longest sequence, 8 sum (T, D), 9 normed (T, D)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops import attention_kernels, embed_linear_kernels, post_mixer_kernels
from models.ops.simd import clear, copy, floats, integers, native, separate, unpack
from models.ops.simd_matmul import ROWS

# Integers of attention's and of post_mixer's head, in whole cache lines.
_MIXING, _REST = 16, 24
_attend = attention_kernels.forward
_embed = embed_linear_kernels.forward
_follow = post_mixer_kernels.forward
_ALL = np.int64(2**62)


def scratch_floats(width: int, head: int, wide: int, rows: int) -> int:
    """Floats that one thread needs: of D, of a head in whole vectors, of E, and of `rows`."""
    parts = (
        attention_kernels.forward_scratch(head, rows),
        post_mixer_kernels.scratch_floats(width, wide),
    )
    return 2 * (_MIXING + _REST) + 8 * width * rows + max(parts)


@separate
def forward(head_at: int, sequence_start: int, sequence_stop: int, scratch_at: int) -> None:
    """Write sum and normed of some sequences."""
    head = integers(head_at)
    e, width, heads, post_norm = integers(head[0]), head[3], head[4], head[5] != 0
    at_a_time, room = head[6], head[7]
    rest_at = scratch_at + 8 * _MIXING
    mixing, rest = integers(scratch_at), integers(rest_at)
    for i in range(12):
        mixing[i] = integers(head[1])[i]
    for i in range(21):
        rest[i] = integers(head[2])[i]
    offsets, row_bytes = integers(mixing[7]), 4 * width
    embedded_at = rest_at + 8 * _REST
    normed_at = embedded_at + room * row_bytes
    qkv_at = normed_at + room * row_bytes
    mixed_at = qkv_at + 3 * room * row_bytes
    total_at = mixed_at + room * row_bytes
    result_at = total_at + room * row_bytes
    spare_at = result_at + room * row_bytes
    residual_at = normed_at if post_norm else embedded_at
    rest[0], rest[1], rest[12], rest[13] = mixed_at, residual_at, total_at, result_at
    start = sequence_start
    while start < sequence_stop:
        origin, stop = offsets[start], start + 1
        while stop < sequence_stop and offsets[stop + 1] - origin <= at_a_time:
            stop += 1
        rows = offsets[stop] - origin
        whole = (rows + ROWS - 1) // ROWS * ROWS
        _embed(
            e[0] + 8 * origin, e[1], e[2] + 8 * origin, e[3], e[4], e[5], e[6], e[7],
            embedded_at, normed_at, qkv_at, e[11], e[12], e[13], e[14], e[15], 0, rows, spare_at,
        )  # fmt: skip
        mixing[0] = qkv_at - 3 * origin * row_bytes
        mixing[2], mixing[3] = mixing[0] + row_bytes, mixing[0] + 2 * row_bytes
        mixing[5] = mixed_at - origin * row_bytes
        _attend(scratch_at, start, stop, 0, heads, 0, _ALL, spare_at)
        clear(floats(mixed_at), rows * width, (whole - rows) * width)
        clear(floats(residual_at), rows * width, (whole - rows) * width)
        _follow(rest_at, 0, whole, spare_at)
        if not post_norm:
            copy(floats(head[8]), origin * width, floats(total_at), 0, rows * width)
        copy(floats(head[9]), origin * width, floats(result_at), 0, rows * width)
        start = stop


_arguments = unpack(3)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_arguments(row, scratch_at))
