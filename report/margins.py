"""Which change matters: margins and gates by kind, overridden in pyproject.toml.

`[tool.seqrec-bench.margins]` holds rules, the last that fits wins:

    ignore = ["step_time"]                      # metrics that others already tell
    [[tool.seqrec-bench.margins.rules]]
    cells = "mamba4rec-*"                       # a pattern, default all
    metric = "epoch_time"                       # a pattern, or kind = "time"
    margin = 0.08                               # a fraction; accuracy: absolute
    floor = 2e-5                                # an absolute change that never matters
    gate = "soft"                               # or "hard", or "off"
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from report.load import InputError

ROOT = Path(__file__).resolve().parent.parent
GATES = ("hard", "soft", "off")
# A change that is not more than this of a machine whose noise is not known says nothing.
UNKNOWN_NOISE = 0.10


@dataclass(frozen=True)
class Policy:
    """What counts for one metric: the margin, an absolute floor, and whether red fails the job.

    Args:
        floor_by_turns: the floor where both sides were measured by turns, so that what a machine
            does to requests of microseconds it does to both.
    """

    margin: float
    floor: float
    gate: str
    floor_by_turns: float = 0.0


KINDS = {
    "deterministic": Policy(0.0, 0.0, "hard"),
    "capacity": Policy(0.0, 0.0, "hard"),
    "correctness": Policy(0.0, 0.0, "hard"),
    "accuracy": Policy(0.005, 0.0, "hard"),
    "memory_physical": Policy(0.05, 8 * 2.0**20, "hard", 8 * 2.0**20),
    "time": Policy(0.05, 20e-6, "hard", 2e-6),
    "tail": Policy(0.15, 20e-6, "soft", 20e-6),
    "energy": Policy(0.10, 0.0, "soft"),
    "derived": Policy(0.0, 0.0, "off"),
}
_WITHOUT_FLOOR = {"deterministic", "capacity", "correctness", "derived", "accuracy"}
HOSTED_TIME = 0.10  # shared machines of a CI service


@dataclass(frozen=True)
class Noise:
    """How far equal code lies apart on this machine, as an A/A comparison found it.

    Args:
        half_width: of its pairs, the 95% half-width of ln(head / base).
        between_files: 95% of |ln| of two processes of different pairs, as two files are: what the
            machine does for minutes befalls one of them alone.
        by_turns: whether its pairs were measured by turns.
        machine: its fingerprint, "" where it is not known.
    """

    cells: str
    metric: str
    half_width: float
    between_files: float
    by_turns: bool = True
    machine: str = ""


@dataclass(frozen=True)
class Margins:
    """Policies by kind, then rules in order, then the machine's noise."""

    rules: tuple[dict[str, Any], ...] = ()
    ignore: tuple[str, ...] = ()
    noise: tuple[Noise, ...] = ()
    hosted: bool = False

    def policy(self, cell_id: str, metric: str, kind: str) -> Policy:
        """The policy of one metric of one cell."""
        policy = KINDS[kind]
        if self.hosted and kind == "time":
            policy = replace(policy, margin=HOSTED_TIME)
        if is_named(metric, self.ignore):
            policy = replace(policy, gate="off")
        for rule in self.rules:
            if _fits(rule, cell_id, metric, kind):
                changes: dict[str, Any] = {
                    name: rule[name] for name in ("margin", "floor", "gate") if name in rule
                }
                if "floor" in rule:
                    changes["floor_by_turns"] = rule["floor"]
                policy = replace(policy, **changes)
        return policy

    def half_width(self, cell_id: str, metric: str) -> float | None:
        """The noise of this machine's pairs, the last entry that fits, or None if not known."""
        entry = self._noise(cell_id, metric)
        return None if entry is None else entry.half_width

    def between_files(self, cell_id: str, metric: str) -> float | None:
        """The same of two files."""
        entry = self._noise(cell_id, metric)
        return None if entry is None else entry.between_files

    def by_turns(self, cell_id: str, metric: str) -> bool:
        """Whether the noise of pairs is that of pairs by turns."""
        entry = self._noise(cell_id, metric)
        return entry is not None and entry.by_turns

    def _noise(self, cell_id: str, metric: str) -> Noise | None:
        found = [
            entry
            for entry in self.noise
            if fnmatchcase(cell_id, entry.cells) and fnmatchcase(metric, entry.metric)
        ]
        return found[-1] if found else None

    def used(self, judged: Iterable[tuple[str, str]]) -> list[Noise]:
        """The entries that the noise of these cells and metrics is taken from."""
        found = (self._noise(*key) for key in judged)
        return list(dict.fromkeys(entry for entry in found if entry is not None))

    def idle(self, judged: Iterable[tuple[tuple[str, str], str]]) -> list[str]:
        """What rules do nothing for these metrics, a line each: a name that fits none but is nearly
        one of them, a floor of what is counted.

        Args:
            judged: (cell, metric) and kind of each.
        """
        found = list(judged)
        names = sorted({metric for (_, metric), _ in found})
        lines = []
        for rule in self.rules:
            kinds = {kind for (cell, metric), kind in found if _fits(rule, cell, metric, kind)}
            named = str(rule.get("metric", ""))
            meant = named and not kinds and rule.get("gate") != "off"
            near = get_close_matches(named, names, 1, 0.8) if meant else []
            if near and not any(is_named(name, (named,)) for name in [*names, *self.ignore]):
                lines.append(f"margins: no metric here is {named!r}; there is {near[0]!r}")
            if "floor" in rule and kinds and kinds <= _WITHOUT_FLOOR:
                lines.append(f"margins: a floor of {' and '.join(sorted(kinds))} does nothing")
        return list(dict.fromkeys(lines))

    def on(self, machine: str) -> Margins:
        """The same without the noise of any other machine, by fingerprint."""
        noise = tuple(entry for entry in self.noise if entry.machine in ("", machine))
        return replace(self, noise=noise)


