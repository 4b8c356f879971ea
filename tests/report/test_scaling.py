"""A fit finds the curve that made the values, holds the truth as often as it says, or refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize

from report.scaling import NotFitted, Scaling, fit_scaling

Array = npt.NDArray[np.float64]
LENGTHS = {
    5: [50, 100, 200, 400, 800],
    7: [50, 100, 200, 512, 1024, 2048, 4096],
    9: [50, 100, 200, 512, 1024, 2048, 4096, 8192, 16384],
}
# A curve and its exponent.
CURVES: dict[str, tuple[Callable[[Array], Array], float]] = {
    "L": (lambda at: at / 50, 1.0),
    "1 + L": (lambda at: 1 + at / 50, 1.0),
    "5 + L^1.5": (lambda at: 5 + (at / 50) ** 1.5, 1.5),
    "L^2": (lambda at: (at / 50) ** 2, 2.0),
}


def noisy(
    curve: Callable[[Array], Array],
    lengths: list[int],
    random: np.random.Generator,
    *,
    each: int = 3,
    shared: float = 0.0,
) -> list[list[float]]:
    """Samples of 5% noise; `shared` is noise that all samples of a length have in common."""
    size = len(lengths)
    noise = 0.05 * random.standard_normal((size, each)) + shared * random.standard_normal((size, 1))
    values = curve(np.array(lengths, dtype=float))[:, None] * np.exp(noise)
    return [[float(value) for value in row] for row in values]


def fitted(lengths: list[int], samples: list[list[float]]) -> Scaling:
    fit = fit_scaling(lengths, samples)
    assert isinstance(fit, Scaling), fit
    return fit


def share_inside(name: str, count: int, trials: int, shared: float) -> float:
    curve, exponent = CURVES[name]
    random = np.random.default_rng(7)
    inside = 0
    for _ in range(trials):
        fit = fitted(LENGTHS[count], noisy(curve, LENGTHS[count], random, shared=shared))
        inside += fit.exponent_low <= exponent <= fit.exponent_high
    return inside / trials


def test_exact_values_of_a_polynomial_give_its_coefficients() -> None:
    lengths = LENGTHS[7]
    fit = fitted(lengths, [[3e-3 + 2e-5 * at + 5e-8 * at**2] for at in lengths])
    assert (fit.a, fit.b, fit.c) == pytest.approx((3e-3, 2e-5, 5e-8), rel=1e-6)
    assert fit.form == "polynomial"
    assert fit.predict(700) == pytest.approx(3e-3 + 2e-5 * 700 + 5e-8 * 700**2)
    assert fit.r2 == pytest.approx(1)


def test_exact_values_of_a_power_give_its_exponent() -> None:
    lengths = LENGTHS[7]
    fit = fitted(lengths, [[0.5 + 1e-3 * at**1.37] for at in lengths])
    assert fit.exponent == pytest.approx(1.37, abs=1e-3)
    assert fit.exponent_low <= fit.exponent <= fit.exponent_high
    assert fit.form == "power"
    assert fit.predict(3000) == pytest.approx(0.5 + 1e-3 * 3000**1.37, rel=1e-3)


def test_bytes_are_fitted_as_well_as_seconds() -> None:
    fit = fitted(LENGTHS[5], [[2**20 * (40 + 0.7 * at)] for at in LENGTHS[5]])
    assert fit.predict(300) == pytest.approx(2**20 * 250)


def test_no_coefficient_is_negative() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        fit = fitted(LENGTHS[5], noisy(CURVES["L"][0], LENGTHS[5], random))
        assert min(fit.a, fit.b, fit.c, *fit.power) >= 0


def test_order_of_lengths_and_empty_ones_do_not_matter() -> None:
    samples = noisy(CURVES["1 + L"][0], LENGTHS[7], np.random.default_rng(1))
    turned = fitted([*LENGTHS[7][::-1], 9999], [*samples[::-1], []])
    assert turned.predict(300) == fitted(LENGTHS[7], samples).predict(300)
    assert turned.longest == 4096


@pytest.mark.parametrize("at", [49, 4097, 1e9])
def test_nothing_is_predicted_beyond_what_was_measured(at: float) -> None:
    fit = fitted(LENGTHS[7], [[float(length)] for length in LENGTHS[7]])
    for question in (fit.predict, fit.bounds):
        with pytest.raises(ValueError, match=r"L=.* allowed are 50 to 4096"):
            question(at)


def test_fewer_than_five_lengths_are_refused() -> None:
    refused = fit_scaling([50, 100, 200, 400], [[1.0], [2.0], [4.0], [8.0]])
    assert refused == NotFitted("4 lengths measured; a fit needs 5")


def test_values_that_follow_no_curve_are_refused() -> None:
    refused = fit_scaling(LENGTHS[5], [[1.0], [9.0], [2.0], [12.0], [3.0]])
    assert isinstance(refused, NotFitted)
    assert "R2 of the logarithms" in refused.reason


def test_a_time_that_does_not_grow_is_refused() -> None:
    refused = fit_scaling(LENGTHS[5], [[1.0], [1.02], [0.99], [1.03], [1.0]])
    assert isinstance(refused, NotFitted)
    assert refused.reason == "it varies by less than 25% over the lengths: nothing to fit"


def test_a_value_of_zero_is_refused() -> None:
    refused = fit_scaling(LENGTHS[5], [[0.0], [1.0], [2.0], [3.0], [4.0]])
    assert refused == NotFitted("nothing was used at L=50; a fit needs values above 0")


@pytest.mark.parametrize(
    ("lengths", "samples", "fault"),
    [
        ([50, 100], [[1.0]], "1 lists of samples"),
        ([50, 50], [[1.0], [2.0]], "length 50: allowed are positive lengths, each once"),
        ([0, 50], [[1.0], [2.0]], "length 0"),
        ([50, 100], [[1.0], [float("nan")]], "a sample at L=100 is not finite"),
    ],
)
def test_bad_input_is_named(lengths: list[int], samples: list[list[float]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        fit_scaling(lengths, samples)


@pytest.mark.parametrize("name", CURVES)
def test_the_exponent_is_in_its_interval_about_as_often_as_promised(name: str) -> None:
    # 200 trials: 5 standard errors of 95%; the slow test below counts properly.
    assert share_inside(name, 7, 200, 0.0) >= 0.87


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.05])
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("name", CURVES)
def test_the_exponent_is_in_its_interval_in_95_of_100_cases(
    name: str, count: int, shared: float
) -> None:
    share = share_inside(name, count, 1000, shared)
    print(f"\n{name}, {count} lengths, shared noise {shared:.0%}: {share:.1%}")
    assert 0.93 <= share <= 0.97


def percentile_interval(lengths: list[int], samples: list[list[float]]) -> tuple[float, float]:
    """What a bootstrap of rounds, refitted, would have given."""
    random = np.random.default_rng(0)
    at = np.array(lengths, dtype=float)

    def exponent(t: Array) -> float:
        def residuals(p: Array) -> Array:
            return np.asarray(
                np.log(np.exp(p[0]) + np.exp(p[1]) * (at / at[-1]) ** p[2]) - np.log(t)
            )

        start = [np.log(t.min() / 2), np.log(t.max()), 1.5]
        return float(optimize.least_squares(residuals, start).x[2])

    found = [
        exponent(np.array([np.median(random.choice(row, len(row))) for row in samples]))
        for _ in range(40)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.slow
def test_a_percentile_bootstrap_of_rounds_would_promise_too_much() -> None:
    curve, exponent = CURVES["5 + L^1.5"]
    random = np.random.default_rng(5)
    inside = 0
    for _ in range(100):
        samples = noisy(curve, LENGTHS[7], random, shared=0.05)
        low, high = percentile_interval(LENGTHS[7], samples)
        inside += low <= exponent <= high
    print(f"\npercentile bootstrap: {inside}%")
    assert inside < 85


@pytest.mark.slow
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("name", CURVES)
def test_the_curve_is_within_its_band_in_about_95_of_100_cases(name: str, count: int) -> None:
    curve, _ = CURVES[name]
    lengths = LENGTHS[count]
    places = [lengths[0], float(np.sqrt(lengths[0] * lengths[-1])), lengths[-1]]
    random, inside = np.random.default_rng(11), np.zeros(3)
    for _ in range(1000):
        fit = fitted(lengths, noisy(curve, lengths, random))
        for place, at in enumerate(places):
            low, high = fit.bounds(at)
            inside[place] += low <= float(curve(np.array(at))) <= high
    print(f"\n{name}, {count} lengths: {inside / 10}%")
    # The choice between two formulas, and coefficients held at 0, move it: 91 to 96% measured.
    assert np.all(inside >= 900)
