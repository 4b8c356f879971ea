"""The process that compiles kernels for a run: it, and those it starts, end with the run."""

from __future__ import annotations

import os

from bench.lifeline import VARIABLE, bind_to_parent
from measure.processor import logical_cores
from models.ops.compilation import compile_all

if __name__ == "__main__":
    bind_to_parent()
    os.environ[VARIABLE] = str(os.getpid())
    compile_all(logical_cores(), begin=bind_to_parent)
