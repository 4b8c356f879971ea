"""Two files in, verdicts out: matched by cell and metric, across machines, data and statuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from measure.record import Metric, Record
from report.margins import Margins
from report.two_files import compare_files
from report.verdict import Comparison, Report, Verdict

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
REFERENCE = ROOT / "results" / "reference" / "quick-ml_100k.json"


@pytest.fixture
def compared(made: Any, tmp_path: Path) -> Callable[..., dict[tuple[str, str], Comparison]]:
    """Compares two lists of records through real files; verdicts by (workload, metric)."""

    def compare(base: list[Record], head: list[Record], **changes: Any) -> dict[Any, Comparison]:
        paths = made.write_json(tmp_path / "base.json", base), tmp_path / "head.json"
        made.write_json(paths[1], head, **changes)
        report = compare_files(*paths, Margins())
        return {(c.cell_id, c.metric): c for c in report.comparisons}

    return compare


def epochs(made: Any, factor: float, spread: float = 0.01, **changes: Any) -> Record:
    rng = np.random.default_rng(int(factor * 100))
    seconds = (2.0 * factor * (1 + spread * rng.normal(size=6))).tolist()
    middle = float(np.median(seconds))
    metrics = {
        "epoch_time": Metric(middle, "s", "lower", "time", "median", n=6),
        "params": made.fact(1000),
        "memory_peak": Metric(100 * 2**20, "B", "lower", "memory_physical", "VmHWM"),
    }
    given = {"metrics": metrics, "samples": {"epoch_time": seconds}} | changes
    return made.record("sasrec", "train_epoch", 50, **given)


CELL = "sasrec-train_epoch-L50-s0"


def test_thirty_percent_more_is_red_and_nearer_is_undecided(made: Any, compared: Any) -> None:
    found = compared([epochs(made, 1.0)], [epochs(made, 1.3)])
    assert found[CELL, "epoch_time"].verdict == "REGRESSED"
    assert found[CELL, "epoch_time"].stage == "one process a side"
    assert found[CELL, "params"].verdict == "UNCHANGED"
    near = compared([epochs(made, 1.0)], [epochs(made, 1.08)])[CELL, "epoch_time"]
    assert near.verdict == "INCONCLUSIVE"
    assert "--ab" in near.decide


def test_other_machines_compare_what_is_counted_only(made: Any, compared: Any) -> None:
    other = made.MACHINE | {"fingerprint": "ffff", "cpu_model": "Xeon"}
    found = compared([epochs(made, 1.0)], [epochs(made, 2.0, machine=other)], machine=other)
    assert found[CELL, "epoch_time"].verdict == "NOT_COMPARABLE"
    assert "EPYC 9V74 and Xeon" in found[CELL, "epoch_time"].reason
    assert found[CELL, "memory_peak"].verdict == "NOT_COMPARABLE"
    assert found[CELL, "params"].verdict == "UNCHANGED"


def test_real_files_of_two_machines(tmp_path: Path) -> None:
    content = json.loads(REFERENCE.read_text())
    for record in content["seqrec_bench"]["records"]:
        record["machine"]["fingerprint"] = "0123456789ab"
        record["machine"]["cpu_model"] = "another"
        if "params" in record["metrics"] and record["config"]["model"] == "sasrec":
            record["metrics"]["params"]["value"] += 64
    (tmp_path / "other.json").write_text(json.dumps(content))
    report = compare_files(REFERENCE, tmp_path / "other.json", Margins())
    machine = [c for c in report.comparisons if c.kind in ("time", "tail", "memory_physical")]
    assert {c.verdict for c in machine} == {"NOT_COMPARABLE"}
    red = report.of(["REGRESSED"])
    assert {c.metric for c in red} == {"params"}
    assert all(c.cell_id.startswith("sasrec") for c in red)
    accuracy = [c for c in report.comparisons if c.kind == "accuracy"]
    assert len(accuracy) > 0
    assert {c.verdict for c in accuracy} == {"UNCHANGED"}


def of_two_machines(folder: Path, **params: int) -> Report:
    """Real runs on an EPYC of the fifth generation and one of the third: whole records out of
    results/reference/quick-ml_100k.json as it was in e8c7e72 and in 6baa0c2.
    """
    head = json.loads((DATA / "zen3.json").read_text())
    for record in head["seqrec_bench"]["records"]:
        if "params" in record["metrics"]:
            record["metrics"]["params"]["value"] += params.get("more_params", 0)
    (folder / "zen3.json").write_text(json.dumps(head))
    margins = Margins(ignore=("*_per_second",))
    return compare_files(DATA / "zen5.json", folder / "zen3.json", margins)


def test_of_two_real_machines_only_what_does_not_depend_on_them_is_compared(tmp_path: Path) -> None:
    report = of_two_machines(tmp_path)
    said: dict[str, set[str]] = {}
    for comparison in report.comparisons:
        said.setdefault(comparison.kind, set()).add(comparison.verdict)
    for kind in ("time", "tail", "memory_physical"):
        assert said[kind] == {"NOT_COMPARABLE"}
    assert said["deterministic"] == {"UNCHANGED"}
    accuracy = [c for c in report.comparisons if c.kind == "accuracy" and "@" in c.metric]
    assert {"hr@10", "mrr@10", "ndcg@10"} <= {c.metric for c in accuracy}
    assert all(c.verdict != "NOT_COMPARABLE" and c.base != c.head for c in accuracy)
    times = next(c for c in report.comparisons if c.metric == "epoch_time")
    assert "family 26 model 2" in times.reason
    assert "family 25 model 1" in times.reason
    assert "other machines" in report.notes[0]


def test_of_two_real_machines_one_more_parameter_is_red(tmp_path: Path) -> None:
    report = of_two_machines(tmp_path, more_params=1)
    red = report.of(["REGRESSED"])
    assert {(c.metric, c.head - c.base) for c in red} == {("params", 1)}  # type: ignore[operator]
    assert report.exit_code == 1


def test_a_setting_of_later_that_is_off_is_no_other_setting(made: Any, compared: Any) -> None:
    found = compared([epochs(made, 1.0)], [epochs(made, 1.0, compile="none")])
    assert found[CELL, "params"].verdict == "UNCHANGED"
    found = compared([epochs(made, 1.0)], [epochs(made, 1.0, compile="default")])
    assert found[CELL, "params"].reason == "other settings: compile"
    found = compared([epochs(made, 1.0, compile="default")], [epochs(made, 1.0, compile="none")])
    assert found[CELL, "params"].verdict == "NOT_COMPARABLE"


def test_other_data_and_settings_are_not_compared(made: Any, compared: Any) -> None:
    found = compared([epochs(made, 1.0)], [epochs(made, 1.0, data=made.DATA_OTHER)])
    assert {c.verdict for c in found.values()} == {"NOT_COMPARABLE"}
    found = compared([epochs(made, 1.0)], [epochs(made, 1.0, min_count=3)])
    assert "min_count" in found[CELL, "params"].reason
    found = compared([epochs(made, 1.0)], [epochs(made, 1.0, rounds=9)])
    assert found[CELL, "params"].verdict == "UNCHANGED"


def test_energies_of_two_sources_are_not_compared(made: Any, compared: Any) -> None:
    def energy(source: str) -> Record:
        joules = Metric(5.0, "J", "lower", "energy", "counter", source=source)
        return epochs(made, 1.0, metrics={"energy": joules}, samples={})

    found = compared([energy("rapl")], [energy("nvml_counter")])[CELL, "energy"]
    assert found.verdict == "NOT_COMPARABLE"
    assert "rapl and counter of nvml_counter" in found.reason
    same = compared([energy("rapl")], [energy("rapl")])[CELL, "energy"]
    assert same.verdict == "UNCHANGED"


def test_cells_come_go_and_fail(made: Any, compared: Any) -> None:
    base = [made.train("sasrec", 50), made.train("gru4rec", 50), made.train("bert4rec", 50)]
    oom = made.train("bert4rec", 50, status="oom", reason="killed <at> 8 GiB", metrics={})
    found = compared(base, [base[0], oom, made.train("mamba4rec", 50)])
    verdicts = {key: c.verdict for key, c in found.items()}
    assert verdicts["gru4rec-train_epoch-L50-s0", "cell"] == "REMOVED"
    assert verdicts["mamba4rec-train_epoch-L50-s0", "cell"] == "NEW"
    assert verdicts["bert4rec-train_epoch-L50-s0", "status"] == "OOM_NEW"
    assert verdicts["sasrec-train_epoch-L50-s0", "params"] == "UNCHANGED"


def test_seeds_of_one_cell_are_one_accuracy(made: Any, compared: Any) -> None:
    def seeds(loss: float) -> list[Record]:
        records = []
        for seed in range(3):
            value = 0.06 + 0.001 * seed - loss * (1 + 0.01 * seed)
            metric = Metric(value, "1", "higher", "accuracy", "full ranking", n=943)
            records.append(made.fit("sasrec", 50, seed, metrics={"ndcg@10": metric}, samples={}))
        return records

    assert compared(seeds(0), seeds(0.03))["sasrec-fit-L50", "ndcg@10"].verdict == "REGRESSED"
    assert compared(seeds(0), seeds(0.0001))["sasrec-fit-L50", "ndcg@10"].verdict == "UNCHANGED"


def test_a_run_folder_is_a_side(made: Any, tmp_path: Path) -> None:
    def against_itself(records: list[Any]) -> Report:
        base = made.write_folder(tmp_path / f"base-{len(records)}", records)
        head = made.write_json(tmp_path / "head.json", records)
        return compare_files(base, head, Margins())

    records = made.suite()
    report = against_itself([record for record in records if record.status != "timeout"])
    assert report.exit_code == 0
    assert set(report.counts()) <= {"UNCHANGED", "NOT_COMPARABLE"}
    # A cell that broke on both sides was not judged, and nobody may take it for a pass.
    report = against_itself(records)
    assert report.exit_code == 3
    assert {c.metric for c in report.of([Verdict.NOT_MEASURABLE])} == {"status"}


def plain(path: Path, factor: float, rounds: int = 20, **changes: Any) -> Path:
    """pytest-benchmark's JSON of another project."""
    rng = np.random.default_rng(int(100 * factor))
    data = (1e-2 * factor * (1 + 0.01 * rng.normal(size=rounds))).tolist()
    stats = {"median": float(np.median(data)), "rounds": rounds, "data": data} | changes
    entry = {"name": "test_x", "fullname": "tests/test_x.py::test_x[<b>a</b>]", "stats": stats}
    machine = {"system": "Linux", "machine": "x86_64", "cpu": {"brand_raw": "EPYC", "count": 2}}
    content = {"machine_info": machine, "commit_info": {"id": "a" * 40}, "benchmarks": [entry]}
    path.write_text(json.dumps(content))
    return path


