"""Which batch size a side likes best, by the rates that it reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_RANK_BATCHES = (64, 256, 1024)
# Ranking keeps nothing for gradients, so a side may hold more positions than in training.
_RANKING_ROOM = 4
_AS_FAST = 0.03  # rates that differ by less are the same
_NEARLY = 0.15  # two short visits to one size differ by up to 12%


def rank_batches(seq_len: int, positions: int) -> Sequence[int]:
    """The batch sizes that a side ranks with, by its bound in training; always the smallest."""
    smallest, *larger = _RANK_BATCHES
    return [smallest, *(n for n in larger if n * seq_len <= _RANKING_ROOM * positions)]


def nearly_the_fastest(rates: Mapping[int, float]) -> list[int]:
    """The sizes within 15% of the fastest one, in order."""
    fastest = max(rates.values())
    return [size for size, rate in rates.items() if rate >= (1 - _NEARLY) * fastest]


def smallest_of_the_fastest(rates: Mapping[int, float]) -> int:
    """The smallest size within 3% of the fastest one: what lies nearer is chance, and a larger
    batch would cost memory for nothing.
    """
    fastest = max(rates.values())
    return min(size for size, rate in rates.items() if rate >= (1 - _AS_FAST) * fastest)
