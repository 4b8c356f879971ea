"""A disk that fills up, and one that may only be read."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.torture.start import FEW, Start, files_of, meaning, require

SIZE = 16 << 20
# KiB left free when a run starts: none, too few for the manifest, for a record, for the weights,
# for the JSON at the end.
LEFT = (0, 4, 28, 130, 360, 500, 730)


def may_mount(folder: Path) -> bool:
    """Whether a file system can be mounted here (root can, also of a user's namespace)."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError), tmpfs(folder / "try"):
        return True
    return False


@contextlib.contextmanager
def tmpfs(place: Path) -> Iterator[Path]:
    """A memory file system of 16 MB."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(place)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def full(folder: Path, whole: dict[str, object]) -> str:
    """Fill a 16 MB disk so that runs end in each of their stages, then make room and go on."""
    stopped = 0
    for left in LEFT:
        with tmpfs(folder / "disk") as place:
            work = place / "work"
            work.mkdir()
            ballast = place / "ballast"
            _fill(ballast, left << 10)
            run = Start(work, f"--benchmark-json={work / 'run.json'}", cells=FEW)
            stopped += _refused(run)
            require(not list(work.rglob("*.tmp")), "a half-written file was left")
            kept = files_of(work)
            ballast.unlink()
            Start(work, cells=FEW).end()
            _unchanged(kept, work)
            require(_of_few(whole) == meaning(work), "cells differ from the undisturbed run's")
    require(stopped >= len(LEFT) - 2, f"only {stopped} runs met the full disk")
    return (
        f"{len(LEFT)} runs on a 16 MB tmpfs filled to 0..{LEFT[-1]} KiB: {stopped} stopped, {_ALL}"
    )


def limited(folder: Path, whole: dict[str, object]) -> str:
    """Where nothing can be mounted: files that may not grow past a limit (EFBIG for ENOSPC)."""
    stopped, limits = 0, (0, 1, 4, 16)
    for limit in limits:
        work = folder / f"limited-{limit}"
        work.mkdir()
        size = limit << 10
        before = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
        stopped += _refused(Start(work, cells=FEW, before=before))
        kept = files_of(work)
        Start(work, cells=FEW).end()
        _unchanged(kept, work)
        require(_of_few(whole) == meaning(work), "cells differ from the undisturbed run's")
    return (
        f"no tmpfs can be mounted here; {len(limits)} runs whose files may not grow past 0..16 KiB"
        f" (RLIMIT_FSIZE) instead: {stopped} stopped, {_ALL}"
    )


def read_only(folder: Path, *, mounted: bool) -> str:
    """A results folder that may only be read, empty or with a run in it."""
    place = folder / "read-only"
    with tmpfs(place) if mounted else contextlib.nullcontext():
        place.mkdir(exist_ok=True)
        refused = 0
        for stage in ("empty", "with a run"):
            if stage == "with a run":
                Start(place, cells=FEW).end()
            (place / "results").mkdir(exist_ok=True)
            before = files_of(place)
            _set_writable(place, False, mounted=mounted)
            run = Start(place, cells=FEW)
            refused += _refused(run)
            require(run.process.returncode == 2, f"{stage}: exit code {run.process.returncode}")
            _set_writable(place, True, mounted=mounted)
            _unchanged(before, place)
    return f"2 runs in a read-only folder: {refused} refused, each in one line with exit code 2"


_ALL = "each with one line that says why; all went on to their end, nothing finished was lost"


def _refused(run: Start) -> bool:
    """Whether the run could not write; then it said so, once a file."""
    out = run.end()
    errors = [line for line in out.splitlines() if "error: can't write" in line]
    require(run.process.returncode in (0, 2), f"exit code {run.process.returncode}:\n{out}")
    require(bool(errors) == (run.process.returncode == 2), f"an end without its reason:\n{out}")
    return bool(errors)


def _fill(ballast: Path, left: int) -> None:
    free = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        file.write(b"\0" * (free.f_bavail * free.f_frsize - left))


def _unchanged(kept: dict[str, bytes], place: Path) -> None:
    now = files_of(place)
    for name, content in kept.items():
        require(now.get(name) == content, f"{name} is no longer what it was")


def _of_few(whole: dict[str, object]) -> dict[str, object]:
    return {cell_id: content for cell_id, content in whole.items() if "-fit-" in cell_id}


def _set_writable(place: Path, writable: bool, *, mounted: bool) -> None:
    if mounted:
        mode = "rw" if writable else "ro"
        subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)
    else:
        (place / "results").chmod(0o755 if writable else 0o555)