def of_plain(tmp_path: Path, factor: float, **changes: Any) -> Report:
    base = plain(tmp_path / "base.json", 1.0)
    return compare_files(base, plain(tmp_path / "head.json", factor, **changes), Margins())


def test_any_pytest_benchmark_file_is_a_side(tmp_path: Path) -> None:
    slower = of_plain(tmp_path, 1.3)
    assert slower.exit_code == 1
    assert slower.comparisons[0].change == pytest.approx(0.3, abs=0.01)
    assert of_plain(tmp_path, 1.04).comparisons[0].verdict in ("UNCHANGED", "INCONCLUSIVE")
    assert of_plain(tmp_path, 0.7).comparisons[0].verdict == "IMPROVED"
    assert of_plain(tmp_path, 1.3, data=[]).comparisons[0].verdict == "INCONCLUSIVE"


def test_a_disturbed_process_decides_nothing(made: Any, compared: Any) -> None:
    found = compared([epochs(made, 1.0)], [epochs(made, 1.3, flags=["contended"])])
    assert found[CELL, "epoch_time"].verdict == "NOT_MEASURABLE"
    assert found[CELL, "params"].verdict == "UNCHANGED"


@pytest.mark.parametrize("there", [True, False], ids=["null", "absent"])
def test_a_head_without_a_number_that_gates_is_red(made: Any, compared: Any, there: bool) -> None:
    base, head = epochs(made, 1.0), epochs(made, 1.0)
    tail = Metric(2.5, "s", "lower", "tail", "p95", n=60)
    base = dataclasses.replace(base, metrics=base.metrics | {"latency_p95": tail})
    for name in (*head.metrics, "latency_p95"):
        if there:
            old = base.metrics[name]
            head.metrics[name] = dataclasses.replace(old, value=None, reason="the pass broke")
        else:
            head.metrics.pop(name, None)
    found = {name: c for (_, name), c in compared([base], [head]).items()}
    assert {found[name].verdict for name in ("epoch_time", "memory_peak")} == {"FAILED"}
    assert found["params"].verdict in ("REMOVED", "NOT_COMPARABLE"), "a fact, not a goal"
    assert found["epoch_time"].reason.startswith("the head no longer has it: ")
    assert ("the pass broke" in found["epoch_time"].reason) == there
    assert found["latency_p95"].verdict in ("REMOVED", "NOT_COMPARABLE")


def test_what_another_machine_has_not_is_not_lost(made: Any, compared: Any) -> None:
    other = made.MACHINE | {"fingerprint": "ffff", "cpu_model": "Xeon"}
    head = epochs(made, 1.0, machine=other)
    del head.metrics["memory_peak"]
    found = compared([epochs(made, 1.0)], [head], machine=other)
    assert found[CELL, "memory_peak"].verdict == "REMOVED"


def test_a_cell_that_died_before_it_knew_its_machine_has_that_of_its_run(
    made: Any, compared: Any
) -> None:
    """An older file's dead cell was described by a process that was not bound as the others."""
    unbound = made.MACHINE | {"fingerprint": "ffff", "physical_cores": 8}
    well = [epochs(made, 1.0), made.train("gru4rec", 50)]
    died = made.train("gru4rec", 50, status="oom", reason="limit 2 GB", machine=unbound)
    found = compared(well, [well[0], died], machine=unbound)
    assert found["gru4rec-train_epoch-L50-s0", "status"].verdict == "OOM_NEW"
