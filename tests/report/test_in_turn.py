"""The report on blocks measured in turn, as they are kept: read again, told whole, with notes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import xmlschema

from measure.record import Metric
from report.in_turn import report_in_turn
from report.load import InputError
from report.margins import Margins, Noise
from report.outputs.junit import junit
from report.outputs.markdown import markdown
from report.outputs.verdict_json import SCHEMA_FILE, verdict_json
from report.pairing import read_comparison
from report.verdict import Verdict
from tests.report.blocks import CELL, pairs, record


def kept(folder: Path, change: float = 0.0) -> Path:
    content = {
        "schema": "seqrec-bench/ab/1",
        "aa": False,
        "base": "b" * 40,
        "head": "a" * 40,
        "machine": {"cpu_model": "made up", "fingerprint": "f"},
        "dataset": "made up",
        "order_seed": 0,
    }
    folder.mkdir()
    (folder / "ab.json").write_text(json.dumps(content))
    stages = {"screen": 5, "confirm": 10} if change else {"screen": 5}
    numbered = [(stage, number) for stage, count in stages.items() for number in range(count)]
    for (stage, number), pair in zip(numbered, pairs(15, change), strict=False):
        path = folder / "pairs" / CELL / f"{stage}-{number:02}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        both = {"base": pair.base.to_dict(), "head": pair.head.to_dict()}
        path.write_text(json.dumps({"schema": "seqrec-bench/pair/1", **both}))
    return folder


def test_a_change_that_its_sides_contradict_is_explained(tmp_path: Path) -> None:
    folder = kept(tmp_path / "ab-1")
    for path in (folder / "pairs" / CELL).glob("*.json"):
        content = json.loads(path.read_text())
        for name, rounds in (("base", [1e-3] * 4), ("head", [1.001e-3] * 4)):
            content[name]["samples"] = {"latency_block_p50": rounds}
            content[name]["resolved"] = {"turns": 4}
        path.write_text(json.dumps(content))
    assert not report_in_turn(folder, Margins(), command="again").notes
    for path in (folder / "pairs" / CELL).glob("*.json"):
        content = json.loads(path.read_text())
        content["head"]["metrics"]["latency_p50"]["value"] = 1.3e-3
        path.write_text(json.dumps(content))
    (note,) = report_in_turn(folder, Margins(), command="again").notes
    assert "median over rounds by turns" in note


def test_a_kept_comparison_is_read_again(tmp_path: Path) -> None:
    folder = kept(tmp_path / "ab-1")
    _, screened, confirmed = read_comparison(folder)
    assert (len(screened[CELL]), confirmed) == (5, {})
    report = report_in_turn(folder, Margins(), command="again")
    assert report.exit_code == 0
    assert "5 pairs of processes to screen" in report.design
    assert report.base.commit == "b" * 40


def test_a_comparison_in_turn_keeps_the_schemas_too(tmp_path: Path) -> None:
    folder = kept(tmp_path / "ab-1", change=0.2)
    content = json.loads((folder / "ab.json").read_text()) | {"cells": [CELL, "sasrec-<later>"]}
    (folder / "ab.json").write_text(json.dumps(content))
    report = report_in_turn(folder, Margins(hosted=True), command="again", out_of_time=True)
    assert report.exit_code == 1
    assert "hosted runner" in report.noise

    published = json.loads(SCHEMA_FILE.read_text())
    kept_verdicts = json.loads(verdict_json(report))
    jsonschema.validate(kept_verdicts, published)
    assert kept_verdicts["counts"]["REGRESSED"] == 1
    schema = xmlschema.XMLSchema(Path(__file__).parent / "outputs" / "junit.xsd")
    text = junit(report)
    schema.validate(text)
    assert text.count("<failure") == 1
    text = markdown(report)
    assert text.startswith("### REGRESSION: 1 REGRESSED")
    assert text.index("latency&#95;p50") < text.index("sasrec-&lt;later&gt;")
    assert "hosted runner" in text


def test_a_cell_that_the_time_did_not_reach_is_said(tmp_path: Path) -> None:
    folder = kept(tmp_path / "ab-1")
    content = json.loads((folder / "ab.json").read_text()) | {"cells": [CELL, "sasrec-later"]}
    (folder / "ab.json").write_text(json.dumps(content | {"harness": ["bench"]}))
    report = report_in_turn(folder, Margins(), command="again", out_of_time=True, strict=True)
    late = next(c for c in report.comparisons if c.cell_id == "sasrec-later")
    assert late.verdict is Verdict.INCONCLUSIVE
    assert "the time was over" in late.reason
    assert report.exit_code == 3
    assert any("bench is not judged" in note for note in report.notes)


def with_content(folder: Path, **changes: object) -> Path:
    content = json.loads((folder / "ab.json").read_text())
    (folder / "ab.json").write_text(json.dumps(content | changes))
    return folder


def test_a_removed_model_is_a_warning_in_the_headline(tmp_path: Path) -> None:
    folder = with_content(kept(tmp_path / "ab-1"), removed=["gru4rec"])
    report = report_in_turn(folder, Margins(), command="again")
    assert (report.exit_code, report.is_clean) == (0, False)
    assert report.headline.startswith("PASS, 1 model removed: ")
    assert next(c for c in report.comparisons if c.metric == "model").verdict is Verdict.REMOVED


def test_one_commit_beside_itself_is_said(tmp_path: Path) -> None:
    folder = with_content(kept(tmp_path / "ab-1"), head="b" * 40)
    (note,) = report_in_turn(folder, Margins(), command="again").notes
    assert "both sides are one commit" in note
    with_content(folder, aa=True)
    report = report_in_turn(folder, Margins(), command="again")
    assert (report.notes, report.aa) == ((), True)


def test_noise_is_that_of_the_machine_and_of_what_was_judged(tmp_path: Path) -> None:
    folder = kept(tmp_path / "ab-1")
    entries = (Noise("*", "latency_p50", 0.02, 0.1), Noise("*", "epoch_time", 0.3, 0.4))
    own = Margins(noise=tuple(dataclasses.replace(one, machine="f") for one in entries))
    report = report_in_turn(folder, own, command="again")
    assert report.noise.endswith("±2.0% (latency_p50)"), "epoch_time was not measured"
    other = Margins(noise=tuple(dataclasses.replace(one, machine="g") for one in entries))
    report = report_in_turn(folder, other, command="again")
    assert report.noise.startswith("not measured on this machine")
    assert report.notes == ("noise of another machine, not used: g",)


def test_what_would_decide_is_a_command_that_can(tmp_path: Path) -> None:
    folder = kept(tmp_path / "ab-1")
    for seed, head in enumerate((0.45, 0.52, 0.43)):
        cell = f"gru4rec-made_up-fit-all-L20-B32-cpu1-auto-s{seed}"
        scores = [Metric(v, "1", "higher", "accuracy", "full", n=500) for v in (0.5, head)]
        sides = [record(1.0, cell=cell, **{"ndcg@10": score}).to_dict() for score in scores]
        path = folder / "pairs" / cell / "screen-00.json"
        path.parent.mkdir()
        both = dict(zip(("base", "head"), sides, strict=True))
        path.write_text(json.dumps({"schema": "seqrec-bench/pair/1", **both}))
    for late, command in ((True, "again"), (False, "again --workload fit --seeds 0,1,")):
        report = report_in_turn(folder, Margins(), command="again", out_of_time=late)
        (found,) = [c for c in report.comparisons if c.metric == "ndcg@10"]
        assert found.decide.startswith(command)
        assert (report.exit_code, found.progress) == (3, (3, 10))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "seqrec-bench/pair/1"}', "NaN"])
def test_a_damaged_pair_is_named(tmp_path: Path, text: str) -> None:
    folder = kept(tmp_path / "ab-1")
    path = folder / "pairs" / CELL / "screen-03.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"screen-03\.json"):
        read_comparison(folder)
