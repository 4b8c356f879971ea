"""Lanes chosen by a mask: the end of a row that is no multiple of sixteen, and comparisons.

A part of a vector is loaded and stored by a mask in one instruction, so that a row of any width
costs no copy and nothing beyond its end is read. A comparison gives the lanes that hold as the
bits of an integer, lowest lane first; a NaN fulfils none but `unordered`.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from models.ops.simd import BITS, FLOAT, LANES, VECTOR, emitted, lanes_type, pointer_type, vector_at

_MASK = ir.VectorType(ir.IntType(1), LANES)
_WORD = ir.IntType(64)


def _first_lanes(builder: Any, count: Any) -> Any:
    """True in lanes below `count`."""
    nothing = ir.Constant(BITS, ir.Undefined)
    number = builder.trunc(count, ir.IntType(32))
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    limit = builder.shuffle_vector(first, nothing, ir.Constant(BITS, [0] * LANES))
    return builder.icmp_signed("<", ir.Constant(BITS, list(range(LANES))), limit)


@emitted
def load_first(typingctx: Any, pointer: Any, index: Any, count: Any) -> Any:
    """Lanes pointer[index : index + count], 1 <= count <= LANES, zeros in the others."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, index, count = args
        at = VECTOR.as_pointer()
        kind = ir.FunctionType(VECTOR, [at, ir.IntType(32), _MASK, VECTOR])
        name = f"llvm.masked.load.v{LANES}f32.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        zeros = ir.Constant(VECTOR, [ir.Constant(FLOAT, 0.0)] * LANES)
        place, mask = vector_at(builder, pointer, index), _first_lanes(builder, count)
        return builder.call(function, [place, ir.Constant(ir.IntType(32), 4), mask, zeros])

    return lanes_type(pointer_type, types.intp, types.intp), codegen


@emitted
def store_first(typingctx: Any, pointer: Any, index: Any, count: Any, value: Any) -> Any:
    """Write the first `count` lanes to pointer[index : index + count]."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, index, count, value = args
        at = VECTOR.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [VECTOR, at, ir.IntType(32), _MASK])
        name = f"llvm.masked.store.v{LANES}f32.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        place, mask = vector_at(builder, pointer, index), _first_lanes(builder, count)
        builder.call(function, [value, place, ir.Constant(ir.IntType(32), 4), mask])
        return context.get_dummy_value()

    return types.void(pointer_type, types.intp, types.intp, lanes_type), codegen


def _as_bits(builder: Any, mask: Any) -> Any:
    return builder.zext(builder.bitcast(mask, ir.IntType(LANES)), _WORD)


@emitted
def above(typingctx: Any, a: Any, b: Any) -> Any:
    """Where a > b."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as_bits(builder, builder.fcmp_ordered(">", args[0], args[1]))

    return types.int64(lanes_type, lanes_type), codegen


@emitted
def same(typingctx: Any, a: Any, b: Any) -> Any:
    """Where a == b."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as_bits(builder, builder.fcmp_ordered("==", args[0], args[1]))

    return types.int64(lanes_type, lanes_type), codegen


@emitted
def unordered(typingctx: Any, a: Any) -> Any:
    """Where a is NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as_bits(builder, builder.fcmp_unordered("uno", args[0], args[0]))

    return types.int64(lanes_type), codegen


@emitted
def ones(typingctx: Any, bits: Any) -> Any:
    """How many bits are set."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


@emitted
def lowest(typingctx: Any, bits: Any) -> Any:
    """The number of the lowest bit set; one is."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen
