"""Sixteen float32 lanes as one value inside Numba functions.

LLVM's loop vectoriser gives up, or adds run-time overlap checks, on loops that touch a dozen small
arrays. With an explicit vector type the kernels say what they mean (`h = decay * h + x * b`), and
LLVM splits the sixteen lanes into whatever registers the processor has: one with AVX-512, two with
AVX2, four with NEON. Reductions over lanes are the only operation that may be reordered.

How: `p = floats(address)`, `v = load(p, i)`, `v + w`, `fma(a, b, c)`, `store(p, i, v)`,
`lane_sum(v)`, and exp2, sigmoid and softplus, accurate to about 2e-7 relative of their own
argument's rounding.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.imputils import lower_builtin
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic

LANES = 16

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


@register_default(_LanesType)
class _LanesModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


_lanes = _LanesType()
_pointer = types.CPointer(types.float32)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, float(np.float32(value)))] * LANES)


def _vector_at(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), _VECTOR.as_pointer())


@intrinsic
def floats(typingctx: Any, address: Any) -> Any:
    """The float32 numbers at an address, as Tensor.data_ptr() gives it.

    Pointers, because each array that Numba hands to an inlined function costs two atomic
    reference counts, and each index into one a test for a negative index.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(types.float32)(types.int64), codegen


@intrinsic
def integers(typingctx: Any, address: Any) -> Any:
    """The int64 numbers at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(types.int64)(types.int64), codegen


def _in_all_lanes(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * LANES))


@intrinsic
def load(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Lanes pointer[index : index + LANES], at any alignment."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_vector_at(builder, *args), align=4, typ=_VECTOR)

    return _lanes(_pointer, types.intp), codegen


@intrinsic
def store(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Write lanes to pointer[index : index + LANES]."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _vector_at(builder, *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(_pointer, types.intp, _lanes), codegen


@intrinsic
def spread(typingctx: Any, pointer: Any, index: Any) -> Any:
    """The number pointer[index] in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = builder.load(builder.gep(args[0], [args[1]]), typ=_FLOAT)
        return _in_all_lanes(builder, number)

    return _lanes(_pointer, types.intp), codegen


@intrinsic
def splat(typingctx: Any, value: Any) -> Any:
    """The same number in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _in_all_lanes(builder, args[0])

    return _lanes(types.float32), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c in each lane, rounded once."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fma.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return _lanes(_lanes, _lanes, _lanes), codegen


@intrinsic
def lane_sum(typingctx: Any, value: Any) -> Any:
    """Sum over lanes as a tree, whose order is fixed when it is compiled."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [ir.Constant(_FLOAT, -0.0), args[0]], fastmath=("reassoc",))

    return types.float32(_lanes), codegen


def _arithmetic(operation: Any, method: str) -> None:
    """Teach Numba `operation` on two vectors (templates compile faster than overloads)."""

    class _Template(ConcreteTemplate):  # type: ignore[misc]
        key = operation
        cases: ClassVar[list[Any]] = [signature(_lanes, _lanes, _lanes)]

    infer_global(operation)(_Template)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, method)(*args)

    lower_builtin(operation, _lanes, _lanes)(lower)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


# 2**f on [-1/2, 1/2]: weighted minimax fit with the constant fixed at 1, so that 2**0 is exactly 1
# and slow decays stay exact; relative error 9e-8, and 1.7e-7 with float32 rounding.
_EXP2 = (0.6931469776, 0.2402224209, 0.05550733744, 0.009671512649, 0.001326472707)


@intrinsic
def exp2(typingctx: Any, x: Any) -> Any:
    """2**x in each lane: exactly 0 below -127, infinity from 128 on, NaN stays NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        module = builder.module
        unary = ir.FunctionType(_VECTOR, [_VECTOR])
        nearest = cgutils.get_or_insert_function(module, unary, f"llvm.rint.v{LANES}f32")
        ternary = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        fused = cgutils.get_or_insert_function(module, ternary, f"llvm.fma.v{LANES}f32")
        # Compare-and-select in this order keeps a NaN, and is one min or max instruction each.
        low, high = _constant(-127.0), _constant(128.0)
        x = builder.select(builder.fcmp_ordered("<", args[0], low), low, args[0])
        x = builder.select(builder.fcmp_ordered(">", x, high), high, x)
        whole = builder.call(nearest, [x])
        rest = builder.fsub(x, whole)
        value = _constant(_EXP2[-1])
        for coefficient in (*reversed(_EXP2[:-1]), 1.0):
            value = builder.call(fused, [value, rest, _constant(coefficient)])
        # Adding to the exponent's bits multiplies by 2**whole.
        shift = ir.Constant(_INTS, [23] * LANES)
        exponent = builder.shl(builder.fptosi(whole, _INTS), shift)
        return builder.bitcast(builder.add(builder.bitcast(value, _INTS), exponent), _VECTOR)

    return _lanes(_lanes), codegen


@intrinsic
def maximum(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger one in each lane; a NaN in `a` stays."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[1], args[0])

    return _lanes(_lanes, _lanes), codegen


@intrinsic
def magnitude(typingctx: Any, x: Any) -> Any:
    """|x| in each lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        mask = ir.Constant(_INTS, [0x7FFFFFFF] * LANES)
        return builder.bitcast(builder.and_(builder.bitcast(args[0], _INTS), mask), _VECTOR)

    return _lanes(_lanes), codegen


# Literals would be float64 inside Numba; these are float32.
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_MINUS_LOG2_E = np.float32(-1.4426950408889634)
_ATANH = tuple(np.float32(1.0 / (2 * k + 1)) for k in range(8))


@njit(inline="always")  # type: ignore[misc]
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) in each lane."""
    one = splat(_ONE)
    return one / (one + exp2(x * splat(_MINUS_LOG2_E)))


@njit(inline="always")  # type: ignore[misc]
def softplus(x: Any) -> Any:
    """log(1 + exp(x)) in each lane, with small relative error for very negative x as well.

    max(x, 0) + log1p(e) with e = exp(-|x|) <= 1, and log1p(e) = 2 atanh(s), s = e / (2 + e) <= 1/3.
    """
    e = exp2(magnitude(x) * splat(_MINUS_LOG2_E))
    s = e / (splat(_TWO) + e)
    square = s * s
    series = splat(_ATANH[7])
    series = fma(series, square, splat(_ATANH[6]))
    series = fma(series, square, splat(_ATANH[5]))
    series = fma(series, square, splat(_ATANH[4]))
    series = fma(series, square, splat(_ATANH[3]))
    series = fma(series, square, splat(_ATANH[2]))
    series = fma(series, square, splat(_ATANH[1]))
    series = fma(series, square, splat(_ONE))
    return fma(s + s, series, maximum(x, splat(_ZERO)))
