"""Verdicts that need no statistics: a cell that did not run, is new, gone, or not the same thing.

`compare` makes the Comparison that all verdicts start from.
"""

from __future__ import annotations

from statistics import median

from measure.record import DISTURBING, TOO_FEW
from report.margins import Policy
from report.verdict import Comparison, Pair, PairedMetric, Verdict

BROKEN = ("error", "timeout")
NOT_THERE = "it is not there"


def compare(
    metric: PairedMetric,
    policy: Policy,
    verdict: Verdict,
    reason: str,
    stage: str,
    *,
    margin: float | None = None,
    pairs: tuple[Pair, ...] | None = None,
) -> Comparison:
    """A comparison without an interval; `judge` adds one."""
    shown = metric.screen if pairs is None else pairs
    bases = [pair.base for pair in shown if pair.base is not None]
    heads = [pair.head for pair in shown if pair.head is not None]
    return Comparison(
        metric.cell_id,
        metric.metric,
        metric.unit,
        metric.better,
        metric.kind,
        policy.gate,
        verdict,
        reason,
        stage,
        base=median(bases) if bases else None,
        head=median(heads) if heads else None,
        margin=margin,
        pairs=shown,
    )


def judge_status(
    cell_id: str,
    base: tuple[str, str | None],
    head: tuple[str, str | None],
    *,
    repaired: bool = False,
) -> Comparison | None:
    """A cell that did not run on one side or both: (status, reason) each; None if both did.

    Args:
        repaired: whether the base broke too often for chance, and the head never.
    """
    kind = "correctness" if "incorrect" in (base[0], head[0]) else "capacity"
    verdict, reason = _of_status(base, head)
    if repaired:
        verdict = Verdict.IMPROVED
    if verdict is None:
        return None
    metric = PairedMetric(cell_id, "status", "", "none", kind)
    return compare(metric, Policy(0.0, 0.0, "hard"), verdict, reason, "status")


def only_on(cell_id: str, verdict: Verdict, metric: str = "cell", reason: str = "") -> Comparison:
    """NEW or REMOVED: there is nothing to compare it with."""
    where = "head" if verdict is Verdict.NEW else "base"
    made = PairedMetric(cell_id, metric, "", "none", "capacity")
    return compare(made, Policy(0.0, 0.0, "soft"), verdict, reason or f"only in {where}", "status")


def not_comparable(metric: PairedMetric, policy: Policy, reason: str) -> Comparison:
    """Both sides have it, but the two numbers are not of the same thing."""
    return compare(metric, policy, Verdict.NOT_COMPARABLE, reason, "status")


def absent(metric: PairedMetric, policy: Policy) -> Comparison:
    """No pair has a number on both sides."""
    sides = {
        "base": any(pair.base is not None for pair in metric.screen),
        "head": any(pair.head is not None for pair in metric.screen),
    }
    lacking = " and ".join(side for side, there in sides.items() if not there) or "one side each"
    return compare(metric, policy, Verdict.NOT_COMPARABLE, f"not measured: {lacking}", "status")


def lost(metric: PairedMetric, policy: Policy) -> Comparison | None:
    """FAILED where the base has numbers that the head no longer has, in more than one pair or in
    all; None otherwise, and for facts and soft gates, which may come and go.

    For want of samples, or of a time while the machine was disturbed, that is chance: what is left
    is judged, and where nothing is, INCONCLUSIVE.
    """
    pairs = [pair for pair in (*metric.screen, *metric.confirm) if pair.base is not None]
    gone = [pair for pair in pairs if pair.head is None]
    if not gone or policy.gate != "hard" or metric.better == "none":
        return None
    blamed = sum(not _is_excused(metric, pair) for pair in gone)
    few = metric.kind != "accuracy" and blamed == 1 < len(pairs)
    if blamed and not few:
        often = "" if len(pairs) == 1 else f" in {blamed} of {len(pairs)} pairs"
        reason = f"the head no longer has it{often}" + f": {metric.lost}" * bool(metric.lost)
        return compare(metric, policy, Verdict.FAILED, reason, "status")
    if len(gone) < len(pairs):
        return None
    flags = sorted({flag for pair in gone for flag in pair.flags if flag in DISTURBING})
    amid = f", measured while {' and '.join(flags)}" if flags and TOO_FEW not in metric.lost else ""
    reason = f"the head has no number{amid}: {metric.lost or NOT_THERE}"
    return compare(metric, policy, Verdict.INCONCLUSIVE, reason, "status")


def _is_excused(metric: PairedMetric, pair: Pair) -> bool:
    """Whether a number may be missing by chance."""
    if TOO_FEW in metric.lost:
        return True
    said = metric.lost not in ("", NOT_THERE)
    of_machine = metric.kind in ("time", "tail", "energy")
    return said and of_machine and not set(DISTURBING).isdisjoint(pair.flags)


def _of_status(
    base: tuple[str, str | None], head: tuple[str, str | None]
) -> tuple[Verdict | None, str]:
    """The verdict on two statuses, None where metrics decide."""
    out, broken = ("oom", "pruned_oom"), BROKEN
    said = f"base: {_said(base)}; head: {_said(head)}"
    if base[0] == head[0] == "ok":
        return None, ""
    if (head[0] in out and base[0] in out) or base[0] == head[0] == "unsupported":
        return Verdict.UNCHANGED, said
    if head[0] == "incorrect" != base[0]:
        return Verdict.FAILED, said
    # A base that broke by chance says nothing of the head, neither good nor bad.
    if base[0] in broken or (base[0] == "incorrect" and head[0] in ("incorrect", *broken)):
        return Verdict.NOT_MEASURABLE, f"the base gave no result: {said}"
    if head[0] in out:
        return Verdict.OOM_NEW, said
    if head[0] == "ok":
        if base[0] == "unsupported":
            return Verdict.NEW, said
        return (Verdict.OOM_FIXED if base[0] in out else Verdict.IMPROVED), said
    if base[0] in ("ok", *out) or head[0] in broken:
        return Verdict.FAILED, said
    return Verdict.NOT_COMPARABLE, f"no result on both sides: {said}"


def _said(side: tuple[str, str | None]) -> str:
    return f"{side[0]} ({side[1]})" if side[1] else side[0]
