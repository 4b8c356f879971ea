"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write to a temporary file beside it, flush it to the disk, then rename it into place.

    Where that fails (OSError, such as a full disk) nothing of it is left.
    """
    partial = path.with_name(path.name + ".tmp")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _flush_names(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _flush_names(folder: Path) -> None:
    """The new name too survives a power failure; a rename alone is in memory at first."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
