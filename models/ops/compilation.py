"""All kernels compiled ahead, a file in a process and as many at a time as there are cores.

`python -m models.ops.compilation [cores]` takes what is compiled already from Numba's cache, says
each file's name as it is done, and leaves a note beside the cache, by which `is_done` knows.
"""

from __future__ import annotations

import hashlib
import importlib
import multiprocessing
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# Ten seconds each, and a few seconds each; the others take one or two.
_LONG = [
    "attention_backward_kernels", "first_layer_kernels",
    "attention_few_kernels", "attention_kernels", "selective_scan_kernels",
    "post_mixer_training_kernels", "gru_kernels", "mamba_step_kernels", "gru_backward_kernels",
]  # fmt: skip
_NOTE = Path("__pycache__", "kernels.compiled")


def kernel_files(folder: Path = FOLDER) -> list[str]:
    """Names of the files whose import compiles their kernels; those that take longest come first,
    so that no core is left with one at the end.
    """
    names = sorted(path.stem for path in folder.glob("*_kernels.py"))
    return sorted(names, key=lambda name: _LONG.index(name) if name in _LONG else len(_LONG))


@lru_cache
def pieces_digest(folder: Path = FOLDER) -> str:
    """Of the source of all kernels and of the pieces that they take in, of each other too."""
    pieces = sorted({*folder.glob("simd*.py"), *folder.glob("*_kernels.py")})
    return hashlib.sha256(b"".join(piece.read_bytes() for piece in pieces)).hexdigest()


def is_done(folder: Path = FOLDER) -> bool:
    """Whether all kernels of that folder are compiled for this processor by this Numba."""
    try:
        return (folder / _NOTE).read_text() == _state(folder)
    except OSError:
        return False


def compile_all(cores: int, begin: Callable[[], None] | None = None) -> None:
    """Compile what is missing, with a line for each file.

    Args:
        begin: called first in each process.
    """
    files = kernel_files()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(cores, len(files)), spawn, begin) as pool:
        running = {pool.submit(_compile, file): file for file in files}
        for done in as_completed(running):
            done.result()
            print(running[done], flush=True)
    note = FOLDER / _NOTE
    note.parent.mkdir(exist_ok=True)
    note.write_text(_state(FOLDER))


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


if __name__ == "__main__":
    compile_all(int(sys.argv[1]) if len(sys.argv) > 1 else os.cpu_count() or 1)
