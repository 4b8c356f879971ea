"""Rows cut into the parts that tasks take: by the number of rows alone, never by the threads, so
that sums over parts have the same bits with any number of them.
"""

from __future__ import annotations

from models.ops.simd_matmul import ROWS


def parts(rows: int, *, smallest: int, most: int, step: int = 1) -> list[tuple[int, int]]:
    """Bounds of at most `most` parts of about equal size, each of at least `smallest` rows where
    there are so many, and of whole steps, of which `rows` is a multiple.
    """
    steps = rows // step
    count = max(1, min(most, rows // smallest))
    return [(steps * i // count * step, steps * (i + 1) // count * step) for i in range(count)]


def row_parts(rows: int) -> list[tuple[int, int]]:
    """For work that writes rows alone: whole tiles, small enough for threads to share evenly."""
    return parts(rows, smallest=128, most=32, step=ROWS)


def summed_parts(rows: int, step: int = ROWS) -> list[tuple[int, int]]:
    """For work where each part has a gradient of all weights of its own: few, and not too small."""
    return parts(rows, smallest=256, most=16, step=step)
