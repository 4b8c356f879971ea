"""How a time or a size grows with the history length L: two formulas, and how sure they are.

t(L) = a + b L + c L^2 by non-negative least squares on the relative error (weights 1 / t^2), and
t(L) = a + b L^p with a free exponent; AICc (Hurvich and Tsai, Biometrika 76, 1989) chooses which of
them predicts. The unit is the length: rounds of one process share its luck, and no cost follows a
formula quite, so errors are taken from what the fit leaves at each length and not from the rounds
within. Intervals: of the exponent the profile of the sum of squares (F test, Bates and Watts 1988),
of the curve the t distribution of its coefficients. (A percentile bootstrap of so few lengths is
too narrow: tests/report/test_scaling.py counts.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]
FEWEST_LENGTHS = 5
LEAST_R2 = 0.98
FLAT = 0.25  # varying by less than this share, values show no form
EXPONENTS = (0.05, 5.0)  # an interval that ends at one of these has no bound there
LEVEL = 0.95
_COEFFICIENTS = 3
_GRID = np.linspace(*EXPONENTS, 200)


@dataclass(frozen=True)
class NotFitted:
    """Why there is no fit, in a few words for the user."""

    reason: str


@dataclass(frozen=True)
class Scaling:
    """A fitted curve over the measured lengths; seconds or bytes, as what was fitted.

    Args:
        a, b, c: of a + b L + c L^2, none of them negative.
        exponent, exponent_low, exponent_high: p of a + b L^p and its 95% interval.
        r2: of the logarithms, of the formula that predicts.
        form: "polynomial" or "power", the formula that predicts.
        power: a and b of a + b L^p.
        degrees: of freedom that the errors were estimated with.
    """

    a: float
    b: float
    c: float
    exponent: float
    exponent_low: float
    exponent_high: float
    shortest: int
    longest: int
    r2: float
    form: str
    power: tuple[float, float]
    degrees: int
    _root: Array = field(repr=False, compare=False)

    def predict(self, seq_len: float) -> float:
        """The value at L; ValueError outside of the measured lengths."""
        return float(self.values([seq_len])[0])

    def values(self, lengths: Sequence[float] | Array) -> Array:
        """`predict` at each of the lengths."""
        return self._formula(self._within(lengths))

    def bounds(self, seq_len: float) -> tuple[float, float]:
        """Between which values the curve lies at L with 95%; ValueError as `predict`."""
        error = float(np.linalg.norm(self.errors([seq_len])))
        reach = error * _quantile(self.degrees)
        value = self.predict(seq_len)
        return value * math.exp(-reach), value * math.exp(reach)

    def errors(self, lengths: Sequence[float] | Array) -> Array:
        """E, (3, len(lengths)): a normal draw (3,) times E is an error of log `values`."""
        at = self._within(lengths)
        slopes = _slopes(
            self.form, at, self._formula(at), self.power[1], self.exponent, self.longest
        )
        return np.asarray(self._root @ slopes.T)

    def _formula(self, at: Array) -> Array:
        if self.form == "power":
            return np.asarray(self.power[0] + self.power[1] * at**self.exponent)
        return np.asarray(self.a + self.b * at + self.c * at**2)

    def _within(self, lengths: Sequence[float] | Array) -> Array:
        for seq_len in lengths:
            if not self.shortest <= seq_len <= self.longest:
                allowed = f"{self.shortest} to {self.longest}"
                raise ValueError(f"L={seq_len:g} was not measured; allowed are {allowed}")
        return np.asarray(lengths, dtype=float)


@lru_cache(maxsize=64)  # asked for at every point of every drawn curve
def _quantile(degrees: int) -> float:
    """Student's t that the two-sided interval of LEVEL reaches to."""
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def fit_scaling(lengths: Sequence[int], seconds: Sequence[Sequence[float]]) -> Scaling | NotFitted:
    """The curve through the medians of `seconds`, or why there is none.

    Args:
        seconds: for each length its samples: of processes, else of rounds; bytes as well.

    Raises:
        ValueError: not as many lists as lengths, a length twice, a sample that is no number.
    """
    _check(lengths, seconds)
    kept = sorted((at, float(np.median(s))) for at, s in zip(lengths, seconds, strict=True) if s)
    if len(kept) < FEWEST_LENGTHS:
        return NotFitted(
            f"{len(kept)} length{'s' * (len(kept) != 1)} measured; a fit needs {FEWEST_LENGTHS}"
        )
    if zero := [at for at, value in kept if value <= 0]:
        return NotFitted(f"nothing was used at L={zero[0]}; a fit needs values above 0")
    at, t = np.array([at for at, _ in kept], dtype=float), np.array([value for _, value in kept])
    (a, b, c), (free, low, high) = _polynomial(at, t), _power(at, t)
    fitted = {"polynomial": a + b * at + c * at**2, "power": free[0] + free[1] * at ** free[2]}
    used = {"polynomial": np.array([a, b, c]) > 0, "power": np.array([free[0] > 0, True, True])}
    form = min(fitted, key=lambda name: _criterion(t, fitted[name], int(used[name].sum())))
    r2 = _r2(t, fitted[form])
    if r2 < LEAST_R2:
        return NotFitted(_why_not(t, r2))
    slopes = _slopes(form, at, fitted[form], free[1], free[2], at[-1])
    degrees = len(t) - int(used[form].sum())
    error = math.sqrt(float(np.sum(np.log(t / fitted[form]) ** 2)) / degrees)
    return Scaling(
        a=a,
        b=b,
        c=c,
        exponent=free[2],
        exponent_low=low,
        exponent_high=high,
        shortest=int(at[0]),
        longest=int(at[-1]),
        r2=r2,
        form=form,
        power=free[:2],
        degrees=degrees,
        _root=error * _root(slopes * used[form]),
    )


