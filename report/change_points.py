"""Where the level of a series changed: slow drift, which no comparison of two commits can see.

The search is that of ruptures (Truong et al. 2020, doi:10.1016/j.sigpro.2019.107299), exact for the
sum of squares of logarithms. A new level costs PENALTY * log(n) * variance, the variance taken from
the differences of neighbours, so that a change of level does not count as noise. Levels that differ
by less than half a margin are joined, the nearest first: what is left of a slope of small steps is
one change or a few. By simulation with 200 points of 3% noise with heavy tails, one history in a
hundred shows a change that is none.
(Apache Otava, which searches alike, pins a version of NumPy and brings clients of cloud services,
https://github.com/apache/otava/blob/master/pyproject.toml; `--otava` exports to it.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from report.history import Series
from report.margins import Margins

FEWEST_POINTS = 10
SHORTEST = 3  # points of a level
PENALTY = 12.0
_LEAST = 1e-12


@dataclass(frozen=True)
class ChangePoint:
    """A new level.

    Args:
        before, after: the last commit of the old level and the first of the new one; the same
            commit where it was measured again, so that the code is not what changed.
        change: the new level against the old one as a fraction; worse: whether that is bad.
        place: the index of the first point of the new level.
    """

    series: Series
    before: str
    after: str
    change: float
    worse: bool
    place: int


def change_points(series: Series, margins: Margins) -> list[ChangePoint]:
    """New levels that differ from the one before by half of the metric's margin at least."""
    values = [point.value for point in series.points]
    if len(values) < FEWEST_POINTS or min(values) <= 0:
        return []
    least = _smallest(series, margins, float(np.median(values)))
    found = []
    for place, shift in levels(np.log(values), least):
        change = math.expm1(shift)
        worse = (change > 0) == (series.better == "lower")
        before, after = series.points[place - 1].commit, series.points[place].commit
        found.append(ChangePoint(series, before, after, change, worse, place))
    return found


def levels(logs: npt.NDArray[np.float64], least: float = 0.0) -> list[tuple[int, float]]:
    """Where each new level begins, and by how much it differs from the one before, more than
    `least`; all as logarithms.
    """
    # A fifth of a second to import, which only a history needs.
    import ruptures

    noise = float(np.median(np.abs(np.diff(logs)))) / (0.6745 * math.sqrt(2.0))
    cost = PENALTY * math.log(len(logs)) * max(noise, _LEAST) ** 2
    search = ruptures.KernelCPD(kernel="linear", min_size=SHORTEST).fit(logs.reshape(-1, 1))
    begins = list(search.predict(pen=cost))[:-1]
    while begins:
        steps = _steps(logs, begins)
        nearest = min(range(len(steps)), key=lambda at: abs(steps[at]))
        if abs(steps[nearest]) > max(least, _LEAST):
            return list(zip(begins, steps, strict=True))
        del begins[nearest]
    return []


def _steps(logs: npt.NDArray[np.float64], begins: list[int]) -> list[float]:
    """From the median of each level to that of the next."""
    return [float(x) for x in np.diff([np.median(level) for level in np.split(logs, begins)])]


def _smallest(series: Series, margins: Margins, level: float) -> float:
    """Half of the margin, as a logarithm; that of an accuracy is absolute."""
    policy = margins.policy(series.cell_id, series.metric, series.kind)
    margin = policy.margin / level if series.kind == "accuracy" else policy.margin
    return math.log1p(max(margin, policy.floor / level) / 2)
