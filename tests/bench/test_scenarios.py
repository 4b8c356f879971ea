"""Scenarios from the command line to the records, in real workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cell import Cell
from bench.matrix import SCENARIOS, Choices, cells_of
from bench.options import OptionError, Options
from bench.raw import read_raw
from bench.session import Session
from bench.suites import SUITES
from measure.histogram import Histogram
from measure.record import Record, loads

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run of both other scenarios; its folder of cells."""
    folder = tmp_path_factory.mktemp("scenarios")
    command = [
        sys.executable, "-m", "pytest", "bench/", f"--results-dir={folder}", "--suite=smoke",
        "-p", "no:cacheprovider", "--scenario=server,offline", "--model=gru4rec",
        "--latency-target=60000", "--requests=400",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=dict(os.environ) | {"SEQREC_CACHE": str(folder / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "throughput_at_p99" in done.stdout
    return next(folder.glob("smoke-*"))


def record(run: Path, ending: str) -> Record:
    (path,) = run.glob(f"cells/*{ending}.json")
    return loads(path.read_bytes())


@pytest.mark.parametrize("workload", ["recommend", "serve_step"])
def test_a_server_cell_has_latencies_from_arrival_and_a_throughput(
    run: Path, workload: str
) -> None:
    found = record(run, f"{workload}-L16-B1-*server_p99_60000ms")
    assert found.status == "ok", found.reason
    assert {"latency_p50", "latency_p99", "utilization", "service_p50"} <= set(found.metrics)
    throughput = found.metrics["throughput_at_p99"]
    assert throughput.value is not None, "a minute is enough for 400 requests"
    assert "memory_peak" not in found.metrics  # that of one request is the single stream's
    series = read_raw(run / "raw" / f"{found.cell_id}.npz")
    waited = series["latency"] - series["service"]
    assert waited.min() > -1e-9
    histogram = Histogram.from_dict(found.histograms["latency"])
    assert histogram.total == len(series["latency"]) <= 400
    assert found.resolved["serving"] == (
        "recompute" if workload == "recommend" else "recurrent_state"
    )
    assert ("users_per_gb" in found.metrics) == (workload == "serve_step")


def test_an_offline_cell_has_users_per_second_at_its_best_batch(run: Path) -> None:
    found = record(run, "offline")
    assert found.status == "ok", found.reason
    tried = found.resolved["users_per_second_by_batch"]
    assert str(int(found.value("best_batch") or 0)) in tried
    assert (found.value("users_per_second") or 0) > 0
    assert len(found.samples["time_per_1k_users"]) == found.config["rounds"]


def test_a_scenario_is_part_of_the_id_and_only_where_it_makes_sense() -> None:
    choices = Choices(models=("sasrec",), scenarios=("single_stream", "offline", "server"))
    cells = cells_of(SUITES["smoke"], choices)
    assert [(c.workload, c.scenario) for c in cells] == [
        (workload, scenario) for workload, has in SCENARIOS.items() for scenario in has
    ]
    by_scenario = {c.scenario: c for c in cells if c.workload == "recommend"}
    assert by_scenario["offline"].cell_id.endswith("-B1024-cpu1-auto-offline")
    assert by_scenario["server"].requests == 3000
    assert by_scenario["single_stream"].requests == 60


def test_a_scenario_is_taken_from_where_the_suite_has_it() -> None:
    cells = cells_of(SUITES["serving"], Choices(models=("sasrec",), scenarios=("server",)))
    own = cells_of(SUITES["serving"], Choices(models=("sasrec",)))
    assert cells == [c for c in own if c.scenario == "server"]
    everywhere = cells_of(SUITES["quick"], Choices(models=("sasrec",), scenarios=("server",)))
    assert [(c.workload, c.seq_len) for c in everywhere] == [
        ("recommend", 50), ("recommend", 100), ("recommend", 200),
        ("serve_step", 50), ("serve_step", 200),
    ]  # fmt: skip


def test_a_rate_and_a_target_are_the_servers_alone_and_exclude_each_other() -> None:
    both = Choices(models=("sasrec",), scenarios=("single_stream", "server"), rate=12.5)
    single, server = cells_of(SUITES["smoke"], both)[:2]
    assert (single.rate, server.rate, server.latency_target) == (None, 12.5, None)
    assert server.cell_id.endswith("server_12_5rps")
    target = [c for c in cells_of(SUITES["serving"], Choices()) if c.scenario == "server"]
    assert {c.latency_target for c in target} == {0.01}
    assert Cell.from_dict(server.to_dict()) == server


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scenario": "batch"}, "--scenario 'batch': choose from offline, server, single_stream"),
        ({"rate": "0"}, "--rate '0': a number of requests a second above 0"),
        ({"latency_target": "fast"}, "--latency-target 'fast': a number of milliseconds above 0"),
        ({"rate": "5", "latency_target": "5"}, "--rate 5 with --latency-target: one of the two"),
        ({"requests": "0"}, "--requests '0': whole numbers from 1"),
    ],
)
def test_wrong_loads_are_refused(
    options: Callable[..., Options], given: dict[str, str], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        options(**given)
    assert str(caught.value).startswith(message)


def test_a_rate_without_a_server_is_refused(options: Callable[..., Options]) -> None:
    with pytest.raises(OptionError, match="--rate: no cell is served under load; add --scenario"):
        Session.prepare(options(suite="smoke", rate="5"))
