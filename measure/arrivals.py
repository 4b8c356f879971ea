"""When requests arrive: a Poisson process, drawn from a seed.

Users don't wait for each other, so the gaps between their requests are exponential; and nobody
waits for the server before asking, so the schedule is fixed before the first request is served.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def poisson_arrivals(rate: float, count: int, *, seed: int) -> NDArray[np.float64]:
    """Seconds at which `count` requests arrive, (count,) increasing, `rate` a second on average.

    One seed is one stream of users: at another rate the same gaps are longer or shorter, so that
    a search over the rate compares like with like.

    Raises:
        ValueError: the rate is not a finite number above 0, or the count is below 1.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate={rate}: a finite number of requests a second above 0 is allowed")
    if count < 1:
        raise ValueError(f"count={count}: at least 1 request is needed")
    gaps: NDArray[np.float64] = np.random.default_rng(seed).standard_exponential(count)
    return gaps.cumsum() / rate
