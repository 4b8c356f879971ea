"""Matrix products inside a kernel, cut into the register tiles of simd_matmul.py.

`product` adds a (rows, depth) times b (depth, columns) to c. Blocks are small (tens of rows), so b
comes from the second-level cache once a block and c stays in the first.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from models.ops.simd import floats, separate
from models.ops.simd_matmul import ROWS, WIDTH, multiply_tile


@separate
def product(
    c_at: int, c_row: int, a_at: int, a_row: int, a_column: int,
    b_at: int, b_panel: int, b_row: int, rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    """c += a b. `x_at` are addresses, all distances count floats; rows are a multiple of ROWS,
    columns one of WIDTH, depth is at least 1.

    b is (depth, columns) with rows `b_row` apart and `b_panel` = 1, or packed by `panels` (see
    simd_pack.py): `b_panel` = depth and `b_row` = WIDTH. `a` may be transposed by its distances.
    """
    c, a, b = floats(c_at), floats(a_at), floats(b_at)
    for left in range(0, columns, WIDTH):
        for row in range(0, rows, ROWS):
            multiply_tile(
                c, row * c_row + left, c_row, a, row * a_row, a_row, a_column,
                b, left * b_panel, b_row, depth,
            )  # fmt: skip
