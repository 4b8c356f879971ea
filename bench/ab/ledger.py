"""What the blocks of a comparison gave: a file a pair, so that a stopped comparison goes on.

    results/<run>/pairs/<cell_id>/<stage>-<number>.json    {"base": record, "head": record, ...}

A pair is written when both of its blocks are done: one that was interrupted is measured again as a
whole, since its halves would lie minutes apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.ab.sides import NAMES, Name
from bench.cell import Cell
from bench.files import write_whole
from bench.journal import cannot_write
from measure.record import Record, RecordError, from_dict

SCHEMA = "seqrec-bench/pair/1"
Stage = Literal["screen", "confirm"]


@dataclass(frozen=True)
class Pair:
    """Two blocks measured in turn; `first` says which of them was first."""

    stage: Stage
    number: int
    first: Name
    base: Record
    head: Record

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "stage": self.stage,
            "number": self.number,
            "first": self.first,
            "base": self.base.to_dict(),
            "head": self.head.to_dict(),
        }


class Ledger:
    """The pairs of one comparison, by cell and stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pairs"

    def read(self, cell: Cell, stage: Stage, number: int) -> Pair | None:
        """The pair, or None where it has not been measured; a damaged file counts as none."""
        try:
            content = json.loads(self._path(cell, stage, number).read_bytes())
            if content["schema"] != SCHEMA:
                return None
            base, head = (from_dict(content[name]) for name in NAMES)
            pair = Pair(stage, number, content["first"], base, head)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, RecordError):
            return None
        return pair if base.key == head.key == cell.key else None

    def write(self, cell: Cell, pair: Pair) -> None:
        path = self._path(cell, pair.stage, pair.number)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(pair.to_dict(), sort_keys=True, allow_nan=False))
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def pairs(self, cell: Cell, stage: Stage) -> list[Pair]:
        """All that there are, from the first to the first that is missing."""
        found: list[Pair] = []
        while (pair := self.read(cell, stage, len(found))) is not None:
            found.append(pair)
        return found

    def _path(self, cell: Cell, stage: Stage, number: int) -> Path:
        return self.folder / cell.cell_id / f"{stage}-{number:02}.json"
