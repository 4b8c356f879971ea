"""Scores of the catalogue and the best of them on a CPU, compiled by Numba.

A block of scores is made in the cache and compared, sixteen at a time, with the worst one that a
row keeps so far. In a random order k ln(V / k) of V items get in, so the choice costs a small part
of the scores. Items come in the order of their ids and only a better score gets in, so that of
equal ones the smaller id is kept.

`few_task` is for few rows: it reads the weights as they lie, once for all rows. `many_task` goes
over weights packed in panels (panels.py) by register tiles.
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
    load,
    native,
    separate,
    splat,
    unpack,
)
from models.ops.simd_mask import above, lowest
from models.ops.simd_matmul import WIDTH
from models.ops.simd_product import product
from models.ops.simd_row import room, row_linear

# Of few rows: the items whose scores are made before the best of them are taken.
FEW_ITEMS = 1024

_NOTHING = np.float32(-math.inf)


@separate
def _keep_best(
    scores_at: int, first: int, count: int, seen_at: int, seen: int, ids_at: int, best_at: int,
    k: int,
) -> None:  # fmt: skip
    """Put what belongs there of scores (count,) of the items from `first` on in a row's list (k,).

    Overwrites the scores of padding and of seen items. `scores` has room for whole vectors.
    """
    scores, best = floats(scores_at), floats(best_at)
    known, ids = integers(seen_at), integers(ids_at)
    if first == 0:
        scores[0] = _NOTHING
    for i in range(seen):
        place = known[i] - first
        if 0 <= place < count:
            scores[place] = _NOTHING
    worst = best[k - 1]
    for c in range(0, count, LANES):
        bits = above(load(scores, c), splat(worst))
        if count - c < LANES:
            bits &= (1 << (count - c)) - 1
        while bits != 0:
            item = c + lowest(bits)
            bits &= bits - 1
            score = scores[item]
            if score > worst:
                place = k - 1
                while place > 0 and score > best[place - 1]:
                    best[place] = best[place - 1]
                    ids[place] = ids[place - 1]
                    place -= 1
                best[place] = score
                ids[place] = first + item
                worst = best[k - 1]


@separate
def _few(
    hidden_at: int, weight_at: int, bias_at: int, seen_at: int, ids_at: int, best_at: int,
    rows: int, width: int, seen: int, k: int, start: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """ids, best (rows, k) of items start..stop; hidden (rows, width), weight (V, width)."""
    ids, best = integers(ids_at), floats(best_at)
    scores_at = room(FEW_ITEMS)
    for i in range(rows * k):
        ids[i] = 0
        best[i] = _NOTHING
    for first in range(start, stop, FEW_ITEMS):
        count = min(FEW_ITEMS, stop - first)
        shift = 0 if bias_at == 0 else bias_at + 4 * first
        for row in range(rows):
            row_linear(
                scores_at, hidden_at + 4 * row * width, weight_at + 4 * first * width, shift,
                count, width, True,
            )  # fmt: skip
            _keep_best(
                scores_at, first, count, seen_at + 8 * row * seen, seen,
                ids_at + 8 * row * k, best_at + 4 * row * k, k,
            )  # fmt: skip


@separate
def _many(
    hidden_at: int, panels_at: int, bias_at: int, seen_at: int, ids_at: int, best_at: int,
    width: int, depth: int, seen: int, k: int, block: int, first: int, stop: int,
    start_row: int, stop_row: int, rows: int, scratch_at: int,
) -> None:  # fmt: skip
    """Bring items first..stop into ids, best (rows, k) of rows start_row..stop_row.

    hidden (M, width), where M is `rows` padded to ROWS; panels (items / WIDTH, depth, WIDTH), of
    which the first `width` rows count; bias of the same items, padded, or 0. `block` is a multiple
    of WIDTH.
    """
    pitch = block + LANES
    for begin in range(first, stop, block):
        count = min(block, stop - begin)
        columns = (count + WIDTH - 1) // WIDTH * WIDTH
        offset_at = 0
        if bias_at != 0:
            offset_at = bias_at + 4 * (begin - first)
        product(
            scratch_at, pitch, offset_at, hidden_at + 4 * start_row * width, width, 1,
            panels_at + 4 * (begin - first) * depth, depth, WIDTH,
            stop_row - start_row, columns, width,
        )  # fmt: skip
        for row in range(start_row, min(stop_row, rows)):
            _keep_best(
                scratch_at + 4 * (row - start_row) * pitch, begin, count,
                seen_at + 8 * row * seen, seen, ids_at + 8 * row * k, best_at + 4 * row * k, k,
            )  # fmt: skip


_few_arguments = unpack(12)
_many_arguments = unpack(16)


@native(types.CPointer(types.int64), types.int64)
def few_task(row: Any, scratch_at: int) -> None:
    """`_few` with all arguments but the last in a row of integers (threads.py)."""
    _few(*_few_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def many_task(row: Any, scratch_at: int) -> None:
    """`_many` with all arguments but the last in a row of integers."""
    _many(*_many_arguments(row, scratch_at))
