"""Numbers as a reader of a report has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from report.amounts import count, finding, margin
from report.verdict import Comparison, Pair, Verdict

FOUND = Comparison(
    *("c", "latency_p50", "s", "lower", "time", "hard"),
    Verdict.INCONCLUSIVE,
    "the bounds reach across the margin",
    "confirm",
    change=0.166,
    margin=0.66,
    pairs=(Pair(1.0, 1.2),) * 3,
)


def test_a_margin_that_is_a_floor_says_which() -> None:
    assert margin(FOUND) == "±66.0%"
    assert margin(replace(FOUND, floor=20e-6)) == "±66.0% (20 µs)"
    assert margin(replace(FOUND, floor=8 * 2.0**20, unit="B")) == "±66.0% (8 MiB)"


def test_what_was_not_measurable_shows_its_estimate() -> None:
    loud = replace(FOUND, verdict=Verdict.NOT_MEASURABLE, reason="4 of 5 pairs were contended")
    assert finding(loud, 60) == "about +16.6%; 4 of 5 pairs were contended"
    assert finding(replace(loud, change=None), 60) == "4 of 5 pairs were contended"
    assert finding(FOUND, 60) == "+16.6%"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "3"),
        ({"progress": (8, 10)}, "8 of 10"),
        ({"kind": "accuracy"}, "3 seeds"),
        ({"kind": "accuracy", "progress": (3, 10)}, "3 of 10 seeds"),
        ({"rounds": (5, 5)}, "5 rounds"),
        ({"rounds": (5, 7)}, "5 and 7 rounds"),
    ],
)
def test_what_is_counted_has_a_name(changes: dict[str, object], said: str) -> None:
    assert count(replace(FOUND, **changes)) == said  # type: ignore[arg-type]
