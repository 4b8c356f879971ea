"""Made-up blocks of one cell, as a comparison in turn gives them."""

from __future__ import annotations

import dataclasses

from measure.record import Metric, Record

CELL = "gru4rec-made_up-recommend-L50-B1-cpu1-auto"
P50 = Metric(1e-3, "s", "lower", "time", "made up")


@dataclasses.dataclass
class Pair:
    base: Record
    head: Record


def record(value: float, status: str = "ok", *, cell: str = CELL, **more: Metric) -> Record:
    metrics = {"latency_p50": dataclasses.replace(P50, value=value), **more}
    metrics["params"] = Metric(7, "1", "lower", "deterministic", "counted")
    reason = None if status == "ok" else "as planned"
    return Record(cell, "key", {}, status, reason, metrics=metrics)  # type: ignore[arg-type]


def pairs(count: int, change: float, *, start: int = 0) -> list[Pair]:
    """Blocks of about 1 ms that differ by a little from pair to pair."""
    wobble = [1 + 0.002 * ((7 * (start + i)) % 5 - 2) for i in range(count)]
    return [Pair(record(1e-3), record(1e-3 * w * (1 + change))) for w in wobble]
