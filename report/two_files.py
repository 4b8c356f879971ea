"""Two results become one report: cells are matched by id, metrics by name, then judged.

Each side is one process a cell, so that rounds are the samples and the machine's noise floor is the
margin (see report/judge.py). What was measured on different machines, data or settings is not
compared; counted metrics and accuracy are, whatever the machine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from report.alike import (
    asks_by_name,
    judge_kernel,
    other_allocator,
    other_kernels,
    other_load,
    other_method,
)
from report.judge import OF_THE_MACHINE
from report.labels import one_line
from report.margins import HOSTED_TIME, UNKNOWN_NOISE, Margins
from report.screening import judge_one
from report.seeds import join_seeds
from report.sides import HARD_KEYS, OFF, CellResult, Results, Value, load_results
from report.status import NOT_THERE, judge_status, lost, not_comparable, only_on
from report.threshold import fraction
from report.verdict import Comparison, Pair, PairedMetric, Report, Verdict

DESIGN = "one process a side: rounds are the samples, the noise floor is the margin"
_NOT_KNOWN = f"not measured on this machine; {UNKNOWN_NOISE:.0%} is taken (--aa measures it)"


def compare_files(
    base: Path,
    head: Path,
    margins: Margins,
    *,
    strict: bool = False,
    options: Sequence[str] = (),
) -> Report:
    """The report on two result files or run folders; InputError where one can't be read.

    Args:
        options: with which the command is to be given again.
    """
    sides = load_results(base, margins.ignore), load_results(head, margins.ignore)
    command = shlex.join(["python", "regression_report.py", str(base), str(head), *options])
    margins, foreign = margins.on(sides[0].side.fingerprint), margins
    found = compare_results(*sides, margins)
    judged = [one.key for one in found if one.stage == "one process a side"]
    known = [(entry.metric, entry.between_files) for entry in margins.used(judged)]
    notes = [*_notes(*sides), *other_machines_noise(foreign, margins)]
    return Report(
        base=sides[0].side,
        head=sides[1].side,
        design=DESIGN,
        noise=noise_line(known, "processes", _NOT_KNOWN, hosted=margins.hosted),
        command=command + " --strict" * strict + " --hosted" * margins.hosted,
        comparisons=tuple(found),
        strict=strict,
        notes=(*notes, *margins.idle((one.key, one.kind) for one in found)),
    )


def compare_results(base: Results, head: Results, margins: Margins) -> list[Comparison]:
    """A verdict for each cell and metric of both sides."""
    decide = ab_command(base, head)
    found: list[Comparison] = []
    metrics: list[PairedMetric] = []
    for cell_id in sorted(base.cells.keys() | head.cells.keys()):
        old, new = base.cells.get(cell_id), head.cells.get(cell_id)
        if old is None or new is None:
            found.append(only_on(cell_id, Verdict.NEW if old is None else Verdict.REMOVED))
        elif (status := _of_status(old, new)) is not None:
            found.append(status)
        else:
            judged, waiting = _of_cell(old, new, margins)
            found += [*judged, *_kernels(old, new)]
            metrics += waiting
    found += [judge_one(metric, margins) for metric in join_seeds(metrics)]
    return [_with_command(comparison, decide) for comparison in found]


def ab_command(base: Results, head: Results) -> str:
    """The command that measures both sides in turn."""
    words = ["python", "regression_report.py", "--ab", _ref(base) or "BASE_REF"]
    words += ["--head", ref] if (ref := _ref(head)) else []
    suite = base.suite if re.fullmatch(r"[a-z0-9_]{1,40}", base.suite) else "ci"
    return shlex.join([*words, "--suite", suite])


def other_machines_noise(given: Margins, used: Margins) -> list[str]:
    """That noise was given which is not of the machine that measured, in a line, or nothing."""
    others = sorted({entry.machine for entry in given.noise} - {e.machine for e in used.noise})
    return [f"noise of another machine, not used: {one_line(other, 80)}" for other in others]


def noise_line(noise: Sequence[tuple[str, float]], of: str, unknown: str, *, hosted: bool) -> str:
    """What is known of this machine's noise, in one line; `unknown` where it is nothing.

    Args:
        noise: (metric, how far two of what `of` names lie apart, in logarithms).
    """
    line = unknown
    if noise:
        metric, widest = max(noise, key=lambda entry: entry[1])
        line = f"A/A {of} of this machine, at most ±{fraction(widest):.1%} ({metric})"
    if hosted:
        line += f"; a hosted runner, so that {HOSTED_TIME:.0%} of time is the margin"
    return line


def _of_cell(
    base: CellResult, head: CellResult, margins: Margins
) -> tuple[list[Comparison], list[PairedMetric]]:
    """What can be said at once of a cell, and the metrics that wait to be judged."""
    found: list[Comparison] = []
    waiting: list[PairedMetric] = []
    for name in sorted(base.values.keys() | head.values.keys()):
        old, new = base.values.get(name), head.values.get(name)
        some = old or new
        assert some is not None
        policy = margins.policy(base.cell_id, name, some.metric.kind)
        if policy.gate == "off":
            continue
        if old is None:
            found.append(only_on(base.cell_id, Verdict.NEW, name))
            continue
        if old.metric.value is None and (new is None or new.metric.value is None):
            continue
        # What the head does not have at all is as if it had no value.
        there = new or Value(replace(old.metric, value=None, reason=NOT_THERE, lo=None))
        metric = _paired(base, head, name, old, there)
        reason = _difference(base, head, name, old, there)
        if reason and new is None:
            found.append(only_on(base.cell_id, Verdict.REMOVED, name))
        elif reason:
            found.append(not_comparable(metric, policy, reason))
        elif (gone := lost(metric, policy)) is not None:
            found.append(gone)
        elif new is None:
            found.append(only_on(base.cell_id, Verdict.REMOVED, name))
        else:
            waiting.append(metric)
    return found, waiting


def _paired(base: CellResult, head: CellResult, name: str, old: Value, new: Value) -> PairedMetric:
    a, b = old.metric, new.metric
    ends = (a.lo, a.hi, b.lo, b.hi)
    known = [end for end in ends if end is not None and end > 0]
    flags = tuple(dict.fromkeys((*base.flags, *head.flags)))
    return PairedMetric(
        cell_id=base.cell_id,
        metric=name,
        unit=a.unit,
        better=a.better,
        kind=a.kind,
        screen=(Pair(a.value, b.value, flags, base.seed),),
        one_process=True,
        base_users=a.n,
        head_users=b.n,
        base_rounds=old.rounds,
        head_rounds=new.rounds,
        bounds=(known[0], known[1], known[2], known[3]) if len(known) == 4 else None,
        lost=one_line(b.reason or "", 160) if b.value is None else "",
    )


def _difference(base: CellResult, head: CellResult, name: str, old: Value, new: Value) -> str:
    """Why two numbers are not of the same thing, or ""."""
    a, b = old.metric, new.metric
    if (a.unit, a.kind, a.better) != (b.unit, b.kind, b.better):
        return f"another unit or kind: {a.unit} {a.kind} and {b.unit} {b.kind}"
    if base.data != head.data:
        return f"other data: {base.data or 'unknown'} and {head.data or 'unknown'}"
    other = _other_settings(base.settings, head.settings)
    if other:
        return f"other settings: {', '.join(other)}"
    if a.kind in OF_THE_MACHINE and base.fingerprint != head.fingerprint:
        return f"other machines: {_machines(base, head)}"
    timed = a.kind in ("time", "tail")
    if timed and (allocators := other_allocator(base.resolved, head.resolved)):
        return allocators
    return other_method([a], [b]) or other_load(name, _load(base), _load(head))


def _load(side: CellResult) -> list[float | None]:
    rate = side.values.get("arrival_rate")
    return [rate.metric.value if rate else None]


def _kernels(base: CellResult, head: CellResult) -> list[Comparison]:
    """What was resolved differently for one cell on one machine."""
    if base.fingerprint != head.fingerprint or _other_settings(base.settings, head.settings):
        return []
    others = other_kernels([base.resolved], [head.resolved], named=asks_by_name(base.settings))
    return [judge_kernel(base.cell_id, other) for other in others]


def _other_settings(base: dict[str, Any], head: dict[str, Any]) -> list[str]:
    """The settings that differ; one that a side lacks is as if off there."""
    if base == head:
        return []
    names = sorted(base.keys() | head.keys())
    return [
        name
        for name in names
        if base.get(name) != head.get(name)
        and not (name not in base and head[name] in OFF)
        and not (name not in head and base[name] in OFF)
    ]


def _machines(base: CellResult, head: CellResult) -> str:
    other = [
        f"{key} {base.machine.get(key)} and {head.machine.get(key)}"
        for key in HARD_KEYS
        if base.machine.get(key) != head.machine.get(key)
    ]
    fingerprints = f"{base.fingerprint or 'unknown'} and {head.fingerprint or 'unknown'}"
    return "; ".join(other[:3]) or fingerprints


def _of_status(base: CellResult, head: CellResult) -> Comparison | None:
    """A status differs because of the code only where the machine is the same."""
    found = judge_status(base.cell_id, (base.status, base.reason), (head.status, head.reason))
    of_machine = {"oom", "pruned_oom", "timeout"} & {base.status, head.status}
    if found is None or base.fingerprint == head.fingerprint or not of_machine:
        return found
    if base.status == head.status:
        return found
    reason = f"other machines; {found.reason}"
    return only_on(base.cell_id, Verdict.NOT_COMPARABLE, "status", reason)


def _with_command(comparison: Comparison, decide: str) -> Comparison:
    if comparison.verdict not in (Verdict.INCONCLUSIVE, Verdict.NOT_MEASURABLE):
        return comparison
    # In turn the sides learn with as many seeds as it takes, up to ten.
    of_fits = " --workload fit" if comparison.kind == "accuracy" else ""
    return replace(comparison, decide=decide + of_fits)


def _ref(results: Results) -> str:
    """A commit that git may be asked for, or ""."""
    ref = results.side.commit.removesuffix("-dirty")
    return ref if re.fullmatch(r"[0-9a-f]{7,40}", ref) else ""


def _notes(base: Results, head: Results) -> list[str]:
    """What a reader should know: other machines, resolved differences, changed checkouts."""
    notes = []
    if base.side.fingerprint != head.side.fingerprint:
        notes.append("other machines: time, memory and energy are not compared")
    changed: dict[str, int] = {}
    for cell_id in base.cells.keys() & head.cells.keys():
        old, new = base.cells[cell_id].resolved, head.cells[cell_id].resolved
        for key in old:
            if old[key] and new.get(key) and old[key] != new[key]:
                text = f"{key} was {old[key]}, is {new[key]}"
                changed[text] = changed.get(text, 0) + 1
    notes += [f"{text} in {count} cells" for text, count in sorted(changed.items())]
    for name, side in (("base", base.side), ("head", head.side)):
        if side.commit.endswith("-dirty"):
            notes.append(f"the {name} was measured with changes that are not committed")
    return notes
