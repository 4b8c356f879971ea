"""SIGKILL at random moments: of a worker, of the run, of both at once."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import psutil

from tests.torture.start import Start, files_of, meaning, require

TARGETS = ("worker", "run", "both")
_WORDS = {"worker": "a worker", "run": "the run", "both": "both at once"}


def kills(folder: Path, wanted: int, seed: int, whole: dict[str, object], life: float) -> str:
    """Kill `wanted` times; after each the finished cells are as they were, byte for byte.

    Args:
        whole: what an undisturbed run's cells say; a run that was killed ends with the same.
        life: about how many seconds a worker lives: moments are drawn from so long.
    """
    rng = random.Random(seed)
    counts = dict.fromkeys(TARGETS, 0)
    rounds, compared, run, kept = 0, 0, None, {}
    place = folder / "kills-0"
    place.mkdir()
    while sum(counts.values()) < wanted:
        if run is None or not run.alive:
            if run is not None:
                run.end()
            if set(meaning(place)) == set(whole) and meaning(place) == whole:
                rounds += 1
                place, kept = folder / f"kills-{rounds}", {}
                place.mkdir()
            run = Start(place, "--retry-failed")
        target = min(TARGETS, key=lambda name: (counts[name], rng.random()))
        early = target == "run" and rng.random() < 0.3  # before its first worker too
        worker = None if early else _some_worker(run, rng)
        time.sleep(rng.uniform(0.0, life))
        hit = _kill(target, run, worker)
        counts[target] += hit
        life *= 1.05 if hit else 0.8  # so that most moments lie within a worker's life
        compared += _compare(kept, place)
        if sys.stdout.isatty():
            print(f"\r{sum(counts.values())} of {wanted} kills", end="", flush=True)
    while True:  # to the end of the last round
        assert run is not None
        run.end()
        if meaning(place) == whole:
            break
        run = Start(place, "--retry-failed")
    compared += _compare(kept, place)
    require(compared > 0, "no cell was ever finished: nothing was put to the test")
    require(not list(place.rglob("*.tmp")), "a half-written file was left")
    require(len(list(place.glob("results/*/manifest.json"))) == 1, "one run became several")
    said = ", ".join(f"{count} of {_WORDS[name]}" for name, count in counts.items())
    return (
        f"{sum(counts.values())} kills ({said}); {compared} times a finished file was compared,"
        f" none differed; {rounds + 1} runs went on to their end, each equal in cells to the"
        " undisturbed one"
    )


def _some_worker(run: Start, rng: random.Random) -> psutil.Process | None:
    """One of the next workers; those before it end in peace, and their cells are finished."""
    worker = run.next_worker()
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        if worker is not None:
            psutil.wait_procs([worker])
            worker = run.next_worker()
    return worker


def _kill(target: str, run: Start, worker: psutil.Process | None) -> bool:
    """Whether it was alive to be killed."""
    if target == "worker":
        return worker is not None and _sigkill(worker)
    if not run.alive or (target == "both" and (worker is None or not worker.is_running())):
        return False
    workers = run.workers()
    run.process.kill()
    for process in workers if target == "both" else ():
        _sigkill(process)
    run.process.wait()
    _, alive = psutil.wait_procs(workers, timeout=5)
    require(not alive, "a worker outlived its run")
    return True


def _sigkill(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.Error:
        return False
    return True


def _compare(kept: dict[str, bytes], place: Path) -> int:
    now = files_of(place)
    for name, content in kept.items():
        require(now.get(name) == content, f"{place / name} is no longer what it was")
    compared = len(kept)
    kept.update(now)
    return compared
