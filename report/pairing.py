"""From pairs of blocks to what is judged: `measured_in_turn` for a comparison that was just made,
`read_comparison` for one that is kept.

    results/ab-.../ab.json    which sides, on which machine
    results/ab-.../pairs/<cell_id>/<stage>-<number>.json    both records of a pair
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from measure.record import Metric, Record, RecordError, from_dict
from report.load import InputError
from report.margins import Margins
from report.screening import Need, judge, needed
from report.status import judge_status, only_on
from report.verdict import Comparison, Pair, PairedMetric, Verdict

SCHEMAS = ("seqrec-bench/ab/1", "seqrec-bench/pair/1")
STAGES = ("screen", "confirm")
_SEED = re.compile(r"-s(\d+)$")


class Blocks(Protocol):
    """Two blocks measured one after the other."""

    @property
    def base(self) -> Record: ...

    @property
    def head(self) -> Record: ...


PairsOf = Mapping[str, Sequence[Blocks]]  # cell id -> its pairs in the order measured


@dataclass(frozen=True)
class _Kept:
    base: Record
    head: Record


def measured_in_turn(screened: PairsOf, confirmed: PairsOf) -> list[PairedMetric]:
    """One entry for each metric that both sides of a cell have, with all its pairs."""
    found: list[PairedMetric] = []
    for cell_id, pairs in screened.items():
        whole = [pair for pair in pairs if _ran(pair)]
        fresh = [pair for pair in confirmed.get(cell_id, ()) if _ran(pair)]
        if whole:
            base, head = whole[0].base.metrics, whole[0].head.metrics
            found += [
                _paired(cell_id, name, base[name], whole, fresh)
                for name in sorted(set(base) & set(head))
            ]
    return found


def needs(margins: Margins, screened: PairsOf, confirmed: PairsOf) -> list[Need]:
    """What to measure next, the most urgent first."""
    return needed(measured_in_turn(screened, confirmed), margins)


def verdicts(margins: Margins, screened: PairsOf, confirmed: PairsOf) -> list[Comparison]:
    """Of every cell and metric, from the pairs so far."""
    found = judge(measured_in_turn(screened, confirmed), margins)
    for cell_id, pairs in screened.items():
        everything = [*pairs, *confirmed.get(cell_id, ())]
        odd = next((pair for pair in everything if not _ran(pair)), None)
        if odd is not None:
            sides = ((side.status, side.reason) for side in (odd.base, odd.head))
            status = judge_status(cell_id, *sides)
            found += [] if status is None else [status]
        elif pairs:
            found += _on_one_side(cell_id, pairs[0])
    return found


def read_comparison(folder: Path) -> tuple[dict[str, Any], PairsOf, PairsOf]:
    """A kept comparison: what it was, and its pairs of both stages.

    Raises:
        InputError: a file is not what it should be; it is named.
    """
    content = _read(folder / "ab.json", SCHEMAS[0], folder / "ab.json")
    stages: list[dict[str, list[Blocks]]] = []
    for stage in STAGES:
        pairs: dict[str, list[Blocks]] = {}
        for path in sorted((folder / "pairs").glob(f"*/{stage}-*.json")):
            kept = _read(path, SCHEMAS[1], path.relative_to(folder.parent))
            try:
                pair = _Kept(from_dict(kept["base"]), from_dict(kept["head"]))
            except (KeyError, RecordError) as error:
                raise InputError(path.relative_to(folder.parent), f"not a pair: {error}") from error
            pairs.setdefault(pair.base.cell_id, []).append(pair)
        stages.append(pairs)
    return content, stages[0], stages[1]


def _paired(
    cell_id: str, name: str, like: Metric, pairs: Sequence[Blocks], fresh: Sequence[Blocks]
) -> PairedMetric:
    first = pairs[0]
    return PairedMetric(
        cell_id,
        name,
        like.unit,
        like.better,
        like.kind,
        screen=tuple(_values(cell_id, name, pair) for pair in pairs),
        confirm=tuple(_values(cell_id, name, pair) for pair in fresh),
        base_users=first.base.metrics[name].n,
        head_users=first.head.metrics[name].n,
    )


def _values(cell_id: str, name: str, pair: Blocks) -> Pair:
    seed = _SEED.search(cell_id)
    flags = tuple(sorted({*pair.base.flags, *pair.head.flags}))
    values = (pair.base.value(name), pair.head.value(name))
    return Pair(*values, flags=flags, seed=int(seed[1]) if seed else None)


def _ran(pair: Blocks) -> bool:
    return pair.base.status == pair.head.status == "ok"


def _on_one_side(cell_id: str, pair: Blocks) -> list[Comparison]:
    base, head = set(pair.base.metrics), set(pair.head.metrics)
    gone = [only_on(cell_id, Verdict.REMOVED, name) for name in sorted(base - head)]
    return gone + [only_on(cell_id, Verdict.NEW, name) for name in sorted(head - base)]


def _read(path: Path, schema: str, shown: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(shown, f"can't be read: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != schema:
        raise InputError(shown, f"not of schema {schema}")
    return content
