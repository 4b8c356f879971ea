"""From which history length on one model costs less than another, and how sure that is.

The difference of two fitted curves (scaling.py) is drawn many times from what their samples allow;
the interval holds the lengths at which the draws don't agree on who is ahead. An end of it that
lies outside of what both were measured at is open: nothing is said of lengths beyond (it is
"above the longest" or "below the shortest", never a number). A model that runs out of memory sets
a bound of another kind: from that length on the other one is what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import numpy as np
import numpy.typing as npt

from report.scaling import LEVEL, NotFitted, Scaling, fit_scaling

Array = npt.NDArray[np.float64]
BETWEEN = "between"
ABOVE = "above the longest"
BELOW = "below the shortest"
APART = "apart"
UNKNOWN = "not fitted"
_POINTS, _MARGINS = 128, 12
DRAWS = 2000


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
        status: "between" (the curves cross within what both were measured at, and no measured
            length says otherwise), "above the longest"
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
    limits: tuple[str, ...] = ()
    reason: str = ""

    def in_words(self) -> str:
        """One or two sentences without units, such as "A costs less above L=840 (95%: ...)."."""
        return " ".join([_said(self), *(f"{limit}." for limit in self.limits)])

    @property
    def behind_long(self) -> str:
        """Who costs more at the longest length."""
        return self.second if self.ahead_long == self.first else self.first

    def where(self) -> str:
        """ "L=840 (95%: 610 to 1,200)"; only for a crossing within the measured lengths."""
        assert self.length is not None, "there is a crossing within the measured lengths"
        return f"L={_round(self.length)} ({_interval(self)})"


def crossover(first: Curve, second: Curve, *, seed: int = 0) -> Crossover:
    """Where `first` and `second` change places, within the lengths that both were measured at.

    Raises:
        ValueError: samples that `fit_scaling` refuses.
    """
    curves = (first, second)
    common = sorted(set(_medians(first)) & set(_medians(second)))
    known = Crossover(
        first.label,
        second.label,
        UNKNOWN,
        shortest=common[0] if common else None,
        longest=common[-1] if common else None,
        bracket=_bracket(first, second, common),
        limits=tuple(_limit(curve) for curve in curves if curve.oom_from is not None),
    )
    fits = list[Scaling]()
    for curve in curves:
        fit = fit_scaling(curve.lengths, curve.samples)
        if isinstance(fit, NotFitted):
            return replace(known, reason=f"{curve.label}: {fit.reason}")
        fits.append(fit)
    if max(fit.shortest for fit in fits) >= min(fit.longest for fit in fits):
        return replace(known, reason="no range of lengths was measured of both")
    found = _cross(known, fits[0], fits[1], seed)
    if found.length is None or found.bracket is None:
        return found
    if found.bracket[0] <= found.length <= found.bracket[1]:
        return found
    reason = (
        f"the fitted curves cross at L={_round(found.length)}, where what was measured does not"
    )
    return replace(known, reason=reason)


def _cross(known: Crossover, first: Scaling, second: Scaling, seed: int) -> Crossover:
    """The crossing of two fitted curves: the last one, where there are two."""
    ends = max(first.shortest, second.shortest), min(first.longest, second.longest)
    known = replace(known, shortest=ends[0], longest=ends[1])
    at = np.geomspace(*ends, _POINTS).clip(*ends)
    # By how much the one that is ahead at the longest L leads, as a logarithm, and how sure it is.
    lead = np.log(second.values(at) / first.values(at))
    margin, growth_margin = _margins(first, second, at, seed)
    winner, other = known.first, known.second
    if lead[-1] < 0:
        lead, winner, other = -lead, other, winner
    known = replace(known, ahead_short=winner, ahead_long=winner)
    if lead.min() < 0:
        before = other if lead[0] < 0 else winner
        last = slice(int(np.argmin(lead)), None)
        at, lead, margin = at[last], lead[last], margin[last]
        low, high = _start(at, lead + margin), _reach(at, lead - margin)
        length = _reach(at, lead)
        return replace(known, status=BETWEEN, length=length, low=low, high=high, ahead_short=before)
    growth = lead[-1] - lead[0]
    if abs(growth) <= growth_margin:
        return replace(known, status=APART)
    if growth > 0:
        return replace(known, status=BELOW, high=_reach(at, lead - margin))
    return replace(known, status=ABOVE, low=_start(at, margin - lead))


def _margins(first: Scaling, second: Scaling, at: Array, seed: int) -> tuple[Array, float]:
    """How far the lead may be off at each length, and its growth over them, with 95%.

    A studentised bootstrap of both curves' coefficients, which are normal about as far as the
    lengths' errors are (DiCiccio and Efron, Statistical Science 11, 1996).
    """
    random = np.random.default_rng(seed)
    few = np.geomspace(at[0], at[-1], _MARGINS).clip(at[0], at[-1])
    errors = variances = known = np.zeros(_MARGINS + 1)
    for fit in (first, second):
        error = fit.errors(few)
        error = np.column_stack([error, error[:, -1] - error[:, 0]])
        squares = np.sum(error**2, axis=0)
        errors = errors + random.standard_normal((DRAWS, len(error))) @ error
        variances = variances + random.chisquare(fit.degrees, (DRAWS, 1)) / fit.degrees * squares
        known = known + squares
    ratios = np.abs(errors) / np.sqrt(np.maximum(variances, 1e-300))
    margins = np.quantile(ratios, LEVEL, axis=0) * np.sqrt(known)
    return np.interp(np.log(at), np.log(few), margins[:-1]), float(margins[-1])


def _start(at: Array, rising: Array) -> float | None:
    """Where an interval starts: None where it is open, the longest L where it lies beyond."""
    return None if rising[0] >= 0 else _reach(at, rising) or float(at[-1])


def _reach(at: Array, rising: Array) -> float | None:
    """The length at which `rising` reaches 0, the first one if it begins there, or None."""
    above = np.flatnonzero(rising >= 0)
    if not len(above):
        return None
    place = int(above[0])
    if place == 0:
        return float(at[0])
    near = slice(place - 1, place + 1)
    return float(np.exp(np.interp(0.0, rising[near], np.log(at[near]))))


def _medians(curve: Curve) -> dict[int, float]:
    pairs = zip(curve.lengths, curve.samples, strict=True)
    return {seq_len: median(samples) for seq_len, samples in pairs if samples}


def _bracket(first: Curve, second: Curve, common: Sequence[int]) -> tuple[int, int] | None:
    """The one pair of neighbouring lengths between which the medians change places."""
    a, b = _medians(first), _medians(second)
    changes = [
        (low, high) for low, high in pairwise(common) if (a[low] - b[low]) * (a[high] - b[high]) < 0
    ]
    return changes[0] if len(changes) == 1 else None


def _limit(curve: Curve) -> str:
    """ "B ran out of memory at L=8,192, so nothing is known of it above L=4,096"."""
    said = f"{curve.label} ran out of memory at L={curve.oom_from:,}"
    reached = [seq_len for seq_len in _medians(curve) if seq_len < (curve.oom_from or 0)]
    return f"{said}; it is not feasible above L={max(reached):,}" if reached else said


def _said(found: Crossover) -> str:
    if found.status == UNKNOWN:
        between = found.bracket
        said = f"No crossover of {found.first} and {found.second} is fitted ({found.reason})"
        if between:
            said += f"; the medians change places between L={between[0]:,} and L={between[1]:,}"
        return said + "."
    if found.status == BETWEEN:
        return f"{found.ahead_long} costs less than {found.behind_long} above {found.where()}."
    ahead = f"{found.ahead_long} costs less than {found.behind_long} at L={found.shortest:,} to "
    ahead += f"{found.longest:,}"
    if found.status == APART:
        return f"{ahead}; their ratio does not clearly change with L."
    return f"{ahead}; a crossover, if there is one, lies {found.status} ({_interval(found)})."


def _interval(found: Crossover) -> str:
    if found.low is None and found.high is None:
        return "no bound at 95% within the measured lengths"
    if found.low is None:
        return f"95%: below {_round(found.high or 0)}"
    if found.high is None:
        return f"95%: above {_round(found.low)}"
    return f"95%: {_round(found.low)} to {_round(found.high)}"


def _round(seq_len: float) -> str:
    """Two significant digits, since no crossing is known better: 840, 1,200."""
    return f"{float(f'{seq_len:.2g}'):,.0f}"
