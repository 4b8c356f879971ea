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
# They say that there was nothing to judge: a report of these alone has shown nothing.
UNJUDGED = (Verdict.NEW, Verdict.REMOVED, Verdict.NOT_COMPARABLE)


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
        margin: the change that matters, in the same measure.
        stage: "exact", "screen", "confirm", "seeds", "one process a side", "status".
        decide: the command that would decide an inconclusive comparison.
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
    def exit_code(self) -> int:
        """0 pass, 1 confirmed regression, 3 not measurable or, when strict, inconclusive.

        Soft gates never change it; a report in which nothing was judged is no pass.
        """
        if self.gating:
            return 1
        open_ = UNDECIDED if self.strict else (Verdict.NOT_MEASURABLE,)
        undecided = any(c.gate == "hard" and c.verdict in open_ for c in self.comparisons)
        return 3 if undecided or self._nothing_judged else 0

    @property
    def headline(self) -> str:
        """The verdict of all and the counts, in one line."""
        words = {0: "PASS", 1: "REGRESSION", 3: "NOT DECIDED"}[self.exit_code]
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts().items())
        if self._nothing_judged:
            return f"{words}: nothing to compare" + (f" ({counts})" if counts else "")
        return f"{words}: {counts}"

    @property
    def _nothing_judged(self) -> bool:
        return all(comparison.verdict in UNJUDGED for comparison in self.comparisons)
