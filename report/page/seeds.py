"""A model's accuracy on a data set: NDCG@10 of `fit`, mean and deviation over seeds, by L.

Accuracy depends on the sequences and not on the machine, so a run without fits borrows them: the
setting's own run first, else the first run that has them, and that is said. Fits that were stopped
by their limit of epochs count only where there are no others.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from report.facets import CLOZE, Cell
from report.page.curves import short
from report.page.selection import of_workload

NDCG = "ndcg@10"


@dataclass(frozen=True)
class Accuracy:
    """NDCG@10 by L, seed by seed.

    Args:
        users: by L, how far the mean is off by which users were tested: see `_users_error`.
        run: label of the run that it is of.
        source: the same where it was borrowed, "" where it is the setting's own run.
        stopped: every fit ended at its limit of epochs.
        epochs: by L, how many each seed was trained for.
        batch: of the fits, such as "64"; more than one with "or".
    """

    by_length: dict[int, list[float]]
    run: str
    source: str
    stopped: bool
    users: dict[int, float] = field(default_factory=dict)
    epochs: dict[int, list[float]] = field(default_factory=dict)
    batch: str = ""

    def to_json(self) -> dict[str, Any]:
        """Columns: length, mean, standard deviation (null for one seed), error by users, seeds, and
        the least, mean and most epochs (null where not all seeds say them).
        """
        at = sorted(self.by_length)
        return {
            "at": at,
            "value": [short(statistics.fmean(self.by_length[seq_len])) for seq_len in at],
            "sd": [_spread(self.by_length[seq_len]) for seq_len in at],
            "users": [short(self.users.get(seq_len, 0.0)) for seq_len in at],
            "n": [len(self.by_length[seq_len]) for seq_len in at],
            "epochs": [self._epochs(seq_len) for seq_len in at],
            "run": self.run,
            "source": self.source,
            "stopped": self.stopped,
            "batch": self.batch,
        }

    def _epochs(self, seq_len: int) -> list[float] | None:
        found = self.epochs.get(seq_len, [])
        if len(found) < len(self.by_length[seq_len]):
            return None
        return [short(value) for value in (min(found), statistics.fmean(found), max(found))]


def fitted(found: Sequence[Cell]) -> list[Cell]:
    """The fits that ended with an accuracy."""
    fits = of_workload(found, "fit")
    return [cell for cell in fits if cell.ok and cell.record.value(NDCG) is not None]


def accuracies(
    fits: Sequence[Cell], dataset: str, model: str, objective: str, run: str
) -> Accuracy:
    """The model's accuracy for a setting of `run`; `objective` "" where any may be taken."""
    alike = [
        cell
        for cell in fits
        if (cell.facets["dataset"], cell.model) == (dataset, model)
        and (not objective or cell.facets["objective"] in (objective, CLOZE))
    ]
    finished = [cell for cell in alike if "max_epochs" not in cell.record.flags]
    chosen = finished or alike
    labels = [cell.run.label for cell in chosen]
    source = run if run in labels or not labels else labels[0]
    by_length: dict[int, list[float]] = {}
    users: dict[int, float] = {}
    epochs: dict[int, list[float]] = {}
    for cell in chosen:
        value = cell.record.value(NDCG)
        if cell.run.label == source and value is not None:
            by_length.setdefault(cell.seq_len, []).append(value)
            users[cell.seq_len] = max(users.get(cell.seq_len, 0.0), _users_error(cell, value))
            if (trained := cell.record.value("epochs")) is not None:
                epochs.setdefault(cell.seq_len, []).append(trained)
    stopped = bool(alike) and not finished
    batches = {c.facets["batch"].removeprefix("batch ") for c in chosen if c.run.label == source}
    batch = " or ".join(sorted(batches))
    borrowed = "" if source == run else source
    return Accuracy(by_length, source, borrowed, stopped, users, epochs, batch)


def _users_error(cell: Cell, ndcg: float) -> float:
    """The standard error of a mean over test users, at most.

    A user's NDCG@10 is x = 1 / log2(rank + 1) or 0, so x^2 is at most x and, as may be seen rank by
    rank, at most 1 / rank: the mean of x^2 is no more than MRR@10, or than NDCG@10 itself where
    that is not in the record. 0 where it is not known how many users were tested.
    """
    count = cell.record.metrics[NDCG].n or cell.record.data.get("num_users")
    if not isinstance(count, int) or count < 1:
        return 0.0
    mrr = cell.record.value("mrr@10")
    square = ndcg if mrr is None else min(mrr, ndcg)
    return math.sqrt(max(square - ndcg**2, 0.0) / count)


def _spread(values: Sequence[float]) -> float | None:
    return short(statistics.stdev(values)) if len(values) > 1 else None
