"""Sides that ran other kernels, or took a number in another way, are not compared silently."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from measure.record import Metric, Record
from report.in_turn import report_in_turn
from report.margins import Margins
from report.outputs.markdown import markdown
from report.outputs.verdict_json import verdict_json
from report.pairing import needs, verdicts
from report.two_files import compare_files
from report.verdict import Comparison, Verdict

CELL = "mamba4rec-made_up-recommend-L50-B1-cpu1-auto"


@dataclasses.dataclass
class Pair:
    base: Record
    head: Record


def record(seconds: float, backend: str = "numba", *, asked: str = "auto", **more: Any) -> Record:
    metrics = {"latency_p50": Metric(seconds, "s", "lower", "time", "made up"), **more}
    resolved = {"backend": backend, "layers": "numba"}
    config = {"backend": asked, "workload": "recommend"}
    return Record(CELL, "key", config, "ok", resolved=resolved, metrics=metrics)


def pairs(count: int, factor: float, base: Any, head: Any) -> list[Pair]:
    """Blocks of about 1 ms; `base` and `head` make a record of their seconds."""
    wobble = [1 + 0.002 * (7 * i % 5 - 2) for i in range(count)]
    return [Pair(base(1e-3), head(1e-3 * factor * w)) for w in wobble]


def told(found: Sequence[Comparison]) -> dict[str, Comparison]:
    return {comparison.metric: comparison for comparison in found}


def joules(value: float | None, source: str) -> Metric:
    reason = None if value is not None else "switched off"
    return Metric(value, "J", "lower", "energy", "5 windows", reason=reason, source=source)


def test_equal_kernels_are_no_row() -> None:
    said = told(verdicts(Margins(), {CELL: pairs(5, 1.0, record, record)}, {}))
    assert set(said) == {"latency_p50"}
    assert "->" not in said["latency_p50"].reason


def test_auto_that_fell_to_a_slower_kernel_fails_however_the_times_are() -> None:
    screened = {CELL: pairs(5, 1.0, record, lambda s: record(s, "reference"))}
    said = told(verdicts(Margins(), screened, {}))
    assert said["backend"].verdict is Verdict.FAILED
    assert said["backend"].gate == "hard"
    assert said["backend"].reason == (
        "backend numba -> reference: auto fell back to a slower kernel"
    )
    assert said["latency_p50"].verdict is Verdict.UNCHANGED
    assert said["latency_p50"].reason.endswith("; backend numba -> reference")


def test_one_block_that_fell_is_enough() -> None:
    fallen = Pair(record(1e-3), record(1e-3, "reference"))
    screened = {CELL: [*pairs(4, 1.0, record, record), fallen]}
    said = told(verdicts(Margins(), screened, {}))
    assert said["backend"].verdict is Verdict.FAILED
    assert "numba -> numba or reference" in said["backend"].reason


def test_a_fall_in_the_confirmation_counts_too() -> None:
    screened = {CELL: pairs(5, 1.2, record, record)}
    confirmed = {CELL: pairs(10, 1.2, record, lambda s: record(s, "reference"))}
    said = told(verdicts(Margins(), screened, confirmed))
    assert said["backend"].verdict is Verdict.FAILED
    assert said["latency_p50"].verdict is Verdict.REGRESSED
    assert "backend numba -> numba or reference" in said["latency_p50"].reason


def test_a_faster_kernel_is_said_and_its_time_judged() -> None:
    def slow(seconds: float) -> Record:
        return record(seconds, "reference")

    screened, confirmed = ({CELL: pairs(count, 0.5, slow, record)} for count in (5, 10))
    said = told(verdicts(Margins(), screened, confirmed))
    assert said["backend"].verdict is Verdict.NOT_COMPARABLE
    assert "backend reference -> numba" in said["backend"].reason
    assert said["latency_p50"].verdict is Verdict.IMPROVED
    assert "backend reference -> numba" in said["latency_p50"].reason


def test_a_named_kernel_that_was_replaced_fails_also_by_a_faster_one() -> None:
    def base(seconds: float) -> Record:
        return record(seconds, "reference", asked="reference")

    def head(seconds: float) -> Record:
        return record(seconds, "numba", asked="reference")

    said = told(verdicts(Margins(), {CELL: pairs(5, 1.0, base, head)}, {}))
    assert said["backend"].verdict is Verdict.FAILED
    assert "may not be replaced" in said["backend"].reason


@pytest.mark.parametrize("name", ["layers", "loss", "attention", "serving"])
def test_all_that_is_resolved_is_watched(name: str) -> None:
    def head(seconds: float) -> Record:
        made = record(seconds)
        return dataclasses.replace(made, resolved=made.resolved | {name: "another"})

    def base(seconds: float) -> Record:
        made = record(seconds)
        return dataclasses.replace(made, resolved=made.resolved | {name: "one"})

    said = told(verdicts(Margins(), {CELL: pairs(5, 1.0, base, head)}, {}))
    assert said[name].verdict is Verdict.NOT_COMPARABLE
    assert f"{name} one -> another" in said[name].reason


def test_what_a_side_does_not_say_is_not_held_against_it() -> None:
    def silent(seconds: float) -> Record:
        return dataclasses.replace(record(seconds), resolved={})

    assert set(told(verdicts(Margins(), {CELL: pairs(5, 1.0, silent, record)}, {}))) == {
        "latency_p50"
    }


@pytest.fixture
def of_two_files(made: Any, tmp_path: Path) -> Callable[..., dict[str, Comparison]]:
    """The verdicts on one process a side, through result files."""

    def compare(*sides: Record) -> dict[str, Comparison]:
        paths = []
        for number, side in enumerate(sides):
            config = made.record("mamba4rec", "recommend", 50).config | side.config
            whole = dataclasses.replace(side, config=config)
            paths.append(made.write_json(tmp_path / f"{number}.json", [whole]))
        return told(compare_files(*paths, Margins()).comparisons)

    return compare


def test_a_fallback_is_red_in_two_files_too(of_two_files: Any) -> None:
    said = of_two_files(record(1e-3), record(1e-3, "reference"))
    assert said["backend"].verdict is Verdict.FAILED
    assert "auto fell back to a slower kernel" in said["backend"].reason
    fixed = of_two_files(record(1e-3, "reference"), record(1e-3))
    assert fixed["backend"].verdict is Verdict.NOT_COMPARABLE
    assert "backend" not in of_two_files(record(1e-3), record(1e-3))


def test_a_kernel_that_another_machine_lacks_is_no_fallback(of_two_files: Any) -> None:
    other = dataclasses.replace(record(1e-3, "reference"), machine={"fingerprint": "b"})
    assert "backend" not in of_two_files(record(1e-3), other)


def test_times_under_two_allocators_are_not_compared(of_two_files: Any) -> None:
    def under(allocator: str | None, **more: Metric) -> Record:
        made = record(1e-3, params=Metric(7, "1", "lower", "deterministic", "counted"), **more)
        return dataclasses.replace(made, resolved=made.resolved | {"allocator": allocator})

    said = of_two_files(under("glibc, memory kept"), under("glibc, defaults"))
    assert said["latency_p50"].verdict is Verdict.NOT_COMPARABLE
    assert said["latency_p50"].reason == (
        "other allocators: glibc, memory kept and glibc, defaults"
    )
    assert said["params"].verdict is Verdict.UNCHANGED
    said = of_two_files(under("glibc, memory kept"), under(None))
    assert said["latency_p50"].verdict is not Verdict.NOT_COMPARABLE


def loaded(seconds: float, rate: float) -> Record:
    """A server under so many requests a second."""
    return record(
        seconds,
        service_p50=Metric(seconds, "s", "lower", "time", "made up"),
        arrival_rate=Metric(rate, "1/s", "none", "deterministic", "Poisson"),
    )


def test_latencies_under_two_loads_are_not_compared_in_files(of_two_files: Any) -> None:
    said = of_two_files(loaded(1e-3, 883), loaded(2e-3, 1309))
    assert said["latency_p50"].verdict is Verdict.NOT_COMPARABLE
    assert said["latency_p50"].reason == (
        "other loads: 883 and 1,309 requests a second; --rate gives both sides one"
    )
    assert said["service_p50"].verdict is not Verdict.NOT_COMPARABLE
    said = of_two_files(loaded(1e-3, 883), loaded(2e-3, 890))
    assert said["latency_p50"].verdict is not Verdict.NOT_COMPARABLE


def test_latencies_under_two_loads_are_not_compared_in_turn() -> None:
    screened = {CELL: pairs(5, 1.3, lambda s: loaded(s, 500), lambda s: loaded(s, 500 * 1e-3 / s))}
    said = told(verdicts(Margins(), screened, {}))
    assert said["latency_p50"].verdict is Verdict.NOT_COMPARABLE
    assert "--rate" in said["latency_p50"].reason
    assert said["service_p50"].verdict is Verdict.INCONCLUSIVE, "slower, to be confirmed"
    same = {CELL: pairs(5, 1.3, lambda s: loaded(s, 500), lambda s: loaded(s, 500))}
    assert told(verdicts(Margins(), same, {}))["latency_p50"].verdict is Verdict.INCONCLUSIVE


def energies(base: Metric, head: Metric) -> list[Pair]:
    return pairs(
        5,
        1.0,
        lambda s: record(s, energy_per_1k_rec=base),
        lambda s: record(s, energy_per_1k_rec=head),
    )


def test_energy_of_one_source_is_judged() -> None:
    screened = {CELL: energies(joules(2.0, "rapl"), joules(2.0, "rapl"))}
    assert told(verdicts(Margins(), screened, {}))["energy_per_1k_rec"].verdict is (
        Verdict.UNCHANGED
    )
    more = {CELL: energies(joules(2.0, "rapl"), joules(4.0, "rapl"))}
    assert [need.stage for need in needs(Margins(), more, {})] == ["confirm"]


def test_energies_of_two_sources_are_not_compared_and_want_no_pairs() -> None:
    screened = {CELL: energies(joules(2.0, "rapl"), joules(40.0, "estimated_tdp"))}
    said = told(verdicts(Margins(), screened, {}))["energy_per_1k_rec"]
    assert said.verdict is Verdict.NOT_COMPARABLE
    assert said.reason == ("other methods: 5 windows of rapl and 5 windows of estimated_tdp")
    assert said.change is None
    assert needs(Margins(), screened, {}) == []


def test_a_source_that_changed_midway_is_seen() -> None:
    screened = {CELL: energies(joules(2.0, "rapl"), joules(2.0, "rapl"))}
    odd = energies(joules(2.0, "rapl"), joules(2.0, "nvml_counter"))[:1]
    said = told(verdicts(Margins(), {CELL: [*screened[CELL], *odd]}, {}))
    assert said["energy_per_1k_rec"].verdict is Verdict.NOT_COMPARABLE


def test_energy_that_nobody_measured_is_no_row() -> None:
    screened = {CELL: energies(joules(None, "none"), joules(None, "none"))}
    assert "energy_per_1k_rec" not in told(verdicts(Margins(), screened, {}))


def test_a_fallback_makes_the_report_red_and_names_both_kernels(tmp_path: Path) -> None:
    folder = tmp_path / "ab-1"
    (folder / "pairs" / CELL).mkdir(parents=True)
    content = {"schema": "seqrec-bench/ab/1", "base": "b" * 40, "head": "a" * 40, "machine": {}}
    (folder / "ab.json").write_text(json.dumps(content))
    for number, pair in enumerate(pairs(5, 1.0, record, lambda s: record(s, "reference"))):
        both = {"base": pair.base.to_dict(), "head": pair.head.to_dict()}
        path = folder / "pairs" / CELL / f"screen-{number:02}.json"
        path.write_text(json.dumps({"schema": "seqrec-bench/pair/1", **both}))
    report = report_in_turn(folder, Margins(), command="again")
    assert report.exit_code == 1
    assert "numba -> reference" in verdict_json(report)
    assert "numba -&gt; reference" in markdown(report)
