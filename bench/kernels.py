"""Kernels compiled before the first cell, on all cores: once a machine, not a worker at a time.

What fails to compile here fails again in its worker, whose record tells the reason.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.cell import Cell
from bench.lifeline import VARIABLE
from bench.matrix import NO_MODEL
from bench.process import HERE, Place, end
from measure.clock import Stopwatch
from models.ops.compilation import is_done, kernel_files


def are_missing(cells: Iterable[Cell], place: Place = HERE) -> bool:
    """Whether cells of several models run on kernels that this machine has not compiled yet. One
    model alone needs a few of them, and its first worker compiles those.
    """
    models = {c.model for c in cells if c.device == "cpu" and c.backend in ("auto", "numba")} - {
        NO_MODEL
    }
    return len(models) > 1 and not is_done(place.root / "models" / "ops")


def compile_missing(place: Place, console: Console, *, timeout: float) -> float:
    """Compile all kernels of a place, with a bar on a terminal; gives the seconds that it took, at
    most `timeout`.
    """
    columns = (
        TextColumn("compiling kernels"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    files = kernel_files(place.root / "models" / "ops")
    with (
        Stopwatch() as watch,
        Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress,
    ):
        task = progress.add_task("", total=len(files))
        process = subprocess.Popen(
            [str(place.python), "-m", "bench.compiler"],
            cwd=place.root,
            env=dict(os.environ) | {"PYTHONPATH": str(place.root), VARIABLE: str(os.getpid())},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        late = threading.Timer(min(timeout, threading.TIMEOUT_MAX), end, [process])
        late.start()
        try:
            assert process.stdout is not None, "it is a pipe"
            for _ in process.stdout:
                progress.advance(task)
        finally:
            late.cancel()
            end(process)
    return watch.seconds or 0.0
