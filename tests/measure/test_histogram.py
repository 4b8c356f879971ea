"""Histograms are short, add up, and give quantiles as exact as they promise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from measure.histogram import Histogram


@pytest.mark.parametrize("scale", [3e-7, 1e-3, 40.0])
def test_quantiles_are_within_a_bucket_of_the_samples_own(scale: float) -> None:
    samples = np.random.default_rng(0).lognormal(0.0, 0.7, 20_000) * scale
    histogram = Histogram.of(samples)
    assert histogram.total == 20_000
    for q in (0.01, 0.5, 0.9, 0.99, 0.999):
        exact = float(np.quantile(samples, q, method="inverted_cdf"))
        assert histogram.quantile(q) == pytest.approx(exact, rel=0.0111)


def test_twenty_thousand_requests_are_two_kilobytes() -> None:
    samples = np.random.default_rng(1).lognormal(-6.0, 0.5, 20_000)
    assert len(json.dumps(Histogram.of(samples).to_dict())) < 2048


def test_two_histograms_add_up_to_that_of_both_samples() -> None:
    one, two = np.random.default_rng(2).exponential(size=(2, 500))
    both = Histogram.of(one) + Histogram.of(two)
    assert both.counts == Histogram.of([*one, *two]).counts


def test_a_histogram_comes_back_from_json() -> None:
    histogram = Histogram.of([0.0, 1e-12, 0.001, 0.001, 7200.0])
    again = Histogram.from_dict(json.loads(json.dumps(histogram.to_dict())))
    assert again == histogram
    assert again.counts[0] == 2


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_what_is_no_duration_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        Histogram.of([0.1, bad])


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"lowest": 1e-9, "per_octave": 32, "buckets": [1], "counts": [1, 2]},
        {"lowest": 1e-6, "per_octave": 32, "buckets": [], "counts": []},
        {"lowest": 1e-9, "per_octave": 32, "buckets": ["1"], "counts": [1]},
        {"lowest": 1e-9, "per_octave": 32, "buckets": [1], "counts": [-4]},
    ],
)
def test_what_is_no_histogram_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_dict(content)


def test_an_empty_histogram_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="no quantile"):
        Histogram.of([]).quantile(0.5)