@cache
def is_named(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns fits."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def is_hosted() -> bool:
    """Whether the environment says that this is a runner which GitHub hosts, shared with others."""
    asked = os.environ.get("GITHUB_ACTIONS"), os.environ.get("RUNNER_ENVIRONMENT")
    return asked == ("true", "github-hosted")


def load_margins(
    path: Path = ROOT / "pyproject.toml",
    noise: Sequence[Noise] = (),
    *,
    hosted: bool = False,
    text: str | None = None,
) -> Margins:
    """The margins in a pyproject.toml; InputError where they are not what they should be.

    Args:
        text: what stands in it, where it is not on this disk, such as that of another commit.
    """
    try:
        content = tomllib.loads(path.read_text() if text is None else text)
    except (OSError, ValueError) as error:
        raise InputError(path, f"can't be read: {error}") from error
    table: Any = content
    for name in ("tool", "seqrec-bench", "margins"):
        table = table.get(name, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise InputError(path, "tool.seqrec-bench.margins: a table of rules and ignore")
    rules, ignore = table.get("rules", []), table.get("ignore", [])
    if set(table) - {"rules", "ignore"} or not isinstance(rules, list):
        raise InputError(path, "tool.seqrec-bench.margins: allowed are rules and ignore")
    if not isinstance(ignore, list) or not all(isinstance(name, str) for name in ignore):
        raise InputError(path, "tool.seqrec-bench.margins.ignore: a list of metric names")
    for rule in rules:
        _check(path, rule)
    return Margins(tuple(rules), tuple(ignore), tuple(noise), hosted)


def _check(path: Path, rule: Any) -> None:
    where = "tool.seqrec-bench.margins.rules"
    allowed = {"cells", "metric", "kind", "margin", "floor", "gate"}
    if not isinstance(rule, dict) or set(rule) - allowed:
        raise InputError(path, f"{where}: {rule!r}: allowed are {', '.join(sorted(allowed))}")
    if rule.get("kind", "time") not in KINDS:
        raise InputError(path, f"{where}: kind={rule['kind']!r}: allowed are {', '.join(KINDS)}")
    if rule.get("gate", "hard") not in GATES:
        raise InputError(path, f"{where}: gate={rule['gate']!r}: allowed are {', '.join(GATES)}")
    for name in ("cells", "metric"):
        if not isinstance(rule.get(name, "*"), str):
            raise InputError(path, f"{where}: {name}={rule[name]!r}: a pattern is a text")
    for name in ("margin", "floor"):
        number = rule.get(name, 0.0)
        right = isinstance(number, int | float) and not isinstance(number, bool)
        if not right or not math.isfinite(number) or number < 0:
            raise InputError(path, f"{where}: {name}={number!r}: a number, 0 or more")
    if rule.get("margin", 0.0) > 1:
        fault = f"margin={rule['margin']!r}: a fraction, 1 at the most (0.1 is 10%)"
        raise InputError(path, f"{where}: {fault}")


def _fits(rule: dict[str, Any], cell_id: str, metric: str, kind: str) -> bool:
    return (
        rule.get("kind", kind) == kind
        and is_named(metric, (rule.get("metric", "*"),))
        and fnmatchcase(cell_id, rule.get("cells", "*"))
    )
