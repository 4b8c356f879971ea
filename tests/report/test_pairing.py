"""Pairs of records become what is judged: values in order, statuses, and one-sided metrics."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import jsonschema
import pytest
import xmlschema

from measure.record import Metric, Record
from report.in_turn import noise_floors, report_in_turn
from report.judge import log_ratio
from report.load import InputError
from report.margins import Margins, Noise
from report.outputs.junit import junit
from report.outputs.markdown import markdown
from report.outputs.verdict_json import SCHEMA_FILE, verdict_json
from report.pairing import measured_in_turn, needs, read_comparison, verdicts
from report.verdict import Verdict

CELL = "gru4rec-made_up-recommend-L50-B1-cpu1-auto"


P50 = Metric(1e-3, "s", "lower", "time", "made up")
TAIL = Metric(2e-3, "s", "lower", "tail", "made up")


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


def test_values_keep_their_order_and_stage() -> None:
    found = measured_in_turn({CELL: pairs(3, 0.1)}, {CELL: pairs(2, 0.1)})
    latency = next(metric for metric in found if metric.metric == "latency_p50")
    assert (len(latency.screen), len(latency.confirm)) == (3, 2)
    assert latency.screen[0].head == pytest.approx(1e-3 * 0.996 * 1.1)


def in_turn(base: list[float], head: list[float], turns: int = 4) -> Pair:
    """A pair by turns, with a p50 of all requests beside those of each round."""
    made = Pair(record(1e-3), record(2e-3))
    for side, rounds in zip((made.base, made.head), (base, head), strict=True):
        side.samples["latency_block_p50"] = rounds
        side.resolved["turns"] = turns
    return made


def test_rounds_by_turns_are_compared_one_with_one() -> None:
    # The machine slows down for both: 2% between the rounds, whatever their medians are.
    made = in_turn([1.0, 2.0, 1.0, 1.0], [1.02, 2.04, 1.02, 1.9])
    (metric,) = [m for m in measured_in_turn({CELL: [made]}, {}) if m.metric == "latency_p50"]
    (pair,) = metric.screen
    assert (pair.base, pair.head) == (1e-3, 2e-3)
    assert pair.by_turns == pair.ratio == pytest.approx(1.02)
    assert log_ratio(metric, pair) == pytest.approx(math.log(1.02))


@pytest.mark.parametrize(
    "made",
    [
        in_turn([1.0] * 4, [1.0] * 4, turns=0),
        in_turn([1.0] * 2, [1.0] * 2, turns=2),
        in_turn([1.0] * 4, [1.0] * 3),
        in_turn([1.0] * 4, [1.0, 1.0, 0.0, 1.0]),
    ],
    ids=["not by turns", "too few", "not all", "zero"],
)
def test_rounds_that_were_not_by_turns_are_not_compared(made: Pair) -> None:
    (metric,) = [m for m in measured_in_turn({CELL: [made]}, {}) if m.metric == "latency_p50"]
    assert metric.screen[0].by_turns is None
    assert log_ratio(metric, metric.screen[0]) == pytest.approx(math.log(2))


def test_a_change_is_screened_then_confirmed_then_red() -> None:
    margins = Margins()
    screened = {CELL: pairs(5, 0.2)}
    wanted = needs(margins, screened, {})
    assert [(need.cell_id, need.stage, need.pairs) for need in wanted] == [(CELL, "confirm", 10)]
    unconfirmed = {c.metric: c.verdict for c in verdicts(margins, screened, {})}
    assert unconfirmed["latency_p50"] is Verdict.INCONCLUSIVE
    confirmed = {CELL: pairs(10, 0.2, start=5)}
    assert needs(margins, screened, confirmed) == []
    said = {c.metric: c.verdict for c in verdicts(margins, screened, confirmed)}
    assert said == {"latency_p50": Verdict.REGRESSED, "params": Verdict.UNCHANGED}


def test_a_bound_that_does_not_exist_is_none() -> None:
    (found, _) = verdicts(Margins(), {CELL: pairs(3, 0.2)}, {})
    assert (found.verdict, found.low, found.high) == (Verdict.INCONCLUSIVE, None, None)
    assert found.change == pytest.approx(0.2, abs=0.01)


def test_no_change_is_shown_to_be_none_without_confirmation() -> None:
    screened = {CELL: pairs(5, 0.0)}
    assert needs(Margins(), screened, {}) == []
    assert {c.verdict for c in verdicts(Margins(), screened, {})} == {Verdict.UNCHANGED}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("unsupported", Verdict.FAILED), ("incorrect", Verdict.FAILED), ("oom", Verdict.OOM_NEW)],
)
def test_a_cell_that_no_longer_runs_is_red(status: str, verdict: Verdict) -> None:
    gone = [Pair(record(1e-3), record(1e-3, status)) for _ in range(2)]
    assert needs(Margins(), {CELL: gone}, {}) == []
    (found,) = verdicts(Margins(), {CELL: gone}, {})
    assert (found.verdict, found.metric) == (verdict, "status")
    assert "as planned" in found.reason


def test_a_block_that_failed_once_is_not_a_verdict_and_asks_for_more() -> None:
    crash = Pair(record(1e-3), record(1e-3, "timeout"))
    screened = {CELL: [crash]}
    assert [(n.cell_id, n.stage) for n in needs(Margins(), screened, {})] == [(CELL, "screen")]
    (found,) = verdicts(Margins(), screened, {})
    assert (found.verdict, found.metric) == (Verdict.INCONCLUSIVE, "status")
    good = {CELL: [*pairs(5, 0.0), crash]}
    said = {c.metric: c.verdict for c in verdicts(Margins(), good, {})}
    assert said["status"] is Verdict.INCONCLUSIVE
    assert said["latency_p50"] is Verdict.UNCHANGED
    twice = {CELL: [*pairs(5, 0.0), crash, crash]}
    said = {c.metric: c.verdict for c in verdicts(Margins(), twice, {})}
    assert said["status"] is Verdict.FAILED


def test_a_crash_of_head_is_not_hidden_behind_one_of_base() -> None:
    base_fails = Pair(record(1e-3, "timeout"), record(1e-3))
    head_fails = Pair(record(1e-3), record(1e-3, "error"))
    said = verdicts(Margins(), {CELL: [base_fails, *pairs(3, 0.0), head_fails, head_fails]}, {})
    assert Verdict.FAILED in {c.verdict for c in said}


def test_a_memory_pass_that_died_counts_as_the_cell() -> None:
    reason = "memory pass: oom: killed for memory"
    gone = Metric(None, "B", "lower", "memory_physical", "none", reason=reason)
    there = Metric(1e6, "B", "lower", "memory_physical", "made up")
    died = [Pair(record(1e-3, memory_peak=there), record(1e-3, memory_peak=gone)) for _ in range(2)]
    (found,) = verdicts(Margins(), {CELL: died}, {})
    assert (found.verdict, found.reason.count("killed for memory")) == (Verdict.OOM_NEW, 1)


def test_sides_with_other_data_are_not_compared() -> None:
    base, head = record(1e-3), record(2e-3)
    other = dataclasses.replace(head, data={"sequence_hash": "b"})
    same = dataclasses.replace(base, data={"sequence_hash": "a"})
    (found,) = verdicts(Margins(), {CELL: [Pair(same, other)] * 5}, {})
    assert (found.verdict, found.metric) == (Verdict.NOT_COMPARABLE, "data")


def test_a_metric_of_one_side_is_new_or_removed() -> None:
    extra = Metric(1.0, "s", "lower", "time", "made up")
    fact = dataclasses.replace(extra, better="none", kind="deterministic")
    sides = record(1e-3, old=extra, p99=TAIL, fact=fact), record(1e-3, fresh=extra)
    said = {c.metric: c.verdict for c in verdicts(Margins(), {CELL: [Pair(*sides)] * 5}, {})}
    assert (said["old"], said["fresh"]) == (Verdict.FAILED, Verdict.NEW)
    assert (said["p99"], said["fact"]) == (Verdict.REMOVED, Verdict.REMOVED)


def test_a_head_that_loses_its_numbers_fails() -> None:
    lost = dataclasses.replace(P50, value=None, reason="the clock broke")
    head = record(1e-3)
    head.metrics["latency_p50"] = lost
    found = verdicts(Margins(), {CELL: [Pair(record(1e-3), head)] * 5}, {})
    (made,) = [c for c in found if c.metric == "latency_p50"]
    assert made.verdict is Verdict.FAILED
    assert made.reason == "the head no longer has it in 5 of 5 pairs: the clock broke"
    once = [*pairs(5, 0.0), Pair(record(1e-3), head)]
    said = {c.metric: c.verdict for c in verdicts(Margins(), {CELL: once}, {})}
    assert said["latency_p50"] is Verdict.UNCHANGED, "once is chance"


def test_failures_are_counted_side_by_side_whatever_their_order() -> None:
    good = Pair(record(1e-3), record(1e-3))
    base = Pair(record(1e-3, "error"), record(1e-3))
    head = Pair(record(1e-3), record(1e-3, "error"))
    for mixed, verdict in (
        ([good, head, base], Verdict.INCONCLUSIVE),
        ([good, head, base, head], Verdict.FAILED),
        ([good, head, base, base], Verdict.NOT_MEASURABLE),
    ):
        for order in itertools.permutations(mixed):
            found = verdicts(Margins(), {CELL: list(order)}, {})
            assert [c.verdict for c in found if c.metric == "status"] == [verdict]


def test_seeds_are_the_pairs_of_an_accuracy() -> None:
    screened = {}
    for seed, (base, head) in enumerate([(0.50, 0.30), (0.52, 0.31), (0.51, 0.33)]):
        cell = f"gru4rec-made_up-fit-all-L20-B32-cpu1-auto-s{seed}"
        scores = [Metric(v, "1", "higher", "accuracy", "full", n=500) for v in (base, head)]
        sides = [record(1.0, cell=cell, **{"ndcg@10": score}) for score in scores]
        screened[cell] = [Pair(*sides)]
    found = [c for c in verdicts(Margins(), screened, {}) if c.metric == "ndcg@10"]
    assert [(c.verdict, len(c.pairs)) for c in found] == [(Verdict.REGRESSED, 3)]


def test_the_noise_of_a_machine_is_what_its_pairs_lie_apart() -> None:
    (floor,) = noise_floors({CELL: pairs(10, 0.0)}, {})
    assert (floor.cells, floor.metric) == (CELL, "latency_p50")
    assert 0 < floor.half_width < 0.005
    assert 0 < floor.between_files < 0.005


def test_two_files_lie_as_far_apart_as_processes_that_were_not_measured_by_turns() -> None:
    """A host that is half as fast for every other pair: by turns nobody sees it."""
    alike = [in_turn([speed] * 4, [speed * 1.001] * 4) for speed in (1e-3, 2e-3) * 5]
    for pair, speed in zip(alike, (1e-3, 2e-3) * 5, strict=True):
        pair.base.metrics["latency_p50"] = dataclasses.replace(P50, value=speed)
        pair.head.metrics["latency_p50"] = dataclasses.replace(P50, value=speed * 1.001)
    (floor,) = noise_floors({CELL: alike}, {})
    assert floor.half_width == pytest.approx(0.001, abs=1e-4)
    assert floor.between_files == pytest.approx(math.log(2), abs=0.01)


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


def test_a_new_model_is_new_and_a_broken_one_is_red() -> None:
    absent = record(1e-3, "unsupported")
    for status, verdict in (("ok", Verdict.NEW), ("error", Verdict.FAILED)):
        screened = {CELL: [Pair(absent, record(1e-3, status))], "sasrec-x": pairs(5, 0.0)}
        assert needs(Margins(), {CELL: screened[CELL]}, {}) == []
        found = [c for c in verdicts(Margins(), screened, {}) if c.cell_id == CELL]
        assert [c.verdict for c in found] == [verdict]


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


def test_a_further_seed_that_fails_is_not_asked_for_again() -> None:
    def fit(seed: int, head: float, status: str = "ok") -> dict[str, list[Pair]]:
        cell = f"gru4rec-made_up-fit-all-L20-B32-cpu1-auto-s{seed}"
        scores = [Metric(v, "1", "higher", "accuracy", "full", n=500) for v in (0.5, head)]
        base, new = (record(1.0, cell=cell, **{"ndcg@10": score}) for score in scores)
        return {cell: [Pair(base, dataclasses.replace(new, status=status, reason="late"))]}

    screened = fit(0, 0.45) | fit(1, 0.52) | fit(2, 0.43)

    def asked(confirmed: dict[str, list[Pair]]) -> set[str]:
        wants = needs(Margins(), screened, confirmed)
        return {need.cell_id[-2:] for need in wants if need.stage == "confirm"}

    wanted = asked({})
    assert wanted == {"s3", "s4", "s5", "s6", "s7", "s8", "s9"}
    said = verdicts(Margins(), screened, fit(3, 0.45))
    assert not [c for c in said if c.cell_id.endswith("s3")], "one metric, told with the others"
    confirmed = fit(3, 0.45, "timeout")
    assert asked(confirmed) == wanted - {"s3"}
    found = verdicts(Margins(), screened, confirmed)
    assert Verdict.INCONCLUSIVE in {c.verdict for c in found if c.cell_id.endswith("s3")}


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
