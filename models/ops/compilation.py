"""All kernels compiled ahead, a file in a process and as many at a time as there are cores.

`compile_all`, in bench/compiler.py's process, takes what is compiled already from Numba's cache,
says each file's name as it is done, and leaves a note beside the cache, by which `is_done` knows.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import multiprocessing
import os
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

from models.ops.pieces import FOLDER, pieces_digest

# Ten seconds each, and a few seconds each; the others take one or two.
_LONG = [
    "attention_backward_kernels", "first_layer_kernels",
    "attention_few_kernels", "attention_kernels", "selective_scan_kernels",
    "post_mixer_training_kernels", "gru_kernels", "mamba_step_kernels", "gru_backward_kernels",
]  # fmt: skip
NOTE = "kernels.compiled"


def kernel_files(folder: Path = FOLDER) -> list[str]:
    """Names of the files whose import compiles their kernels; those that take longest come first,
    so that no core is left with one at the end.
    """
    names = sorted(path.stem for path in folder.glob("*_kernels.py"))
    return sorted(names, key=lambda name: _LONG.index(name) if name in _LONG else len(_LONG))


def is_done(folder: Path = FOLDER) -> bool:
    """Whether all kernels of that folder are compiled for this processor by this Numba."""
    cache = _cache(folder)
    try:
        if (cache / NOTE).read_text() != _state(folder):
            return False
    except OSError:
        return False
    kept = {path.name.split(".")[0] for path in cache.rglob("*.nbi")}
    return kept.issuperset(kernel_files(folder))


def compile_all(cores: int, begin: Callable[[], None]) -> None:
    """Compile what is missing, with a line for each file.

    Args:
        begin: called first in each process.
    """
    files = kernel_files()
    state = _state(FOLDER)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(cores, len(files)), spawn, begin) as pool:
        running = {pool.submit(_compile, file): file for file in files}
        for done in as_completed(running):
            done.result()
            print(running[done], flush=True)
    with contextlib.suppress(OSError):  # where none can be left, the next start looks again
        _cache(FOLDER).mkdir(parents=True, exist_ok=True)
        (_cache(FOLDER) / NOTE).write_text(state)


def _cache(folder: Path) -> Path:
    """Where Numba keeps what it compiles of that folder."""
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    return Path(elsewhere) if elsewhere else folder / "__pycache__"


def _compile(file: str) -> None:
    importlib.import_module(f"models.ops.{file}")


def _state(folder: Path) -> str:
    numbers = [version("numba"), version("llvmlite"), platform.python_version()]
    return " ".join([pieces_digest(folder), *numbers, _processor()])


def _processor() -> str:
    """What this processor can do, in short; its name where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = [line for line in lines if line.startswith(("model", "flags", "Features"))]
        return hashlib.sha256("\n".join(sorted(set(known))).encode()).hexdigest()[:16]
    except OSError:
        return platform.processor() or platform.machine()
