"""`python -m bench.compiler`: compiles kernels on all cores; ends with the run that started it, and
what it starts ends with it.
"""

from __future__ import annotations

import os

import psutil

from bench.lifeline import VARIABLE, bind_to_parent
from measure.processor import physical_cores
from models.ops.compilation import compile_all

_ROOM = 2**30  # free bytes for each process; the largest kernels make it hold 300 MiB

if __name__ == "__main__":
    bind_to_parent()
    os.environ[VARIABLE] = str(os.getpid())
    fit = int(psutil.virtual_memory().available // _ROOM)
    compile_all(max(1, min(physical_cores(), fit)), begin=bind_to_parent)
