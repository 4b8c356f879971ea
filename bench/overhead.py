"""Where a run's seconds went: measured work, what any fresh process needs first, checks, repeats of
what was not steady, and the suite's own doing.

Workers say how long each of their parts took (`Findings.phase`), the parent adds what it saw from
outside (start and end of the process); the rest of a run is the suite itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

# Pass ("time", "memory") -> part -> seconds.
Passes = Mapping[str, Mapping[str, float]]

MEASURED = "measured"
CHECKS = "checks"
REPEATS = "repeats"
# Without these nothing could be measured: the interpreter, libraries (at the gate it waits for
# another's), data, kernels, steady state.
NECESSARY = ("interpreter", "import_torch", "imports", "gate", "data", "warm_up")


@dataclass(frozen=True)
class Overhead:
    """Seconds of a whole run, in five parts that add up to `total`."""

    total: float
    measured: float
    necessary: float
    checks: float
    repeats: float

    @property
    def itself(self) -> float:
        return self.total - self.measured - self.necessary - self.checks - self.repeats

    def __str__(self) -> str:
        """ "9 s: measured 66%, warm-up and imports 25%, checks 3%, repeats 2%, suite itself 4%"."""
        parts = {
            "measured": self.measured,
            "warm-up and imports": self.necessary,
            "checks": self.checks,
            "repeats": self.repeats,
            "suite itself": self.itself,
        }
        shares = ", ".join(f"{name} {part / self.total:.0%}" for name, part in parts.items())
        return f"{self.total:.0f} s: {shares}"

    def to_dict(self) -> dict[str, float]:
        return {
            "total": self.total,
            "measured": self.measured,
            "warm_up_and_imports": self.necessary,
            "checks": self.checks,
            "repeats": self.repeats,
            "suite_itself": self.itself,
        }


def add_up(total: float, cells: Iterable[Passes], *, compiling: float = 0.0) -> Overhead:
    """The parts of a run that took `total` seconds, from the passes of the cells it measured, after
    it had compiled kernels for `compiling` seconds.
    """
    seconds: dict[str, float] = {}
    for passes in cells:
        for parts in passes.values():
            for name, value in parts.items():
                seconds[name] = seconds.get(name, 0.0) + value
    necessary = compiling + sum(seconds.get(name, 0.0) for name in NECESSARY)
    measured, checks, repeats = (seconds.get(name, 0.0) for name in (MEASURED, CHECKS, REPEATS))
    return Overhead(total, measured, necessary, checks, repeats)


def seconds_alive() -> float:
    """Seconds since this process began, also where the clock was set since."""
    if not sys.platform.startswith("linux"):
        return time.time() - psutil.Process().create_time()
    # After the name in brackets, which may hold spaces, field 22 is the third field's 20th.
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
