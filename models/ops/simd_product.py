"""Matrix products inside a kernel, cut into the register tiles of simd_matmul.py.

Blocks are small (tens of rows), so b comes from the second-level cache once a block and c stays in
the first. `x_at` are addresses, all distances count floats; rows are a multiple of ROWS, columns
one of WIDTH, depth is at least 1.

b is (depth, columns) with rows `b_row` apart and `b_panel` = 1, or packed by `panels` (see
panels.py): `b_panel` = depth and `b_row` = WIDTH. `a` may be transposed by its distances.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from models.ops.simd import floats, separate
from models.ops.simd_matmul import (
    ROWS,
    WIDTH,
    add_tile,
    rectified_row_tile,
    row_tile,
    zeros_tile,
)


@separate
def add_product(
    c_at: int, c_row: int, a_at: int, a_row: int, a_column: int,
    b_at: int, b_panel: int, b_row: int, rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    """c += a b; a (rows, depth), b (depth, columns)."""
    c, a, b = floats(c_at), floats(a_at), floats(b_at)
    for left in range(0, columns, WIDTH):
        for row in range(0, rows, ROWS):
            add_tile(
                c, row * c_row + left, c_row, c, 0, a, row * a_row, a_row, a_column,
                b, left * b_panel, b_row, depth,
            )  # fmt: skip


@separate
def product(
    c_at: int, c_row: int, bias_at: int, a_at: int, a_row: int, a_column: int,
    b_at: int, b_panel: int, b_row: int, rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    """c = bias + a b; bias (columns,), or 0 as its address."""
    c, bias, a, b = floats(c_at), floats(bias_at), floats(a_at), floats(b_at)
    for left in range(0, columns, WIDTH):
        for row in range(0, rows, ROWS):
            if bias_at == 0:
                zeros_tile(
                    c, row * c_row + left, c_row, c, 0, a, row * a_row, a_row, a_column,
                    b, left * b_panel, b_row, depth,
                )  # fmt: skip
            else:
                row_tile(
                    c, row * c_row + left, c_row, bias, left, a, row * a_row, a_row, a_column,
                    b, left * b_panel, b_row, depth,
                )  # fmt: skip


@separate
def rectified_product(
    c_at: int, c_row: int, bias_at: int, a_at: int, a_row: int, a_column: int,
    b_at: int, b_panel: int, b_row: int, rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    """c = max(bias + a b, 0); a NaN stays."""
    c, bias, a, b = floats(c_at), floats(bias_at), floats(a_at), floats(b_at)
    for left in range(0, columns, WIDTH):
        for row in range(0, rows, ROWS):
            rectified_row_tile(
                c, row * c_row + left, c_row, bias, left, a, row * a_row, a_row, a_column,
                b, left * b_panel, b_row, depth,
            )  # fmt: skip