def _check(lengths: Sequence[int], seconds: Sequence[Sequence[float]]) -> None:
    if len(lengths) != len(seconds):
        raise ValueError(
            f"{len(seconds)} lists of samples; allowed is one a length: {len(lengths)}"
        )
    for place, seq_len in enumerate(lengths):
        if seq_len < 1 or seq_len in lengths[:place]:
            raise ValueError(f"length {seq_len}: allowed are positive lengths, each once")
        if not np.all(np.isfinite(np.asarray(seconds[place], dtype=float))):
            raise ValueError(f"a sample at L={seq_len} is not finite; allowed are numbers")


def _polynomial(at: Array, t: Array) -> tuple[float, float, float]:
    """a, b, c, of which none is negative."""
    scaled, unit = at / at[-1], t[0]
    columns = np.stack([np.ones_like(at), scaled, scaled**2], axis=1) * unit / t[:, None]
    found, _ = optimize.nnls(columns, np.ones(len(t)))
    a, b, c = (float(x) for x in unit * found / at[-1] ** np.arange(3))
    return a, b, c


def _power(at: Array, t: Array) -> tuple[tuple[float, float, float], float, float]:
    """a, b, p of the best a + b L^p, and the ends of p's interval."""
    unit = t[0]
    t = t / unit

    def squares(p: float) -> float:
        return float(_profile(at, t, np.array([p]))[0][0])

    rough = int(np.argmin(_profile(at, t, _GRID)[0]))
    nearest = (_GRID[max(rough - 1, 0)], _GRID[min(rough + 1, len(_GRID) - 1)])
    best = float(optimize.minimize_scalar(squares, bounds=nearest, method="bounded").x)
    degrees = len(t) - _COEFFICIENTS
    most = squares(best) * (1 + _quantile(degrees) ** 2 / degrees)
    ends = []
    for edge in EXPONENTS:
        inside = squares(edge) <= most or math.isclose(edge, best)
        ends.append(edge if inside else optimize.brentq(lambda p: squares(p) - most, edge, best))
    _, a, b = _profile(at, t, np.array([best]))
    free = float(unit * a[0]), float(unit * b[0] / at[-1] ** best), best
    return free, float(ends[0]), float(ends[1])


def _profile(at: Array, t: Array, p: Array) -> tuple[Array, Array, Array]:
    """Least squares, a and b for each exponent, neither of them negative; b of (L / longest)^p."""
    one, grown = 1 / t, (at / at[-1]) ** p[:, None] / t  # (n,), (P, n)
    s00, s01, s11 = one @ one, grown @ one, np.sum(grown**2, axis=1)
    r0, r1 = np.sum(one), np.sum(grown, axis=1)
    left = np.maximum(s00 * s11 - s01**2, 1e-14 * s00 * s11)
    a, b = (s11 * r0 - s01 * r1) / left, (s00 * r1 - s01 * r0) / left
    b = np.where(a < 0, r1 / s11, np.maximum(b, 0.0))
    a = np.where(a < 0, 0.0, np.where(b == 0, r0 / s00, a))
    return np.sum((1 - a[:, None] * one - b[:, None] * grown) ** 2, axis=1), a, b


def _slopes(form: str, at: Array, values: Array, b: float, p: float, longest: float) -> Array:
    """By how much a change of each coefficient moves log t, (len(at), 3)."""
    scaled = at / longest
    if form == "polynomial":
        columns = [np.ones_like(at), scaled, scaled**2]
    else:
        grown = scaled**p
        columns = [np.ones_like(at), grown, b * longest**p * grown * np.log(scaled)]
    return np.stack(columns, axis=1) / values[:, None]


def _root(slopes: Array) -> Array:
    """R with R^T R the inverse of X^T X, so that normal draws times R have its covariance; none of
    a column of zeros, since a coefficient held at 0 does not vary.
    """
    _, sizes, rows = np.linalg.svd(slopes, full_matrices=False)
    kept = sizes > 1e-12 * sizes[0]
    return np.asarray(rows * np.where(kept, 1 / np.where(kept, sizes, 1.0), 0.0)[:, None])


def _criterion(t: Array, fitted: Array, used: int) -> tuple[float, float]:
    """AICc, infinite where the lengths are too few for it; then the sum of squares decides."""
    squares = max(float(np.sum((1 - fitted / t) ** 2)), 1e-24)
    n, k = len(t), used + 1
    if n - k - 1 < 1:
        return math.inf, squares
    return n * math.log(squares / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1), squares


def _r2(t: Array, fitted: Array) -> float:
    logs = np.log(t)
    around = float(np.sum((logs - logs.mean()) ** 2))
    return 1 - float(np.sum((logs - np.log(fitted)) ** 2)) / around if around > 0 else 0.0


def _why_not(t: Array, r2: float) -> str:
    if t.max() < (1 + FLAT) * t.min():
        return f"it varies by less than {FLAT:.0%} over the lengths: nothing to fit"
    return f"the curves fit badly: R2 of the logarithms {r2:.3f}; a fit needs {LEAST_R2}"
