"""Fits that ended at their limit of epochs, before early stopping would have ended them: their
accuracies compare how fast models learn, not what they come to.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.facets import Cell
from report.labels import one_line


def stopped_after(fits: Sequence[Cell]) -> str:
    """How many epochs all of these fits were given, where all used them up; "" otherwise."""
    ran = [cell.record for cell in fits if cell.ok]
    limits = {one_line(str(record.config.get("max_epochs")), 12) for record in ran}
    stopped = len(limits) == 1 and all("max_epochs" in record.flags for record in ran)
    return limits.pop() if stopped else ""
