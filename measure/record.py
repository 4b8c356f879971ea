"""What one cell gave: its status, its metrics with unit, kind and method, and where it ran.

This is the one file that every part of the project agrees on: workers write records, the journal
keeps them, report/ reads them (and imports nothing else of ours). JSON only; `null` with a reason
where something was not measured, never 0 or NaN; unknown fields are ignored, an unknown schema is
refused.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

SCHEMA = "seqrec-bench/cell/1"

Status = Literal["ok", "oom", "timeout", "error", "incorrect", "unsupported", "pruned_oom"]
STATUSES: tuple[Status, ...] = get_args(Status)
BETTER = ("lower", "higher", "none")
KINDS = (
    "time",
    "tail",
    "memory_physical",
    "deterministic",
    "capacity",
    "accuracy",
    "energy",
    "derived",
)

# In the reason of a number that is none for want of samples, which a next run may have.
TOO_FEW = "needs at least"
# Flags of a cell that was measured while something else went on.
DISTURBING = ("contended", "throttled")

_OBJECTS = ("config", "resolved", "samples", "machine", "telemetry")
_TYPES: tuple[tuple[str, Any, str], ...] = (
    ("cell_id", str, "a text"),
    ("key", str, "a text"),
    ("status", str, "a text"),
    ("reason", str | None, "a text"),
    ("details", str | None, "a text"),
    ("started", str, "a text"),
    ("flags", list, "a list"),
    ("oom", dict | None, "a JSON object"),
    ("repeats", int, "a whole number"),
    *((name, dict, "a JSON object") for name in _OBJECTS),
    *((name, dict, "a JSON object") for name in ("data", "overhead", "histograms")),
)


class RecordError(ValueError):
    """A record that can't be read or may not be written; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number and how it was obtained.

    Args:
        value: in SI base units and bytes; None where it was not measured (then `reason` says why).
        unit: "s", "B", "1", "1/s", "FLOP", "J", "W".
        better: "lower", "higher" or "none" (a fact, not a goal).
        kind: one of KINDS; it decides how a difference is judged.
        method: how the number was taken, for example "median of perf_counter_ns".
        n: number of samples behind it.
        lo, hi: bounds of the value, where the method gives them.
        source: of an energy: "nvml_counter", "nvml_power_integrated", "rapl", "estimated_tdp" or
            "none"; energies of two sources are not compared.
        peak_source: of a share of the machine's limit: where the limit comes from.
        outliers: of the samples behind it, how many are "mild" and "severe" ones; they are kept.
    """

    value: float | None
    unit: str
    better: str
    kind: str
    method: str
    n: int | None = None
    lo: float | None = None
    hi: float | None = None
    reason: str | None = None
    source: str | None = None
    peak_source: str | None = None
    outliers: dict[str, int] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if self.better not in BETTER:
            raise RecordError(f"better={self.better!r}: allowed are {', '.join(BETTER)}")
        if self.kind not in KINDS:
            raise RecordError(f"kind={self.kind!r}: allowed are {', '.join(KINDS)}")
        if self.value is None and not self.reason:
            raise RecordError("a metric without a value needs a reason")
        # Written out: large files have hundreds of thousands of metrics.
        for text in (self.unit, self.method, self.reason, self.source, self.peak_source):
            if text is not None and not isinstance(text, str):
                raise RecordError(self._misfit())
        if not (self.n is None or isinstance(self.n, int)):
            raise RecordError("n of a metric is not a whole number")
        if self.outliers is not None and not _are_counts(self.outliers):
            raise RecordError("outliers of a metric are not counts of mild and severe ones")
        if not all(map(_is_number_or_none, (self.value, self.lo, self.hi))):
            given = f"value={self.value}, lo={self.lo}, hi={self.hi}"
            raise RecordError(f"{given}: only finite numbers; use None and a reason")

    def _misfit(self) -> str:
        """Which text is none."""
        given: dict[str, Any] = {name: getattr(self, name) for name in _TEXTS}
        name, value = next((n, v) for n, v in given.items() if not isinstance(v, str | None))
        return f"{name}={value!r:.40} in a metric is not a text"


_TEXTS = ("unit", "method", "reason", "source", "peak_source")
_METRIC_FIELDS = frozenset(field.name for field in dataclasses.fields(Metric))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float holds."""
    if type(value) is float:
        return math.isfinite(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _are_counts(outliers: Any) -> bool:
    if not isinstance(outliers, dict) or set(outliers) != {"mild", "severe"}:
        return False
    return all(type(count) is int and count >= 0 for count in outliers.values())


def _is_number_or_none(value: Any) -> bool:
    return value is None or is_number(value)


def not_measured(
    reason: str,
    *,
    unit: str,
    better: str,
    kind: str,
    method: str = "none",
    source: str | None = None,
    peak_source: str | None = None,
) -> Metric:
    """A metric that says why there is no number."""
    return Metric(
        None, unit, better, kind, method, reason=reason, source=source, peak_source=peak_source
    )


@dataclass(frozen=True)
class Record:
    """One cell's result.

    Args:
        cell_id: readable, such as "mamba4rec-ml_1m-train_epoch-all-L200-B128-f32-cpu2-auto-s0".
        key: sha256-16 of the canonical config; two records of one key measured the same thing.
        config: the cell as asked for: model, workload, dataset, objective, seq_len, batch_size,
            dtype, device, threads, backend, seed and the workload's own settings.
        resolved: what `auto` became: backend, dataset, dataset_reason, attention, allocator, ...
        metrics: name -> Metric.
        samples: name -> raw numbers in SI units, in the order taken (short arrays only).
        histograms: name -> counts by bucket of a long series (measure/histogram.py).
        flags: such as "extrapolated", "contended", "throttled", "noisy".
        telemetry: clocks, temperatures and load before and after; see measure/telemetry.py.
        oom: of a cell out of memory: where, phase, bytes asked, peak before, limit; None else.
        repeats: how often it was measured again for spreading too far.
        machine: see measure/machine.py. data: name, counts, sequence hash, source.
        wall_s: seconds from the start of the first worker to its end, warm-up and imports included.
        overhead: pass ("time", "memory", "repeats") -> what its workers spent their seconds on.
    """

    cell_id: str
    key: str
    config: dict[str, Any]
    status: Status
    reason: str | None = None
    resolved: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    histograms: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    telemetry: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    wall_s: float = 0.0
    overhead: dict[str, dict[str, float]] = field(default_factory=dict)
    oom: dict[str, Any] | None = None
    repeats: int = 0
    details: str | None = None
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise RecordError(f"status={self.status!r}: allowed are {', '.join(STATUSES)}")
        if self.status != "ok" and not self.reason:
            raise RecordError(f"{self.cell_id}: status {self.status} needs a reason")

    def value(self, name: str) -> float | None:
        """The metric's value, or None where it is absent or was not measured."""
        metric = self.metrics.get(name)
        return None if metric is None else metric.value

    def summary(self) -> dict[str, float | str | None]:
        """Plain numbers and strings only, for pytest-benchmark's extra_info."""
        facts: dict[str, float | str | None] = {"cell_id": self.cell_id, "status": self.status}
        return facts | {name: metric.value for name, metric in sorted(self.metrics.items())}

    def to_dict(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        for metric in content["metrics"].values():  # few metrics have these, so they are left out
            for name in ("source", "peak_source", "outliers"):
                if metric[name] is None:
                    del metric[name]
        return content


def dumps(record: Record) -> str:
    """Canonical JSON: sorted keys, no NaN, one trailing newline, so that files diff cleanly."""
    return json.dumps(record.to_dict(), sort_keys=True, indent=1, allow_nan=False) + "\n"


_RECORD_FIELDS = frozenset(field.name for field in dataclasses.fields(Record))


def loads(text: str | bytes) -> Record:
    """The record in `text`; RecordError with one line where it is not one."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not JSON: {error}") from error
    return from_dict(content)


def from_dict(content: Any) -> Record:
    """The record in a parsed JSON object; fields of later minor versions are ignored. What many
    records of a file say alike is kept once: names, units and methods.
    """
    if not isinstance(content, dict):
        raise RecordError(f"a record is a JSON object, not {type(content).__name__}")
    schema = content.get("schema")
    if schema != SCHEMA:
        raise RecordError(f"schema {schema!r} is not known; this version reads {SCHEMA}")
    try:
        metrics = {name: _metric(entry) for name, entry in content.get("metrics", {}).items()}
        fields = {name: value for name, value in content.items() if name in _RECORD_FIELDS}
        record = Record(**(fields | {"metrics": metrics}))
    except KeyError as error:
        raise RecordError(f"not a cell record: a metric without {error}") from error
    except (AttributeError, TypeError) as error:
        raise RecordError(f"not a cell record: {(str(error).splitlines() or [''])[0]}") from error
    _check_types(record)
    for part in (record.config, record.resolved):
        part.update({name: _once(value) for name, value in part.items()})
    return record


def _check_types(record: Record) -> None:
    """Refuse what would only fail later, in the middle of a run or a figure."""
    for name, kind, word in _TYPES:
        if not isinstance(getattr(record, name), kind):
            raise RecordError(f"cell {str(record.cell_id)[:80]}: {name} is not {word}")
    if not is_number(record.wall_s):
        raise RecordError(f"cell {record.cell_id}: wall_s is not a finite number")
    if not all(_are_numbers(numbers) for numbers in record.samples.values()):
        raise RecordError(f"cell {record.cell_id}: samples are not lists of finite numbers")
    if not all(isinstance(flag, str) for flag in record.flags):
        raise RecordError(f"cell {record.cell_id}: flags are not texts")
    for parts in record.overhead.values():
        if not isinstance(parts, dict) or not _are_numbers(list(parts.values())):
            raise RecordError(f"cell {record.cell_id}: overhead is not made of seconds")


def _are_numbers(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(map(is_number, numbers))


def _metric(entry: dict[str, Any]) -> Metric:
    if not entry.keys() <= _METRIC_FIELDS:
        entry = {name: entry[name] for name in entry.keys() & _METRIC_FIELDS}
    entry["better"], entry["kind"] = sys.intern(entry["better"]), sys.intern(entry["kind"])
    entry["unit"], entry["method"] = sys.intern(entry["unit"]), sys.intern(entry["method"])
    return Metric(**entry)


def _once(value: Any) -> Any:
    return sys.intern(value) if type(value) is str else value
