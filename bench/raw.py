"""Long series of one cell beside its record: `results/<run>/raw/<cell_id>.npz`, numbers only.

    series = read_raw(path)  # {"latency": array of seconds, in the order taken, ...}

Written whole or not at all; read without pickle, so that a file from elsewhere runs nothing.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.files import write_whole


def write_raw(path: Path, series: Mapping[str, Sequence[float]]) -> None:
    """Keep the series as float64; OSError where the file can't be written."""
    arrays: dict[str, Any] = {
        name: np.asarray(values, dtype=np.float64) for name, values in series.items()
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, content.getvalue())


def read_raw(path: Path) -> dict[str, NDArray[np.float64]]:
    """The series of a cell.

    Raises:
        ValueError: in one line with the file's name, where it holds anything but numbers.
        OSError: there is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name].astype(np.float64, casting="safe") for name in content}
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not the raw series of a cell") from error
