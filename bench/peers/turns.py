"""Who is measured when, and what two rows of figures say together: the arithmetic of a comparison.

Pairs go A B, B A, B A, A B, ... (the Thue-Morse order), so that a drift of the machine, steady or
bending, falls on both sides alike. The result is the median of the pairs' ratios with the smallest
and the largest beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Side = Literal["ours", "peer"]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Ratio:
    """How many times better ours is than the peer: above 1 ours wins, whatever the unit."""

    median: float
    lowest: float
    highest: float
    pairs: int


def order(pairs: int) -> Iterator[tuple[Side, Side]]:
    """Who goes first in each pair."""
    for number in range(pairs):
        yield ("ours", "peer") if number.bit_count() % 2 == 0 else ("peer", "ours")


def in_turn(pairs: int, measure: Callable[[Side], Found]) -> tuple[list[Found], list[Found]]:
    """What `measure` gave for ours and for the peer, pair by pair, taken in that order."""
    found: dict[Side, list[Found]] = {"ours": [], "peer": []}
    for pair in order(pairs):
        for side in pair:
            found[side].append(measure(side))
    return found["ours"], found["peer"]


def ratio(ours: Sequence[float], peer: Sequence[float], *, better: str) -> Ratio:
    """The paired ratios of two series in one order; `better` is "higher" or "lower"."""
    if len(ours) != len(peer) or not ours:
        raise ValueError(f"{len(ours)} and {len(peer)} figures: pairs are needed, at least one")
    if min(*ours, *peer) <= 0:
        raise ValueError("a figure is not above 0, so it has no ratio")
    pairs = zip(ours, peer, strict=True)
    ratios = [a / b if better == "higher" else b / a for a, b in pairs]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios))
