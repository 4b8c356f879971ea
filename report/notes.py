"""The small print under a figure: what is missing, what was estimated, where numbers come from.

A figure travels without its run, so each carries the data set, machine, threads, dtype,
objective, commit and date; where panels differ in one of these, their titles say it and the
footer gives the rest by run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from report.facets import CLOZE, Cell
from report.labels import dataset_label, lengths, model_label, one_line
from report.series import EXTRAPOLATED, Line, Panel

CROSS = "×"
NO_MODEL = "none"
MODELLESS = {"load": "data loading"}
FLAGS = {
    "extrapolated": "Hollow marker: epoch time extrapolated",
    "untrained": "Untrained weights",
    "max_epochs": "Stopped by the limit of epochs, may not have converged",
    "noisy": "Noisy (rounds spread by over 10%, or half of them by 5%, also when measured again)",
    "contended": "Contended (others used the processor)",
}


def missing(panel: Panel, line: Line) -> list[int]:
    """Lengths that other models have in this panel and this model has no record of."""
    have = {
        seq_len for other in panel.lines if other.model == line.model for seq_len in other.cells
    }
    first = next(other for other in panel.lines if other.model == line.model)
    return [seq_len for seq_len in panel.lengths if seq_len not in have] if line is first else []


def gap_notes(found: Sequence[Panel], metric: str) -> list[str]:
    """One note for each line and status: "× SASRec L=200: oom, the worker was killed"."""
    notes: dict[tuple[str, str, str], tuple[list[int], str]] = {}
    for panel in found:
        for line in panel.lines:
            for gap in line.gaps(metric):
                key = (panel.title, line.label, gap.status)
                notes.setdefault(key, ([], gap.reason))[0].append(gap.seq_len)
            for seq_len in missing(panel, line):
                key = (panel.title, model_label(line.model), "no record")
                notes.setdefault(key, ([], ""))[0].append(seq_len)
    return [
        f"{CROSS} {label} {lengths(at)}{_where(title, lengths(at))}: {status}"
        + (f", {one_line(reason, 64)}" if reason else "")
        for (title, label, status), (at, reason) in notes.items()
    ]


def absent_notes(found: Sequence[Panel], metric: str, name: str) -> list[str]:
    """Where cells ran but have no `metric`: "p95 not shown: SASRec L=50 (63 samples needed)"."""
    notes: dict[str, list[str]] = {}
    for panel in found:
        for line in panel.lines:
            at = [gap for gap in line.gaps(metric) if gap.status.endswith("not measured")]
            if at:
                label = f"{line.label} {lengths([gap.seq_len for gap in at])}{_where(panel.title)}"
                notes.setdefault(one_line(at[0].reason, 64), []).append(label)
    return [f"{name} not shown: {'; '.join(at)} ({reason})" for reason, at in notes.items()]


def repeat_notes(found: Sequence[Panel], metric: str) -> list[str]:
    """What a point with a bar stands for."""
    counts = {p.n for panel in found for line in panel.lines for p in line.points(metric)}
    if max(counts, default=1) < 2:
        return []
    kinds = {
        cell.record.metrics[metric].kind
        for panel in found
        for cell in panel.cells
        if metric in cell.record.metrics
    }
    middle = "mean" if "accuracy" in kinds else "median"
    again = "seeds" if _have_own_seeds(found, metric) else "repeats"
    n = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"
    return [f"Point: {middle} over {again} (n = {n}); bar: their range."]


def _have_own_seeds(found: Sequence[Panel], metric: str) -> bool:
    """Whether the records behind each point differ in their seeds."""
    groups = [
        [cell.record.config.get("seed") for cell in group if cell.record.value(metric) is not None]
        for panel in found
        for line in panel.lines
        for group in line.cells.values()
    ]
    return all(len({str(seed) for seed in seeds}) == len(seeds) for seeds in groups)


def flag_notes(found: Iterable[Cell], metric: str = "") -> list[str]:
    """One note for each flag, such as contended; extrapolated only where it concerns `metric`."""
    at: dict[str, dict[str, list[int]]] = {}
    for cell in found:
        for flag in cell.record.flags if cell.ok else []:
            lines = at.setdefault(one_line(str(flag), 32), {})
            lines.setdefault(_said_of(cell), []).append(cell.seq_len)
    if metric not in EXTRAPOLATED:
        at.pop("extrapolated", None)
    notes = []
    for flag, lines in sorted(at.items()):
        where = "; ".join(f"{label}{lengths(all_at)}" for label, all_at in lines.items())
        lead = FLAGS.get(flag, flag.capitalize())
        notes.append(f"{lead}: {where}")
    return notes


def _said_of(cell: Cell) -> str:
    """The model, or the workload where that has none, as a lead to lengths."""
    if cell.model != NO_MODEL:
        return f"{model_label(cell.model)} "
    return f"{MODELLESS.get(cell.workload, one_line(cell.workload, 40))}, "


def kernel_note(found: Iterable[Cell]) -> list[str]:
    """Which kernels `auto` became, for the models whose records name one."""
    kernels: dict[str, dict[str, None]] = {}
    for cell in found:
        kernel = cell.record.resolved.get("backend")
        if kernel:
            kernels.setdefault(model_label(cell.model), {})[one_line(str(kernel), 24)] = None
    if not kernels:
        return []
    return ["Kernels: " + ", ".join(f"{label} {'/'.join(ks)}" for label, ks in kernels.items())]


def footer(found: Sequence[Cell]) -> list[str]:
    """Data, conditions, and for each run its commit, date and machine."""
    lines = [f"Data: {_data(found)}", _conditions(found)]
    for label, group in _by_run(found).items():
        lead = f"Run {label}: " if len(_by_run(found)) > 1 else ""
        dates = sorted(cell.record.started[:10] for cell in group if cell.record.started)
        facts = [
            " / ".join(dict.fromkeys(cell.facets["commit"] for cell in group)),
            dates[0] if dates else "date unknown",
            " / ".join(dict.fromkeys(cell.facets["machine"] for cell in group)),
            _software(group),
        ]
        lines.append(lead + ", ".join(one_line(fact, 160) for fact in facts if fact))
    return lines


def _data(found: Sequence[Cell]) -> str:
    facts: dict[str, str] = {}
    for cell in found:
        data = cell.record.data
        counts = [
            f"{data[key]:,} {word}"
            for key, word in (
                ("num_users", "users"),
                ("num_items", "items"),
                ("num_events", "events"),
            )
            if isinstance(data.get(key), int)
        ]
        name = cell.facets["dataset"]
        if counts or name not in facts:
            asked = dataset_label(str(cell.record.config.get("dataset", "")))
            source = one_line(str(data.get("source") or ""), 48)
            extra = ([source] if source else []) + counts
            if asked and asked not in name:
                extra.append(f"asked for {asked}")
            facts[name] = f"{name} ({', '.join(extra)})" if extra else name
    return "; ".join(facts.values())


def _conditions(found: Sequence[Cell]) -> str:
    """The facets all cells share, then the objective, named apart for cloze."""
    parts: list[str] = []
    for name in ("device", "threads", "dtype", "batch"):
        by_workload: dict[str, set[str]] = {}
        for cell in found:
            by_workload.setdefault(cell.workload, set()).add(cell.facets[name])
        texts = set().union(*by_workload.values())
        at = {cell.seq_len: cell.facets[name] for cell in found}
        if len(texts) == 1:
            parts += texts
        elif all(cell.facets[name] == at[cell.seq_len] for cell in found):
            parts += [f"{text} at L={seq_len}" for seq_len, text in sorted(at.items())]
        elif all(len(own) == 1 for own in by_workload.values()):
            parts += [f"{next(iter(own))} in {workload}" for workload, own in by_workload.items()]
        else:
            parts.append(f"{name} by panel")
    objectives = list(dict.fromkeys(cell.facets["objective"] for cell in found))
    causal = [name for name in objectives if name != CLOZE] or objectives
    text = f"objective {causal[0]}" if len(causal) == 1 else "objective by panel"
    if CLOZE in objectives and CLOZE not in causal:
        text += " (cloze where named)"
    return ", ".join([*parts, text])


def _software(group: Sequence[Cell]) -> str:
    texts = []
    for name in ("torch", "python"):
        versions = {str(cell.record.machine.get(name) or "") for cell in group} - {""}
        if versions:
            texts.append(f"{name} {'/'.join(one_line(text, 24) for text in sorted(versions))}")
    return ", ".join(texts)


def _by_run(found: Sequence[Cell]) -> dict[str, list[Cell]]:
    runs: dict[str, list[Cell]] = {}
    for cell in found:
        runs.setdefault(cell.facets["run"], []).append(cell)
    return runs


def _where(title: str, said: str = "") -> str:
    """The panel in brackets, without what the note has said already."""
    parts = [part for part in title.split(" · ") if part and part != said]
    return f" ({' · '.join(parts)})" if parts else ""
