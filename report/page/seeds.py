"""A model's accuracy on a data set: NDCG@10 of `fit`, mean and deviation over seeds, by L.

Accuracy depends on the sequences and not on the machine, so a run without fits borrows them: the
setting's own run first, else the first run that has them, and that is said. Fits that were stopped
by their limit of epochs count only where there are no others.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from report.facets import CLOZE, Cell
from report.page.curves import short
from report.page.selection import of_workload

NDCG = "ndcg@10"


@dataclass(frozen=True)
class Accuracy:
    """NDCG@10 by L, seed by seed.

    Args:
        source: label of the run that it was borrowed from, "" where it is the setting's own.
        stopped: every fit ended at its limit of epochs.
    """

    by_length: dict[int, list[float]]
    source: str
    stopped: bool

    def to_json(self) -> dict[str, Any]:
        """Columns: length, mean, standard deviation (null for one seed), seeds."""
        at = sorted(self.by_length)
        return {
            "at": at,
            "value": [short(statistics.fmean(self.by_length[seq_len])) for seq_len in at],
            "sd": [_spread(self.by_length[seq_len]) for seq_len in at],
            "n": [len(self.by_length[seq_len]) for seq_len in at],
            "source": self.source,
            "stopped": self.stopped,
        }


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
    for cell in chosen:
        value = cell.record.value(NDCG)
        if cell.run.label == source and value is not None:
            by_length.setdefault(cell.seq_len, []).append(value)
    return Accuracy(by_length, "" if source == run else source, bool(alike) and not finished)


def _spread(values: Sequence[float]) -> float | None:
    return short(statistics.stdev(values)) if len(values) > 1 else None
