"""A model's accuracy on a data set: NDCG@10 of `fit`, mean and deviation over seeds, by L.

Accuracy depends on the sequences and not on the machine, so that a run without fits of a length
borrows them: the setting's own run first, else the first run that has them, and that is said. Fits
of a run that were all stopped by their limit of epochs count only where no other run has some.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from report.facets import CLOZE, Cell
from report.page.curves import short
from report.page.selection import of_workload

NDCG = "ndcg@10"


@dataclass(frozen=True)
class Fits:
    """The fits of a model at one length, of one run: its seeds."""

    cells: Sequence[Cell]

    @property
    def run(self) -> str:
        """The run's label."""
        return self.cells[0].facets["run"]

    @property
    def ndcg(self) -> list[float]:
        """NDCG@10 by seed."""
        return self._values(NDCG)

    @property
    def stopped(self) -> int:
        """How many ended at their limit of epochs."""
        return sum("max_epochs" in cell.record.flags for cell in self.cells)

    @property
    def epochs(self) -> list[float] | None:
        """The least, mean and most epochs; None where not all seeds say them."""
        found = self._values("epochs")
        if len(found) < len(self.cells):
            return None
        return [short(value) for value in (min(found), statistics.fmean(found), max(found))]

    @property
    def batch(self) -> str:
        """Such as "64"; more than one with "or"."""
        sizes = {cell.facets["batch"].removeprefix("batch ") for cell in self.cells}
        return " or ".join(sorted(sizes))

    @property
    def users(self) -> float:
        """How far the mean is off by which users were tested: see `_users_error`."""
        return short(max(map(_users_error, self.cells)))

    def _values(self, metric: str) -> list[float]:
        found = (cell.record.value(metric) for cell in self.cells)
        return [value for value in found if value is not None]


def fitted(found: Sequence[Cell]) -> list[Cell]:
    """The fits that ended with an accuracy."""
    fits = of_workload(found, "fit")
    return [cell for cell in fits if cell.ok and cell.record.value(NDCG) is not None]


def accuracies(
    fits: Sequence[Cell], dataset: str, model: str, objective: str, run: str
) -> dict[int, Fits]:
    """The model's accuracy for a setting of `run` by L; `objective` "" where any may be taken."""
    runs: dict[int, dict[str, list[Cell]]] = {}
    for cell in fits:
        same = (cell.facets["dataset"], cell.model) == (dataset, model)
        if same and (not objective or cell.facets["objective"] in (objective, CLOZE)):
            runs.setdefault(cell.seq_len, {}).setdefault(cell.facets["run"], []).append(cell)
    return {at: _of_one_run(list(map(Fits, runs[at].values())), run) for at in sorted(runs)}


def columns(found: dict[int, Fits], run: str) -> dict[str, list[Any]]:
    """For the page, by length: mean, standard deviation (null for one seed), error by users, seeds,
    how many of them were stopped, epochs, batch, run, and the same where it is not `run`.
    """
    fits = list(found.values())
    return {
        "at": list(found),
        "value": [short(statistics.fmean(one.ndcg)) for one in fits],
        "sd": [_spread(one.ndcg) for one in fits],
        "users": [one.users for one in fits],
        "n": [len(one.cells) for one in fits],
        "stopped": [one.stopped for one in fits],
        "epochs": [one.epochs for one in fits],
        "batch": [one.batch for one in fits],
        "run": [one.run for one in fits],
        "borrowed": [one.run if one.run != run else "" for one in fits],
    }


def _of_one_run(found: Sequence[Fits], run: str) -> Fits:
    return min(found, key=lambda one: (one.stopped == len(one.cells), one.run != run))


def _users_error(cell: Cell) -> float:
    """The standard error of a mean over test users, at most.

    A user's NDCG@10 is x = 1 / log2(rank + 1) or 0, so x^2 is at most x and, as may be seen rank by
    rank, at most 1 / rank: the mean of x^2 is no more than MRR@10, or than NDCG@10 itself where
    that is not in the record. 0 where it is not known how many users were tested.
    """
    ndcg = cell.record.value(NDCG) or 0.0
    count = cell.record.metrics[NDCG].n or cell.record.data.get("num_users")
    if not isinstance(count, int) or count < 1:
        return 0.0
    mrr = cell.record.value("mrr@10")
    square = ndcg if mrr is None else min(mrr, ndcg)
    return math.sqrt(max(square - ndcg**2, 0.0) / count)


def _spread(values: Sequence[float]) -> float | None:
    return short(statistics.stdev(values)) if len(values) > 1 else None
