"""When pairs are judged: at a few counts fixed in advance, each with its share of alpha.

Who asks after every pair finds a false alarm sooner or later. So a screen is judged at 5 and 10
pairs and a confirmation at 10, 15, 20, 30, 40, 60 and 80, and nothing in between. The shares of its
looks add up to 1.2%, which therefore bounds the false alarms at the margin; report/power.py shows
the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from measure.record import DISTURBING
from report.hodges_lehmann import pairs_needed
from report.verdict import Pair, PairedMetric

# More flagged blocks than this, and what was measured is the neighbours' work.
MOST_FLAGGED = 0.2
SCREEN_PAIRS, SCREEN_ALPHA = 5, 0.05
CONFIRM_PAIRS = 10
# Pairs beyond the first look at a candidate, and the look's share of alpha.
CONFIRM_STEPS = (
    (0, 0.002),
    (5, 0.0015),
    (10, 0.0015),
    (20, 0.0015),
    (30, 0.0015),
    (50, 0.002),
    (70, 0.002),
)
MOST_SCREEN_PAIRS = 10


@dataclass(frozen=True)
class Look:
    """A decision on the first `count` pairs, its bounds at `alpha`."""

    count: int
    alpha: float


SCREEN_LOOKS = tuple(Look(n, SCREEN_ALPHA) for n in (SCREEN_PAIRS, MOST_SCREEN_PAIRS))


def confirmations(candidates: int) -> int:
    """Fresh pairs before the first look: enough for Holm's method to decide so many candidates."""
    return max(CONFIRM_PAIRS, pairs_needed(CONFIRM_STEPS[0][1], candidates))


def confirm_looks(candidates: int) -> tuple[Look, ...]:
    """The looks at each of so many candidates."""
    first = confirmations(candidates)
    return tuple(Look(first + more, alpha) for more, alpha in CONFIRM_STEPS)


def pairs_at(metric: PairedMetric, pairs: Sequence[Pair], count: int) -> tuple[Pair, ...] | None:
    """The pairs that a look at `count` of them rests on, None while there are too few.

    The first ones that have both numbers; where more than a fifth of those were disturbed, the
    first quiet ones instead. Pairs that come later never change what an earlier look rests on.
    """
    whole = _whole(pairs)
    first = whole[:count]
    if len(first) < count:
        return None
    if disturbed(metric, first) > MOST_FLAGGED * count:
        first = [pair for pair in whole if not _is_disturbed(pair)][:count]
    return tuple(first) if len(first) == count else None


def lacking(metric: PairedMetric, pairs: Sequence[Pair], count: int, most: int) -> int:
    """How many more pairs a look at `count` of them waits for, when at most `most` are taken."""
    if pairs_at(metric, pairs, count) is not None:
        return 0
    usable = len(pairs)
    if usable >= count and (usable := len(_whole(pairs))) >= count:
        usable -= disturbed(metric, pairs)
    return max(0, min(count - usable, most - len(pairs)))


def disturbed(metric: PairedMetric, pairs: Sequence[Pair]) -> int:
    """How many pairs with both numbers were measured amid disturbance; memory minds none."""
    if metric.kind == "memory_physical":
        return 0
    return sum(map(_is_disturbed, _whole(pairs)))


def _whole(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.base is not None and pair.head is not None]


def _is_disturbed(pair: Pair) -> bool:
    return bool(set(pair.flags) & set(DISTURBING))
