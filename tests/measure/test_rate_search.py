"""A search over the rate against a server whose limit is known."""

from __future__ import annotations

import pytest

from measure.rate_search import search_rate


@pytest.mark.parametrize("limit", [3.0, 41.0, 77.7, 99.9])
def test_the_limit_is_found_within_the_precision(limit: float) -> None:
    asked: list[float] = []

    def meets(rate: float) -> bool:
        asked.append(rate)
        return rate <= limit

    found = search_rate(meets, 100.0)
    assert found.trials == len(asked) <= 8
    assert found.met is not None
    assert found.met <= limit
    assert limit - found.met <= 2.0
    assert found.missed is None or found.missed > limit
    assert max(asked) < 100.0


def test_a_target_that_is_met_at_no_rate_says_so() -> None:
    found = search_rate(lambda _: False, 64.0, trials=4)
    assert found.met is None
    assert found.missed == 4.0
    assert found.trials == 4


def test_a_target_that_is_always_met_has_no_rate_that_missed() -> None:
    found = search_rate(lambda _: True, 64.0)
    assert found.missed is None
    assert found.met is not None
    assert found.met > 62


def test_a_limit_that_is_no_rate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"highest=0.0"):
        search_rate(lambda _: True, 0.0)
