"""Made-up runs: four models over several lengths, with cells that failed, in both forms of input.

The numbers follow a rule (see `seconds`), so that a test can say what a figure must show. One
suite of everything takes a few milliseconds to make; nothing here runs a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from measure.record import Metric, Record, dumps, not_measured

MODELS = ("mamba4rec", "sasrec", "bert4rec", "gru4rec")
SPEED = {"mamba4rec": 1.6, "sasrec": 1.0, "bert4rec": 1.3, "gru4rec": 0.7}
NDCG = {"mamba4rec": 0.152, "sasrec": 0.146, "bert4rec": 0.131, "gru4rec": 0.128}
MIB = 2**20
MACHINE = {
    "cpu_model": "EPYC 9V74",
    "physical_cores": 2,
    "gpus": [],
    "torch": "2.13.0",
    "python": "3.11.7",
    "fingerprint": "linux-x86_64-epyc9v74-2c-cpu-1a2b3c4d5e6f",
    "commit": "abc1234",
}
DATA = {
    "name": "ml_100k",
    "num_users": 943,
    "num_items": 1349,
    "num_events": 99287,
    "sequence_hash": "5f0c2a9e77aa",
    "source": "official archive",
}
DATA_OTHER = DATA | {"sequence_hash": "000000000000"}


def seconds(model: str, seq_len: int) -> float:
    """The made-up epoch time: linear in L, quadratic for attention."""
    quadratic = 1 + seq_len / 400 if model in ("sasrec", "bert4rec") else 1.0
    return SPEED[model] * seq_len / 50 * quadratic if model in SPEED else seq_len / 50


def time(value: float, n: int = 3) -> Metric:
    return Metric(value, "s", "lower", "time", "median of perf_counter_ns", n=n)


def fact(value: float, unit: str = "1", kind: str = "deterministic") -> Metric:
    return Metric(value, unit, "none", kind, "counted")


def record(model: str, workload: str, seq_len: int, **changes: Any) -> Record:
    """A cell's record; config keys, and any field of Record, may be changed by name."""
    config = {
        "model": model,
        "workload": workload,
        "dataset": "ml_100k",
        "objective": "cloze" if model == "bert4rec" else "all",
        "seq_len": seq_len,
        "batch_size": 1 if workload in ("recommend", "serve_step") else 256,
        "dtype": "float32",
        "device": "cpu",
        "threads": 2,
        "backend": "auto",
        "seed": 0,
    }
    fields = {name for name in Record.__dataclass_fields__ if name != "config"}
    config |= {name: value for name, value in changes.items() if name not in fields}
    given = {name: value for name, value in changes.items() if name in fields}
    backend = "numba" if model == "mamba4rec" else "sdpa"
    standard: dict[str, Any] = {
        "cell_id": f"{model}-{workload}-L{seq_len}-s{config['seed']}",
        "key": f"{model}{workload}{seq_len}{config['seed']}",
        "status": "ok",
        "resolved": {"backend": backend, "dataset": "ml_100k", "dataset_reason": "found here"},
        "machine": MACHINE,
        "data": DATA,
        "started": "2026-05-03T10:00:00+00:00",
    }
    if given.get("status", "ok") != "ok":
        standard |= {"resolved": {}, "machine": {}, "data": {}}
    return Record(**(standard | {"config": config} | given))


def train(model: str, seq_len: int, **changes: Any) -> Record:
    epoch = seconds(model, seq_len)
    raised = {
        "baseline": 240.0,
        "weights": 1.0,
        "batch": 0.02 * seq_len,
        "forward": 1.1 * seq_len,
        "backward": 0.5 * seq_len,
        "optimizer": 2.0,
    }
    metrics = {
        "epoch_time": time(epoch),
        "samples_per_second": fact(943 / epoch, "1/s", "time"),
        "params": fact(120_000 + 64 * seq_len),
        "memory_peak": fact(
            (sum(raised.values()) - raised["baseline"]) * MIB, "B", "memory_physical"
        ),
    }
    metrics |= {
        f"memory_{name}": fact(mib * MIB, "B", "memory_physical") for name, mib in raised.items()
    }
    metrics |= roofline(epoch, 2e8 * seq_len)
    metrics |= shares(model, seq_len)
    return record(model, "train_epoch", seq_len, **({"metrics": metrics} | changes))


def shares(model: str, seq_len: int) -> dict[str, Metric]:
    """Parts of a step: what mixes events grows with L, from 20% at L = 50."""
    mixer = {"gru4rec": "recurrence", "mamba4rec": "scan"}.get(model, "attention")
    mixed = 1 - 40 / seq_len if seq_len >= 50 else 0.2
    parts = {mixer: mixed, "norm": 0.25 * (1 - mixed), "dropout": 0.25 * (1 - mixed)}
    parts["rest"] = 1 - sum(parts.values())
    return {f"share_{name}": fact(value, "1", "derived") for name, value in parts.items()}


def roofline(seconds: float, flops: float) -> dict[str, Metric]:
    """A cost at 4 FLOP a byte, and shares of a made-up peak of 90 GFLOP/s and 30 GB/s."""
    return {
        "flops": fact(flops, "FLOP"),
        "traffic_bytes": fact(flops / 4, "B"),
        "mfu": fact(flops / seconds / 9e10, "1", "derived"),
        "mbu": fact(flops / 4 / seconds / 3e10, "1", "derived"),
    }


