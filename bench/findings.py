"""What a worker found out about its cell, before the parent makes a record of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from measure.record import Metric, Status


@dataclass
class Findings:
    """Metrics and their samples; `raw` holds long series of seconds, kept beside the record."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    resolved: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    status: Status = "ok"
    reason: str | None = None
    details: str | None = None


def fact(value: float, unit: str, method: str, *, better: str = "lower") -> Metric:
    """A number that is the same on every machine."""
    return Metric(value, unit, better, "deterministic", method)
