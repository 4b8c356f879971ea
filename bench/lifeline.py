"""A worker dies with its parent, even when that is killed: a measurement must not go on beside
another.

Imports nothing heavy, since it has to be in force before the worker does anything else.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# The parent's process id, as the parent knows it.
VARIABLE = "SEQREC_BENCH_PARENT"
_PR_SET_PDEATHSIG = 1


def bind_to_parent() -> None:
    """On Linux, ask the kernel for SIGKILL when the parent ends; stop if it has ended already."""
    parent = os.environ.get(VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(1)
