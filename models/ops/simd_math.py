"""exp2, sigmoid and softplus of sixteen float32 lanes at once (simd.py).

Numba without Intel's SVML calls libm for one number at a time, at 10 to 20 ns each; these take
about 1 ns for sixteen. Relative errors are near 2e-7 for moderate arguments, and grow with the
argument as its own rounding does (2e-6 at |x| = 30).
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from models.ops.simd import BITS, FLOAT, LANES, VECTOR, emitted, fma, inlined, lanes_type, splat

# The `eps` of a norm comes to a kernel as a whole number of these.
EPS_UNIT = 1e-15


def units(eps: float) -> int:
    """eps as kernels take it."""
    return round(eps / EPS_UNIT)


@inlined
def inverse_root(value: Any) -> Any:
    """1 / sqrt(value) of one number, in double precision."""
    return 1.0 / math.sqrt(value)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [ir.Constant(FLOAT, float(np.float32(value)))] * LANES)


# 2**f on [-1/2, 1/2]: weighted minimax fit with the constant fixed at 1, so that 2**0 is exactly 1
# and slow decays stay exact; relative error 9e-8, and 1.7e-7 with float32 rounding.
_EXP2 = (0.6931469776, 0.2402224209, 0.05550733744, 0.009671512649, 0.001326472707)


@emitted
def exp2_falling(typingctx: Any, x: Any) -> Any:
    """2**x in each lane for x up to 128, as the exponents of decays and of a softmax are: exactly 0
    below -127, infinity at 128, NaN stays NaN; above 128 it means nothing.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        module = builder.module
        unary = ir.FunctionType(VECTOR, [VECTOR])
        nearest = cgutils.get_or_insert_function(module, unary, f"llvm.rint.v{LANES}f32")
        ternary = ir.FunctionType(VECTOR, [VECTOR] * 3)
        fused = cgutils.get_or_insert_function(module, ternary, f"llvm.fma.v{LANES}f32")
        # Compare-and-select in this order keeps a NaN, and is one max instruction.
        low = _constant(-127.0)
        x = builder.select(builder.fcmp_ordered("<", args[0], low), low, args[0])
        whole = builder.call(nearest, [x])
        rest = builder.fsub(x, whole)
        value = _constant(_EXP2[-1])
        for coefficient in (*reversed(_EXP2[:-1]), 1.0):
            value = builder.call(fused, [value, rest, _constant(coefficient)])
        # Adding to the exponent's bits multiplies by 2**whole.
        shift = ir.Constant(BITS, [23] * LANES)
        exponent = builder.shl(builder.fptosi(whole, BITS), shift)
        return builder.bitcast(builder.add(builder.bitcast(value, BITS), exponent), VECTOR)

    return lanes_type(lanes_type), codegen


@emitted
def maximum(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger one in each lane; a NaN in `a` stays."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[1], args[0])

    return lanes_type(lanes_type, lanes_type), codegen


@emitted
def minimum(typingctx: Any, a: Any, b: Any) -> Any:
    """The smaller one in each lane; a NaN in `a` stays."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[1], args[0])

    return lanes_type(lanes_type, lanes_type), codegen


@emitted
def where_positive(typingctx: Any, x: Any, value: Any) -> Any:
    """`value` in the lanes where x > 0, 0 in the others."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = _constant(0.0)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[1], zero)

    return lanes_type(lanes_type, lanes_type), codegen


@emitted
def magnitude(typingctx: Any, x: Any) -> Any:
    """|x| in each lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        mask = ir.Constant(BITS, [0x7FFFFFFF] * LANES)
        return builder.bitcast(builder.and_(builder.bitcast(args[0], BITS), mask), VECTOR)

    return lanes_type(lanes_type), codegen


# Literals would be float64 inside Numba; these are float32.
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
OVER = np.float32(128.0)  # two to this is no float32 any more
_TWO = np.float32(2.0)
_MINUS_LOG2_E = np.float32(-1.4426950408889634)
_ATANH = tuple(np.float32(1.0 / (2 * k + 1)) for k in range(8))


@inlined
def exp2(x: Any) -> Any:
    """2**x in each lane: exactly 0 below -127, infinity from 128 on, NaN stays NaN."""
    return exp2_falling(minimum(x, splat(OVER)))


@inlined
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) in each lane."""
    one = splat(_ONE)
    return one / (one + exp2(x * splat(_MINUS_LOG2_E)))


@inlined
def softplus(x: Any) -> Any:
    """log(1 + exp(x)) in each lane, with small relative error for very negative x as well.

    max(x, 0) + log1p(e) with e = exp(-|x|) <= 1, and log1p(e) = 2 atanh(s), s = e / (2 + e) <= 1/3.
    """
    e = exp2_falling(magnitude(x) * splat(_MINUS_LOG2_E))
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
