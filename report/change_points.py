"""Where the level of a series changed: slow drift, which no comparison of two commits can see.

The search is that of ruptures (Truong et al. 2020, doi:10.1016/j.sigpro.2019.107299), exact for the
sum of squares of logarithms. A new level costs PENALTY * log(n) * variance, the variance taken from
the differences of neighbours, so that a change of level does not count as noise. By simulation with
200 points of 3% noise with heavy tails, one history in a hundred shows a change that is none.
(Apache Otava, which searches alike, pins a version of NumPy and brings clients of cloud services;
`--otava` exports to it.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from report.history import Series
from report.margins import Margins

FEWEST_POINTS = 10
SHORTEST = 5  # points of a level
PENALTY = 12.0
_LEAST = 1e-12


@dataclass(frozen=True)
class ChangePoint:
    """A new level.

    Args:
        before, after: the last commit of the old level and the first of the new one.
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
    policy = margins.policy(series.cell_id, series.metric, series.kind)
    floor = policy.floor / float(np.median(values))
    found = []
    for place, shift in levels(np.log(values)):
        change = math.expm1(shift)
        if abs(change) >= max(policy.margin, floor) / 2:
            worse = (change > 0) == (series.better == "lower")
            before, after = series.points[place - 1].commit, series.points[place].commit
            found.append(ChangePoint(series, before, after, change, worse, place))
    return found


def levels(logs: npt.NDArray[np.float64]) -> list[tuple[int, float]]:
    """Where each new level begins, and by how much it differs from the one before."""
    # A fifth of a second to import, which only a history needs.
    import ruptures

    noise = float(np.median(np.abs(np.diff(logs)))) / (0.6745 * math.sqrt(2.0))
    cost = PENALTY * math.log(len(logs)) * max(noise, _LEAST) ** 2
    search = ruptures.KernelCPD(kernel="linear", min_size=SHORTEST).fit(logs.reshape(-1, 1))
    ends = [0, *search.predict(pen=cost)]
    medians = [float(np.median(logs[a:b])) for a, b in pairwise(ends)]
    steps = zip(ends[1:-1], medians[:-1], medians[1:], strict=True)
    return [(end, after - before) for end, before, after in steps]
