"""Products of one row: what serving a single user is made of.

With one row there is nothing to reuse, so the time is that of reading the weights. They are read as
they lie, (outputs, inputs) with the inputs contiguous: nothing is packed, nothing kept, and so
nothing can go stale when training moves the weights.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from models.ops.simd import (
    FLOAT,
    LANES,
    emitted,
    floats,
    fma,
    lane_sum,
    lanes_type,
    load,
    pointer_type,
    separate,
    splat,
    store,
)
from models.ops.simd_mask import load_first, store_first
from models.ops.simd_math import EPS_UNIT, inverse_root

# Outputs made at a time; a target is as long as the next multiple of it.
GROUP = 4

# Numbers to fetch ahead where weights are used once: best of 512, 1024 and 2048 by a little.
_AHEAD = 1024

_ZERO = np.float32(0.0)


@emitted
def room(typingctx: Any, count: Any) -> Any:
    """The address of `count` floats on the kernel's stack; not to be asked for in a loop."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.alloca(FLOAT, size=args[0])
        place.align = 4 * LANES
        return builder.ptrtoint(place, ir.IntType(64))

    return types.int64(types.int64), codegen


@emitted
def store_sums(typingctx: Any, pointer: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Write the sums over lanes of four vectors to pointer[index : index + 4].

    In one order for all four, so that equal rows have equal sums wherever they stand.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(32)

        def pick(x: Any, y: Any, places: list[int]) -> Any:
            return builder.shuffle_vector(
                x, y, ir.Constant(ir.VectorType(word, len(places)), places)
            )

        def folded(x: Any) -> Any:
            """Sixteen lanes to four."""
            while x.type.count > 4:
                half = x.type.count // 2
                low, high = list(range(half)), list(range(half, 2 * half))
                x = builder.fadd(pick(x, x, low), pick(x, x, high))
            return x

        a, b, c, d = (folded(x) for x in args[2:])
        ab = builder.fadd(pick(a, b, [0, 4, 1, 5]), pick(a, b, [2, 6, 3, 7]))
        cd = builder.fadd(pick(c, d, [0, 4, 1, 5]), pick(c, d, [2, 6, 3, 7]))
        sums = builder.fadd(pick(ab, cd, [0, 1, 4, 5]), pick(ab, cd, [2, 3, 6, 7]))
        place = builder.bitcast(
            builder.gep(args[0], [args[1]]), ir.VectorType(FLOAT, 4).as_pointer()
        )
        builder.store(sums, place, align=4)
        return context.get_dummy_value()

    return types.void(pointer_type, types.intp, *[lanes_type] * 4), codegen


@emitted
def prefetch_once(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Fetch the line of pointer[index] past the second-level cache, for one use only."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(32)
        place = builder.bitcast(builder.gep(args[0], [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, word(0), word(0), word(1)])
        return context.get_dummy_value()

    return types.void(pointer_type, types.intp), codegen


@separate
def row_linear(
    y_at: int, x_at: int, weight_at: int, bias_at: int, outputs: int, inputs: int, once: bool
) -> None:
    """y = weight x + bias of one row; weight (outputs, inputs), bias at 0 is none.

    y has room for a multiple of GROUP, and what lies beyond `outputs` means nothing. `once`: the
    weights are too many to stay in the cache, so leave that to others.
    """
    y, x, weight, bias = floats(y_at), floats(x_at), floats(weight_at), floats(bias_at)
    whole = inputs // LANES * LANES
    rest = inputs - whole
    last = outputs - 1
    for o in range(0, outputs, GROUP):
        # Beyond the end the last row again: one code for all, or equal rows would differ in a bit.
        at0, at1 = o * inputs, min(o + 1, last) * inputs
        at2, at3 = min(o + 2, last) * inputs, min(o + 3, last) * inputs
        s0, s1, s2, s3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
        for d in range(0, whole, LANES):
            v = load(x, d)
            if once:
                prefetch_once(weight, at0 + d + _AHEAD)
                prefetch_once(weight, at1 + d + _AHEAD)
                prefetch_once(weight, at2 + d + _AHEAD)
                prefetch_once(weight, at3 + d + _AHEAD)
            s0 = fma(load(weight, at0 + d), v, s0)
            s1 = fma(load(weight, at1 + d), v, s1)
            s2 = fma(load(weight, at2 + d), v, s2)
            s3 = fma(load(weight, at3 + d), v, s3)
        if rest > 0:
            v = load_first(x, whole, rest)
            s0 = fma(load_first(weight, at0 + whole, rest), v, s0)
            s1 = fma(load_first(weight, at1 + whole, rest), v, s1)
            s2 = fma(load_first(weight, at2 + whole, rest), v, s2)
            s3 = fma(load_first(weight, at3 + whole, rest), v, s3)
        store_sums(y, o, s0, s1, s2, s3)
    if bias_at != 0:
        for o in range(0, outputs - LANES + 1, LANES):
            store(y, o, load(y, o) + load(bias, o))
        over = outputs % LANES
        if over > 0:
            o = outputs - over
            store_first(y, o, over, load_first(y, o, over) + load_first(bias, o, over))


@separate
def row_add(y_at: int, x_at: int, width: int) -> None:
    """y += x."""
    y, x = floats(y_at), floats(x_at)
    for d in range(0, width, LANES):
        count = min(LANES, width - d)
        store_first(y, d, count, load_first(y, d, count) + load_first(x, d, count))


@separate
def row_norm(y_at: int, x_at: int, weight_at: int, bias_at: int, width: int, eps: int) -> None:
    """LayerNorm of one row; y may be x. `eps` is a whole number of EPS_UNIT."""
    y, x, weight, bias = floats(y_at), floats(x_at), floats(weight_at), floats(bias_at)
    total = splat(_ZERO)
    for d in range(0, width, LANES):
        total = total + load_first(x, d, min(LANES, width - d))
    mean = splat(lane_sum(total) / np.float32(width))
    total = splat(_ZERO)
    for d in range(0, width, LANES):
        count = min(LANES, width - d)
        store_first(y, d, count, load_first(x, d, count) - mean)
        away = load_first(y, d, count)  # zeros in the lanes beyond the end
        total = fma(away, away, total)
    variance = np.float64(lane_sum(total) / np.float32(width))
    scale = splat(np.float32(inverse_root(variance + eps * EPS_UNIT)))
    for d in range(0, width, LANES):
        count = min(LANES, width - d)
        value = load_first(y, d, count) * scale
        value = fma(value, load_first(weight, d, count), load_first(bias, d, count))
        store_first(y, d, count, value)
