"""What the chooser answers from: per setting, data set and model, its curves and its accuracy.

The answer itself is given in the page (judge.js), from these numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from report.facets import CLOZE, Cell
from report.labels import model_label, one_line, order_of
from report.page.charts import on_device
from report.page.curves import curve_of
from report.page.rerun import command_at
from report.page.seeds import accuracies, columns, fitted
from report.page.selection import of_workload, one_user
from report.series import Line, Panel, panels
from report.significance import Contrast, contrasts_at

PLACE = ("run", "machine", "commit", "device", "dtype", "threads")
Key = tuple[str, ...]
# Which suites measure training, a whole history and one more event, where a run's own does not.
SUITES = ("quick", "quick", "serving")
OWN_FILE = "interactions.csv"


@dataclass
class _Setting:
    """Panels that one answer may draw on: the same place and, of training, the same batch."""

    train: dict[str, Panel] = field(default_factory=dict)
    serve: dict[str, Panel] = field(default_factory=dict)
    step: dict[str, Panel] = field(default_factory=dict)


def chooser(cells: Sequence[Cell]) -> dict[str, Any]:
    """All that judge.js needs; no setting where neither training nor serving was measured."""
    fits = fitted(cells)
    found = _settings(cells)
    apart = [
        name for place, name in enumerate((*PLACE, "batch", "objective")) if _varies(found, place)
    ]
    shown = [name for name in apart if name not in ("device", "threads")]
    return {
        "settings": [
            {
                "device": " · ".join((key[3], key[5])),
                "label": " · ".join(_named(key, name) for name in shown if _named(key, name)),
                "machine": key[1],
                "datasets": [_dataset(name, setting, key[0], fits) for name in _names(setting)],
            }
            for key, setting in found.items()
        ]
    }


def _settings(cells: Sequence[Cell]) -> dict[Key, _Setting]:
    found: dict[Key, _Setting] = {}
    for panel in panels(of_workload(cells, "train_epoch")):
        key = (*_place(panel), panel.facets["batch"], panel.facets["objective"])
        found.setdefault(key, _Setting()).train[panel.facets["dataset"]] = panel
    for kind, served in (("serve", one_user(cells)), ("step", one_user(cells, "serve_step"))):
        for panel in panels(served):
            keys = [key for key in found if key[: len(PLACE)] == _place(panel)]
            for key in keys or [(*_place(panel), "", "")]:
                by_dataset = getattr(found.setdefault(key, _Setting()), kind)
                by_dataset.setdefault(panel.facets["dataset"], panel)
    return found


def _place(panel: Panel) -> Key:
    return tuple(panel.facets[name] for name in PLACE)


def _varies(found: Iterable[Key], place: int) -> bool:
    return len({key[place] for key in found}) > 1


def _named(key: Key, name: str) -> str:
    return key[(*PLACE, "batch", "objective").index(name)]


def _names(setting: _Setting) -> list[str]:
    return list(dict.fromkeys([*setting.train, *setting.serve, *setting.step]))


def _dataset(name: str, setting: _Setting, run: str, fits: Sequence[Cell]) -> dict[str, Any]:
    here = [panel.get(name) for panel in (setting.train, setting.serve, setting.step)]
    known = [panel for panel in here if panel is not None]
    objective = "" if here[0] is None else here[0].facets["objective"].removeprefix("objective ")
    found = _contrasts(fits, name)
    keys = {(line.model, line.variant) for panel in known for line in panel.lines}
    return {
        "label": name,
        "items": _items(known),
        "apart": _apart(found),
        "tested": "over seeds and users" if any(c.users for _, c in found) else "over seeds",
        "commands": _commands(here),
        "models": [
            _model(
                model,
                variant,
                here,
                columns(accuracies(fits, name, model, objective, run), run),
            )
            for model, variant in sorted(keys, key=lambda key: (order_of(key[0]), key[1]))
        ],
    }


def _contrasts(fits: Sequence[Cell], dataset: str) -> list[tuple[Panel, Contrast]]:
    """What the page's table of differences says of this data set."""
    return [
        (panel, one)
        for panel in panels([cell for cell in fits if cell.facets["dataset"] == dataset])
        for at in panel.lengths
        for one in contrasts_at(panel, at)
    ]


