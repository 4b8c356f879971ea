"""The clock against sleeps of known length, made-up durations and made-up counters."""

import gc
import os
import time
from collections import namedtuple

import psutil
import pytest

from measure import clock, contention

CpuTimes = namedtuple("CpuTimes", "user system idle steal")


def test_a_sleep_of_50_ms_is_timed_within_1_percent():
    seconds = []
    for _ in range(20):  # on a busy machine some sleeps last longer, none lasts shorter
        with clock.Stopwatch("cpu") as watch:
            time.sleep(0.050)
        seconds.append(watch.seconds)
    assert min(seconds) == pytest.approx(0.050, rel=0.01)


def test_now_counts_seconds():
    start = clock.now()
    time.sleep(0.02)
    assert 0.02 <= clock.now() - start < 1.0


def test_a_watch_whose_block_failed_has_no_time():
    watch = clock.Stopwatch("cpu")
    with pytest.raises(RuntimeError), watch:
        raise RuntimeError
    assert watch.seconds is None


def test_a_watch_synchronizes_before_it_starts_and_before_it_stops(monkeypatch):
    events = []
    monkeypatch.setattr(clock, "synchronize", lambda device: events.append(device))
    with clock.Stopwatch("cuda:1"):
        events.append("work")
    assert events == ["cuda:1", "work", "cuda:1"]


@pytest.fixture
def scripted(monkeypatch):
    """Make `run` last the given durations, one after the other."""

    def prepare(durations):
        time_now = [0]
        calls = []
        monkeypatch.setattr(clock.time, "perf_counter_ns", lambda: time_now[0])

        def run():
            time_now[0] += round(durations[len(calls)] * 1e9)
            calls.append(1)

        return run, calls

    return prepare


def test_warm_up_ends_when_the_last_five_calls_agree_within_5_percent(scripted):
    run, calls = scripted([3.0, 2.0, 1.0, 1.02, 1.0, 1.01, 1.0, 1.0, 1.0])
    spent = clock.until_steady(run, device="cpu", seconds=100.0)
    assert len(calls) == 7
    assert spent == pytest.approx(10.03)


def test_warm_up_stops_at_the_most_calls_when_never_steady(scripted):
    run, calls = scripted([1.0, 2.0] * 50)
    clock.until_steady(run, device="cpu", maximum=12, seconds=1000.0)
    assert len(calls) == 12


def test_warm_up_stops_at_its_time_but_not_before_the_fewest_calls(scripted):
    run, calls = scripted([10.0] * 9)
    clock.until_steady(run, device="cpu", minimum=3, seconds=1.0)
    assert len(calls) == 3


def test_the_collector_is_off_inside_and_restored_after_an_error():
    seen = []

    def fail():
        seen.append(gc.isenabled())
        raise RuntimeError

    with pytest.raises(RuntimeError), clock.gc_disabled():
        fail()
    assert seen == [False]
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with clock.gc_disabled():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def _counters(monkeypatch, *given):
    readings = iter(given)
    monkeypatch.setattr(contention, "bound_cpus", lambda: None)
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))


def test_steal_above_2_percent_flags_the_block(monkeypatch):
    _counters(monkeypatch, CpuTimes(10, 5, 100, 1.0), CpuTimes(15, 6, 103.7, 1.3))
    with clock.contention() as reading:
        pass
    assert reading.steal_percent == pytest.approx(3.0)
    assert reading.flags == ["contended"]
    assert reading.reason is None


def test_steal_of_1_percent_is_recorded_without_a_flag(monkeypatch):
    _counters(monkeypatch, CpuTimes(10, 5, 100, 1.0), CpuTimes(10.2, 5, 109.7, 1.1))
    with clock.contention() as reading:
        pass
    assert reading.steal_percent == pytest.approx(1.0)
    assert reading.flags == []


def test_work_of_other_processes_is_told_from_our_own(monkeypatch):
    _counters(monkeypatch, CpuTimes(10, 5, 100, 0.0), CpuTimes(14, 5, 106, 0.0))
    with clock.contention() as reading:
        pass
    assert reading.others_percent == pytest.approx(40.0, abs=0.5)
    assert reading.flags == ["contended"]


def test_what_others_did_while_they_were_meant_to_is_not_held_against_a_block(monkeypatch):
    readings = [
        CpuTimes(10, 5, 100, 0.0),
        CpuTimes(11, 5, 101, 0.0),  # the other's turn begins
        CpuTimes(31, 5, 111, 0.9),  # and ends
        CpuTimes(32, 5, 119, 0.9),
    ]
    _counters(monkeypatch, *readings)
    with clock.contention() as reading:
        with reading.apart():
            pass
    assert reading.others_percent == pytest.approx(100 * 2 / 11, abs=0.5)
    assert reading.steal_percent == pytest.approx(0.0)


def test_a_tick_at_each_end_of_a_turn_is_no_reason_for_a_flag(monkeypatch):
    """Ten turns of which each lost half a tick: 0.05 s of others in 0.5 s."""
    readings = [CpuTimes(0.0, 0, 0.0, 0.0)]
    for turn in range(10):
        spent, idle = 0.005 * (turn + 1), 0.045 * (turn + 1)
        readings += [CpuTimes(spent, 0, 100 * turn + idle, 0.0)]
        readings += [CpuTimes(spent, 0, 100 * (turn + 1) + idle, 0.0)]
    _counters(monkeypatch, *readings, readings[-1])
    monkeypatch.setattr(contention, "_own_seconds", lambda: 0.0)
    with clock.contention() as reading:
        for _ in range(10):
            with reading.apart():
                pass
    assert reading.others_percent == pytest.approx(10.0)
    assert reading.flags == []


def test_only_the_processors_of_this_process_count(monkeypatch):
    idle = CpuTimes(0, 0, 0, 0.0)
    readings = iter([[idle, idle, idle], [CpuTimes(9, 0, 1, 0.0), CpuTimes(0, 0, 10, 0.0), idle]])
    monkeypatch.setattr(contention, "bound_cpus", lambda: (1,))
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: next(readings))
    with clock.contention() as reading:
        pass
    assert reading.others_percent == pytest.approx(0.0, abs=0.5)
    assert reading.flags == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_bound_to_some_processors_knows_them():
    before = os.sched_getaffinity(0)
    try:
        one = min(before)
        os.sched_setaffinity(0, {one})
        assert contention.bound_cpus() == ((one,) if (os.cpu_count() or 1) > 1 else None)
    finally:
        os.sched_setaffinity(0, before)


def test_a_block_shorter_than_a_tick_is_not_judged(monkeypatch):
    _counters(monkeypatch, CpuTimes(1, 1, 1, 0.0), CpuTimes(1, 1, 1, 0.0))
    with clock.contention() as reading:
        pass
    assert reading.steal_percent is None
    assert "shorter" in reading.reason


def test_a_system_without_steal_says_so(monkeypatch):
    Times = namedtuple("Times", "user system idle")
    _counters(monkeypatch, Times(1, 1, 1), Times(2, 1, 3))
    with clock.contention() as reading:
        pass
    assert reading.steal_percent is None
    assert "steal" in reading.reason
