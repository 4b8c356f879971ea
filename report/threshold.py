"""The smallest change that matters: the policy's margin, its absolute floor, or twice the noise of
equal code, whichever is most. In logarithms of head / base.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from report.margins import Margins, Policy
from report.verdict import Pair, PairedMetric

# Stand for a measured 0, which has no logarithm.
_LEAST = {"B": 1.0, "s": 1e-9}


def allowed(metric: PairedMetric, pairs: Sequence[Pair], policy: Policy) -> float:
    """The smallest log ratio that matters by the policy: its margin, or its absolute floor."""
    return max(math.log1p(policy.margin), floor_of(metric, pairs, policy))


def smallest(
    metric: PairedMetric, pairs: Sequence[Pair], policy: Policy, margins: Margins
) -> float:
    """The smallest log ratio that matters on this machine: what the policy allows, or twice the
    noise of equal code.
    """
    return max(allowed(metric, pairs, policy), 2 * (noise_of(metric, pairs, margins) or 0.0))


def noise_of(metric: PairedMetric, pairs: Sequence[Pair], margins: Margins) -> float | None:
    """How far pairs like these lie apart in an A/A, None if not known.

    Where those went by turns and these did not, for want of memory, how far two processes of
    different pairs lie apart is all that is known: more than these, never less.
    """
    if _were_turns(metric, pairs, margins):
        return margins.between_files(*metric.key)
    return margins.half_width(*metric.key)


def by_turns(pairs: Sequence[Pair]) -> bool:
    """Whether all of these that have both numbers were measured by turns."""
    whole = [pair for pair in pairs if pair.base is not None and pair.head is not None]
    return bool(whole) and all(pair.by_turns is not None for pair in whole)


def too_noisy(metric: PairedMetric, pairs: Sequence[Pair], policy: Policy, margins: Margins) -> str:
    """Why no number of pairs could decide anything on this machine, or ""."""
    limit, noise = allowed(metric, pairs, policy), noise_of(metric, pairs, margins)
    if noise is None or noise <= limit or _were_turns(metric, pairs, margins):
        return ""
    return f"A/A pairs differ by ±{fraction(noise):.1%}, the margin is {math.expm1(limit):.1%}"


def _were_turns(metric: PairedMetric, pairs: Sequence[Pair], margins: Margins) -> bool:
    """Whether the noise that is known is of pairs by turns, and these are none."""
    return margins.by_turns(*metric.key) and metric.kind == "time" and not by_turns(pairs)


def base_of(metric: PairedMetric, pairs: Sequence[Pair]) -> float:
    """The median of the base's blocks, which is what an absolute floor is a fraction of."""
    middle = median(pair.base for pair in pairs if pair.base is not None)
    return max(middle, least_of(metric.unit))


def floor_of(metric: PairedMetric, pairs: Sequence[Pair], policy: Policy) -> float:
    """The policy's absolute floor as a log ratio."""
    floor = seconds_or_bytes(pairs, policy)
    return math.log1p(floor / base_of(metric, pairs)) if floor else 0.0


def seconds_or_bytes(pairs: Sequence[Pair], policy: Policy) -> float:
    """The absolute change that never matters; less where the machine was the same for both."""
    return policy.floor_by_turns if by_turns(pairs) else policy.floor


def least_of(unit: str) -> float:
    """What stands for a measured 0 of this unit."""
    return _LEAST.get(unit, 1e-300)


def fraction(log_ratio: float) -> float:
    """How much more head is than base, of base; the exponential of over 700 is no float."""
    return math.expm1(min(log_ratio, 700.0))
