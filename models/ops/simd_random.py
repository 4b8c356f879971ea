"""Dropout inside kernels: random lanes that are a function of a seed and a place.

A generator with a state has to run in order, so PyTorch draws its masks on one thread, at about 13
ns a number, which is more than all the arithmetic of a small transformer. Here a number is a hash
of its index (two rounds of multiply and shift, after C. Wellons, "Prospecting for hash functions",
2018): any thread makes any part of a mask, and the backward pass makes it again instead of reading
it from memory.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from models.ops.simd import BITS, LANES, VECTOR, emitted, in_all_lanes, lanes_type

# Probabilities are whole numbers of 2**-24.
RESOLUTION = 2**24

_GOLDEN, _FIRST, _SECOND = 0x9E3779B1, 0x7FEB352D, 0x846CA68B


def _same(number: int) -> ir.Constant:
    return ir.Constant(BITS, [number] * LANES)


def _everywhere(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(BITS, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, _same(0))


def _folded(builder: Any, x: Any, shift: int) -> Any:
    return builder.xor(x, builder.lshr(x, _same(shift)))


@emitted
def drop(typingctx: Any, value: Any, seed: Any, index: Any, threshold: Any, scale: Any) -> Any:
    """value * scale where lane `index + i` of the stream `seed` is kept, else 0.

    A lane is dropped with probability threshold / RESOLUTION.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, seed, index, threshold, scale = args
        word, far = ir.IntType(32), ir.Constant(ir.IntType(64), 32)
        low = _everywhere(builder, builder.trunc(index, word))
        x = builder.add(low, ir.Constant(BITS, list(range(LANES))))
        x = builder.mul(x, _same(_GOLDEN))
        x = builder.add(x, _everywhere(builder, builder.trunc(seed, word)))
        x = builder.mul(_folded(builder, x, 16), _same(_FIRST))
        # The seed's other half comes in between, so that streams are not shifts of each other.
        late = builder.xor(builder.lshr(seed, far), builder.lshr(index, far))
        x = builder.xor(_folded(builder, x, 15), _everywhere(builder, builder.trunc(late, word)))
        x = _folded(builder, builder.mul(x, _same(_SECOND)), 16)
        drawn = builder.lshr(x, _same(8))
        limit = _everywhere(builder, builder.trunc(threshold, word))
        kept = builder.fmul(value, in_all_lanes(builder, scale))
        return builder.select(
            builder.icmp_signed(">=", drawn, limit), kept, ir.Constant(VECTOR, [0.0] * LANES)
        )

    number = types.int64
    return lanes_type(lanes_type, number, number, number, types.float32), codegen
