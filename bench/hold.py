"""One folder, one run: two at once would mix their files and disturb each other's times.

    hold = Hold(folder)     # lasts until release() or until the process ends, however it ends

The lock is the kernel's (flock), so that a killed run leaves nothing to clean up by hand; the
file's text only says who holds it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


class HeldError(RuntimeError):
    """Another process holds the folder; one line for the user."""


class Hold:
    """A folder's lock, from `Hold(folder)` to `release`.

    Raises HeldError where another process has it, OSError where no lock can be made.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[str] | None = None
        if sys.platform == "win32":
            return
        file = (folder / ".lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HeldError(f"{folder}: another run is going on there{_holder(file)}") from error
        except BaseException:
            file.close()
            raise
        with contextlib.suppress(OSError):  # on a full disk the lock holds, without a name on it
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        self._file = file

    def release(self) -> None:
        """Let another process have the folder."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _holder(file: IO[str]) -> str:
    file.seek(0)
    text = file.read(20).strip()
    file.close()
    return f" (process {text})" if text.isdecimal() else ""
