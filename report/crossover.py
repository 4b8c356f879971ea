"""From which history length on one model costs less than another, and how sure that is.

The difference of two fitted curves (scaling.py) is drawn many times from what their samples allow;
the interval holds the lengths at which the draws don't agree on who is ahead. An end of it that
lies outside of what both were measured at is open: nothing is said of lengths beyond (it is
"above the longest" or "below the shortest", never a number). A model that runs out of memory sets
a bound of another kind: from that length on the other one is what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from report.scaling import LEVEL, NotFitted, Scaling, fit_scaling

Array = npt.NDArray[np.float64]
BETWEEN, ABOVE, BELOW, APART, UNKNOWN = (
    "between", "above the longest", "below the shortest", "apart", "not fitted"
)  # fmt: skip
_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """One model's cost over L.

    Args:
        samples: for each length the values of processes, else of rounds, in seconds or bytes.
        oom_from: the shortest length at which it ran out of memory, None where it never did.
    """

    label: str
    lengths: Sequence[int]
    samples: Sequence[Sequence[float]]
    oom_from: int | None = None


@dataclass(frozen=True)
class Crossover:
    """Where two curves change places.

    Args:
        status: "between" (the curves cross within what both were measured at), "above the longest"
            or "below the shortest" (if they cross, then there), "apart" (their ratio does not
            change with L), or "not fitted" (see `reason`).
        length: of the crossing, for "between" only.
        low, high: the 95% interval; None where it is open on that side.
        shortest, longest: the lengths that both were measured at.
        ahead_short, ahead_long: the label that costs less at either end; "" where nothing is known.
        bracket: neighbouring measured lengths between which the medians change places, if fitted
            or not; None where they don't, or do so more than once.
        limits: for each curve that ran out of memory a sentence of it.
        reason: why nothing was fitted.
    """

    first: str
    second: str
    status: str
    length: float | None = None
    low: float | None = None
    high: float | None = None
    shortest: int | None = None
    longest: int | None = None
    ahead_short: str = ""
    ahead_long: str = ""
    bracket: tuple[int, int] | None = None
    limits: tuple[str, ...] = field(default=())
    reason: str = ""

    def in_words(self) -> str:
        """One or two sentences without units, such as "A costs less above L=840 (95%: ...)."."""
        return " ".join([_said(self), *(f"{limit}." for limit in self.limits)])


def crossover(first: Curve, second: Curve, *, seed: int = 0) -> Crossover:
    """Where `first` and `second` change places, within the lengths that both were measured at."""
    limits = tuple(_limit(curve) for curve in (first, second) if curve.oom_from is not None)
    common = sorted(set(_measured(first)) & set(_measured(second)))
    known = {
        "bracket": _bracket(first, second, common),
        "limits": limits,
        "shortest": common[0] if common else None,
        "longest": common[-1] if common else None,
    }
    fits = [
        fit_scaling(curve.lengths, curve.samples, seed=2 * seed + place)
        for place, curve in enumerate((first, second))
    ]
    for curve, fit in zip((first, second), fits, strict=True):
        if isinstance(fit, NotFitted):
            reason = f"{curve.label}: {fit.reason}"
            return Crossover(first.label, second.label, UNKNOWN, reason=reason, **known)
    a, b = (fit for fit in fits if isinstance(fit, Scaling))
    low, high = max(a.shortest, b.shortest), min(a.longest, b.longest)
    if low >= high:
        reason = "no two lengths were measured of both"
        return Crossover(first.label, second.label, UNKNOWN, reason=reason, **known)
    return _cross(first, second, a, b, known | {"shortest": low, "longest": high})


def _cross(first: Curve, second: Curve, a: Scaling, b: Scaling, known: dict) -> Crossover:
    at = np.geomspace(known["shortest"], known["longest"], _POINTS)
    ratio = np.array([np.log(a.predict(x) / b.predict(x)) for x in at])
