"""The whole way, as a user goes it: measure, stop, go on, read."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.raw import read_raw
from measure.record import loads
from report.load import load_runs
from report.significance import contrasts
from tests.bench.suite_run import ROOT, records_of, start


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole smoke run with its benchmark JSON; the folder in which it lies."""
    folder = tmp_path_factory.mktemp("smoke")
    done = start(folder, f"--benchmark-json={folder / 'run.json'}", "--suite=smoke")
    out, _ = done.communicate(timeout=400)
    assert done.returncode == 0, out
    (folder / "out.txt").write_text(out)
    return folder


def test_every_cell_has_a_record_and_only_the_impossible_is_not_ok(finished: Path) -> None:
    records = records_of(finished)
    manifest = json.loads((finished / "run.json").read_text())["seqrec_bench"]
    assert sorted(records) == sorted(manifest["cells"])
    assert manifest["schema"] == "seqrec-bench/run/1"
    not_ok = {r.config["model"]: (r.status, r.reason) for r in records.values() if r.status != "ok"}
    assert set(not_ok) == {"bert4rec"}
    assert not_ok["bert4rec"][0] == "unsupported"
    assert "recompute with encode" in (not_ok["bert4rec"][1] or "")


def test_the_records_say_what_ran_where_and_on_what(finished: Path) -> None:
    for record in records_of(finished).values():
        assert record.machine["fingerprint"]
        assert record.wall_s > 0
        if record.status == "ok":
            assert record.data["sequence_hash"]
            assert record.resolved["allocator"].startswith("glibc, memory kept")
            assert record.resolved["deterministic"] is False
            served = record.config["workload"] in ("recommend", "serve_step")
            assert record.resolved["garbage_collector"].startswith("off" if served else "on")
    backends = {r.config["model"]: r.resolved.get("backend") for r in records_of(finished).values()}
    assert backends["mamba4rec"] == "numba"
    assert backends["sasrec"] == "numba"


def test_each_workload_gives_its_metrics(finished: Path) -> None:
    expected = {
        "train_epoch": {"epoch_time", "samples_per_second", "items_per_second", "memory_peak"},
        "recommend": {"latency_p50", "latency_p90", "latency_p95", "latency_p99", "memory_peak"},
        "serve_step": {"latency_p50", "state_bytes"},
        "rank_all": {"rank_time", "users_per_second", "memory_peak"},
        "fit": {"hr@10", "ndcg@10", "mrr@10", "fit_time", "epochs"},
        "load": {"load_time", "open_time", "first_batch_time", "memory_peak"},
    }
    seen = set()
    for record in records_of(finished).values():
        if record.status == "ok":
            seen.add(record.config["workload"])
            assert expected[record.config["workload"]] <= set(record.metrics), record.cell_id
    assert seen == set(expected)


def test_the_machines_peak_is_measured_once_and_cells_are_held_against_it(finished: Path) -> None:
    (path,) = finished.glob("results/*/peaks-*.json")
    assert len(json.loads(path.read_text())) == 1
    for record in records_of(finished).values():
        if record.status == "ok" and record.config["workload"] not in ("fit", "load"):
            assert record.metrics["roofline_fraction"].value, record.cell_id
            assert record.metrics["mfu"].peak_source == "measured_triad+gemm"
            assert any(name.startswith("energy_per_") for name in record.metrics)
            assert record.telemetry["before"]


def test_percentiles_need_enough_requests(finished: Path) -> None:
    record = next(r for r in records_of(finished).values() if r.config["workload"] == "recommend")
    assert record.metrics["latency_p95"].value is not None  # 60 requests
    assert record.metrics["latency_p99"].value is None
    assert "299" in (record.metrics["latency_p99"].reason or "")


def test_memory_by_phase_adds_up_to_its_peak(finished: Path) -> None:
    for record in records_of(finished).values():
        if record.config["workload"] != "train_epoch":
            continue
        names = ("weights", "batch", "forward", "backward", "optimizer")
        parts = sum(record.metrics[f"memory_{name}"].value or 0 for name in names)
        assert parts == record.metrics["memory_peak"].value


def test_the_json_is_pytest_benchmarks_own(finished: Path) -> None:
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(finished / "run.json")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "test_train_epoch[sasrec-synthetic_u60_i50_n20-train_epoch-all-L8" in shown.stdout
    content = json.loads((finished / "run.json").read_text())
    row = next(b for b in content["benchmarks"] if "train_epoch-all-L8" in b["name"])
    record = records_of(finished)[row["extra_info"]["cell_id"]]
    assert row["stats"]["data"] == pytest.approx(record.samples["epoch_time"])


