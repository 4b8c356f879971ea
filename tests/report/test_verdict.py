"""The exit code and the order of a report, from made-up comparisons."""

from __future__ import annotations

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
        (("INCONCLUSIVE",), True, "soft", 0),
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
