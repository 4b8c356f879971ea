"""Files whose manifest has the machine without the processors that workers were bound to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from report.history import append, read
from report.load import load_run
from report.margins import Margins
from report.ran_on import machine_of, machine_of_run, machines_that_ran
from report.sides import load_results
from report.two_files import compare_files
from report.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
SCALING = ROOT / "results" / "reference" / "scaling-ml_100k.json"
GONE = {"reason": "killed", "metrics": {}}


def whole(made: Any) -> dict[str, Any]:
    """The machine of a manifest, all of whose cores are there."""
    found = made.MACHINE | {"fingerprint": "whole", "fingerprint_name": "whole"}
    return dict(found | {"physical_cores": 64})


@pytest.mark.parametrize("status", ["oom", "pruned_oom", "timeout"])
@pytest.mark.parametrize("of", ["manifest", "nobody"])
def test_a_new_failure_is_red_whatever_machine_the_manifest_has(
    status: str, of: str, made: Any, tmp_path: Path
) -> None:
    outside = whole(made)
    dead = {"status": status, "machine": outside if of == "manifest" else {}} | GONE
    ran, fails = made.train("sasrec", 50), made.train("sasrec", 100, **dead)
    base = made.write_json(tmp_path / "base.json", [ran, made.train("sasrec", 100)])
    head = made.write_json(tmp_path / "head.json", [ran, fails], machine=outside)
    report = compare_files(base, head, Margins())
    red = Verdict.FAILED if status == "timeout" else Verdict.OOM_NEW
    assert [c.cell_id for c in report.of([red])] == [fails.cell_id]
    assert report.exit_code == 1
    assert not any("other machines" in note for note in report.notes)


def test_a_failure_on_another_machine_stays_incomparable(made: Any, tmp_path: Path) -> None:
    other = made.MACHINE | {"fingerprint": "ffff", "cpu_model": "Xeon"}
    fails = made.train("sasrec", 100, status="oom", machine=other, **GONE)
    cells = [made.train("sasrec", 50, machine=other), fails]
    base = made.write_json(tmp_path / "base.json", [made.train("sasrec", 100)])
    head = made.write_json(tmp_path / "head.json", cells, machine=other)
    (status,) = [
        c for c in compare_files(base, head, Margins()).comparisons if c.metric == "status"
    ]
    assert status.verdict == "NOT_COMPARABLE"


def test_cells_that_ran_on_two_machines_tell_nothing_of_a_dead_one(
    made: Any, tmp_path: Path
) -> None:
    outside = whole(made)
    other = made.MACHINE | {"fingerprint": "ffff"}
    dead = made.train("sasrec", 200, status="oom", machine=outside, **GONE)
    cells = [made.train("sasrec", 50), made.train("sasrec", 100, machine=other), dead]
    run = load_run(made.write_json(tmp_path / "run.json", cells, machine=outside))
    ran = machines_that_ran(run)
    assert ran == {}
    assert machine_of(dead, run, ran)["fingerprint"] == "whole"
    assert machine_of_run(run, ran)["fingerprint"] == "whole"


def test_what_capacity_holds_was_held_by_the_machine_of_the_others(
    made: Any, tmp_path: Path
) -> None:
    """Its workers time nothing, and never described a machine."""
    outside = whole(made)
    holds = made.record(
        "sasrec", "capacity", 50, machine=outside, metrics={"max_seq_len": made.fact(9)}
    )
    path = made.write_json(tmp_path / "r.json", [made.train("sasrec", 50), holds], machine=outside)
    assert {cell.fingerprint for cell in load_results(path).cells.values()} == {
        made.MACHINE["fingerprint"]
    }


def test_a_reference_run_under_one_processor_is_of_the_machine_that_measured(
    tmp_path: Path,
) -> None:
    content = json.loads(SCALING.read_text())["seqrec_bench"]
    own = {record["machine"]["fingerprint"] for record in content["records"]}
    assert own != {content["machine"]["fingerprint"]}, "or this file says nothing any more"
    results = load_results(SCALING)
    assert {results.side.fingerprint} == own
    report = compare_files(SCALING, SCALING, Margins())
    assert report.exit_code == 0
    append(SCALING, tmp_path, Margins(), allow_dirty=True)
    (machine,) = {series.machine for series in read(tmp_path)[0]}
    assert machine.endswith(own.pop())
