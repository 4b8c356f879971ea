"""Sixteen float32 lanes as one value inside Numba functions.

LLVM's loop vectoriser gives up, or adds run-time overlap checks, on loops that touch a dozen small
arrays. With an explicit vector type the kernels say what they mean (`h = decay * h + x * b`), and
LLVM splits the sixteen lanes into whatever registers the processor has: one with AVX-512, two with
AVX2, four with NEON. Reductions over lanes are the only operation that may be reordered.

How: `p = floats(address)`, `v = load(p, i)`, `v + w`, `fma(a, b, c)`, `store(p, i, v)` and
`lane_sum(v)`; functions of lanes are in simd_math.py.
"""

# Numba is typed in part only, and differently from version to version.
# mypy: disable-error-code="no-untyped-call,attr-defined,import-untyped,misc"

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.imputils import lower_builtin
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic

from models.ops.pieces import pieces_digest
from models.ops.registries import load_registries

LANES = 16

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
BITS = ir.VectorType(ir.IntType(32), LANES)

_alive: list[CFunc] = []  # the machine code goes when its object goes


def native(*arguments: Any) -> Callable[[Callable[..., None]], int]:
    """A C function's address: compiled now, kept on disk, runs without the interpreter."""

    def build(function: Callable[..., None]) -> int:
        load_registries()
        made = CFunc(function, (arguments, types.void), {}, {"error_model": "numpy"})
        made.enable_caching()
        # Numba compiles again when the function's own file changes, but not when the pieces it
        # takes in do; a stale kernel would be timed under the new code's name.
        file: Any = made._cache._cache_file
        file._source_stamp = (file._source_stamp, pieces_digest())
        made.compile()
        _alive.append(made)
        return cast(int, made.address)

    return build


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A piece of a kernel, put in place where it is called."""
    return cast(Callable[..., Any], numba.njit(inline="always")(function))


def separate(function: Callable[..., None]) -> Callable[..., None]:
    """A function of a kernel's own, compiled along with it and called from it."""
    return cast(Callable[..., None], numba.njit(error_model="numpy")(function))


def emitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operation whose LLVM instructions its inner `codegen` emits."""
    return cast(Callable[..., Any], intrinsic(function))


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


@register_default(_LanesType)
class _LanesModel(PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, VECTOR)


lanes_type = _LanesType()
pointer_type = types.CPointer(types.float32)


def vector_at(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), VECTOR.as_pointer())


@emitted
def floats(typingctx: Any, address: Any) -> Any:
    """The float32 numbers at an address, as Tensor.data_ptr() gives it.

    Pointers, because each array that Numba hands to an inlined function costs two atomic
    reference counts, and each index into one a test for a negative index.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(types.float32)(types.int64), codegen


@emitted
def integers(typingctx: Any, address: Any) -> Any:
    """The int64 numbers at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(types.int64)(types.int64), codegen


def unpack(count: int) -> Callable[..., Any]:
    """A function of (row, scratch) that gives row[0], ..., row[count - 1], scratch as a tuple."""

    @emitted
    def unpacked(typingctx: Any, row: Any, scratch: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            places = (ir.Constant(ir.IntType(64), i) for i in range(count))
            values = [builder.load(builder.gep(args[0], [at]), typ=args[1].type) for at in places]
            return context.make_tuple(builder, sig.return_type, [*values, args[1]])

        many = types.UniTuple(types.int64, count + 1)
        return many(types.CPointer(types.int64), types.int64), codegen

    return unpacked


@emitted
def fetch_add(typingctx: Any, counters: Any, index: Any) -> Any:
    """Add 1 to counters[index] and give its value before, as one step for all threads."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), one, "monotonic")

    return types.int64(types.CPointer(types.int64), types.intp), codegen


@emitted
def call_task(typingctx: Any, function: Any, row: Any, scratch: Any) -> Any:
    """Call the C function at an address with (row, scratch)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 2)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def in_all_lanes(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(BITS, [0] * LANES))


@emitted
def load(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Lanes pointer[index : index + LANES], at any alignment."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(vector_at(builder, *args), align=4, typ=VECTOR)

    return lanes_type(pointer_type, types.intp), codegen


@emitted
def store(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Write lanes to pointer[index : index + LANES]."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], vector_at(builder, *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(pointer_type, types.intp, lanes_type), codegen


@emitted
def spread(typingctx: Any, pointer: Any, index: Any) -> Any:
    """The number pointer[index] in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return in_all_lanes(builder, builder.load(builder.gep(args[0], [args[1]]), typ=FLOAT))

    return lanes_type(pointer_type, types.intp), codegen


@emitted
def splat(typingctx: Any, value: Any) -> Any:
    """The same number in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return in_all_lanes(builder, args[0])

    return lanes_type(types.float32), codegen


@emitted
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c in each lane, rounded once."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        name = f"llvm.fma.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return lanes_type(lanes_type, lanes_type, lanes_type), codegen


@emitted
def lane_sum(typingctx: Any, value: Any) -> Any:
    """Sum over lanes as a tree, whose order is fixed when it is compiled."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [ir.Constant(FLOAT, -0.0), args[0]], fastmath=("reassoc",))

    return types.float32(lanes_type), codegen


def _arithmetic(operation: Any, method: str) -> None:
    """Teach Numba `operation` on two vectors (templates compile faster than overloads)."""

    class _Template(ConcreteTemplate):
        key = operation
        cases: ClassVar[list[Any]] = [signature(lanes_type, lanes_type, lanes_type)]

    infer_global(operation)(_Template)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, method)(*args)

    lower_builtin(operation, lanes_type, lanes_type)(lower)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


# A literal would be float64 inside Numba.
_ZERO = np.float32(0.0)


@inlined
def load_part(pointer: Any, index: Any, count: Any, spare: Any) -> Any:
    """The first `count` lanes, zeros in the others; reads nothing beyond them."""
    if count >= LANES:
        return load(pointer, index)
    store(spare, 0, splat(_ZERO))
    for lane in range(count):
        spare[lane] = pointer[index + lane]
    return load(spare, 0)


@inlined
def store_part(pointer: Any, index: Any, count: Any, value: Any, spare: Any) -> None:
    """Write the first `count` lanes and nothing beyond them."""
    if count >= LANES:
        store(pointer, index, value)
    else:
        store(spare, 0, value)
        for lane in range(count):
            pointer[index + lane] = spare[lane]


@inlined
def copy(target: Any, to: Any, source: Any, at: Any, size: Any) -> None:
    """Copy `size` numbers, a multiple of LANES."""
    for i in range(0, size, LANES):
        store(target, to + i, load(source, at + i))


@inlined
def clear(target: Any, at: Any, size: Any) -> None:
    """Zero `size` numbers, a multiple of LANES."""
    for i in range(0, size, LANES):
        store(target, at + i, splat(_ZERO))
