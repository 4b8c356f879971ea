"""GELU of sixteen lanes and its slope, with the exact normal distribution (not the tanh form).

The distribution function comes from Abramowitz and Stegun 7.1.26 (error at most 7.5e-8 of 1, which
is float32's own rounding), whose exponential is also the density's.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

import math
from typing import Any

import numpy as np

from models.ops.simd import fma, inlined, splat
from models.ops.simd_math import exp2_falling, magnitude, where_positive

_ONE, _HALF = np.float32(1.0), np.float32(0.5)
_BEND = np.float32(0.3275911 / math.sqrt(2))
_SERIES = tuple(
    np.float32(0.5 * a) for a in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
)
_MINUS_HALF_LOG2_E = np.float32(-0.5 * math.log2(math.e))
_DENSITY = np.float32(1 / math.sqrt(2 * math.pi))


@inlined
def _bell(x: Any) -> Any:
    """exp(-x**2 / 2)."""
    return exp2_falling(x * x * splat(_MINUS_HALF_LOG2_E))


@inlined
def _upper_tail(x: Any) -> Any:
    """The normal probability above |x|."""
    t = splat(_ONE) / fma(magnitude(x), splat(_BEND), splat(_ONE))
    series = fma(splat(_SERIES[4]), t, splat(_SERIES[3]))
    series = fma(series, t, splat(_SERIES[2]))
    series = fma(series, t, splat(_SERIES[1]))
    series = fma(series, t, splat(_SERIES[0]))
    return series * t * _bell(x)


@inlined
def gelu(x: Any) -> Any:
    """x times the normal probability below x: max(x, 0) - |x| tail(|x|)."""
    size = magnitude(x)
    return (x + size) * splat(_HALF) - size * _upper_tail(x)


@inlined
def gelu_slope(x: Any) -> Any:
    """The derivative: the probability below x, plus x times the density."""
    tail = _upper_tail(x)
    # Below 0 the tail itself; above, 1 - tail.
    below = tail + where_positive(x, splat(_ONE) - tail - tail)
    return fma(x * splat(_DENSITY), _bell(x), below)
