"""Ctrl-C while the suite still starts: one line, and gone, where Python would show a traceback.

Imported first by bench/conftest.py, since most of the start goes to imports; `over` hands the
signal back to pytest, which knows how to stop between cells.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

_LINE = b"stopped before anything was measured; the same command starts again\n"


def _stop(_signal: int, _frame: object) -> NoReturn:
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _LINE)
    os._exit(2)


def over() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _stop)
