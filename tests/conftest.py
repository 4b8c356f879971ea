"""Shared by all tests: where real logs lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real logs that SEQREC_DATA names; skips without it."""
    folder = os.environ.get("SEQREC_DATA")
    if not folder:
        pytest.skip("needs real logs: set SEQREC_DATA to a folder with ml-100k.parquet and others")
    return Path(folder)
