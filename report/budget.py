"""What a given accuracy costs: epochs, seconds and joules to 95% and 99% of the best one.

The target is a share of the best model's NDCG@10 on the validation items (the mean over its seeds
of their best epochs), the same for all models of a panel and length, as MLPerf trains to a fixed
quality (Mattson et al., MLSys 2020). Seconds are those of training, validation apart. A seed that
never gets there is censored: it counts as later than all of its epochs, never as absent, so that a
median is a number or ">" and the longest training seen. Fits do not count joules: they are the
epochs times the joules of a `train_epoch` of the same model, data, length and batch, where one has
them; else it is said why there are none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from report.disturbed import disturbances
from report.facets import FACETS, cells
from report.labels import number, one_line, time_unit
from report.load import Run
from report.series import Line, Panel, panels

SHARES = (0.95, 0.99)
VALID = "valid_ndcg@10"
JOULES = "energy_per_epoch"
_SAME = [name for name in FACETS if name not in ("run", "commit")]


@dataclass(frozen=True)
class Cost:
    """A median over seeds; None where half of the seeds or more never reach the target.

    Args:
        beyond: the longest training without reaching it, for what is more than this; else None.
    """

    value: float | None
    beyond: float | None = None


@dataclass(frozen=True)
class Budget:
    """What one model needs at one L to reach a share of the best accuracy.

    Args:
        target: NDCG@10 on the validation items.
        reached, seeds: how many of the seeds reach it.
        joules: None where no energy was measured, for which `no_joules` is the reason;
            `energy_source` says by what it was.
        disturbed: a seed was trained while the processor was busy or throttled, so that `seconds`
            may be too long; epochs are not.
    """

    panel: Panel
    label: str
    model: str
    seq_len: int
    share: float
    target: float
    reached: int
    seeds: int
    epochs: Cost
    seconds: Cost
    joules: Cost | None
    energy_source: str
    disturbed: bool = False
    no_joules: str = ""

    def in_words(self) -> str:
        """ "SASRec at L=50 reaches 95% of the best NDCG@10 after 31 epochs, 12.0 s"."""
        lead = f"{self.label} at L={self.seq_len}"
        goal = f"{self.share:.0%} of the best NDCG@10"
        if self.epochs.value is None:
            tried = f"{self.epochs.beyond:g} epochs"
            return f"{lead} does not reach {goal} in {tried}{self._seeds()}"
        joules = self.joules.value if self.joules else None
        energy = f", {number(joules)} J ({self.energy_source})" if joules is not None else ""
        took = _duration(self.seconds.value) + self._busy()
        return f"{lead} reaches {goal} after {self.epochs.value:g} epochs, {took}{energy}" + (
            "" if self.reached == self.seeds else self._seeds()
        )

    def took(self) -> str:
        """ "SASRec 12.0 s", or "SASRec more than 76.0 s (1 of 3 seeds)"."""
        if self.seconds.value is None:
            beyond = _duration(self.seconds.beyond) + self._busy()
            return f"{self.label} more than {beyond}{self._seeds()}"
        some = "" if self.reached == self.seeds else self._seeds()
        return f"{self.label} {_duration(self.seconds.value)}{self._busy()}{some}"

    def _busy(self) -> str:
        return " (processor busy)" if self.disturbed else ""

    def _seeds(self) -> str:
        return f" ({self.reached} of {self.seeds} seed{'s' if self.seeds > 1 else ''})"


def budgets(runs: Sequence[Run], shares: Sequence[float] = SHARES) -> list[Budget]:
    """A budget for each panel of fits, length, share and model, in this order."""
    trained = panels(cells(runs, "train_epoch"))
    return [
        budget
        for panel in panels(cells(runs, "fit"))
        for seq_len in panel.lengths
        for share in shares
        for budget in budgets_at(panel, seq_len, share, trained)
    ]


def budgets_at(
    panel: Panel, seq_len: int, share: float, trained: Sequence[Panel] = ()
) -> list[Budget]:
    """The budget of each model of a panel of fits at one length.

    Args:
        trained: panels of `train_epoch`, where joules are looked for.
    """
    learnt = {line.label: _curves(line, seq_len) for line in panel.lines}
    tops = [[max(scores) for scores, _ in curves] for curves in learnt.values() if curves]
    if not tops:
        return []
    target = share * max(statistics.fmean(top) for top in tops)
    return [
        _budget(panel, line, seq_len, share, target, learnt[line.label], trained)
        for line in panel.lines
        if learnt[line.label]
    ]


def _curves(line: Line, seq_len: int) -> list[tuple[list[float], list[float]]]:
    """Validation NDCG@10 and seconds so far, by epoch, of each seed that kept both."""
    curves = []
    for cell in line.cells.get(seq_len, []):
        samples = cell.record.samples
        scores, seconds = samples.get(VALID, []), samples.get("seconds", [])
        if cell.ok and scores and len(scores) == len(seconds):
            curves.append((scores, seconds))
    return curves


def _budget(
    panel: Panel,
    line: Line,
    seq_len: int,
    share: float,
    target: float,
    curves: Sequence[tuple[list[float], list[float]]],
    trained: Sequence[Panel],
) -> Budget:
    at = [next((e for e, s in enumerate(scores) if s >= target), None) for scores, _ in curves]
    ends = [len(scores) for scores, _ in curves]
    epochs = _cost([None if e is None else e + 1.0 for e in at], [float(end) for end in ends])
    seconds = _cost(
        [None if e is None else s[e] for e, (_, s) in zip(at, curves, strict=True)],
        [s[-1] for _, s in curves],
    )
    each, said = _joules(panel, line, seq_len, trained)
    return Budget(
        panel=panel,
        label=line.label,
        model=line.model,
        seq_len=seq_len,
        share=share,
        target=target,
        reached=sum(epoch is not None for epoch in at),
        seeds=len(at),
        epochs=epochs,
        seconds=seconds,
        joules=None if each is None else _times(epochs, each),
        energy_source="none" if each is None else said,
        disturbed=bool(disturbances(cell.record for cell in line.cells.get(seq_len, []))),
        no_joules=said if each is None else "",
    )


def _duration(seconds: float | None) -> str:
    assert seconds is not None, "a cost is a number or a bound"
    unit = time_unit(seconds)
    return f"{number(seconds / unit.size)} {unit.name}"


def _cost(reached: Sequence[float | None], ends: Sequence[float]) -> Cost:
    """The median, where a seed that never got there is later than any that did."""
    middle = statistics.median(math.inf if value is None else value for value in reached)
    if math.isfinite(middle):
        return Cost(middle)
    return Cost(None, max(end for end, value in zip(ends, reached, strict=True) if value is None))


def _times(epochs: Cost, each: float) -> Cost:
    value, beyond = epochs.value, epochs.beyond
    return Cost(None if value is None else value * each, None if beyond is None else beyond * each)


def _joules(
    panel: Panel, line: Line, seq_len: int, trained: Sequence[Panel]
) -> tuple[float | None, str]:
    """Joules of an epoch, measured under the same conditions, and their source; or why none."""
    metrics = [
        (other.facets["batch"], metric)
        for other in trained
        if all(other.facets[name] == panel.facets[name] for name in _SAME if name != "batch")
        for twin in other.lines
        if twin.model == line.model
        for cell in twin.cells.get(seq_len, [])
        if cell.ok and (metric := cell.record.metrics.get(JOULES)) is not None
    ]
    batch = panel.facets["batch"]
    same = [metric for measured, metric in metrics if measured == batch]
    for metric in same:
        if metric.value is not None:
            return metric.value, metric.source or "source unknown"
    if same:
        return None, one_line(same[0].reason or "", 160)
    others = dict.fromkeys(measured for measured, metric in metrics if metric.value is not None)
    if others:
        return None, f"measured of epochs at {' and '.join(others)}, not at {batch}"
    return None, f"measured of no epoch at {batch}"
