"""From cells to panels and lines: which numbers may stand beside each other, and which are missing.

A panel holds cells whose facets agree; a line holds one model's cells over L. Where one model was
measured more than once at the same L with other settings, it gets one line per setting, named in
its label. Repeats over seeds become one point with a range. Nothing here draws.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from report.disturbed import disturbances
from report.facets import CLOZE, FACETS, Cell, settings
from report.labels import model_label, one_line, order_of

BY_LENGTH = "batch by L"  # instead of a batch, where that follows from L
# What a part of an epoch is scaled up to; memory and accuracy are never extrapolated.
EXTRAPOLATED = ("epoch_time", "samples_per_second", "items_per_second")


@dataclass(frozen=True)
class Point:
    """One drawn number: the typical value at L, its range, and how many records it stands for."""

    seq_len: int
    value: float
    low: float
    high: float
    n: int
    extrapolated: bool
    disturbed: bool = False  # others were at work on its processors, or they were throttled


@dataclass(frozen=True)
class Gap:
    """A number that is missing at L, with the status and the reason of its cell."""

    seq_len: int
    status: str
    reason: str


@dataclass(frozen=True)
class Line:
    """One model's cells in a panel, by L; `label` also names what sets it apart.

    Args:
        variant: 0 for the first line of its model in the panel, then counting up.
    """

    model: str
    label: str
    cells: dict[int, list[Cell]] = field(repr=False)
    variant: int = 0

    def points(self, metric: str) -> list[Point]:
        """The measured values of `metric`, in order of L."""
        found = [_point(seq_len, group, metric) for seq_len, group in sorted(self.cells.items())]
        return [point for point in found if point is not None]

    def gaps(self, metric: str) -> list[Gap]:
        """The lengths at which a value of `metric` is missing, and why."""
        found = [_gap(seq_len, group, metric) for seq_len, group in sorted(self.cells.items())]
        return [gap for gap in found if gap is not None]


@dataclass(frozen=True)
class Panel:
    """Lines that may be compared; `title` says what sets this panel apart, "" where it is alone."""

    title: str
    lines: list[Line]
    facets: dict[str, str]

    @property
    def lengths(self) -> list[int]:
        return sorted({seq_len for line in self.lines for seq_len in line.cells})

    @property
    def cells(self) -> list[Cell]:
        return [cell for line in self.lines for group in line.cells.values() for cell in group]


def panels(found: Sequence[Cell], *, by: Callable[[Cell], str] | None = None) -> list[Panel]:
    """The cells in panels; `by` adds a facet of its own, such as the length.

    Args:
        by: text for a panel's title; cells with other texts never share a panel.
    """
    groups = _split(found, by)
    varying = _varying([facets for facets, _ in groups])
    return [Panel(_title(facets, varying), _lines(group), facets) for facets, group in groups]


def _split(
    found: Sequence[Cell], by: Callable[[Cell], str] | None
) -> list[tuple[dict[str, str], list[Cell]]]:
    """Groups of cells with equal facets; a cloze cell joins each causal objective's group."""
    rest = [name for name in FACETS if name != "objective"]
    extras = ["" if by is None else by(cell) for cell in found]
    batches = _batches(found, extras)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell, extra in zip(found, extras, strict=True):
        batch = batches[*_but_batch(cell), extra] or cell.facets["batch"]
        facets = cell.facets | {"batch": batch}
        groups.setdefault((*(facets[name] for name in rest), extra), []).append(cell)
    split = []
    for key, group in groups.items():
        objectives = dict.fromkeys(cell.facets["objective"] for cell in group)
        causal = [name for name in objectives if name != CLOZE] or [CLOZE]
        for objective in causal:
            facets = dict(zip([*rest, "extra"], key, strict=True)) | {
                "objective": f"objective {objective}"
            }
            members = [cell for cell in group if cell.facets["objective"] in (objective, CLOZE)]
            split.append((facets, members))
    return split


def _batches(found: Sequence[Cell], extras: Sequence[str]) -> dict[tuple[str, ...], str]:
    """ "batch by L" for cells whose batch follows from L alone, as with a fixed number of events.

    Such cells share a panel; its footer lists the batches. Where one L has two batches, "".
    """
    at: dict[tuple[str, ...], dict[int, set[str]]] = {}
    for cell, extra in zip(found, extras, strict=True):
        by_length = at.setdefault((*_but_batch(cell), extra), {})
        by_length.setdefault(cell.seq_len, set()).add(cell.facets["batch"])
    return {
        key: BY_LENGTH
        if all(len(texts) == 1 for texts in by_length.values())
        and len(set().union(*by_length.values())) > 1
        else ""
        for key, by_length in at.items()
    }


