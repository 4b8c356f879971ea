"""Matrix products inside kernels against NumPy: what they begin with and where they write."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import pytest

from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.simd_product import add_product, product, rectified_product

SHAPES = [(ROWS, WIDTH, 1), (5 * ROWS, 2 * WIDTH, 7), (ROWS, 3 * WIDTH, 64)]
_KINDS = {"add": add_product, "bias": product, "zeros": product, "rectified": rectified_product}


@lru_cache
def _call(kind: str) -> Callable[[tuple[int, ...]], None]:
    piece = _KINDS[kind]

    @numba.njit
    def call(arguments: Any) -> None:
        piece(*arguments)

    return call


def _run(kind: str, rows: int, columns: int, depth: int, *, turned: bool, packed: bool) -> Any:
    """(found, wanted) of one product, with room around c that is not to be written."""
    make = np.random.default_rng(0)
    a, b, bias, c = (
        make.standard_normal(shape).astype(np.float32)
        for shape in ((rows, depth), (depth, columns), (columns,), (rows, columns + 3))
    )
    exact = a.astype(np.float64) @ b
    wanted = c.copy()
    start = {"add": c[:, :columns], "zeros": 0.0}.get(kind, bias)
    wanted[:, :columns] = exact + start
    if kind == "rectified":
        wanted[:, :columns] = np.maximum(wanted[:, :columns], 0)
    a_held = np.ascontiguousarray(a.T) if turned else a
    distances = (1, rows) if turned else (depth, 1)
    if packed:
        held = np.ascontiguousarray(b.reshape(depth, -1, WIDTH).transpose(1, 0, 2))
        layout = depth, WIDTH
    else:
        held, layout = b, (1, columns)
    where: tuple[int, ...] = (c.ctypes.data, columns + 3)
    if kind != "add":
        where = (*where, 0 if kind == "zeros" else bias.ctypes.data)
    _call(kind)(
        (*where, a_held.ctypes.data, *distances, held.ctypes.data, *layout, rows, columns, depth)
    )
    return c, wanted


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("turned", "packed"), [(False, True), (True, False)])
def test_products_equal_numpy(
    kind: str, shape: tuple[int, int, int], turned: bool, packed: bool
) -> None:
    found, wanted = _run(kind, *shape, turned=turned, packed=packed)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    beside = slice(shape[1], None)  # nothing is written there
    assert np.array_equal(found[:, beside], wanted[:, beside])
    if kind == "rectified":
        assert (found[:, : shape[1]] == 0).any()


def test_a_nan_stays_where_negative_values_go() -> None:
    a = np.zeros((ROWS, 1), dtype=np.float32)
    a[1] = np.nan
    b, bias = np.ones((1, WIDTH), dtype=np.float32), np.full(WIDTH, -1.0, dtype=np.float32)
    c = np.full((ROWS, WIDTH), 5.0, dtype=np.float32)

    @numba.njit
    def call(c_at: int, bias_at: int, a_at: int, b_at: int) -> None:
        rectified_product(c_at, WIDTH, bias_at, a_at, 1, 1, b_at, 1, WIDTH, ROWS, WIDTH, 1)

    call(c.ctypes.data, bias.ctypes.data, a.ctypes.data, b.ctypes.data)
    assert np.isnan(c[1]).all()
    assert (np.delete(c, 1, axis=0) == 0).all()