def test_the_first_line_says_which_data_and_the_next_how_long(finished: Path) -> None:
    out = (finished / "out.txt").read_text()
    assert out.startswith("data: synthetic_u60_i50_n20, 60 users, 50 items")
    assert re.search(r"suite smoke: \d+ cells to measure, about ", out)
    assert "\x1b" not in out  # no bar where there is no terminal


def test_the_last_lines_say_where_the_seconds_went(finished: Path) -> None:
    out = (finished / "out.txt").read_text()
    parts = ("measured", "warm-up and imports", "checks", "repeats", "suite itself")
    assert re.search(r"\d+ s: " + ", ".join(rf"{part} \d+%" for part in parts), out)
    overhead = json.loads((finished / "run.json").read_text())["seqrec_bench"]["overhead"]
    assert overhead.pop("total") == pytest.approx(sum(overhead.values()))
    assert overhead.pop("repeats") == 0 < min(overhead.values())
    manifest = json.loads(next(finished.glob("results/*/manifest.json")).read_text())
    assert manifest["overhead"]["measured"] == overhead["measured"]


def test_trained_weights_are_kept_and_load(finished: Path) -> None:
    from models import weights

    paths = sorted(finished.glob("results/*/weights/*.pt"))
    assert len(paths) == 4
    for path in paths:
        assert weights.load(path).num_items == 50


def test_the_ranks_of_users_lie_beside_each_fit(finished: Path) -> None:
    (run,) = (finished / "results").glob("smoke-*")
    fits = [r for r in records_of(finished).values() if r.config["workload"] == "fit"]
    for record in (r for r in fits if r.status == "ok"):
        ranks = read_raw(run / "raw" / f"{record.cell_id}.npz")["test_rank"]
        assert float((ranks <= 10).mean()) == pytest.approx(record.value("hr@10"))
    (seen,) = contrasts(load_runs([run]))[:1]
    assert seen.users is not None, seen.why_no_users


def test_the_figures_are_drawn_from_it_without_torch(finished: Path) -> None:
    code = (
        "import sys, plot_results; code = plot_results.main(sys.argv[1:]);"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    drawn = subprocess.run(
        [sys.executable, "-c", code, str(finished / "run.json"), "--out", str(finished / "plots")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert drawn.returncode == 0, drawn.stderr
    assert (finished / "plots" / "epoch_time.png").stat().st_size > 10_000
    assert (finished / "plots" / "epoch_time.svg").exists()


def test_a_finished_run_is_left_alone_by_the_next(finished: Path) -> None:
    before = snapshot(finished)
    arguments = ("--suite=smoke", "-k", "gru4rec and recommend")
    out, _ = start(finished, *arguments).communicate(timeout=100)
    assert "1 cells to measure" in out
    assert {name: data for name, data in snapshot(finished).items() if name in before} == before


def snapshot(folder: Path) -> dict[str, bytes]:
    paths = sorted(folder.glob("results/*/cells/*.json"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_killed_run_keeps_every_finished_cell_byte_for_byte_and_goes_on(tmp_path: Path) -> None:
    arguments = ("--suite=smoke", "--model=gru4rec", "--workload=fit,recommend,train_epoch")
    first = start(tmp_path, *arguments)
    deadline = time.monotonic() + 120
    while len(snapshot(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(first.pid).children()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive, "a worker outlived the suite"
    kept = snapshot(tmp_path)
    assert len(kept) >= 2
    out, _ = start(tmp_path, *arguments).communicate(timeout=200)
    after = snapshot(tmp_path)
    assert f"{len(kept)} finished cells are kept" in out
    assert {name: after[name] for name in kept} == kept
    assert len(after) == 3
    assert len(list(tmp_path.glob("results/*/manifest.json"))) == 1
    assert all(loads(content).status == "ok" for content in after.values())


def test_ctrl_c_stops_soon_and_says_what_is_kept(tmp_path: Path) -> None:
    run = start(tmp_path, "--suite=smoke", "--model=gru4rec", "--workload=recommend,train_epoch")
    deadline = time.monotonic() + 120
    while not snapshot(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, _ = run.communicate(timeout=20)
    assert time.monotonic() - begun < 4  # 2 s on a machine that does nothing else: tox -e torture
    assert "the same command goes on" in out
    assert "Traceback" not in out
