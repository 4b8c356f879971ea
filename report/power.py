"""How often a verdict is right: false alarms and power by effect, noise and pairs, by simulation.

    python -m report.power                              # the table, with its Monte Carlo error
    python -m report.power --trials 40000 --figure docs/power.svg

Each trial draws n pairs r = ln(head / base) with a known effect and asks whether a rule says
REGRESSED at a margin of 5%. At an effect of 5%, the margin itself, that is a false alarm. Coverage
is how often a bound at 1% holds the truth on its side.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from report.hodges_lehmann import Array, bounds
from report.looks import confirm_looks

MARGIN = math.log(1.05)
ALPHA = 0.01
EFFECTS = (0.0, 0.05, 0.08, 0.10, 0.20)
SEED = 20261124
_AT_ONCE = 2000  # trials whose Walsh averages are held at a time: 50 MB
Noise = Callable[[np.random.Generator, tuple[int, int]], Array]
Rule = Callable[[Array], "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]


def quiet(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """A quiet machine: normal, 1%."""
    return 0.01 * rng.normal(size=shape)


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Normal, 3%."""
    return 0.03 * rng.normal(size=shape)


def loud(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Normal, 8%: what a shared machine had at its worst."""
    return 0.08 * rng.normal(size=shape)


def heavy(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Heavy tails: Student's t with three degrees of freedom, scaled to 3%."""
    return 0.03 / math.sqrt(3) * rng.standard_t(3, size=shape)


def bimodal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Each side's block is 20% slower with a chance of one in ten, apart from 1% of noise."""
    slow = (rng.random(shape) < 0.1).astype(float) - (rng.random(shape) < 0.1)
    return quiet(rng, shape) + math.log(1.2) * slow


NOISES: dict[str, Noise] = {
    "t3, 3%": heavy,
    "bimodal": bimodal,
    "quiet, 1%": quiet,
    "normal, 3%": normal,
    "normal, 8%": loud,
}


def by_median(r: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """What a threshold does: the median alone."""
    return np.asarray(np.median(r, axis=-1) > MARGIN)


def by_bootstrap(r: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The median's percentile bootstrap at 95%, exactly: it can end only at a sample."""
    n = r.shape[-1]
    below = stats.binom.sf((n + 1) // 2 - 1, n, np.arange(1, n + 1) / n)
    rank = int(np.searchsorted(below, 0.025))
    return np.asarray(np.sort(r, axis=-1)[..., rank] > MARGIN)


def by_hodges_lehmann(r: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Ours: the exact lower bound at 1%."""
    return np.asarray(bounds(r, ALPHA)[0] > MARGIN)


def with_more_pairs(r: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """What report/screening.py does with one candidate, r (trials, n): looks until one decides."""
    parts = range(0, len(r), _AT_ONCE)
    return np.concatenate([_looked_at(r[at : at + _AT_ONCE]) for at in parts])


def _looked_at(r: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    red = np.zeros(len(r), dtype=bool)
    undecided = np.arange(len(r))
    for look in confirm_looks(1):
        low, high = bounds(r[undecided, : look.count], look.alpha)
        red[undecided[low > MARGIN]] = True
        decided = (low > MARGIN) | (high < -MARGIN) | ((low > -MARGIN) & (high < MARGIN))
        undecided = undecided[~decided]
    return red


@dataclass(frozen=True)
class Row:
    """One line of the table: a rule on n pairs under one noise."""

    noise: str
    pairs: int
    name: str
    rule: Rule


LOOKS = "seven looks, 10 to 80 pairs"
ROWS = (
    Row("t3, 3%", 5, "median > 5%", by_median),
    Row("t3, 3%", 5, "bootstrap of the median, 95%", by_bootstrap),
    *[Row("t3, 3%", n, "Hodges-Lehmann, 1%", by_hodges_lehmann) for n in (7, 10, 15)],
    Row("t3, 3%", 80, LOOKS, with_more_pairs),
    Row("bimodal", 5, "median > 5%", by_median),
    *[Row("bimodal", n, "Hodges-Lehmann, 1%", by_hodges_lehmann) for n in (10, 15)],
    Row("bimodal", 80, LOOKS, with_more_pairs),
    Row("normal, 3%", 80, LOOKS, with_more_pairs),
    Row("normal, 8%", 80, LOOKS, with_more_pairs),
    Row("quiet, 1%", 7, "Hodges-Lehmann, 1%", by_hodges_lehmann),
)


def chance(row: Row, effect: float, trials: int, seed: int = SEED) -> float:
    """The share of trials in which the rule says REGRESSED at this true effect."""
    rng = np.random.default_rng([seed, row.pairs, round(1000 * effect)])
    r = math.log1p(effect) + NOISES[row.noise](rng, (trials, row.pairs))
    return float(np.mean(row.rule(r)))


def coverage(noise: str, pairs: int, trials: int, seed: int = SEED) -> float:
    """How often a bound at 1% has the truth on its right side, the worse of the two bounds."""
    rng = np.random.default_rng([seed, pairs])
    low, high = bounds(NOISES[noise](rng, (trials, pairs)), ALPHA)
    return min(float(np.mean(low <= 0)), float(np.mean(high >= 0)))


def error(share: float, trials: int) -> float:
    """The standard error of a share of so many trials."""
    return math.sqrt(max(share * (1 - share), 1 / trials) / trials)


def print_table(console: Console, trials: int, seed: int = SEED) -> None:
    """The chance of REGRESSED by row and effect, then the bounds' coverage."""
    title = f"chance of REGRESSED, margin 5%, {trials:,} trials"
    table = Table("noise of r", "pairs", "rule", box=box.SIMPLE_HEAD, title=title)
    for effect in EFFECTS:
        table.add_column(f"+{effect:.0%}", justify="right")
    for row in ROWS:
        chances = [chance(row, effect, trials, seed) for effect in EFFECTS]
        table.add_row(row.noise, str(row.pairs), row.name, *[f"{p:.3f}" for p in chances])
    console.print(table)
    console.print(f"standard error of an entry: at most {error(0.5, trials):.3f}\n")
    table = Table("noise of r", box=box.SIMPLE_HEAD, title="coverage of a bound at 1%")
    counts = (7, 10, 15, 20)
    for pairs in counts:
        table.add_column(f"{pairs} pairs", justify="right")
    for noise in NOISES:
        table.add_row(noise, *[f"{coverage(noise, n, trials, seed):.4f}" for n in counts])
    console.print(table)
    console.print(f"standard error of an entry: about {error(0.99, trials):.4f}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m report.power", description=_first_line())
    parser.add_argument("--trials", type=_trials, default=4000, help="simulations an entry")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--figure", type=_figure, metavar="FILE", help="power curves, .png or .svg")
    arguments = parser.parse_args(argv)
    print_table(Console(width=110, highlight=False), arguments.trials, arguments.seed)
    if arguments.figure is not None:
        from report.outputs.power_curves import save_power_curves

        save_power_curves(arguments.figure, arguments.trials, arguments.seed)
    return 0


def _trials(text: str) -> int:
    if not text.isdigit() or not 100 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 100 to 1,000,000")
    return int(text)


def _figure(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are .png, .svg and .pdf")
    return path


def _first_line() -> str:
    return (__doc__ or "").split("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
