"""Under what a line of a history was measured: levels of unlike conditions are not one series.

A cell's id does not say all of it: `quick` trains for six epochs and `accuracy` for two hundred,
under the same id. Lines written before conditions were kept have none, and are series of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from report.labels import one_line
from report.sides import OFF, CellResult

UNKNOWN = "settings not kept"


def conditions_of(cell: CellResult) -> dict[str, Any]:
    """What is kept of a cell: `key` to find its record by, and what makes a series of its own: its
    `settings` (without the data's name, of which the sequences tell more), `sequences`, `allocator`
    and `fingerprint`.
    """
    own = {name: value for name, value in cell.settings.items() if name != "dataset"}
    return {
        "key": cell.key,
        "settings": {name: value for name, value in own.items() if value not in OFF},
        "sequences": cell.data,
        "allocator": str(cell.resolved.get("allocator") or ""),
        "fingerprint": cell.fingerprint,
    }


def identity(line: dict[str, Any]) -> str:
    """The same text for lines of one series; "" for a line of before."""
    facts = _facts(line)
    return json.dumps(facts, sort_keys=True) if facts else ""


def told_apart(lines: Iterable[dict[str, Any]]) -> dict[str, str]:
    """By identity, in words what tells the lines of one cell from each other: "max_epochs 6"; ""
    where all are alike.
    """
    kinds = {identity(line): _facts(line) for line in lines}
    known = [facts for facts in kinds.values() if facts]
    differ = [
        name
        for name in sorted({name for facts in known for name in facts})
        if len({json.dumps(facts.get(name), sort_keys=True) for facts in known}) > 1
    ]
    alone = len(kinds) == 1
    return {
        kind: "" if alone else _in_words(facts, differ) if facts else UNKNOWN
        for kind, facts in kinds.items()
    }


def _facts(line: dict[str, Any]) -> dict[str, Any]:
    """The conditions of a line, its settings among them by their names."""
    settings = line.get("settings")
    if not isinstance(settings, dict):
        return {}
    kept = {name: line.get(name) for name in ("sequences", "allocator", "fingerprint")}
    return settings | kept


def _in_words(facts: dict[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{one_line(name, 30)} {_said(facts.get(name))}" for name in names)


def _said(value: Any) -> str:
    return "none" if value in OFF else one_line(str(value), 40)
