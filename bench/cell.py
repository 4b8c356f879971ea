"""A cell: one combination of model, workload, dataset and settings, and the unit of everything
measured.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.batches import Objective  # only its name: importing it brings torch


@dataclass(frozen=True)
class Cell:
    """One combination: hashable, plain values only, with a readable id.

    Args:
        rounds: times that the timed block is repeated.
        round_seconds: a round stops after about so long and is scaled up to an epoch; None: whole
            epochs. Requests one after the other go on for so long, and rounds of ranking together
            (bench/latency.py and timing.py say how many at the most).
        requests: timed requests, for latency, at the least, of each process.
        processes: fresh ones, one after the other, whose latencies are pooled (bench/pool.py).
        scenario: how requests come: single_stream, offline or server (see bench/matrix.py).
        rate: for `server`, requests a second; None for the highest that keeps the target.
        latency_target: for `server`, seconds that p99 may take.
        compile: mode of torch.compile, or none.
        max_epochs, patience: for `fit`, in epochs.
        min_count: k of the k-core filter.
        options: the model's own settings that differ from its defaults.
    """

    model: str
    workload: str
    dataset: str
    objective: Objective
    seq_len: int
    batch_size: int
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    backend: str = "auto"
    compile: str = "none"
    seed: int = 0
    rounds: int = 3
    round_seconds: float | None = None
    requests: int = 0
    processes: int = 1
    max_epochs: int = 0
    patience: int = 0
    min_count: int = 5
    scenario: str = "single_stream"
    rate: float | None = None
    latency_target: float | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def cell_id(self) -> str:
        """Such as "mamba4rec-ml_1m-train_epoch-all-L200-B256-cpu2-auto"; unique within a suite."""
        where = f"{self.device.replace(':', '')}{self.threads if self.device == 'cpu' else ''}"
        parts = [self.model, _slug(self.dataset), self.workload]
        if self.workload in ("train_epoch", "fit", "capacity"):
            parts.append(self.objective)
        parts += [f"L{self.seq_len}", f"B{self.batch_size}", where, self.backend]
        if self.scenario != "single_stream":
            parts.append(self._scenario_part())
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.compile != "none":
            parts.append(f"compile_{self.compile}")
        if self.workload == "fit" or self.seed:
            parts.append(f"s{self.seed}")
        return "-".join(parts)

    def _scenario_part(self) -> str:
        """Such as "offline", "server_200rps" or "server_p99_10ms"."""
        part = self.scenario
        if self.rate is not None:
            part += f"_{self.rate:g}rps"
        if self.latency_target is not None:
            part += f"_p99_{self.latency_target * 1e3:g}ms"
        return part.replace(".", "_").replace("+", "")

    @property
    def key(self) -> str:
        """sha256-16 of the canonical config."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Cell:
        return cls(**(content | {"options": tuple(content["options"].items())}))


def _slug(dataset: str) -> str:
    """A dataset's name, or for a path its stem and a short hash of the whole path."""
    if re.fullmatch(r"\w+", dataset):
        return dataset
    stem = re.sub(r"\W+", "_", dataset.rsplit("/", 1)[-1].split(".")[0])[:40]
    name = dataset.encode("utf-8", "surrogateescape")  # as file systems have it
    return f"{stem}_{hashlib.sha256(name).hexdigest()[:4]}"
