"""Fits in a figure over L: each model's curve with its 95% band, and where the leaders cross.

Drawn only where there is a fit, and only over the lengths that were measured; the notes give each
exponent with its interval, and why there is no fit where there is none. A ring with a bar is the
crossover of two models with its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from report.crossover import BETWEEN, Crossover, crossover
from report.curves import curve_of
from report.palette import look
from report.scaling import NotFitted, Scaling, fit_scaling
from report.series import Line, Panel

RING: Any = {"color": "black", "marker": "o", "mfc": "none", "mew": 1.3, "ms": 6, "ls": "none"}


def fit_of(line: Line, metric: str) -> Scaling | NotFitted:
    """The fit of a line's values."""
    curve = curve_of(line, metric)
    return fit_scaling(curve.lengths, curve.samples)


def crossings(panel: Panel, metric: str) -> list[Crossover]:
    """The crossovers of all pairs of lines that change places within the measured lengths."""
    curves = [curve_of(line, metric) for line in panel.lines]
    found = [crossover(one, other) for one, other in combinations(curves, 2)]
    return [each for each in found if each.status == BETWEEN or each.bracket is not None]


def paint_fits(ax: Axes, panel: Panel, metric: str, *, size: float) -> None:
    """The bands of a panel's fits, and the crossover's, behind everything else.

    Args:
        size: what values are divided by, a unit's size.
    """
    for line in panel.lines:
        fit = fit_of(line, metric)
        if isinstance(fit, Scaling):
            at = np.geomspace(fit.shortest, fit.longest, 60).clip(fit.shortest, fit.longest)
            low, high = np.array([fit.bounds(x) for x in at]).T / size
            color = look(line.model).color
            ax.fill_between(
                at, low, high, color=color, alpha=0.16, lw=0, label=f"fit {line.label}", zorder=1.2
            )
    fits = {line.label: fit_of(line, metric) for line in panel.lines}
    for found in crossings(panel, metric):
        fit = fits[found.first]
        if found.length is not None and isinstance(fit, Scaling):
            ends = found.low or fit.shortest, found.high or fit.longest
            value = fit.predict(found.length) / size
            ax.plot(ends, [value] * 2, color="black", lw=1.3, label="crossover 95%", zorder=5)
            ax.plot(found.length, value, **RING, label="crossover", zorder=6)


def fit_notes(found: Sequence[Panel], metric: str, *, symbol: str = "t") -> list[str]:
    """ "Fit, coloured band 95%: SASRec t ~ L^1.52 (1.43 to 1.61)", no fits, and crossovers."""
    notes, refused = list[str](), dict[str, list[str]]()
    for panel in found:
        where = f" ({panel.title})" if panel.title else ""
        fits = {line.label: fit_of(line, metric) for line in panel.lines if line.points(metric)}
        said = [_exponent(label, fit) for label, fit in fits.items() if isinstance(fit, Scaling)]
        if said:
            notes.append(f"Fit, coloured band 95%{where}: {symbol} = a + b L^p, {'; '.join(said)}")
        reasons: dict[str, list[str]] = {}
        for label, fit in fits.items():
            if isinstance(fit, NotFitted):
                reasons.setdefault(fit.reason, []).append(label)
        if reasons:
            why = "; ".join(f"{', '.join(of_it)} ({why})" for why, of_it in reasons.items())
            refused.setdefault(why, []).append(panel.title)
        notes += [f"{_crossed(each)}{where}" for each in crossings(panel, metric)]
    for why, titles in refused.items():
        where = f" ({'; '.join(titles)})" if len(titles) < len(found) else ""
        notes.append(f"No fit{where}: {why}")
    return notes


def _crossed(found: Crossover) -> str:
    if found.status == BETWEEN:
        costs_less = f"{found.ahead_long} costs less than {found.behind_long}"
        return f"Ring, bar 95%: {costs_less} above {found.where()}"
    assert found.bracket is not None, "without a crossing there are neighbours"
    low, high = found.bracket
    return f"{found.first} and {found.second} change places between L={low:,} and L={high:,}"


def _exponent(label: str, fit: Scaling) -> str:
    return f"{label} p = {fit.exponent:.2f} ({fit.exponent_low:.2f} to {fit.exponent_high:.2f})"
