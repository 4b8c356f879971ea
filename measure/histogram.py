"""A long sample in a few lines: counts in buckets that grow with the value.

As HdrHistogram does it: buckets of equal relative width, here 32 to each doubling, so that every
quantile read from the counts is within 2.2% of the sample's own. Two histograms add up bucket by
bucket, which is how percentiles are pooled over processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

LOWEST = 1e-9  # the counter's own resolution; what is below it is counted there
PER_OCTAVE = 32


@dataclass(frozen=True)
class Histogram:
    """Counts by bucket number; bucket i holds values from LOWEST * 2**(i / 32) up to the next."""

    counts: dict[int, int]

    @classmethod
    def of(cls, samples: Iterable[float]) -> Histogram:
        """Raises ValueError where a sample is negative, NaN or infinite."""
        values = np.asarray(list(samples), dtype=np.float64)
        if not bool(np.all(np.isfinite(values) & (values >= 0))):
            raise ValueError("a histogram takes finite numbers from 0 only")
        places = np.floor(np.log2(np.maximum(values, LOWEST) / LOWEST) * PER_OCTAVE).astype(int)
        found, counts = np.unique(places, return_counts=True)
        return cls({int(place): int(count) for place, count in zip(found, counts, strict=True)})

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __add__(self, other: Histogram) -> Histogram:
        places = sorted(self.counts.keys() | other.counts.keys())
        return Histogram({p: self.counts.get(p, 0) + other.counts.get(p, 0) for p in places})

    def quantile(self, q: float) -> float:
        """The geometric middle of the bucket in which the quantile lies.

        Raises ValueError where there are no samples.
        """
        if not self.counts:
            raise ValueError("an empty histogram has no quantile")
        rank, seen = max(1, math.ceil(q * self.total)), 0
        for place in sorted(self.counts):
            seen += self.counts[place]
            if seen >= rank:
                return _edge(place + 0.5)
        raise AssertionError("the counts add up to the total")

    def to_dict(self) -> dict[str, Any]:
        """For a record: bucket numbers and their counts, in order, as two short lists."""
        places = sorted(self.counts)
        return {
            "lowest": LOWEST,
            "per_octave": PER_OCTAVE,
            "buckets": places,
            "counts": [self.counts[place] for place in places],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Histogram:
        """Raises ValueError in one line where `content` is not a histogram of these buckets."""
        try:
            scale = (content["lowest"], content["per_octave"])
            pairs = list(zip(content["buckets"], content["counts"], strict=True))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a histogram: {error}") from error
        if scale != (LOWEST, PER_OCTAVE):
            raise ValueError(f"a histogram of other buckets: {scale}")
        if not all(type(number) is int and number >= 0 for pair in pairs for number in pair):
            raise ValueError("a histogram's buckets and counts are whole numbers from 0")
        return cls(dict(pairs))


def _edge(place: float) -> float:
    return float(LOWEST * 2 ** (place / PER_OCTAVE))
