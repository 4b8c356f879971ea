"""Quantiles against numpy, their bounds against scipy's binomial distribution."""

import random

import numpy as np
import pytest
from scipy.stats import binom

from measure.quantile import (
    PERCENTILES,
    bound_ranks,
    median_metric,
    outliers,
    percentile_metrics,
    quantile,
)


def _latencies(n, seed=0):
    draw = random.Random(seed)
    return [draw.lognormvariate(-6.0, 0.5) for _ in range(n)]


@pytest.mark.parametrize("n", [1, 2, 5, 59, 299, 1000])
@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_quantiles_equal_numpy(n, q):
    samples = sorted(_latencies(n))
    assert quantile(samples, q) == pytest.approx(float(np.quantile(samples, q)), rel=1e-12)


def test_percentiles_have_values_units_kinds_and_bounds_around_them():
    metrics = percentile_metrics(_latencies(1000), name="request")
    assert list(metrics) == ["request_p50", "request_p90", "request_p95", "request_p99"]
    assert [m.kind for m in metrics.values()] == ["time", "time", "tail", "tail"]
    for metric in metrics.values():
        assert (metric.unit, metric.better, metric.n) == ("s", "lower", 1000)
        assert metric.lo < metric.value < metric.hi


@pytest.mark.parametrize(("label", "fewest"), [("p50", 5), ("p90", 29), ("p95", 59), ("p99", 299)])
def test_a_percentile_needs_its_fewest_samples(label, fewest):
    one_short = percentile_metrics(_latencies(fewest - 1))[f"latency_{label}"]
    assert one_short.value is None
    assert str(fewest) in one_short.reason
    assert str(fewest - 1) in one_short.reason
    enough = percentile_metrics(_latencies(fewest))[f"latency_{label}"]
    assert enough.value is not None
    assert enough.hi == max(_latencies(fewest))


def test_the_rarest_is_there_with_enough_samples_and_else_not_missed():
    assert "latency_p999" not in percentile_metrics(_latencies(2994))
    assert percentile_metrics(_latencies(2995))["latency_p999"].value is not None


def test_the_rarest_follows_from_how_many_were_asked_for():
    assert "latency_p999" not in percentile_metrics(_latencies(5000), asked_for=1000)
    assert percentile_metrics(_latencies(5000), asked_for=3000)["latency_p999"].value is not None
    cut_short = percentile_metrics(_latencies(200), asked_for=3000)["latency_p999"]
    assert cut_short.value is None
    assert "there are 200" in cut_short.reason


@pytest.mark.parametrize("label", PERCENTILES)
def test_the_fewest_samples_are_exactly_where_an_upper_bound_begins_to_exist(label):
    q, fewest, _ = PERCENTILES[label]
    assert bound_ranks(fewest, q, tail=0.05)[1] == fewest
    assert bound_ranks(fewest - 1, q, tail=0.05)[1] is None


@pytest.mark.parametrize("n", [6, 59, 300, 1000, 20_000])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("tail", [0.05, 0.025])
def test_bound_ranks_are_the_tightest_that_scipys_binomial_allows(n, q, tail):
    lower, upper = bound_ranks(n, q, tail=tail)
    ranks = np.arange(1, n + 1)
    below = binom.cdf(ranks - 1, n, q)  # P(fewer than `rank` samples below the quantile)
    low, high = ranks[below <= tail], ranks[below >= 1 - tail]
    assert lower == (low[-1] if len(low) else None)
    assert upper == (high[0] if len(high) else None)


def test_bounds_cover_the_true_quantile_as_often_as_promised():
    true_p90 = 0.9  # of the uniform distribution
    draw = random.Random(1)
    above = below = 0
    for _ in range(2000):
        metric = percentile_metrics([draw.random() for _ in range(100)])["latency_p90"]
        above += metric.hi >= true_p90
        below += metric.lo <= true_p90
    assert above / 2000 >= 0.94
    assert below / 2000 >= 0.94


def test_the_median_of_ten_has_the_interval_of_the_tables():
    # Ranks 2 and 9 for n = 10 at 95%: Conover, table A3 and any table of the sign test.
    metric = median_metric(
        [float(i) for i in range(1, 11)], unit="s", better="lower", kind="time", method="m"
    )
    assert (metric.value, metric.lo, metric.hi, metric.n) == (5.5, 2.0, 9.0, 10)


def test_a_median_of_five_has_no_two_sided_interval_and_one_of_six_has():
    facts = {"unit": "s", "better": "lower", "kind": "time", "method": "m"}
    five = median_metric([3.0, 1.0, 2.0, 5.0, 4.0], **facts)
    assert (five.value, five.lo, five.hi, five.n) == (3.0, None, None, 5)
    six = median_metric([3.0, 1.0, 2.0, 5.0, 4.0, 6.0], **facts)
    assert (six.value, six.lo, six.hi) == (3.5, 1.0, 6.0)


def test_a_median_of_nothing_has_a_reason():
    metric = median_metric([], unit="s", better="lower", kind="time", method="m")
    assert (metric.value, metric.reason) == (None, "no samples")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_sample_that_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match="only finite"):
        percentile_metrics([0.1, bad, 0.2])


def test_outliers_lie_beyond_tukeys_fences_on_either_side():
    even = [float(x) for x in range(101)]
    assert outliers(even) == {"mild": 0, "severe": 0}
    wide = sorted([*even, -126.0, -51.0, 160.0, 500.0, 600.0])
    low, high = np.quantile(wide, [0.25, 0.75])
    mild = [x for x in wide if x < low - 1.5 * (high - low) or x > high + 1.5 * (high - low)]
    severe = [x for x in wide if x < low - 3 * (high - low) or x > high + 3 * (high - low)]
    assert outliers(wide) == {"mild": len(mild) - len(severe), "severe": len(severe)}
    assert len(severe) == 2


def test_outliers_are_counted_and_kept():
    samples = [*[0.001 + 1e-6 * (x % 7) for x in range(299)], 1.0]
    found = percentile_metrics(samples)
    assert found["latency_p99"].n == 300
    assert found["latency_p99"].outliers == {"mild": 0, "severe": 1}
    taken = {"unit": "s", "better": "lower", "kind": "time", "method": "x"}
    assert median_metric([1.0, 1.1, 1.2, 1.3, 9.0], **taken).outliers == {"mild": 0, "severe": 1}
    assert percentile_metrics([1.0])["latency_p50"].outliers is None