def serve(model: str, workload: str, seq_len: int, **changes: Any) -> Record:
    median = (
        seconds(model, seq_len) / 1000 if workload == "recommend" else 4e-4 * SPEED.get(model, 1)
    )
    p95 = Metric(median * 1.4, "s", "lower", "tail", "quantile", n=500)
    if workload == "recommend" and model == "gru4rec" and seq_len == 50:
        p95 = not_measured("40 samples; 59 are needed", unit="s", better="lower", kind="tail")
    p99 = Metric(median * 2, "s", "lower", "tail", "quantile", n=500)
    metrics = {"latency_p50": time(median, 500), "latency_p95": p95, "latency_p99": p99}
    metrics |= roofline(median, 2e5 * seq_len)
    return record(model, workload, seq_len, **({"metrics": metrics} | changes))


def fit(model: str, seq_len: int, seed: int, **changes: Any) -> Record:
    epoch = seconds(model, seq_len)
    ndcg = NDCG.get(model, 0.12) + 0.004 * (seq_len > 50) + 0.002 * (seed - 1)
    valid = [ndcg * (1 - 0.7 * 0.75**epoch_no) for epoch_no in range(12)]
    metrics = {
        "epoch_time": time(epoch),
        "fit_time": time(12 * epoch),
        **{
            name: Metric(value, "1", "higher", "accuracy", "full ranking", n=943)
            for name, value in (("ndcg@10", ndcg), ("hr@10", 1.9 * ndcg), ("mrr@10", 0.7 * ndcg))
        },
    }
    samples = {"valid_ndcg@10": valid, "seconds": [epoch * (no + 1) for no in range(12)]}
    changes = {"metrics": metrics, "samples": samples, "seed": seed, "max_epochs": 12} | changes
    return record(model, "fit", seq_len, **changes)


def suite(
    lengths: tuple[int, ...] = (50, 100, 200), models: tuple[str, ...] = MODELS
) -> list[Record]:
    """Everything the suite measures, with an extrapolated, a killed, a slow and a missing cell."""
    records = []
    longest = max(lengths)
    for model in models:
        for seq_len in lengths:
            last = seq_len == longest and len(lengths) > 1
            flags = ["extrapolated"] if model == "mamba4rec" and last else []
            failed = {"status": "oom", "reason": "the worker was killed at 7.6 GiB", "metrics": {}}
            records.append(
                train(
                    model, seq_len, **(failed if model == "bert4rec" and last else {}), flags=flags
                )
            )
            records.append(serve(model, "recommend", seq_len))
            if model == "bert4rec":
                reason = "no step(): attention in both directions sees every event again"
                gone = {"status": "unsupported", "reason": reason, "metrics": {}}
                records.append(serve(model, "serve_step", seq_len, **gone))
            else:
                records.append(serve(model, "serve_step", seq_len))
            for seed in range(3):
                slow = {"status": "timeout", "reason": "no end after 300 s", "metrics": {}}
                late = model == "sasrec" and last and seed == 2
                records.append(fit(model, seq_len, seed, **(slow if late else {})))
    return records


def content(records: list[Record], **changes: Any) -> dict[str, Any]:
    """The suite's part of the benchmark JSON."""
    standard = {
        "schema": "seqrec-bench/run/1",
        "suite": "quick",
        "run_id": "quick-1",
        "dataset_line": "ML-100K: the official archive, since ML-1M was not found",
        "argv": ["bench/"],
        "commit": "abc1234",
        "machine": MACHINE,
        "records": [record.to_dict() for record in records],
    }
    return standard | changes


def write_json(path: Path, records: list[Record], **changes: Any) -> Path:
    whole = {"machine_info": {}, "benchmarks": [], "seqrec_bench": content(records, **changes)}
    path.write_text(json.dumps(whole))
    return path


def write_folder(path: Path, records: list[Record], **changes: Any) -> Path:
    (path / "cells").mkdir(parents=True)
    manifest = content(records, **changes)
    del manifest["records"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    for place, entry in enumerate(records):
        (path / "cells" / f"{place:03}-{entry.key[:40]}.json").write_text(dumps(entry))
    return path


def line_of(axes: Any, label: str) -> Any:
    """The one line of that label; its data are x and y."""
    found = [line for line in axes.get_lines() if line.get_label() == label]
    assert len(found) == 1, [line.get_label() for line in axes.get_lines()]
    return found[0]


def joined(figure: Any) -> str:
    """All small print of a figure in one line, since a long note is wrapped."""
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


@pytest.fixture
def made() -> Any:
    """The makers above, for tests: `made.suite()`, `made.write_json(path, records)`, ..."""
    return SimpleNamespace(**globals())


@pytest.fixture
def run_json(tmp_path: Path) -> Callable[..., Path]:
    """Writes records to run.json and gives its path."""

    def write(records: list[Record] | None = None, **changes: Any) -> Path:
        return write_json(tmp_path / "run.json", suite() if records is None else records, **changes)

    return write
