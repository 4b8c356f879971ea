"""What a record was measured under: run, data, machine, device, dtype, batch, threads, objective.

Numbers taken under different conditions are never mixed silently, so each condition is a facet
with a text: figures and tables put records in one panel only where all of their facets agree. A
cell that died early may not know its machine or data; it takes them from its own run where that
leaves no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from measure.record import Record
from report.joint import joint_labels
from report.labels import dataset_label, one_line
from report.load import Run
from report.ran_on import machines_that_ran, place_of

FACETS = ("run", "dataset", "machine", "commit", "device", "dtype", "batch", "threads", "objective")
CLOZE = "cloze"
SINGLE_STREAM = "single_stream"
# A cell's own settings are what is left of its config: see `settings`.
_NAMED = {
    "model",
    "workload",
    "dataset",
    "objective",
    "seq_len",
    "batch_size",
    "dtype",
    "device",
    "threads",
    "backend",
    "seed",
    "scenario",
}


@dataclass(frozen=True)
class Cell:
    """A record with the run it came from and the text of each facet.

    Facet "run" names all runs that are parts of one: see report/joint.py.
    """

    run: Run = field(repr=False)
    record: Record = field(repr=False)
    facets: dict[str, str]

    @property
    def model(self) -> str:
        return str(self.record.config["model"])

    @property
    def workload(self) -> str:
        return workload_of(self.record)

    @property
    def seq_len(self) -> int:
        return int(self.record.config["seq_len"])

    @property
    def ok(self) -> bool:
        return self.record.status == "ok"


def workload_of(record: Record) -> str:
    """The workload, and how its requests came where not one after the other: "recommend server".

    Latencies of different scenarios are different things, so that each is a workload of its own.
    """
    scenario = str(record.config.get("scenario", SINGLE_STREAM))
    workload = str(record.config["workload"])
    return workload if scenario == SINGLE_STREAM else f"{workload} {scenario}"


def cells(runs: Iterable[Run], *workloads: str) -> list[Cell]:
    """The cells of these workloads, of all workloads where none is named."""
    runs = list(runs)
    found = []
    ambiguous, names = _ambiguous(runs), joint_labels(runs)
    for run in runs:
        datasets, ran = _datasets(run), machines_that_ran(run)
        commits = _only(run, _commit)
        for record in run.records:
            if workloads and workload_of(record) not in workloads:
                continue
            asked = str(record.config.get("dataset", "unknown"))
            known = dataset_label(_dataset(record) or datasets.get(asked, asked))
            if known in ambiguous:
                known += f" #{_sequence_hash(record) or 'unknown'}"
            machine = _machine(ran.get(place_of(record), {})) or _machine(record.machine)
            machine = machine or "machine unknown"
            commit = _commit(record) or (commits[0] if len(commits) == 1 else _short(run.commit))
            facets = _facets(record, dataset=known, machine=machine, commit=commit)
            found.append(Cell(run, record, {"run": names[run.label]} | facets))
    return found


def settings(record: Record) -> dict[str, str]:
    """The workload's own settings and the kernel asked for, as texts."""
    own = {name: value for name, value in record.config.items() if name not in _NAMED}
    for name in [name for name, value in own.items() if isinstance(value, dict)]:
        own |= own.pop(name)
    own["kernel"] = record.config.get("backend")
    return {name: str(value) for name, value in own.items() if value is not None}


def machine_text(machine: dict[str, Any]) -> str:
    """ "EPYC 9V74, 2 cores, NVIDIA H100", as far as it is known."""
    if not machine:
        return ""
    on_gpu = str(machine.get("device", "cuda")).startswith("cuda")
    gpus = machine.get("gpus") if on_gpu else None
    names = [str(gpu.get("name")) for gpu in gpus if isinstance(gpu, dict)] if gpus else []
    kinds = [f"{names.count(name)}x {name}" for name in dict.fromkeys(names)]
    cores = machine.get("physical_cores")
    processor = str(machine.get("cpu_model") or "unknown processor")
    parts = [processor, f"{cores} core{'' if cores == 1 else 's'}" if cores else "", *kinds]
    return one_line(", ".join(part for part in parts if part), 90)


def _facets(record: Record, *, dataset: str, machine: str, commit: str) -> dict[str, str]:
    config = record.config
    batch, threads = config.get("batch_size"), config.get("threads")
    return {
        "dataset": dataset,
        "machine": machine,
        "commit": f"commit {commit}",
        "device": one_line(str(config.get("device") or "cpu"), 16),
        "dtype": one_line(str(config.get("dtype") or "dtype unknown"), 16),
        "batch": f"batch {one_line(str(batch), 12)}" if batch is not None else "batch unknown",
        "threads": _threads(threads),
        "objective": one_line(str(config.get("objective") or "none"), 16),
    }


def _threads(threads: Any) -> str:
    if threads is None:
        return "threads unknown"
    return "1 thread" if threads == 1 else f"{one_line(str(threads), 12)} threads"


def _commit(record: Record) -> str:
    """The commit that the record was measured at, a full hash cut to ten digits; or ""."""
    commit = one_line(str(record.machine.get("commit") or ""), 60)
    return _short(commit)


def _short(commit: str) -> str:
    return commit[:10] if re.fullmatch("[0-9a-f]{40}", commit) else one_line(commit, 24)


def _dataset(record: Record) -> str | None:
    name = record.resolved.get("dataset") or record.data.get("name")
    return str(name) if name else None


def _datasets(run: Run) -> dict[str, str]:
    """What each data set asked for became in this run, where it became one thing only."""
    became: dict[str, set[str]] = {}
    for record in run.records:
        name = _dataset(record)
        if name:
            became.setdefault(str(record.config.get("dataset")), set()).add(name)
    return {asked: names.pop() for asked, names in became.items() if len(names) == 1}


def _ambiguous(runs: list[Run]) -> set[str]:
    """Names under which more than one set of sequences was used at the same L."""
    seen: dict[tuple[str, int], set[str]] = {}
    for record in (record for run in runs for record in run.records):
        name, sequence_hash = _dataset(record), _sequence_hash(record)
        if name and sequence_hash:
            key = (dataset_label(name), int(record.config["seq_len"]))
            seen.setdefault(key, set()).add(sequence_hash)
    return {name for (name, _), hashes in seen.items() if len(hashes) > 1}


def _sequence_hash(record: Record) -> str:
    return one_line(str(record.data.get("sequence_hash") or "")[:8], 8)


def _machine(machine: dict[str, Any]) -> str:
    text = machine_text(machine)
    fingerprint = str(machine.get("fingerprint") or "")
    return f"{text} [{one_line(fingerprint[-12:], 12)}]" if text and fingerprint else text


def _only(run: Run, text_of: Callable[[Record], str]) -> list[str]:
    """The different texts in a run's records; one alone also holds for records without."""
    return sorted({text for record in run.records if (text := text_of(record))})
