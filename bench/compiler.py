"""The process that compiles kernels for a run: it, and those it starts, end with the run."""

from __future__ import annotations

import os

import psutil

from bench.lifeline import VARIABLE, bind_to_parent
from measure.processor import physical_cores
from models.ops.compilation import compile_all

_ROOM = 2**29  # bytes that LLVM takes for the largest file of kernels, Python with it

if __name__ == "__main__":
    bind_to_parent()
    os.environ[VARIABLE] = str(os.getpid())
    fit = int(psutil.virtual_memory().available // (2 * _ROOM))
    compile_all(max(1, min(physical_cores(), fit)), begin=bind_to_parent)
