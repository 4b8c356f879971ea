"""Two runs that want the same folder, and a user who stops one."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from tests.torture.start import FEW, Start, files_of, require

_SECONDS = 2.0


def rivals(folder: Path) -> str:
    """A second run beside one at work, and two that start at the same instant."""
    place = folder / "rivals"
    place.mkdir()
    first = Start(place, cells=FEW)
    first.next_worker()
    second = Start(place, cells=FEW)
    _is_refused(second)
    first.end()
    require(first.process.returncode == 0, "the first run did not end well")
    before = files_of(place)
    twins = [Start(place, "--fresh", cells=FEW) for _ in range(2)]
    codes = []
    for twin in twins:
        twin.process.wait()
    for twin in twins:
        codes.append(twin.process.returncode)
        if twin.process.returncode == 2:
            _is_refused(twin)
        else:
            twin.end()
    require(sorted(codes) == [0, 2], f"two starts at one instant ended with {codes}")
    require(before.items() <= files_of(place).items(), "a finished run was changed")
    require(len(list(place.glob("results/*/manifest.json"))) == 2, "a refused run left a folder")
    return "2 pairs of runs in one folder: 2 refused in one line with exit code 2, 2 ended well"


def stops(folder: Path, count: int, seed: int, life: float) -> str:
    """Ctrl-C at random moments, also while the suite still starts."""
    rng = random.Random(seed)
    place = folder / "stops"
    place.mkdir()
    took: list[float] = []
    while len(took) < count:
        run = Start(place, "--fresh")
        if len(took) % 3:
            run.next_worker()
        time.sleep(0.2 + rng.uniform(0.0, 2 * life))
        if run.process.poll() is not None:
            run.end()
            continue
        before = files_of(place)
        begun = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        run.process.wait(60)
        took.append(time.monotonic() - begun)
        out = run.end()
        said = ("the same command goes on", "the same command starts again", "passed in")
        early = not out or "rootdir" not in out  # Python itself had not come to our code yet
        require(early or any(words in out for words in said), f"no word on how to go on:\n{out}")
        require(before.items() <= files_of(place).items(), "a finished cell was lost")
    busy = os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)
    longest = max(took)
    require(longest <= _SECONDS or busy, f"Ctrl-C took {longest:.1f} s; {_SECONDS:g} s are allowed")
    note = "; the machine was busy with other work, where 2 s may be passed" if busy else ""
    return f"{count} times Ctrl-C: gone after {min(took):.1f} to {longest:.1f} s{note}"


def _is_refused(run: Start) -> None:
    out = run.end()
    require(run.process.returncode == 2, f"the second run was not refused:\n{out}")
    require(out.count("\n") == 1, f"the refusal is not one line:\n{out}")
    require("another run is going on there" in out, f"the refusal says something else:\n{out}")
