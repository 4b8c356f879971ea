"""Numba's tables of NumPy functions, loaded without SciPy's linear algebra.

To load them Numba imports scipy.linalg, with NumPy's Fortran tools behind it, only to see whether
there is a BLAS for `np.vdot` and its kin; no kernel here calls any, and it is half of what kernels
kept on disk take to load. Code that does call them gets a plain loop instead, and matrix products
look for their BLAS again when they are compiled.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_TABLES, _LINEAR_ALGEBRA = "numba.np.arraymath", "scipy.linalg"


def load_registries() -> None:
    """Load them; leaves all as it is where either is imported already."""
    if _TABLES in sys.modules or _LINEAR_ALGEBRA in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    modules[_LINEAR_ALGEBRA] = None  # so an import of it fails at once
    try:
        import_module(_TABLES)
    finally:
        del modules[_LINEAR_ALGEBRA]
