"""Small blocks of a matrix inside a kernel: gathered, transposed, multiplied, scattered.

The product here is one or two vectors wide, that of simd_matmul.py as wide as registers allow:
attention multiplies by heads of 16, 32 or 64 channels and by as many keys as a row may see.
Widths are multiples of LANES, and LANES is one of ROWS.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from models.ops.simd import (
    FLOAT,
    LANES,
    VECTOR,
    emitted,
    floats,
    inlined,
    load,
    load_part,
    pointer_type,
    separate,
    splat,
    store,
    store_part,
)
from models.ops.simd_matmul import tile

# As many sums of a vector (one register with AVX-512, two with AVX2) as two units have in flight.
ROWS = 8 if binding.get_host_cpu_features().get("avx512f") else 4
# Vectors of a row that are multiplied together: each value of a is loaded once for both.
_TOGETHER = 2 if ROWS == 8 else 1

_ZERO = np.float32(0.0)
_EIGHT = ir.VectorType(FLOAT, 8)


# c (ROWS, LANES) = or += a b, and as many panels at once as go together.
_into, _onto = tile(ROWS, 1, "zeros"), tile(ROWS, 1, "c")
_into_more, _onto_more = tile(ROWS, _TOGETHER, "zeros"), tile(ROWS, _TOGETHER, "c")


@emitted
def lane_max(typingctx: Any, value: Any) -> Any:
    """The largest lane; any number where one is NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        name = f"llvm.vector.reduce.fmax.v{LANES}f32"
        kind = ir.FunctionType(FLOAT, [VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, args, fastmath=("nnan",))

    lanes = value
    return types.float32(lanes), codegen


@emitted
def _transpose_eight(
    typingctx: Any, target: Any, to: Any, to_row: Any, source: Any, at: Any, row: Any, scale: Any
) -> Any:
    """target (8, 8) = scale * source (8, 8) transposed."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, to_row, source, at, row, scale = args
        number, place = ir.IntType(64), ir.IntType(32)

        def row_of(matrix: Any, start: Any, distance: Any, i: int) -> Any:
            index = builder.add(start, builder.mul(distance, number(i)))
            return builder.bitcast(builder.gep(matrix, [index]), _EIGHT.as_pointer())

        def shuffle(a: Any, b: Any, order: list[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(place, 8), order))

        nothing = ir.Constant(_EIGHT, ir.Undefined)
        first = builder.insert_element(nothing, scale, place(0))
        factor = shuffle(first, nothing, [0] * 8)
        rows = [
            builder.fmul(builder.load(row_of(source, at, row, i), align=4, typ=_EIGHT), factor)
            for i in range(8)
        ]
        pairs = []
        for i in range(0, 8, 2):
            pairs.append(shuffle(rows[i], rows[i + 1], [0, 8, 1, 9, 4, 12, 5, 13]))
            pairs.append(shuffle(rows[i], rows[i + 1], [2, 10, 3, 11, 6, 14, 7, 15]))
        fours = []
        for i in range(0, 8, 4):
            for j in range(2):
                a, b = pairs[i + j], pairs[i + j + 2]
                fours.append(shuffle(a, b, [0, 1, 8, 9, 4, 5, 12, 13]))
                fours.append(shuffle(a, b, [2, 3, 10, 11, 6, 7, 14, 15]))
        for i in range(4):
            low = shuffle(fours[i], fours[i + 4], [0, 1, 2, 3, 8, 9, 10, 11])
            high = shuffle(fours[i], fours[i + 4], [4, 5, 6, 7, 12, 13, 14, 15])
            builder.store(low, row_of(target, to, to_row, i), align=4)
            builder.store(high, row_of(target, to, to_row, i + 4), align=4)
        return context.get_dummy_value()

    distance = types.intp
    return types.void(
        pointer_type, distance, distance, pointer_type, distance, distance, types.float32
    ), codegen


@emitted
def _prefetch(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Ask for pointer[index] before it is needed; the address may be anywhere."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = ir.IntType(32)
        place = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [place, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        at = builder.bitcast(builder.gep(args[0], [args[1]]), place)
        builder.call(function, [at, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(pointer_type, types.intp), codegen


@inlined
def prefetch_rows(source: Any, at: Any, row: Any, count: Any, size: Any) -> None:
    """Ask for some rows; a few at a time between other work, or they wait for each other."""
    for i in range(count):
        for c in range(0, size, LANES):
            _prefetch(source, at + i * row + c)


@separate
def gather(
    target_at: int, source_at: int, row: int, count: int, padded: int, size: int, width: int,
    ahead: int, spare_at: int,
) -> None:  # fmt: skip
    """target (padded, width) = source (count, size) with rows `row` apart, zeros around it.

    Rows `ahead` of these are asked for, so that they are in the cache when their turn comes.
    """
    target, source, spare = floats(target_at), floats(source_at), floats(spare_at)
    if size == width:
        for i in range(count):
            for c in range(0, width, LANES):
                store(target, i * width + c, load(source, i * row + c))
                _prefetch(source, (i + ahead) * row + c)
    else:
        for i in range(count):
            for c in range(0, width, LANES):
                store(target, i * width + c, load_part(source, i * row + c, size - c, spare))
    for i in range(count * width, padded * width, LANES):
        store(target, i, splat(_ZERO))


@separate
def scatter(
    target_at: int, row: int, source_at: int, count: int, size: int, width: int, spare_at: int
) -> None:
    """target (count, size), rows `row` apart, = source (count, width)."""
    target, source, spare = floats(target_at), floats(source_at), floats(spare_at)
    for i in range(count):
        for c in range(0, width, LANES):
            store_part(target, i * row + c, size - c, load(source, i * width + c), spare)


@separate
def to_panels(
    panels_at: int, source_at: int, row: int, count: int, size: int, width: int, scale: float,
    ahead: int, spare_at: int,
) -> None:  # fmt: skip
    """panels (ceil(count / LANES), width, LANES) = scale * source (count, size) transposed,
    LANES rows at a time, zeros around it; spare: (8, width) and LANES more.
    """
    panels, source, spare = floats(panels_at), floats(source_at), floats(spare_at)
    factor = np.float32(scale)
    for first in range(0, (count + LANES - 1) // LANES * LANES, 8):
        to = first // LANES * LANES * width + first % LANES
        whole = size == width and first + 8 <= count
        if whole:
            prefetch_rows(source, (first + ahead) * row, row, 8, size)
            for c in range(0, width, 8):
                _transpose_eight(
                    panels, to + c * LANES, LANES, source, first * row + c, row, factor
                )
        else:
            real = max(0, min(8, count - first))
            gather(
                spare_at + 4 * LANES, source_at + 4 * first * row, row, real, 8, size, width, 0,
                spare_at,
            )  # fmt: skip
            for c in range(0, width, 8):
                _transpose_eight(panels, to + c * LANES, LANES, spare, LANES + c, width, factor)


@separate
def product(
    c_at: int, c_row: int, rows: int, columns: int, fresh: bool,
    a_at: int, a_row: int, a_column: int, b_at: int, b_row: int, b_panel: int, depth: int,
    spare_at: int,
) -> None:  # fmt: skip
    """c (rows <= ROWS, columns) = a b, or += where not `fresh`; depth >= 1.

    a: (ROWS, depth), b: (depth, columns padded to LANES), its columns by panels `b_panel` apart;
    spare: LANES and (ROWS, columns padded). Writes nothing beside c.
    """
    a, b = floats(a_at), floats(b_at)
    width = (columns + LANES - 1) // LANES * LANES
    whole = rows == ROWS and columns == width
    to, to_row = (c_at, c_row) if whole else (spare_at + 4 * LANES, width)
    target = floats(to)
    if not (fresh or whole):
        gather(to, c_at, c_row, rows, ROWS, columns, width, 0, spare_at)
    panels, many = width // LANES, width // LANES // _TOGETHER * _TOGETHER
    if fresh:
        for panel in range(0, many, _TOGETHER):
            _into_more(
                target, panel * LANES, to_row, target, 0, a, 0, a_row, a_column,
                b, panel * b_panel, b_row, b_panel, depth,
            )  # fmt: skip
        for panel in range(many, panels):
            _into(
                target, panel * LANES, to_row, target, 0, a, 0, a_row, a_column,
                b, panel * b_panel, b_row, b_panel, depth,
            )  # fmt: skip
    else:
        for panel in range(0, many, _TOGETHER):
            _onto_more(
                target, panel * LANES, to_row, target, 0, a, 0, a_row, a_column,
                b, panel * b_panel, b_row, b_panel, depth,
            )  # fmt: skip
        for panel in range(many, panels):
            _onto(
                target, panel * LANES, to_row, target, 0, a, 0, a_row, a_column,
                b, panel * b_panel, b_row, b_panel, depth,
            )  # fmt: skip
    if not whole:
        scatter(c_at, c_row, to, rows, columns, width, spare_at)
