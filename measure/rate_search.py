"""The highest rate at which a target is still met, by bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RateFound:
    """Where a search ended.

    Args:
        met: the highest rate tried at which the target was met; None where it was at none.
        missed: the lowest rate tried at which it was missed; None where it never was.
        trials: how many rates were tried.
    """

    met: float | None
    missed: float | None
    trials: int


def search_rate(
    meets: Callable[[float], bool], highest: float, *, precision: float = 0.02, trials: int = 8
) -> RateFound:
    """Bisect between 0 and `highest`, a rate that no server of this speed can exceed.

    Args:
        meets: whether the target is met at a rate; met at all lower rates where it is met at one.
        precision: the search ends when its bracket is this share of `highest`.
        trials: and after so many tries.
    """
    if not highest > 0:
        raise ValueError(f"highest={highest}: a rate above 0 is needed")
    low, high = 0.0, highest
    met: float | None = None
    missed: float | None = None
    tried = 0
    while tried < trials and high - low > precision * highest:
        rate = (low + high) / 2
        tried += 1
        if meets(rate):
            met = low = rate
        else:
            missed = high = rate
    return RateFound(met, missed, tried)
