"""Runs that are parts of one: the same suite on the same machine at the same commit under the same
allocator, without a cell in common, such as lengths that were measured later. Readers see them as
one run with both names.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import takewhile

from report.load import Run

_MOST_NAMES = 3


def joint_labels(runs: Sequence[Run]) -> dict[str, str]:
    """By each run's label, that of the runs that it is part of; its own where it is alone."""
    parts: list[list[Run]] = []
    by_conditions: dict[Hashable, list[tuple[list[Run], set[str]]]] = {}
    for run in runs:
        where, cells = _measured_by(run), {record.cell_id for record in run.records}
        key = (run.suite, where, _allocators(run)) if where else run.label
        known = by_conditions.setdefault(key, [])
        for part, taken in known:
            if taken.isdisjoint(cells):
                part.append(run)
                taken.update(cells)
                break
        else:
            parts.append([run])
            known.append((parts[-1], cells))
    return {run.label: _name(part) for part in parts for run in part}


def _measured_by(run: Run) -> frozenset[tuple[str, str]]:
    """Machine and commit of what ran; none where that is not known of all of it."""
    found = {
        (str(one.machine.get("fingerprint") or ""), str(one.machine.get("commit") or run.commit))
        for one in run.records
        if one.status == "ok"
    }
    known = all(place and commit and not commit.endswith("-dirty") for place, commit in found)
    return frozenset(found if known else ())


def _allocators(run: Run) -> frozenset[str]:
    found = {one.resolved.get("allocator") for one in run.records if one.status == "ok"}
    return frozenset(str(name) for name in found if name)


def _name(part: Sequence[Run]) -> str:
    """ "scaling-ml_100k + ml_1m": what all names begin with is said once."""
    names = [run.label for run in part]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    shared = "".join(letters[0] for letters in alike).rfind("-") + 1
    names[1:] = [name[shared:] for name in names[1:]]
    if len(names) > _MOST_NAMES:
        names[_MOST_NAMES - 1 :] = [f"{len(names) - _MOST_NAMES + 1} more"]
    return " + ".join(names)
