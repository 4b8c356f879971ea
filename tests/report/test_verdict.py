"""The exit code and the order of a report, from made-up comparisons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from report.verdict import Comparison, Report, Side, Verdict


def comparison(
    verdict: str, cell: str = "c", gate: str = "hard", change: float = 0.0
) -> Comparison:
    return Comparison(
        cell, "epoch_time", "s", "lower", "time", gate, Verdict(verdict), "", "", change=change
    )


def report(*verdicts: str, strict: bool = False, gate: str = "hard") -> Report:
    compared = tuple(comparison(verdict, gate=gate) for verdict in verdicts)
    return Report(Side("a"), Side("b"), "two files", "unknown", "x", compared, strict=strict)


@pytest.mark.parametrize(
    ("verdicts", "strict", "gate", "code"),
    [
        ((), False, "hard", 3),
        (("NEW", "REMOVED", "NOT_COMPARABLE"), False, "hard", 3),
        (("NOT_MEASURABLE", "UNCHANGED"), True, "soft", 0),
        (("INCONCLUSIVE", "UNCHANGED"), True, "soft", 0),
        (("INCONCLUSIVE",), False, "soft", 3),
        (("INCONCLUSIVE", "NEW"), False, "hard", 3),
        (
            ("UNCHANGED", "IMPROVED", "NEW", "REMOVED", "NOT_COMPARABLE", "OOM_FIXED"),
            True,
            "hard",
            0,
        ),
        (("UNCHANGED", "INCONCLUSIVE"), False, "hard", 0),
        (("UNCHANGED", "INCONCLUSIVE"), True, "hard", 3),
        (("NOT_MEASURABLE",), False, "hard", 3),
        (("NOT_MEASURABLE", "REGRESSED"), False, "hard", 1),
        (("OOM_NEW",), False, "hard", 1),
        (("FAILED",), False, "hard", 1),
        (("REGRESSED",), False, "soft", 0),
    ],
)
def test_exit_codes(verdicts: tuple[str, ...], strict: bool, gate: str, code: int) -> None:
    assert report(*verdicts, strict=strict, gate=gate).exit_code == code


def test_the_headline_counts_and_inconclusive_is_not_unchanged() -> None:
    made = report("UNCHANGED", "INCONCLUSIVE", "UNCHANGED", "REGRESSED")
    assert made.headline == "REGRESSION: 1 REGRESSED, 1 INCONCLUSIVE, 2 UNCHANGED"


def test_nothing_judged_is_no_pass() -> None:
    assert report().headline == "NOT DECIDED: nothing to compare"
    assert report("NEW", "NEW").headline == "NOT DECIDED: nothing to compare (2 NEW)"


def test_the_worst_comes_first() -> None:
    compared = [comparison("REGRESSED", cell, change=x) for cell, x in (("a", 0.1), ("b", 0.3))]
    made = Report(Side("a"), Side("b"), "", "", "", tuple(compared))
    assert [c.cell_id for c in made.of([Verdict.REGRESSED])] == ["b", "a"]


def open_report(*compared: Comparison, aa: bool = False) -> Report:
    sides = Side("a"), Side("b")
    return Report(*sides, "in turn", "unknown", "x", (comparison("UNCHANGED"), *compared), aa=aa)


def test_a_suspicion_that_the_time_did_not_settle_is_no_pass_and_is_named() -> None:
    slow = replace(comparison("INCONCLUSIVE", change=0.166), progress=(8, 10), open="suspected")
    made = open_report(slow)
    assert made.exit_code == 3
    assert made.headline == (
        "NOT DECIDED, 1 suspected slowdown (epoch_time +17%, 8 of 10 confirming pairs):"
        " 1 INCONCLUSIVE, 1 UNCHANGED"
    )
    larger = replace(slow, kind="memory_physical", metric="memory_peak", change=0.3)
    said = open_report(slow, larger).headline
    assert "2 suspected regressions (the worst: memory_peak +30%, 8 of 10" in said
    learnt = replace(slow, kind="accuracy", metric="ndcg@10", better="higher", absolute=True)
    learnt = replace(learnt, change=-0.0435, progress=(3, 10))
    assert "1 suspected regression (ndcg@10 -0.0435, 3 of 10 seeds)" in open_report(learnt).headline
    assert open_report(replace(slow, gate="soft")).exit_code == 0
    assert open_report(slow, aa=True).exit_code == 0, "every pair of an A/A is of use"


def test_a_cell_that_was_not_screened_is_no_pass() -> None:
    late = replace(comparison("INCONCLUSIVE", "late"), progress=(0, 5), open="screen")
    made = open_report(late, replace(late, metric="memory_peak"))
    assert made.exit_code == 3
    assert made.headline.startswith("NOT DECIDED, 1 cell not screened: ")
    only = Report(Side("a"), Side("b"), "", "", "", (late,))
    assert (only.exit_code, only.headline) == (
        3,
        "NOT DECIDED, 1 cell not screened: 1 INCONCLUSIVE",
    )


def test_what_stays_undecided_or_is_gone_is_no_bare_pass() -> None:
    gone = replace(comparison("REMOVED", "a", gate="soft"), metric="cell")
    for made, said in (
        (open_report(comparison("INCONCLUSIVE")), "PASS, 1 undecided: "),
        (open_report(gone, replace(gone, cell_id="b")), "PASS, 2 cells removed: "),
        (open_report(replace(gone, metric="model")), "PASS, 1 model removed: "),
    ):
        assert made.headline.startswith(said)
        assert (made.exit_code, made.is_clean) == (0, False)
    assert open_report(comparison("INCONCLUSIVE", gate="soft")).is_clean
