"""CSV for Apache Otava: a row per side, with its time and commit, a column per cell and metric.

For its importer `csv` (https://github.com/apache/otava/blob/master/docs/CSV.md): `time_column:
time`, `attributes: [commit]`, under `metrics` a column with `direction: -1` where less is better.
Each value must be a number there, so that what only one side has is left out. Rows of later reports
can be appended where the columns are the same. Version 0.8.0 was seen to read it.
"""

from __future__ import annotations

import csv
import io

from report.labels import one_line
from report.verdict import Comparison, Report


def otava(report: Report) -> str:
    """Both sides, the base first."""
    chosen = [c for c in report.comparisons if c.base is not None and c.head is not None]
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["time", "commit", *[_column(comparison) for comparison in chosen]])
    for side in ("base", "head"):
        facts = getattr(report, side)
        numbers = [getattr(comparison, side) for comparison in chosen]
        table.writerow([facts.started, _plain(facts.commit), *numbers])
    return written.getvalue()


def _column(comparison: Comparison) -> str:
    return _plain(f"{comparison.cell_id}.{comparison.metric}")


def _plain(text: str) -> str:
    """No text that a spreadsheet would take for a formula."""
    text = one_line(text, 400)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
