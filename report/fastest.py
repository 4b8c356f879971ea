"""Who is fastest at each length, and whether the second is really slower.

The ratio of the two has a 95% interval (Hodges-Lehmann, or Welch's t for few samples) over
processes where there are several, else over the rounds of one process each, which says nothing of
what another process would take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from report.curves import samples_of, values_of
from report.hodges_lehmann import unpaired
from report.labels import listed
from report.series import EXTRAPOLATED, Panel

_TAIL = 0.025


@dataclass(frozen=True)
class Fastest:
    """The fastest at L, and how many times as fast it is as the second.

    Args:
        low, high: the 95% interval of the ratio, infinite or 0 where a side has one value alone.
        over: "rounds of one run" or "processes".
        extrapolated: whether a time was scaled up from a part of an epoch.
        disturbed: models at L that were measured while others used the processor or it was
            throttled. They may be faster than that, so that who is fastest is not known.
    """

    seq_len: int
    first: str
    second: str
    ratio: float
    low: float
    high: float
    over: str
    extrapolated: bool
    disturbed: tuple[str, ...] = ()

    @property
    def told_apart(self) -> bool:
        return self.low > 1 and not self.disturbed

    def in_words(self) -> str:
        """ "SASRec at L=50 (1.31 times as fast as GRU4Rec, 95% over rounds: 1.20 to 1.44)"."""
        at = f"at L={self.seq_len:,}"
        ratio = f"{self.ratio:.2f} times as fast as {self.second}"
        if self.disturbed:
            return f"{self.first} {at} ({ratio}, {not_sure(self.disturbed)})"
        if math.isinf(self.high):
            return f"{self.first} {at} ({ratio}, one value each)"
        interval = f"95% over {self.over}: {self.low:.2f} to {self.high:.2f}"
        if not self.told_apart:
            return f"{self.first} {at} ({ratio}, but they can't be told apart, {interval})"
        return f"{self.first} {at} ({ratio}, {interval})"


def not_sure(disturbed: Sequence[str]) -> str:
    """Why nobody is said to be the fastest, of the models that were disturbed; one or more."""
    return f"not sure: the processor was busy or throttled during {listed(disturbed)}"


def fastest(panel: Panel, metric: str) -> list[Fastest]:
    """For each length with two models or more, in order of L."""
    return [found for at in panel.lengths if (found := _at(panel, metric, at)) is not None]


def _at(panel: Panel, metric: str, seq_len: int) -> Fastest | None:
    points = {line.label: line.points(metric) for line in panel.lines}
    at = {label: p for label, found in points.items() for p in found if p.seq_len == seq_len}
    if len(at) < 2 or min(point.low for point in at.values()) <= 0:
        return None
    first, second = sorted(at, key=lambda label: at[label].value)[:2]
    groups = {line.label: line.cells.get(seq_len, []) for line in panel.lines}
    logs = {label: _logs(samples_of(groups[label], metric)) for label in (first, second)}
    interval = unpaired(logs[first], logs[second], _TAIL)
    several = all(len(values_of(groups[label], metric)) > 1 for label in (first, second))
    scaled = metric in EXTRAPOLATED and (at[first].extrapolated or at[second].extrapolated)
    return Fastest(
        seq_len=seq_len,
        first=first,
        second=second,
        ratio=at[second].value / at[first].value,
        low=math.exp(interval.low),
        high=math.exp(interval.high),
        over="processes" if several else "rounds of one run",
        extrapolated=scaled,
        disturbed=tuple(label for label, point in at.items() if point.disturbed),
    )


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]
