"""The machine that a cell ran on, also of one that died before it could describe it.

Such a cell has its machine from outside, from the run's manifest: in older files that is the
machine without the processors that workers were bound to, which has another fingerprint. Where the
run's cells that lived agree on a machine, it is that of those that died too.
"""

from __future__ import annotations

from typing import Any

from measure.record import Record
from report.load import Run

Place = tuple[str, str]  # device, threads


def place_of(record: Record) -> Place:
    """Where in its machine a cell was to run."""
    return str(record.config.get("device")), str(record.config.get("threads"))


def machines_that_ran(run: Run) -> dict[Place, dict[str, Any]]:
    """The machine of each place, where the cells that described it themselves agree on it."""
    seen: dict[Place, dict[str, dict[str, Any]]] = {}
    for record in run.records:
        if _describes_itself(record) and (name := _name(record.machine)):
            seen.setdefault(place_of(record), {})[name] = record.machine
    return {place: next(iter(of.values())) for place, of in seen.items() if len(of) == 1}


def machine_of(record: Record, run: Run, ran: dict[Place, dict[str, Any]]) -> dict[str, Any]:
    """The machine to judge a record by; {} where nothing is known.

    Args:
        ran: of the record's run, from `machines_that_ran`.
    """
    only_the_runs = not record.machine or _name(record.machine) == _name(run.machine)
    if only_the_runs and not _describes_itself(record):
        return ran.get(place_of(record)) or record.machine or run.machine
    return record.machine or run.machine


def machine_of_run(run: Run, ran: dict[Place, dict[str, Any]]) -> dict[str, Any]:
    """The machine of all that ran, where it is one; else that of the manifest, or of any record."""
    machines = {_name(machine): machine for machine in ran.values()}
    if len(machines) == 1:
        return next(iter(machines.values()))
    return run.machine or next((record.machine for record in run.records if record.machine), {})


def _describes_itself(record: Record) -> bool:
    """Whether its own worker did: at its end, and of capacity's none does."""
    return record.status == "ok" and record.config.get("workload") != "capacity"


def _name(machine: dict[str, Any]) -> str:
    return str(machine.get("fingerprint") or machine.get("cpu_model") or "")
