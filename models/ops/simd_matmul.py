"""A small matrix product kept in vector registers, the piece of which larger products are made.

Why not torch.mm inside the fused kernels: each call costs a synchronisation, and the library behind
it may not use the widest vectors of the processor (on one AMD Zen 5 core MKL reaches 97 GFLOP/s,
this tile 235, of 242 possible). The scheme is that of GotoBLAS (Goto & van de Geijn 2008,
doi:10.1145/1356052.1356053): a tile of the result stays in registers over the whole depth.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from models.ops.simd import FLOAT, LANES, VECTOR, emitted, in_all_lanes, pointer_type, vector_at

# The tile takes ROWS * WIDTH / LANES vectors: 16 of the 32 registers with AVX-512. Elsewhere a
# vector of 16 lanes is two to four registers of 16 to 32, so the tile is one vector wide.
ROWS = 4
WIDTH = 4 * LANES if binding.get_host_cpu_features().get("avx512f") else LANES


def tile(height: int, vectors: int, begins: str, *, rectified: bool = False) -> Callable[..., Any]:
    """A tile of `height` rows of vectors that begins with what c holds ("c"), with one row for all
    ("row") or with "zeros", and ends as max(c, 0) where it is rectified, in which a NaN stays.

    It is c = start + a (height, depth) b (depth, vectors * LANES), depth >= 1, with arguments (c,
    c_at, c_row, first, first_at, a, a_at, a_row, a_column, b, b_at, b_row, b_panel, depth): `x_at`
    is where a matrix starts, `x_row` the distance of its rows; `a` may be transposed, so its
    columns have a distance as well; b's vectors of a row are `b_panel` apart. c and `first`, the
    row to begin with, are contiguous in a row.
    """

    @emitted
    def multiply(
        typingctx: Any, c: Any, c_at: Any, c_row: Any, first: Any, first_at: Any,
        a: Any, a_at: Any, a_row: Any, a_column: Any, b: Any, b_at: Any, b_row: Any, b_panel: Any,
        depth: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            c, c_at, c_row, first, first_at, a, a_at, a_row, a_column = args[:9]
            b, b_at, b_row, b_panel, depth = args[9:]
            number = ir.IntType(64)
            rows, across = range(height), range(vectors)
            kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
            fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
            zero = ir.Constant(VECTOR, [ir.Constant(FLOAT, 0.0)] * LANES)

            def row_of(start: Any, distance: Any, i: int) -> Any:
                return builder.add(start, builder.mul(distance, number(i)))

            def load_row(matrix: Any, start: Any, distance: Any) -> list[Any]:
                places = (vector_at(builder, matrix, row_of(start, distance, j)) for j in across)
                return [builder.load(place, align=4, typ=VECTOR) for place in places]

            if begins == "c":
                before = [load_row(c, row_of(c_at, c_row, i), number(LANES)) for i in rows]
            elif begins == "row":
                before = [load_row(first, first_at, number(LANES))] * height
            else:
                before = [[zero] * vectors] * height
            entry = builder.block
            loop = builder.append_basic_block("depth")
            done = builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(number)
            k.add_incoming(number(0), entry)
            sums = [[builder.phi(VECTOR) for _ in across] for _ in rows]
            b_values = load_row(b, builder.add(b_at, builder.mul(k, b_row)), b_panel)
            after = []
            for i in rows:
                at = builder.add(row_of(a_at, a_row, i), builder.mul(k, a_column))
                a_value = in_all_lanes(builder, builder.load(builder.gep(a, [at]), typ=FLOAT))
                after.append(
                    [builder.call(fused, [a_value, b_values[j], sums[i][j]]) for j in across]
                )
                for j in across:
                    sums[i][j].add_incoming(before[i][j], entry)
                    sums[i][j].add_incoming(after[i][j], loop)
            following = builder.add(k, number(1))
            k.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
            builder.position_at_end(done)
            for i in rows:
                for j in across:
                    value = after[i][j]
                    if rectified:
                        value = builder.select(builder.fcmp_ordered("<", value, zero), zero, value)
                    at = builder.add(row_of(c_at, c_row, i), number(LANES * j))
                    builder.store(value, vector_at(builder, c, at), align=4)
            return context.get_dummy_value()

        at = types.intp
        matrix = pointer_type
        return types.void(
            matrix, at, at, matrix, at, matrix, at, at, at, matrix, at, at, at, at
        ), codegen

    return multiply


# c (ROWS, WIDTH) of larger products, whose b has contiguous rows: b_panel is LANES.
add_tile = tile(ROWS, WIDTH // LANES, "c")
row_tile = tile(ROWS, WIDTH // LANES, "row")
rectified_row_tile = tile(ROWS, WIDTH // LANES, "row", rectified=True)
zeros_tile = tile(ROWS, WIDTH // LANES, "zeros")
