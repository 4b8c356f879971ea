"""The spread of made-up samples is known; real work is timed and its disturbers are told."""

import numpy as np
import pytest

from measure.contention import Contention
from measure.noise import measure_noise, summarise, timer_resolution


def test_equal_samples_have_no_spread():
    noise = summarise(np.full(200, 0.001), Contention())
    assert (noise.spread, noise.tail, noise.seconds) == (0.0, 1.0, 0.001)


def test_groups_that_differ_are_a_spread():
    # Twenty groups with medians 1.00, 1.01, ... 1.19: the quartiles lie 9.5 steps apart.
    samples = np.repeat(1 + 0.01 * np.arange(20), 10)
    assert summarise(samples, Contention()).spread == pytest.approx(0.095 / 1.095)


def test_a_slow_call_in_fifty_is_a_tail_and_no_spread():
    samples = np.full(1000, 0.001)
    samples[::50] = 0.01
    noise = summarise(samples, Contention())
    assert noise.spread == 0.0
    assert noise.tail == pytest.approx(10.0)


def test_real_work_is_timed_for_so_long():
    noise = measure_noise(0.3)
    assert noise.calls >= 100
    assert noise.calls * noise.seconds < 3
    assert noise.tail >= 1.0
    assert noise.contention.others_percent is not None


def test_the_timer_resolves_less_than_a_millisecond():
    assert 0 < timer_resolution() < 1e-3
