"""Which cells a chart or an answer is of; the cells of a page are made from its runs once."""

from __future__ import annotations

from collections.abc import Sequence

from report.facets import Cell


def of_workload(found: Sequence[Cell], workload: str) -> list[Cell]:
    """The cells of one workload."""
    return [cell for cell in found if cell.workload == workload]


def one_user(found: Sequence[Cell], workload: str = "recommend") -> list[Cell]:
    """The cells of a serving workload that serve one user at a time."""
    served = of_workload(found, workload)
    return [cell for cell in served if cell.record.config.get("batch_size") == 1]
