"""Pieces of kernels by themselves: powers of two and comparisons in sixteen lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from models.ops.simd import LANES, floats, load, splat, store
from models.ops.simd_math import exp2, exp2_falling, maximum, minimum

Kernel = Callable[[int, int, int], None]
NAN, INF = float("nan"), float("inf")


def _kernel(piece: Callable[[Any], Any]) -> Kernel:
    @numba.njit
    def run(x_at: int, y_at: int, size: int) -> None:
        x, y = floats(x_at), floats(y_at)
        for at in range(0, size, LANES):
            store(y, at, piece(load(x, at)))

    return run


@numba.njit(inline="always")
def _at_most_three(x: Any) -> Any:
    return minimum(x, splat(np.float32(3.0)))


@numba.njit(inline="always")
def _at_least_three(x: Any) -> Any:
    return maximum(x, splat(np.float32(3.0)))


def _applied(piece: Callable[[Any], Any], values: list[float] | np.ndarray) -> np.ndarray:
    x = np.zeros(-(-len(values) // LANES) * LANES, dtype=np.float32)
    x[: len(values)] = values
    y = np.empty_like(x)
    _kernel(piece)(x.ctypes.data, y.ctypes.data, len(x))
    return y[: len(values)]


@pytest.mark.parametrize("piece", [exp2, exp2_falling])
def test_powers_are_right_to_two_units(piece: Callable[[Any], Any]) -> None:
    x = np.linspace(-125.9, 127.9, 200_003, dtype=np.float32)
    wanted = np.exp2(x.astype(np.float64))
    error = np.abs(_applied(piece, x) / wanted - 1)
    assert error.max() < 2.5e-7
    whole = np.arange(-126, 128, dtype=np.float32)
    # NumPy's own exp2 of float32 is not exact where it takes Intel's library, as with AVX-512.
    assert np.array_equal(_applied(piece, whole), np.ldexp(np.float32(1.0), whole.astype(int)))


@pytest.mark.parametrize("piece", [exp2, exp2_falling])
def test_far_below_a_power_is_zero_and_nan_stays(piece: Callable[[Any], Any]) -> None:
    found = _applied(piece, [-127.0, -128.0, -1e4, -3e38, -INF, NAN])
    assert found[:5].tolist() == [0.0] * 5
    assert np.isnan(found[5])


def test_far_above_a_power_is_infinite() -> None:
    assert _applied(exp2, [128.0, 129.0, 1e4, 3e38, INF]).tolist() == [INF] * 5


def test_comparisons_keep_a_nan_of_the_first() -> None:
    values = [2.0, 3.0, 4.0, -INF, INF, NAN]
    assert _applied(_at_most_three, values)[:5].tolist() == [2.0, 3.0, 3.0, -INF, 3.0]
    assert _applied(_at_least_three, values)[:5].tolist() == [3.0, 3.0, 4.0, 3.0, INF]
    assert np.isnan(_applied(_at_most_three, values)[5])
    assert np.isnan(_applied(_at_least_three, values)[5])
