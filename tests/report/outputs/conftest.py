"""A report with every verdict, hostile names, and one with thousands of cells."""

from __future__ import annotations

import pytest

from report.verdict import Comparison, Pair, Report, Side, Verdict

HOSTILE = '<script>alert("1")</script> | `x` & @someone ![](http://x/y.png) $a$ \x00\x1b[31m'


def comparison(verdict: Verdict, cell_id: str = "sasrec-a", **changes: object) -> Comparison:
    standard: dict[str, object] = {
        "cell_id": cell_id,
        "metric": "epoch_time",
        "unit": "s",
        "better": "lower",
        "kind": "time",
        "gate": "hard",
        "verdict": verdict,
        "reason": "the lower bound lies above the margin",
        "stage": "confirm",
        "base": 2.0,
        "head": 2.4,
        "change": 0.2,
        "low": 0.15,
        "high": 0.25,
        "alpha": 0.01,
        "margin": 0.05,
        "pairs": (Pair(2.0, 2.4), Pair(2.0, 2.5, ("contended",))),
    }
    return Comparison(**(standard | changes))  # type: ignore[arg-type]


def report_of(*comparisons: Comparison) -> Report:
    side = Side(
        "run.json", "abc1234", "EPYC, 2 cores", "f00d", "ML-100K", "2026-05-03T10:00:00+00:00"
    )
    return Report(side, side, "A B B A", "±2%", "python regression_report.py a b", comparisons)


@pytest.fixture
def every() -> Report:
    """One comparison of each verdict, some without numbers, one with hostile names."""
    nothing = {"base": None, "head": None, "change": None, "low": None, "high": None, "pairs": ()}
    return report_of(
        *[comparison(verdict, f"cell-{verdict.lower()}") for verdict in Verdict],
        comparison(Verdict.NEW, "new", **nothing),
        comparison(Verdict.INCONCLUSIVE, "wide", low=None, high=None, decide="python x --ab main"),
        comparison(Verdict.REGRESSED, "soft", gate="soft", metric="latency_p99", kind="tail"),
        comparison(Verdict.REGRESSED, HOSTILE, reason=HOSTILE, change=None),
        comparison(Verdict.REGRESSED, "acc", metric="ndcg@10", better="higher", absolute=True),
    )


@pytest.fixture(scope="session")
def thousands() -> Report:
    """5,000 cells with five metrics each, one in a hundred of them red, a tenth undecided."""
    verdicts = [Verdict.REGRESSED, *[Verdict.INCONCLUSIVE] * 10, *[Verdict.UNCHANGED] * 89]
    made = [
        comparison(
            verdicts[n % 100],
            f"mamba4rec-ml_100k-train_epoch-all-L{n // 5}-B128-cpu2",
            metric=f"m{n % 5}",
        )
        for n in range(25_000)
    ]
    return report_of(*made)
