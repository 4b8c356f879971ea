"""Which differences of accuracy between models are more than chance: over seeds and over users.

Both tests are paired: seed with seed (the t test, few seeds give little power), and user with user
(the t test of NDCG@10 per user, averaged over seeds, which holds up well for such data: Smucker,
Allan and Carterette, CIKM 2007). Seeds say whether training again would give the same order, users
whether other users of the kind would; a difference is told apart where both say so, and where only
one could be asked, that one. p-values are Holm's over all pairs of a panel and length. The ranks of
users lie beside a run's records (raw/CELL.npz), so a benchmark JSON alone has none.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from report.facets import Cell, cells
from report.load import Run
from report.series import Panel, panels

Array = npt.NDArray[np.float64]
ALPHA = 0.05
NDCG = "ndcg@10"
RANKS = "test_rank"
TOP_K = 10
_ROUNDING = 1e-9
_FEWEST_ALIKE = 5  # fewer pairs that differ by the very same amount do so by chance


@dataclass(frozen=True)
class PairedTest:
    """One paired comparison.

    Args:
        difference: mean of first less second; low, high: its 95% interval, before Holm.
        p: adjusted by Holm over the pairs tested together.
        count: pairs behind it: seeds, or users.
    """

    difference: float
    low: float
    high: float
    p: float
    count: int


@dataclass(frozen=True)
class Contrast:
    """Two models at one L of a panel of fits.

    Args:
        seeds, users: the tests, None where `why_no_seeds` or `why_no_users` says why.
    """

    panel: Panel
    seq_len: int
    first: str
    second: str
    difference: float
    seeds: PairedTest | None
    users: PairedTest | None
    why_no_seeds: str = ""
    why_no_users: str = ""

    @property
    def distinguishable(self) -> bool:
        """Whether each test that could be made says so, and at least one could."""
        made = [test for test in (self.seeds, self.users) if test is not None]
        return bool(made) and all(test.p < ALPHA for test in made)


def contrasts(runs: Sequence[Run]) -> list[Contrast]:
    """All pairs of models of each panel of fits and each length."""
    return [
        contrast
        for panel in panels(cells(runs, "fit"))
        for seq_len in panel.lengths
        for contrast in contrasts_at(panel, seq_len)
    ]


def contrasts_at(panel: Panel, seq_len: int) -> list[Contrast]:
    """All pairs of models of a panel of fits at one length, with Holm over these pairs."""
    good = {line.label: _with_accuracy(line.cells.get(seq_len, [])) for line in panel.lines}
    labels = [label for label, group in good.items() if group]
    return _holm(
        [
            _contrast(panel, seq_len, one, other, good[one], good[other])
            for one, other in combinations(labels, 2)
        ]
    )


def paired_test(
    first: Sequence[float] | Array, second: Sequence[float] | Array
) -> PairedTest | None:
    """The paired t test of two rows of equal order; None for fewer than two pairs, and for fewer
    than five that all differ by the same amount: see report/hodges_lehmann.py.

    Raises:
        ValueError: the rows have different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values; allowed are pairs")
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if len(differences) < 2:
        return None
    middle = float(differences.mean())
    if np.ptp(differences) <= _ROUNDING * np.max(np.abs(differences)):
        if middle and len(differences) < _FEWEST_ALIKE:
            return None
        return PairedTest(middle, middle, middle, float(middle == 0), len(differences))
    degrees = len(differences) - 1
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    reach = error * float(stdtrit(degrees, 0.975))
    p_value = 2 * float(stdtr(degrees, -abs(middle) / error))
    return PairedTest(middle, middle - reach, middle + reach, p_value, len(differences))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Each p-value times the number of hypotheses not yet rejected (Holm 1979), at most 1."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(p) for p in adjusted]


def user_ndcg(ranks: Sequence[float] | Array) -> Array:
    """NDCG@10 of each user from the rank of the one target; as measure/ranking.py."""
    found = np.asarray(ranks, dtype=float)
    return np.where(found <= TOP_K, 1 / np.log2(found + 1), 0.0)


def _with_accuracy(group: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in group if cell.ok and cell.record.value(NDCG) is not None]


def _contrast(
    panel: Panel, seq_len: int, first: str, second: str, one: list[Cell], other: list[Cell]
) -> Contrast:
    a, b = _by_seed(one), _by_seed(other)
    shared = [seed for seed in a if seed in b]
    seeds = paired_test([a[seed] for seed in shared], [b[seed] for seed in shared])
    users, why = _over_users(one, other)
    return Contrast(
        panel=panel,
        seq_len=seq_len,
        first=first,
        second=second,
        difference=fmean(a.values()) - fmean(b.values()),
        seeds=seeds,
        users=users,
        why_no_seeds="" if seeds else _no_test(len(shared)),
        why_no_users=why,
    )


def _no_test(seeds: int) -> str:
    if seeds < 2:
        return f"seeds in common: {seeds}; a test needs 2"
    return f"{seeds} seeds, all alike: that may be chance"


def _by_seed(group: Sequence[Cell]) -> dict[str, float]:
    """The mean of a seed's repeats."""
    values: dict[str, list[float]] = {}
    for cell in group:
        value = cell.record.value(NDCG)
        assert value is not None, "cells without accuracy were left out"
        values.setdefault(str(cell.record.config.get("seed")), []).append(value)
    return {seed: fmean(repeats) for seed, repeats in values.items()}


def _over_users(one: Sequence[Cell], other: Sequence[Cell]) -> tuple[PairedTest | None, str]:
    """The test over users, or why there is none."""
    rows = []
    for group in (one, other):
        kept = [ranks for cell in group if (ranks := user_ranks(cell)) is not None]
        if not kept:
            return None, "the ranks of users are not kept beside the records"
        if len({len(ranks) for ranks in kept}) > 1:
            return None, "the seeds ranked different numbers of users"
        rows.append(np.mean([user_ndcg(ranks) for ranks in kept], axis=0))
    if len(rows[0]) != len(rows[1]):
        return None, "the two models ranked different numbers of users"
    test = paired_test(*rows)
    return test, "" if test else "a test needs 2 users"


def user_ranks(cell: Cell) -> Array | None:
    """The rank of each test user's item, in the order of users; None where it was not kept."""
    path = cell.run.path / "raw" / f"{cell.record.cell_id}.npz"
    try:
        with np.load(path, allow_pickle=False) as content:
            return np.asarray(content[RANKS].astype(np.float64, casting="safe"))
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _holm(found: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with adjusted p-values, seeds and users each for themselves."""
    adjusted = list(found)
    for name in ("seeds", "users"):
        tests = [(at, getattr(contrast, name)) for at, contrast in enumerate(adjusted)]
        tests = [(at, test) for at, test in tests if test is not None]
        ps = holm_adjusted([test.p for _, test in tests])
        for (at, test), p in zip(tests, ps, strict=True):
            adjusted[at] = replace(adjusted[at], **{name: replace(test, p=p)})
    return adjusted
