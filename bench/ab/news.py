"""What a comparison says while it measures: on a terminal a line that is written over; in a log one
line at the start, then at most one a minute.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_EVERY = 60.0  # seconds


class News:
    """Call it with a line; `now` says one that must not be missed."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._said: float | None = None

    def __call__(self, line: str) -> None:
        if self._stream.isatty():
            print(f"\r\033[K{line}", end="", file=self._stream, flush=True)
        elif self._said is None or self._clock() - self._said >= _EVERY:
            self._said = self._clock()
            print(line, file=self._stream, flush=True)

    def now(self, line: str) -> None:
        """On a line of its own, whatever was said before."""
        start = "\r\033[K" if self._stream.isatty() else ""
        print(f"{start}{line}", file=self._stream, flush=True)
