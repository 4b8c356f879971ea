"""Matrix products inside a kernel, cut into the register tiles of simd_matmul.py.

Blocks are small (tens of rows), so b comes from the second-level cache once a block and c stays in
the first. `x_at` are addresses, all distances count floats; rows are a multiple of ROWS, columns
one of WIDTH, depth is at least 1.

b is (depth, columns) with rows `b_row` apart and `b_panel` = 1, or packed by `panels` (see
panels.py): `b_panel` = depth and `b_row` = WIDTH. `a` may be transposed by its distances.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.ops.simd import LANES, floats, separate
from models.ops.simd_matmul import (
    ROWS,
    WIDTH,
    add_tile,
    rectified_row_tile,
    row_tile,
    zeros_tile,
)


def _made_of(tile: Callable[..., Any]) -> Callable[..., None]:
    """c = start + a b; a (rows, depth), b (depth, columns), first (columns,) where it starts so."""

    @separate
    def product(
        c_at: int, c_row: int, first_at: int, a_at: int, a_row: int, a_column: int,
        b_at: int, b_panel: int, b_row: int, rows: int, columns: int, depth: int,
    ) -> None:  # fmt: skip
        c, first, a, b = floats(c_at), floats(first_at), floats(a_at), floats(b_at)
        for left in range(0, columns, WIDTH):
            for row in range(0, rows, ROWS):
                tile(
                    c, row * c_row + left, c_row, first, left, a, row * a_row, a_row, a_column,
                    b, left * b_panel, b_row, LANES, depth,
                )  # fmt: skip

    return product


_from_c, _from_row, _from_zeros = _made_of(add_tile), _made_of(row_tile), _made_of(zeros_tile)
# c = max(bias + a b, 0), in which a NaN stays, with arguments as `product`'s but with a bias.
rectified_product = _made_of(rectified_row_tile)


@separate
def add_product(
    c_at: int, c_row: int, a_at: int, a_row: int, a_column: int,
    b_at: int, b_panel: int, b_row: int, rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    """c += a b."""
    _from_c(
        c_at, c_row, 0, a_at, a_row, a_column, b_at, b_panel, b_row, rows, columns, depth
    )  # fmt: skip


@separate
def product(
    c_at: int, c_row: int, bias_at: int, a_at: int, a_row: int, a_column: int,
    b_at: int, b_panel: int, b_row: int, rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    """c = bias + a b; a bias at 0 is none."""
    if bias_at == 0:
        _from_zeros(
            c_at, c_row, 0, a_at, a_row, a_column, b_at, b_panel, b_row, rows, columns, depth
        )  # fmt: skip
    else:
        _from_row(
            c_at, c_row, bias_at, a_at, a_row, a_column, b_at, b_panel, b_row, rows, columns, depth
        )  # fmt: skip