def _apart(found: Sequence[tuple[Panel, Contrast]]) -> list[tuple[str, int, str, str]]:
    """Run, length and two models that all their tests tell apart."""
    told: dict[tuple[str, int, str, str], bool] = {}
    for panel, one in found:
        models = {line.label: line.model for line in panel.lines}
        first, second = sorted((models[one.first], models[one.second]))
        key = (panel.facets["run"], one.seq_len, first, second)
        told[key] = told.get(key, True) and one.distinguishable
    return [key for key, apart in told.items() if apart]


def _commands(here: Sequence[Panel | None]) -> dict[str, str]:
    """What measures more of this data set, by what is lacking; a length is to follow.

    Of the run's own suite where that measures it, else of the suite that does.
    """
    cell = next(cell for panel in here if panel is not None for cell in panel.cells)
    dataset = one_line(str(cell.record.config.get("dataset", "auto")), 120)
    own = cell.run.suite
    suites = [
        own if panel is not None else other for panel, other in zip(here, SUITES, strict=True)
    ]
    wanted = dict(zip(("epoch", "history", "event"), suites, strict=True)) | {
        "accuracy": "accuracy"
    }
    made = {name: command_at(cell.run, suite, dataset) for name, suite in wanted.items()}
    return made | {"own": command_at(cell.run, suites[0], OWN_FILE)}


def _items(found: Sequence[Panel]) -> int | None:
    """The catalogue's size; None where no record says it."""
    sizes = [cell.record.data.get("num_items") for panel in found for cell in panel.cells]
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)


def _model(
    model: str, variant: int, here: Sequence[Panel | None], accuracy: dict[str, Any]
) -> dict[str, Any]:
    train, serve, step = (_line(panel, model, variant) for panel in here)
    named = train or serve or step
    memory = "memory_peak" if here[0] is None else on_device("memory_peak", here[0])
    return {
        "model": model,
        "label": model_label(model) if named is None else named.label,
        "accuracy": accuracy,
        "task": _task(train),
        "epoch": _curve(train, "epoch_time"),
        "memory": _curve(train, memory),
        "latency": _curve(serve, "latency_p50"),
        "tail": _curve(serve, "latency_p95"),
        "step": _curve(step, "latency_p50"),
        "step_tail": _curve(step, "latency_p95"),
        "recomputes": _recomputes(serve or train, step, here[2]),
        "batches": _batches(train),
    }


def _task(line: Line | None) -> str:
    """What an epoch of the model is, "all", "last" or "cloze"; "" where none was measured."""
    cells = [] if line is None else [cell for group in line.cells.values() for cell in group]
    return cells[0].facets["objective"] if cells else ""


def _recomputes(line: Line | None, step: Line | None, stepped: Panel | None) -> bool:
    """Whether one more event costs the model its whole history again: it has no step of its own.

    Cells that were asked for one say so; suites that ask only models with a step leave it out, and
    of those without the record says that there is none. In older records the objective does: under
    cloze every event sees all others.
    """
    if step is not None:
        statuses = {cell.record.status for group in step.cells.values() for cell in group}
        return statuses == {"unsupported"}
    cells = [] if line is None else [cell for group in line.cells.values() for cell in group]
    without = [
        cell.record.resolved.get("has_step", cell.facets["objective"] != CLOZE) is False
        for cell in cells
    ]
    return stepped is not None and any(without)


def _batches(line: Line | None) -> dict[str, list[Any]]:
    """Columns: length, batch size of training."""
    found = {} if line is None else line.cells
    sizes = {at: group[0].facets["batch"].removeprefix("batch ") for at, group in found.items()}
    at = sorted(sizes)
    return {"at": at, "size": [sizes[length] for length in at]}


def _line(panel: Panel | None, model: str, variant: int) -> Line | None:
    """The model's line; where serving knows no variants, its only one."""
    lines = [] if panel is None else [line for line in panel.lines if line.model == model]
    exact = [line for line in lines if line.variant == variant]
    return exact[0] if exact else lines[0] if len(lines) == 1 else None


def _curve(line: Line | None, metric: str) -> dict[str, Any] | None:
    return None if line is None else curve_of(line, metric).to_json()
