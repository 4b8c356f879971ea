"""What a worker found out about its cell, before the parent makes a record of it."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.gate import pass_gate
from measure.clock import now
from measure.contention import Contention
from measure.record import Metric, Status
from measure.telemetry import telemetry

# Which samples of a record become the rounds of its benchmark.
SAMPLES = {
    "train_epoch": "epoch_time",
    "recommend": "latency_block_p50",
    "serve_step": "latency_block_p50",
    "rank_all": "rank_time",
    "fit": "epoch_time",
    "load": "load_time",
    "capacity": "probe_time",
}


def played_back(config: Mapping[str, Any]) -> str:
    """The name of the samples of a cell that ended well which become its benchmark's rounds."""
    offline = config.get("scenario") == "offline"
    return "time_per_1k_users" if offline else SAMPLES[config["workload"]]


@dataclass
class Findings:
    """Metrics and their samples; `raw` holds long series of seconds, kept beside the record,
    `histograms` the same in short (measure/histogram.py).

    `phases` says how many seconds the worker spent on what (bench/overhead.py), `loading` on what
    before its gate.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)
    histograms: dict[str, dict[str, Any]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    telemetry: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    status: Status = "ok"
    reason: str | None = None
    details: str | None = None
    oom: dict[str, Any] | None = None
    phases: dict[str, float] = field(default_factory=dict)
    loading: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._within: list[float] = []  # per open phase: seconds of the phases inside it
        self._stages: list[str] = []
        self._bell: int | None = None  # to ring with before each round
        self._reading: Contention | None = None  # of the block that is watched
        self.failed_in: str | None = None  # the innermost phase that raised
        self.stage_file: int | None = None  # where a parent reads what its dead worker was doing

    @contextmanager
    def watched(self, device: str) -> Iterator[None]:
        """The block is what is measured: its seconds, and what happened to the machine in it.
        `resolved["garbage_collector"]` says whether Python's was on.
        """
        self.resolved["garbage_collector"] = "on" if gc.isenabled() else "off"
        with self.phase("measured"), telemetry(device) as seen:
            self._reading = seen.contention
            yield
        self.flags += [flag for flag in seen.flags if flag not in self.flags]
        self.telemetry = seen.to_dict()

    def turn(self) -> None:
        """Before each round of what is watched: where another is measured by turns with this one,
        sleep until the turn has come. `resolved["turns"]` counts them. There are none after the
        gate was opened for all that is left.
        """
        if self._bell is not None and self._reading is not None:
            with self.phase("gate"), self._reading.apart():
                another = pass_gate(self._bell)
            if another:
                self.resolved["turns"] = self.resolved.get("turns", 0) + 1
            else:
                self._bell = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """The block's seconds, without those of phases inside it, are added to `phases[name]`."""
        self._within.append(0.0)
        self._stages.append(name)
        self._tell_stage()
        start = now()
        try:
            yield
        except BaseException:
            self.failed_in = self.failed_in or name
            raise
        finally:
            self._stages.pop()
            self._tell_stage()
            took = now() - start
            self.phases[name] = self.phases.get(name, 0.0) + took - self._within.pop()
            if self._within:
                self._within[-1] += took

    def pass_gate(self, bell: int | None) -> None:
        """Sleep until the parent opens (bench/gate.py); what was until then was loading."""
        self.loading = dict(self.phases)
        with self.phase("gate"):
            self._bell = bell if pass_gate(bell) else None

    def _tell_stage(self) -> None:
        if self.stage_file is not None and self._stages:
            with contextlib.suppress(OSError):
                os.pwrite(self.stage_file, self._stages[-1].ljust(32).encode(), 0)


def fact(value: float, unit: str, method: str, *, better: str = "lower") -> Metric:
    """A number that is the same on every machine."""
    return Metric(value, unit, better, "deterministic", method)
