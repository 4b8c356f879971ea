"""The two sides of a comparison, laid out so that a worker finds one side's code and the common
harness.

    results/<run>/base/code    worktree of the commit under test
    results/<run>/base/kernels    what was compiled there, for a start that goes on
    results/<run>/base/run     links: models, data -> code; bench, measure, workloads -> the harness

A worker runs in `run`. The harness is that of the checkout in which the command was given, so that
a change of the harness moves both sides alike.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.ab.worktree import add_worktree, remove_worktree
from bench.process import Place
from models.ops.compilation import NOTE

Name = Literal["base", "head"]
NAMES: tuple[Name, Name] = ("base", "head")
UNDER_TEST = ("models", "data")
HARNESS = ("bench", "measure", "workloads")
KERNELS = Path("models", "ops")


class SideError(RuntimeError):
    """A side can't be made ready; one line for the user."""


@dataclass(frozen=True)
class Side:
    """Where one side's workers run, and by which Python.

    Args:
        commit: its id; with "+" behind it where the checkout holds changes beyond it.
    """

    name: Name
    commit: str
    place: Place


def lay_out(folder: Path, name: Name, *, harness: Path, commit: str, in_place: bool) -> Side:
    """Make a side ready under `folder`.

    Args:
        in_place: take the code of the harness's own checkout, with its uncommitted changes.
    """
    code = harness if in_place else folder / name / "code"
    if not in_place:
        (folder / name).mkdir(parents=True, exist_ok=True)
        add_worktree(harness, code, commit)
        kept = folder / name / "kernels"
        share_compiled(kept if kept.exists() else harness / KERNELS, code / KERNELS)
    root = folder / name / "run"
    root.mkdir(parents=True, exist_ok=True)
    for part in UNDER_TEST:
        _link(root / part, code / part)
    for part in HARNESS:
        _link(root / part, harness / part)
    return Side(name, commit + "+" * in_place, Place(root))


def with_environment(side: Side, folder: Path, code: Path) -> Side:
    """The side with a Python of its own, that has what its commit asks for; kept for a next time.

    Raises:
        SideError: pip refused.
    """
    home = folder / side.name / "env"
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        pins = code / "constraints.txt"
        command = [str(python), "-m", "pip", "install", "--quiet", "--editable", str(code)]
        if pins.exists():
            command += ["--constraint", str(pins)]
        # Not PIP_CONSTRAINT, by which tox would pin both sides to the head's versions.
        given = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
        done = subprocess.run(command, capture_output=True, text=True, env=given)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["pip failed"]
            # Of several errors the last one often only points to a manual.
            told = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
            raise SideError(f"environment of {side.name} ({side.commit[:12]}): {told}")
        (home / "ready").touch()
    return replace(side, place=Place(side.place.root, python))


def take_down(folder: Path, harness: Path) -> None:
    """Remove the worktrees; results stay, and compiled kernels, since a start that goes on may have
    no more time than they take.
    """
    for name in NAMES:
        code = folder / name / "code"
        if code.exists():
            keep = folder / name / "kernels"
            if (code / KERNELS / "__pycache__").exists():
                shutil.copytree(code / KERNELS, keep, dirs_exist_ok=True)
            remove_worktree(harness, code)


def share_compiled(source: Path, target: Path) -> None:
    """Kernels that the checkout has compiled, for files that are the same in the worktree.

    Numba knows a file by its time and size, and the pieces that it takes in by a digest of their
    own (models/ops/simd.py), so that nothing stale is ever loaded; what differs is compiled.
    """
    for file in target.glob("*.py"):
        known = source / file.name
        if known.exists() and known.read_bytes() == file.read_bytes():
            stat = known.stat()
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    compiled = target / "__pycache__"
    compiled.mkdir(parents=True, exist_ok=True)
    kept = source / "__pycache__"
    for kernel in [*kept.glob("*.nb[ic]"), *kept.glob(NOTE)]:
        if not (compiled / kernel.name).exists():
            shutil.copy2(kernel, compiled / kernel.name)


def _link(link: Path, target: Path) -> None:
    """A folder that this commit lacks is left out: its absence is for the worker to tell."""
    if link.is_symlink():
        link.unlink()
    if target.is_dir():
        link.symlink_to(target.resolve(), target_is_directory=True)
