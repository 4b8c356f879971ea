"""Runs that are parts of one: the same suite on the same machine at the same commit under the same
allocator, without a cell in common, such as lengths that were measured later. Readers see them as
one run with both names.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from report.load import Run

_MOST_NAMES = 3


def joint_labels(runs: Sequence[Run]) -> dict[str, str]:
    """By each run's label, that of the runs that it is part of; its own where it is alone."""
    parts: list[list[Run]] = []
    for run in runs:
        fitting = (found for found in parts if all(_complement(run, other) for other in found))
        part = next(fitting, None)
        if part is None:
            parts.append([run])
        else:
            part.append(run)
    return {run.label: _name(part) for part in parts for run in part}


def _complement(one: Run, other: Run) -> bool:
    where = _measured_by(one)
    return (
        one.suite == other.suite
        and _allocators(one) == _allocators(other)
        and where != set()
        and where == _measured_by(other)
        and _cells(one).isdisjoint(_cells(other))
    )


def _measured_by(run: Run) -> set[tuple[str, str]]:
    """Machine and commit of what ran; none where that is not known of all of it."""
    found = {
        (str(one.machine.get("fingerprint") or ""), str(one.machine.get("commit") or run.commit))
        for one in run.records
        if one.status == "ok"
    }
    known = all(place and commit and not commit.endswith("-dirty") for place, commit in found)
    return found if known else set()


def _allocators(run: Run) -> set[str]:
    found = {one.resolved.get("allocator") for one in run.records if one.status == "ok"}
    return {str(name) for name in found if name}


def _cells(run: Run) -> set[str]:
    return {record.cell_id for record in run.records}


def _name(part: Sequence[Run]) -> str:
    """ "scaling-ml_100k + ml_1m": what all names begin with is said once."""
    names = [run.label for run in part]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    shared = "".join(letters[0] for letters in alike).rfind("-") + 1
    names[1:] = [name[shared:] for name in names[1:]]
    if len(names) > _MOST_NAMES:
        names[_MOST_NAMES - 1 :] = [f"{len(names) - _MOST_NAMES + 1} more"]
    return " + ".join(names)
