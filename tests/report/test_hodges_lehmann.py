"""Bounds and p-values against scipy's own tests, and what they promise on made-up data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from report.hodges_lehmann import (
    _mann_whitney_cdf,
    _signed_rank_cdf,
    bounds,
    hodges_lehmann,
    holm,
    mean_difference,
    p_above,
    paired,
    pairs_needed,
    unpaired,
    walsh_averages,
)


def test_walsh_averages_are_the_means_of_all_pairs() -> None:
    assert sorted(walsh_averages(np.array([1.0, 4.0, 2.0]))) == [1, 1.5, 2, 2.5, 3, 4]
    assert hodges_lehmann(np.array([1.0, 4.0, 2.0])) == 2.25


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_the_signed_rank_distribution_is_that_of_all_signs(n: int) -> None:
    sums = [
        sum(rank for rank, sign in enumerate(signs, start=1) if sign)
        for signs in itertools.product((0, 1), repeat=n)
    ]
    expected = [np.mean(np.array(sums) <= w) for w in range(n * (n + 1) // 2 + 1)]
    np.testing.assert_allclose(_signed_rank_cdf(n), expected, rtol=1e-12)


@pytest.mark.parametrize(("m", "n"), [(1, 3), (4, 4), (5, 3), (3, 6)])
def test_the_mann_whitney_distribution_is_that_of_all_orders(m: int, n: int) -> None:
    places = itertools.combinations(range(m + n), m)
    u = np.array([sum(chosen) - m * (m - 1) // 2 for chosen in places])
    expected = [np.mean(u <= value) for value in range(m * n + 1)]
    np.testing.assert_allclose(_mann_whitney_cdf(m, n), expected, rtol=1e-12)


def test_the_largest_mann_whitney_table_keeps_its_precision() -> None:
    cdf = _mann_whitney_cdf(30, 30)
    assert cdf[-1] == pytest.approx(1, abs=1e-12)
    assert np.all(np.diff(cdf) > -1e-15)
    np.testing.assert_allclose(cdf[:900] + cdf[899::-1], 1, atol=1e-12)
    y = np.arange(30) + 0.5 - 5 * (np.arange(30) % 2)
    test = stats.mannwhitneyu(y, np.arange(30), alternative="less", method="exact")
    assert cdf[int(test.statistic)] == pytest.approx(test.pvalue, rel=1e-9)


@pytest.mark.parametrize("shift", [-0.02, 0.0, 0.03, 0.06])
def test_p_values_are_those_of_scipy(shift: float) -> None:
    r = np.random.default_rng(3).normal(0.03, 0.02, 12)
    expected = stats.wilcoxon(r - shift, alternative="greater", method="exact").pvalue
    assert p_above(r, shift) == pytest.approx(expected, rel=1e-9)


def test_a_bound_is_where_the_test_turns() -> None:
    r = np.random.default_rng(4).normal(0.05, 0.03, 10)
    low, high = bounds(r, 0.01)
    assert p_above(r, float(low) - 1e-9) <= 0.01 < p_above(r, float(low) + 1e-9)
    assert p_above(-r, -float(high) - 1e-9) <= 0.01 < p_above(-r, -float(high) + 1e-9)


def test_five_pairs_have_no_bound_at_one_percent_and_seven_have() -> None:
    assert paired([0.1] * 6, 0.01).low == -np.inf
    assert paired([0.1] * 7, 0.01).low == pytest.approx(0.1)
    assert paired([0.1, 0.2, 0.3, 0.4, 0.5], 0.05).low == pytest.approx(0.1)
    assert pairs_needed(0.01) == 7
    assert pairs_needed(0.01, 10) == 10
    assert pairs_needed(0.01, 80) == 13


def test_unpaired_bounds_turn_where_scipys_test_turns() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(0, 0.1, 8), rng.normal(0.3, 0.1, 7)
    found = unpaired(x.tolist(), y.tolist(), 0.01)

    def p(shift: float) -> float:
        test = stats.mannwhitneyu(y - shift, x, alternative="greater", method="exact")
        return float(test.pvalue)

    assert p(found.low - 1e-9) <= 0.01 < p(found.low + 1e-9)
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize("rounds", [3, 5, 40, 5000])
def test_thirty_percent_at_one_percent_spread_clears_ten(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    base, head = rng.normal(0, 0.01, rounds), rng.normal(np.log(1.3), 0.01, rounds)
    found = unpaired(base.tolist(), head.tolist(), 0.01)
    assert np.log(1.1) < found.low < np.log(1.3) < found.high


def test_rounds_without_spread_or_alone_are_not_an_error() -> None:
    assert unpaired([0.0] * 3, [0.2] * 3, 0.01).low == pytest.approx(0.2)
    assert unpaired([0.0], [0.2], 0.01).low == -np.inf
    assert mean_difference([0.1], 0.01).low == -np.inf


def test_the_mean_of_differences_is_scipys() -> None:
    values = [0.01, -0.002, 0.004, 0.006]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.98)
    found = mean_difference(values, 0.01)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_holm_steps_down() -> None:
    assert holm([0.004, 0.0001, 0.2, 0.0049], 0.01) == [False, True, False, False]
    assert holm([0.0033, 0.0001, 0.2, 0.0049], 0.01) == [True, True, False, True]
    assert holm([], 0.01) == []


def test_a_few_samples_that_are_all_alike_give_no_bounds() -> None:
    for made in (unpaired([0.0, 0.0], [0.2, 0.2], 0.01), mean_difference([0.02] * 3, 0.01)):
        assert (made.low, made.high) == (-np.inf, np.inf)
        assert "all alike" in made.method
    same = unpaired([0.1, 0.1], [0.1, 0.1], 0.01)
    assert (same.low, same.high) == (0.0, 0.0)
