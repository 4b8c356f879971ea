"""Accuracies measured before, beside a run of the same sequences: speed is a machine's own, what a
model learns from the same data is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from measure.record import Record
from report.labels import listed, one_line
from report.load import Run


@dataclass(frozen=True)
class Borrowed:
    """`run`: the lender's fits of the borrowers' sequences, None without any; `said`: which."""

    run: Run | None
    said: str


def borrow(runs: Sequence[Run], lender: Run) -> Borrowed:
    """The fits of `lender` that belong beside `runs`; fits of other sequences stay away."""
    ours = {_sequences(record) for run in runs for record in run.records} - {""}
    fits = [record for record in lender.records if record.config.get("workload") == "fit"]
    same = tuple(record for record in fits if _sequences(record) in ours)
    if not same:
        data = dict.fromkeys(one_line(str(record.data.get("name")), 40) for record in fits)
        has = f"its fits are of other sequences ({listed(list(data))})" if fits else "it has no fit"
        return Borrowed(None, f"No accuracies from {lender.path}: {has}")
    commit = f", commit {one_line(lender.commit, 10)}" if lender.commit else ""
    said = f"Accuracies of the same sequences: {len(same)} fits from {lender.path}{commit}"
    return Borrowed(replace(lender, records=same), said)


def _sequences(record: Record) -> str:
    return str(record.data.get("sequence_hash") or "")
