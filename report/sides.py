"""One side of a comparison: a result file or run folder, reduced to what is compared.

Takes the suite's own JSON, its run folders, and pytest-benchmark's JSON of any other suite: there a
benchmark is a cell with one metric, `median`. What is kept is small: thousands of cells fit.
Names that a report will show are checked here: InputError, one line, where one is not a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure.record import Metric, Record
from report.alike import RESOLVED
from report.labels import one_line
from report.load import InputError, Run, load_run, read_json
from report.margins import is_named
from report.ran_on import machine_of, machine_of_run, machines_that_ran
from report.verdict import Side

# Which samples are the rounds of a metric that is not named like its samples.
ROUNDS = {"latency_p50": "latency_block_p50"}
# How long and how often something is measured does not change what is measured.
EFFORT = ("rounds", "round_seconds", "requests", "processes")
# A setting that the older side's suite did not have yet was as if off.
OFF = (None, False, "", "none")
HARD_KEYS = (
    "os",
    "arch",
    "cpu_model",
    "physical_cores",
    "gpus",
    "torch",
    "torch_build",
    "cuda",
    "python",
    "threads",
)
MOST_ROUNDS = 10_000_000
CELL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=@,:-]{0,299}")
METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@%:-]{0,99}")


@dataclass(frozen=True, slots=True)
class Value:
    """One metric of one side, with the rounds behind it where they are known."""

    metric: Metric
    rounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class CellResult:
    """One cell of one side.

    Args:
        key: of its configuration, by which its record is found.
        machine_name: its machine's fingerprint with words before it, or the fingerprint alone.
    """

    cell_id: str
    status: str
    reason: str | None
    values: dict[str, Value]
    flags: tuple[str, ...] = ()
    seed: int | None = None
    fingerprint: str = ""
    machine: dict[str, Any] = field(default_factory=dict, repr=False)
    machine_name: str = ""
    key: str = ""
    data: str = ""
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    resolved: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Results:
    """All cells of one side.

    Args:
        suite: its name, "" for another project's file.
    """

    side: Side
    suite: str
    cells: dict[str, CellResult] = field(repr=False)


def load_results(path: Path, ignore: tuple[str, ...] = ()) -> Results:
    """The results in a file or a run folder, without the metrics that `ignore` names by patterns.

    InputError with one line where there are none.
    """
    if path.is_dir():
        return _of_run(load_run(path), ignore)
    content = read_json(path)
    foreign = isinstance(content, dict) and "seqrec_bench" not in content
    if not (foreign and isinstance(content.get("benchmarks"), list)):
        return _of_run(load_run(path, content), ignore)
    return _of_benchmarks(path, content)


def machine_line(machine: dict[str, Any]) -> str:
    """A machine in a few words."""
    cpu = machine.get("cpu_model")
    parts = [one_line(str(cpu), 60)] if cpu else []
    if machine.get("physical_cores"):
        parts.append(f"{machine['physical_cores']} cores")
    parts += [
        f"{name} {one_line(str(machine[key]), 20)}"
        for key, name in (("torch", "PyTorch"), ("python", "Python"))
        if machine.get(key)
    ]
    return ", ".join(parts)


def _of_run(run: Run, ignore: tuple[str, ...]) -> Results:
    cells: dict[str, CellResult] = {}
    ran = machines_that_ran(run)
    for record in run.records:
        if not CELL_ID.fullmatch(record.cell_id):
            allowed = "letters, digits and _ . + = @ , : -"
            raise InputError(run.path, f"cell id {record.cell_id!r}: allowed are {allowed}")
        if record.cell_id in cells:
            raise InputError(run.path, f"cell {record.cell_id} is there twice; one run a side")
        cells[record.cell_id] = _of_record(run, record, machine_of(record, run, ran), ignore)
    machine = machine_of_run(run, ran)
    side = Side(
        label=one_line(f"{run.path.name} ({run.run_id})", 80),
        commit=run.commit,
        machine=machine_line(machine),
        fingerprint=one_line(str(machine.get("fingerprint", "")), 80),
        dataset=run.dataset_line,
        started=next((r.started for r in run.records if r.started), ""),
    )
    return Results(side, run.suite, cells)


def _of_record(
    run: Run, record: Record, machine: dict[str, Any], ignore: tuple[str, ...]
) -> CellResult:
    seed = record.config.get("seed")
    values = {}
    for name, metric in record.metrics.items():
        _check_metric(run.path, record.cell_id, name, metric)
        if is_named(name, ignore):
            continue
        found = record.samples.get(ROUNDS.get(name, name), []) if metric.unit == "s" else []
        values[name] = Value(metric, tuple(x for x in found if x > 0))
    known = (*RESOLVED, "allocator", "dtype")
    fingerprint = one_line(str(machine.get("fingerprint", "")), 80)
    return CellResult(
        cell_id=record.cell_id,
        status=record.status,
        reason=None if record.reason is None else one_line(str(record.reason), 160),
        values=values,
        flags=tuple(one_line(str(flag), 40) for flag in record.flags),
        seed=seed if isinstance(seed, int) else None,
        fingerprint=fingerprint,
        machine_name=one_line(str(machine.get("fingerprint_name") or fingerprint), 120),
        key=one_line(record.key, 40),
        machine={key: machine.get(key) for key in HARD_KEYS},
        data=one_line(str(record.data.get("sequence_hash", "")), 80),
        settings={key: value for key, value in record.config.items() if key not in EFFORT},
        resolved={key: record.resolved.get(key) for key in known},
    )


def _check_metric(path: Path, cell_id: str, name: str, metric: Metric) -> None:
    if not METRIC.fullmatch(name):
        raise InputError(path, f"cell {cell_id}: {name!r} is not a metric's name")
    if metric.n is not None and not (type(metric.n) is int and 0 <= metric.n <= MOST_ROUNDS):
        fault = f"n={metric.n!r}: allowed is a count up to {MOST_ROUNDS:,}"
        raise InputError(path, f"cell {cell_id}: {name}: {fault}")
    if not isinstance(metric.unit, str) or len(metric.unit) > 20:
        raise InputError(path, f"cell {cell_id}: {name}: unit={metric.unit!r} is not a unit")


def _of_benchmarks(path: Path, content: dict[str, Any]) -> Results:
    machine = _foreign_machine(content.get("machine_info"))
    cells: dict[str, CellResult] = {}
    for entry in content["benchmarks"]:
        cell = _of_benchmark(path, entry, machine)
        if cell.cell_id in cells:
            raise InputError(path, f"benchmark {cell.cell_id!r} is there twice")
        cells[cell.cell_id] = cell
    if not cells:
        raise InputError(path, "no benchmarks in it")
    commit = content.get("commit_info")
    found = commit.get("id") if isinstance(commit, dict) else None
    side = Side(
        label=one_line(path.name, 80),
        commit=one_line(found, 60) if isinstance(found, str) else "unknown",
        machine=machine_line(machine),
        fingerprint=_foreign_fingerprint(machine),
        started=one_line(str(content.get("datetime", "")), 40),
    )
    return Results(side, "", cells)


def _of_benchmark(path: Path, entry: Any, machine: dict[str, Any]) -> CellResult:
    stats = entry.get("stats") if isinstance(entry, dict) else None
    name = entry.get("fullname") or entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(stats, dict) or not isinstance(name, str) or not name.strip():
        raise InputError(path, "a benchmark without a name or without stats")
    name = one_line(name, 300)
    median, announced, data = stats.get("median"), stats.get("rounds"), stats.get("data") or []
    numbers = [median, *data] if isinstance(data, list) else [None]
    if not all(isinstance(x, int | float) and 0 <= x < 1e300 for x in numbers):
        raise InputError(path, f"benchmark {name!r}: a median or rounds that are not seconds")
    if type(announced) is not int or not 0 < announced <= MOST_ROUNDS:
        fault = f"rounds={announced!r}: allowed are 1 to {MOST_ROUNDS:,}"
        raise InputError(path, f"benchmark {name!r}: {fault}")
    if data and len(data) != announced:
        fault = f"{announced:,} rounds are announced, {len(data):,} are there"
        raise InputError(path, f"benchmark {name!r}: {fault}")
    assert median is not None
    metric = Metric(float(median), "s", "lower", "time", "pytest-benchmark", n=announced)
    rounds = tuple(float(x) for x in data if x > 0)
    fingerprint = _foreign_fingerprint(machine)
    values = {"median": Value(metric, rounds)}
    return CellResult(
        name,
        "ok",
        None,
        values,
        fingerprint=fingerprint,
        machine=machine,
        machine_name=fingerprint,
    )


def _foreign_machine(info: Any) -> dict[str, Any]:
    """pytest-benchmark's machine_info in the suite's words."""
    if not isinstance(info, dict):
        return {}
    cpu = info.get("cpu")
    cpu = cpu if isinstance(cpu, dict) else {}
    found = {
        "os": info.get("system"),
        "arch": info.get("machine"),
        "cpu_model": cpu.get("brand_raw") or info.get("processor"),
        "physical_cores": cpu.get("count"),
        "python": info.get("python_version"),
    }
    return {key: value for key, value in found.items() if isinstance(value, str | int) and value}


def _foreign_fingerprint(machine: dict[str, Any]) -> str:
    return one_line("-".join(str(value) for value in machine.values()), 160)
