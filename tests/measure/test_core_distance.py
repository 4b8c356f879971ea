"""The distance of two cores: of its own process only, within what hardware has, and repeatable."""

from __future__ import annotations

import os
import statistics

import pytest

from measure import core_distance as module
from measure.core_distance import core_distance

two = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two processors that a process may choose between",
)


@two
def test_a_line_takes_from_ten_nanoseconds_to_ten_microseconds():
    found = [seconds for _ in range(9) if (seconds := core_distance()) is not None]
    assert found, "all nine tries were disturbed"
    assert 1e-8 < statistics.median(found) < 1e-5


@two
def test_the_process_may_run_where_it_ran_before():
    before = os.sched_getaffinity(0)
    core_distance()
    assert os.sched_getaffinity(0) == before


@two
def test_one_processor_is_at_no_distance():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert core_distance() is None
    finally:
        os.sched_setaffinity(0, before)


@two
def test_a_side_that_waits_in_vain_gives_up(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 1)
    assert core_distance() is None


@two
def test_a_processor_that_is_refused_ends_in_none(monkeypatch):
    def refuse(*_):
        raise PermissionError("not allowed")

    monkeypatch.setattr(module, "_PATIENCE", 1000)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert core_distance() is None
