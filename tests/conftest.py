"""Shared by all tests: where real logs lie, and kernels compiled before processes need them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.ops.compilation import is_done

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """The processes of pytest-xdist would each compile every kernel, under coverage: all cores do
    it once, before they begin.
    """
    if config.getoption("numprocesses", None) and not config.option.collectonly and not is_done():
        # What fails to compile fails again in the test that needs it.
        plain = {name: value for name, value in os.environ.items() if "COV" not in name}
        command = [sys.executable, "-m", "bench.compiler"]
        subprocess.run(command, cwd=ROOT, env=plain, check=False)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real logs that SEQREC_DATA names; skips without it."""
    folder = os.environ.get("SEQREC_DATA")
    if not folder:
        pytest.skip("needs real logs: set SEQREC_DATA to a folder with ml-100k.parquet and others")
    return Path(folder)