def _but_batch(cell: Cell) -> tuple[str, ...]:
    return tuple(cell.facets[name] for name in FACETS if name not in ("batch", "objective"))


def _varying(groups: list[dict[str, str]]) -> list[str]:
    """Facets with more than one text; machine and commit only where the run does not tell them."""
    names = [name for name in (*FACETS, "extra") if len({group[name] for group in groups}) > 1]
    for name in ("machine", "commit"):
        pairs = {(group["run"], group[name]) for group in groups}
        if name in names and len(pairs) == len({group["run"] for group in groups}):
            names.remove(name)
    return names


def _title(facets: dict[str, str], varying: list[str]) -> str:
    return " · ".join(facets[name] for name in varying)


def _lines(group: Sequence[Cell]) -> list[Line]:
    lines: dict[tuple[str, str], dict[int, list[Cell]]] = {}
    apart = {model: _settings_apart(group, model) for model in {cell.model for cell in group}}
    objectives = {cell.facets["objective"] for cell in group}
    for cell in group:
        extra = [settings_text(cell, apart[cell.model])] if apart[cell.model] else []
        if len(objectives) > 1 and cell.facets["objective"] == CLOZE:
            extra.insert(0, CLOZE)
        lines.setdefault((cell.model, ", ".join(extra)), {}).setdefault(cell.seq_len, []).append(
            cell
        )
    ordered = sorted(lines.items(), key=lambda item: (order_of(item[0][0]), item[0][1]))
    seen: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    made = []
    for (model, extra_text), by_length in ordered:
        label = model_label(model) + (f" ({one_line(extra_text, 48)})" if extra_text else "")
        # Names and settings cut to the same beginning still are two lines, and must read as two.
        labels[label] += 1
        label += f" [{labels[label]}]" if labels[label] > 1 else ""
        made.append(Line(model, label, by_length, seen[model]))
        seen[model] += 1
    return made


def settings_text(cell: Cell, names: Iterable[str]) -> str:
    """ "kernel numba, max_epochs 5" for the settings named."""
    own = settings(cell.record)
    return ", ".join(f"{name} {own.get(name, 'unset')}" for name in names)


def _settings_apart(group: Sequence[Cell], model: str) -> list[str]:
    """The settings in which cells of one model differ at one L; those make lines of their own."""
    values: dict[tuple[str, int, str], set[str]] = {}
    own = [(cell, settings(cell.record)) for cell in group if cell.model == model]
    names = sorted({name for _, texts in own for name in texts})
    for cell, texts in own:
        for name in names:
            key = (name, cell.seq_len, cell.facets["objective"])
            values.setdefault(key, set()).add(texts.get(name, "unset"))
    return sorted({name for (name, _, _), seen in values.items() if len(seen) > 1})


def typical(values: Sequence[float], kind: str) -> float:
    """The mean of accuracies; the median of everything else, since times have tails."""
    return statistics.fmean(values) if kind == "accuracy" else statistics.median(values)


def _point(seq_len: int, group: Sequence[Cell], metric: str) -> Point | None:
    good = [cell.record for cell in group if cell.ok and cell.record.value(metric) is not None]
    values = [value for record in good if (value := record.value(metric)) is not None]
    if not values:
        return None
    value = typical(values, good[0].metrics[metric].kind)
    estimated = metric in EXTRAPOLATED and any("extrapolated" in record.flags for record in good)
    troubled = bool(disturbances(good))
    return Point(seq_len, value, min(values), max(values), len(values), estimated, troubled)


def _gap(seq_len: int, group: Sequence[Cell], metric: str) -> Gap | None:
    """Why a value is missing; where some of several repeats have one, how many do not."""
    bad = [cell.record for cell in group if not cell.ok or cell.record.value(metric) is None]
    if not bad:
        return None
    first = bad[0]
    entry = first.metrics.get(metric)
    missing = entry.reason if entry is not None and entry.reason else f"no {metric} in the record"
    status: str = "not measured" if first.status == "ok" else first.status
    reason = first.reason if first.status != "ok" and first.reason else missing
    if len(bad) < len(group):
        status = f"{len(bad)} of {len(group)} {status}"
    return Gap(seq_len, status, one_line(reason, 200))
