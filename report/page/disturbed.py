"""Whether times were taken while something else had the processor: flags of records.

No interval covers that: rounds that were all disturbed alike agree with one another. Accuracy, what
is counted and memory stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from measure.record import DISTURBING
from report.facets import Cell


def disturbances(cells: Iterable[Cell]) -> list[str]:
    """Which of "contended" and "throttled" befell any of the cells that ran."""
    flags = {flag for cell in cells if cell.ok for flag in cell.record.flags}
    return [flag for flag in DISTURBING if flag in flags]
