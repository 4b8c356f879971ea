"""Whether times were taken while something else had the processor: flags of records.

No interval covers that: rounds that were all disturbed alike agree with one another. Accuracy, what
is counted and memory stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from measure.record import DISTURBING, Record


def disturbances(records: Iterable[Record]) -> list[str]:
    """Which of "contended" and "throttled" befell any of them."""
    flags = {flag for record in records for flag in record.flags}
    return [flag for flag in DISTURBING if flag in flags]
