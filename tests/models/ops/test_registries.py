"""Kernels load without SciPy's linear algebra, and those who need it still find it."""

from __future__ import annotations

import subprocess
import sys

_KERNELS = "import models.ops.linear_numba"
_BLAS = """
import numba, numpy as np
@numba.njit
def found(a):
    return a @ a, np.vdot(a[0], a[1])
a = np.random.default_rng(0).random((4, 4))
product, dot = found(a)
assert np.allclose(product, a @ a)
assert np.isclose(dot, np.vdot(a[0], a[1]))
import scipy.linalg
assert np.allclose(scipy.linalg.inv(a) @ a, np.eye(4))
"""


def _run(*lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_kernels_load_without_linear_algebra() -> None:
    print_it = "import sys; print('scipy.linalg' in sys.modules)"
    assert _run(_KERNELS, print_it) == "False"


def test_other_code_has_its_products_and_inverses() -> None:
    _run(_KERNELS, _BLAS)
