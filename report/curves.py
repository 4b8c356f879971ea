"""A line's measured values as a curve over L that can be fitted and compared (crossover.py).

A value is what its record says, so that a fit goes through the points that a figure shows; where a
cell was measured more than once, each process is a sample.
"""

from __future__ import annotations

from report.crossover import Curve
from report.facets import Cell
from report.series import Line

OUT_OF_MEMORY = ("oom", "pruned_oom")
# Which samples of a record spread as its metric does.
ROUNDS = {
    "epoch_time": "epoch_time",
    "latency_p50": "latency_block_p50",
    "rank_time": "rank_time",
}


def curve_of(line: Line, metric: str) -> Curve:
    """The curve of a metric; ends where the model first ran out of memory."""
    lengths, samples, out = list[int](), list[list[float]](), list[int]()
    for seq_len, group in sorted(line.cells.items()):
        values = values_of(group, metric)
        if values:
            lengths.append(seq_len)
            samples.append(values)
        elif any(cell.record.status in OUT_OF_MEMORY for cell in group):
            out.append(seq_len)
    return Curve(line.label, lengths, samples, min(out, default=None))


def values_of(group: list[Cell], metric: str) -> list[float]:
    """A value for each cell that has one."""
    values = [cell.record.value(metric) for cell in group if cell.ok]
    return [value for value in values if value is not None]


def samples_of(group: list[Cell], metric: str) -> list[float]:
    """Values of processes where there are several, else the rounds of the one, else its value."""
    values = values_of(group, metric)
    if len(values) != 1:
        return values
    cell = next(cell for cell in group if cell.ok and cell.record.value(metric) is not None)
    return list(cell.record.samples.get(ROUNDS.get(metric, ""), [])) or values
