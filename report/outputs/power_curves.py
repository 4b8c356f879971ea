"""The figure of `python -m report.power`: the chance of REGRESSED over the true change, a panel a
noise, a line for each number of pairs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from report.palette import NOTE_SIZE, styled
from report.power import NOISES, Row, by_hodges_lehmann, by_median, chance

EFFECTS = np.arange(0, 0.2001, 0.01)
PAIRS = (7, 10, 15, 20)
STYLES = ("-", (0, (6.0, 2.5)), (0, (7.0, 2.0, 1.5, 2.0)), (0, (2.0, 1.5)))
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#000000")
PANELS = ("quiet, 1%", "t3, 3%", "bimodal")


@styled
def save_power_curves(path: Path, trials: int, seed: int) -> None:
    """Write the figure to `path`, .png, .svg or .pdf."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, noise in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True):
        for pairs, style, color in zip(PAIRS, STYLES, COLOURS, strict=True):
            row = Row(noise, pairs, "", by_hodges_lehmann)
            shares = [chance(row, float(effect), trials, seed) for effect in EFFECTS]
            axes.plot(100 * EFFECTS, shares, label=f"{pairs} pairs", color=color, linestyle=style)
        row = Row(noise, 5, "", by_median)
        shares = [chance(row, float(effect), trials, seed) for effect in EFFECTS]
        label = "median of 5 > 5%"
        axes.plot(100 * EFFECTS, shares, label=label, color="#999999", linewidth=1)
        axes.axvline(5, color="black", linewidth=0.8)
        axes.set_title(f"noise: {noise}" if noise in NOISES else noise)
        axes.set_xlabel("true change, %")
    figure.axes[0].set_ylabel("chance of REGRESSED")
    figure.axes[-1].legend(loc="lower right")
    note = f"Exact Hodges-Lehmann bound at 1%, margin 5% (black line); {trials:,} trials a point."
    figure.supxlabel(note, size=NOTE_SIZE)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, format=path.suffix.removeprefix("."), metadata=metadata)
