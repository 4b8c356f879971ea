"""Where a run's seconds went: measured work, what any fresh process needs first, checks, and the
suite's own doing.

Workers say how long each of their parts took (`Findings.phase`), the parent adds what it saw from
outside (start and end of the process); the rest of a run is the suite itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Pass ("time", "memory") -> part -> seconds.
Passes = Mapping[str, Mapping[str, float]]

MEASURED = "measured"
CHECKS = "checks"
# Without these nothing could be measured: the interpreter, libraries, data, kernels, steady state.
NECESSARY = ("interpreter", "import_torch", "imports", "data", "warm_up")


@dataclass(frozen=True)
class Overhead:
    """Seconds of a whole run, in four parts that add up to `total`."""

    total: float
    measured: float
    necessary: float
    checks: float

    @property
    def itself(self) -> float:
        return self.total - self.measured - self.necessary - self.checks

    def __str__(self) -> str:
        """ "252 s: measured 66%, warm-up and imports 27%, checks 3%, suite itself 4%"."""
        parts = {
            "measured": self.measured,
            "warm-up and imports": self.necessary,
            "checks": self.checks,
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
            "suite_itself": self.itself,
        }


def add_up(total: float, cells: Iterable[Passes]) -> Overhead:
    """The parts of a run that took `total` seconds, from the passes of the cells it measured."""
    seconds: dict[str, float] = {}
    for passes in cells:
        for parts in passes.values():
            for name, value in parts.items():
                seconds[name] = seconds.get(name, 0.0) + value
    necessary = sum(seconds.get(name, 0.0) for name in NECESSARY)
    return Overhead(total, seconds.get(MEASURED, 0.0), necessary, seconds.get(CHECKS, 0.0))
