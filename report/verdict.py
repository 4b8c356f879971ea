"""What a comparison says: pairs in, one Report out, from which every output is made.

A runner fills `PairedMetric`s, one per cell and metric, with a pair per block; judge.py turns each
into a `Comparison`; a `Report` holds them all. Plain values only: no files, no statistics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """In the order in which a reader wants them."""

    REGRESSED = "REGRESSED"
    OOM_NEW = "OOM_NEW"
    FAILED = "FAILED"
    NOT_MEASURABLE = "NOT_MEASURABLE"
    INCONCLUSIVE = "INCONCLUSIVE"
    IMPROVED = "IMPROVED"
    OOM_FIXED = "OOM_FIXED"
    NEW = "NEW"
    REMOVED = "REMOVED"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    UNCHANGED = "UNCHANGED"


RED = (Verdict.REGRESSED, Verdict.OOM_NEW, Verdict.FAILED)
UNDECIDED = (Verdict.NOT_MEASURABLE, Verdict.INCONCLUSIVE)
# They decide nothing: a report of these alone has shown nothing.
UNJUDGED = (Verdict.NEW, Verdict.REMOVED, Verdict.NOT_COMPARABLE, *UNDECIDED)


@dataclass(frozen=True)
class Pair:
    """One block of each side, measured in turn.

    Args:
        base, head: the block's value in SI units and bytes; None where it was not measured.
        flags: "contended" or "throttled" where that befell either block.
        seed: of the cell, where seeds are the pairs (accuracy).
        by_turns: where both were measured by turns, the median over rounds of head / base.
    """

    base: float | None
    head: float | None
    flags: tuple[str, ...] = ()
    seed: int | None = None
    by_turns: float | None = None

    @property
    def ratio(self) -> float | None:
        """head / base; None where one is missing, and from 0."""
        if self.by_turns is not None:
            return self.by_turns
        return self.head / self.base if self.base and self.head is not None else None


@dataclass(frozen=True)
class PairedMetric:
    """All pairs of one metric of one cell, in the order measured.

    Args:
        better: "lower", "higher" or "none"; kind: see measure/record.py.
        screen: pairs of the first pass. confirm: fresh pairs of a candidate, never those above.
        base_users, head_users: number of users behind an accuracy, where known.
        one_process: two files, one process a side; then `screen` is one pair of their values and
            base_rounds, head_rounds are the rounds behind them.
        bounds: (base low, base high, head low, head high) where the instrument gives them.
        lost: why the head has no number where the base has one, or "".
    """

    cell_id: str
    metric: str
    unit: str
    better: str
    kind: str
    screen: tuple[Pair, ...] = ()
    confirm: tuple[Pair, ...] = ()
    one_process: bool = False
    base_users: int | None = None
    head_users: int | None = None
    base_rounds: tuple[float, ...] = ()
    head_rounds: tuple[float, ...] = ()
    bounds: tuple[float, float, float, float] | None = None
    lost: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.cell_id, self.metric


@dataclass(frozen=True)
class Comparison:
    """One verdict, and everything it was reached by.

    Args:
        gate: "hard" makes the exit code 1 when red, "soft" is shown only.
        reason: one sentence on how the verdict was reached.
        base, head: the medians of both sides, or None.
        change, low, high: head against base as a fraction (0.1 is 10% more) or, where `absolute`,
            as a difference; bounds are one-sided at `alpha`, None where there is none.
        margin: the change that matters, in the same measure. floor: the absolute change that it
            stands for, in the metric's unit, where the policy's margin is less.
        rounds: of the one process that each side is, where they are known.
        stage: "exact", "screen", "confirm", "seeds", "one process a side", "status".
        decide: the command that would decide an inconclusive comparison.
        progress: where more are wanted than there are, how many pairs there are and how many the
            next look takes; seeds, of an accuracy.
        open: what such a comparison leaves unsaid: "screen" where it was not screened, "suspected"
            where the screen shows it worse and fresh pairs have not settled that; else "".
    """

    cell_id: str
    metric: str
    unit: str
    better: str
    kind: str
    gate: str
    verdict: Verdict
    reason: str
    stage: str
    base: float | None = None
    head: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    alpha: float | None = None
    margin: float | None = None
    absolute: bool = False
    method: str = ""
    pairs: tuple[Pair, ...] = ()
    decide: str = ""
    floor: float | None = None
    rounds: tuple[int, int] | None = None
    progress: tuple[int, int] | None = None
    open: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.cell_id, self.metric

    @property
    def worse(self) -> float:
        """The change with + for worse, for sorting."""
        change = self.change or 0.0
        return -change if self.better == "higher" else change


@dataclass(frozen=True)
class Side:
    """One of the two sides, in words: its name, commit, machine and data."""

    label: str
    commit: str = "unknown"
    machine: str = ""
    fingerprint: str = ""
    dataset: str = ""
    started: str = ""


@dataclass(frozen=True)
class Report:
    """All comparisons of two sides.

    Args:
        design: how the sides were measured, one line.
        noise: the noise floor that margins rest on, one line.
        command: reproduces this report. strict: inconclusive hard comparisons give exit code 3.
        aa: the base beside itself: all of its pairs are of use, so that none is missed.
        notes: what else a reader should know, one line each.
    """

    base: Side
    head: Side
    design: str
    noise: str
    command: str
    comparisons: tuple[Comparison, ...] = field(repr=False)
    strict: bool = False
    notes: tuple[str, ...] = ()
    aa: bool = False

    def counts(self) -> dict[Verdict, int]:
        """How many there are of each verdict, in the order of Verdict, without zeros."""
        found = Counter(comparison.verdict for comparison in self.comparisons)
        return {verdict: found[verdict] for verdict in Verdict if found[verdict]}

    def of(self, verdicts: Iterable[Verdict]) -> list[Comparison]:
        """Comparisons with one of these verdicts, the worst change first."""
        chosen = set(verdicts)
        found = [comparison for comparison in self.comparisons if comparison.verdict in chosen]
        order = list(Verdict)
        return sorted(found, key=lambda c: (order.index(c.verdict), -c.worse, c.cell_id, c.metric))

    @property
    def gating(self) -> list[Comparison]:
        """Red comparisons that make the exit code 1."""
        return [comparison for comparison in self.of(RED) if comparison.gate == "hard"]

    @property
    def still_open(self) -> list[Comparison]:
        """Hard comparisons that the time did not suffice for: not screened, or suspected of being
        worse and not confirmed.
        """
        return [one for one in self.of(UNDECIDED) if one.gate == "hard" and one.open]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 confirmed regression, 3 not decided: not measurable, out of time before all
        was screened and every suspicion settled, or, when strict, inconclusive.

        Soft gates never change it; a report in which nothing was decided is no pass.
        """
        if self.gating:
            return 1
        undecided = UNDECIDED if self.strict else (Verdict.NOT_MEASURABLE,)
        if any(c.gate == "hard" and c.verdict in undecided for c in self.comparisons):
            return 3
        return 3 if self._nothing_decided or (self.still_open and not self.aa) else 0

    @property
    def headline(self) -> str:
        """The verdict of all, what it leaves open, and the counts, in one line."""
        words = {0: "PASS", 1: "REGRESSION", 3: "NOT DECIDED"}[self.exit_code]
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts().items())
        if set(self.counts()) <= set(UNJUDGED) - set(UNDECIDED):
            return f"{words}: nothing to compare" + (f" ({counts})" if counts else "")
        return f"{words}{self._reservations}: {counts}"

    @property
    def is_clean(self) -> bool:
        """Whether it passes and a reader need not look further."""
        return self.exit_code == 0 and not self._reservations

    @property
    def _reservations(self) -> str:
        """Such as ", 1 suspected slowdown (epoch_time +16%, 8 of 10 pairs)"."""
        if self.exit_code == 1:
            return ""
        suspected = [one for one in self.still_open if one.open == "suspected"]
        not_screened = {one.cell_id for one in self.still_open if one.open == "screen"}
        undecided = [one for one in self.of(UNDECIDED) if one.gate == "hard" and not one.open]
        removed = [one for one in self.of([Verdict.REMOVED]) if one.metric in ("cell", "model")]
        parts = [_suspicions(suspected)] if suspected else []
        parts += [f"{_many(len(not_screened), 'cell')} not screened"] if not_screened else []
        if self.exit_code == 0 and undecided:
            parts.append(f"{len(undecided)} undecided")
        parts += [f"{_many(len(removed), removed[0].metric)} removed"] if removed else []
        return "".join(f", {part}" for part in parts)

    @property
    def _nothing_decided(self) -> bool:
        return all(comparison.verdict in UNJUDGED for comparison in self.comparisons)


def _suspicions(found: list[Comparison]) -> str:
    """How many there are, and the worst of them with its pairs so far."""
    worst = max(found, key=lambda one: one.worse)
    moved = "" if worst.change is None else f" {worst.change:+.0%}"
    if worst.absolute and worst.change is not None:
        moved = f" {worst.change:+.4f}"
    of = "seeds" if worst.kind == "accuracy" else "confirming pairs"
    taken = "" if worst.progress is None else f", {worst.progress[0]} of {worst.progress[1]} {of}"
    what = "slowdown" if {one.kind for one in found} <= {"time"} else "regression"
    first = "" if len(found) == 1 else "the worst: "
    return f"{_many(len(found), f'suspected {what}')} ({first}{worst.metric}{moved}{taken})"


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + "s" * (count != 1)
