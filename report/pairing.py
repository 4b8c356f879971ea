"""From pairs of blocks to what is judged: `measured_in_turn` for a comparison that was just made,
`read_comparison` for one that is kept.

    results/ab-.../ab.json    which sides, on which machine
    results/ab-.../pairs/<cell_id>/<stage>-<number>.json    both records of a pair
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measure.record import TOO_FEW, Metric, Record, RecordError, from_dict
from report.alike import (
    OtherKernel,
    asks_by_name,
    judge_kernel,
    other_kernels,
    other_load,
    other_method,
)
from report.endings import (
    ENOUGH,
    UNDECIDED,
    Blocks,
    PairsOf,
    failed_once,
    failing,
    is_repaired,
    ran,
)
from report.judge import OF_THE_MACHINE
from report.labels import one_line
from report.load import InputError
from report.margins import Margins
from report.needs import Need, needed, with_progress
from report.screening import judge
from report.seeds import SEED
from report.status import NOT_THERE, judge_status, lost, not_comparable, only_on
from report.verdict import Comparison, Pair, PairedMetric, Verdict

SCHEMAS = ("seqrec-bench/ab/1", "seqrec-bench/pair/1")
STAGES = ("screen", "confirm")
# Metrics whose rounds are kept under another name than their own.
_ROUNDS = {"latency_p50": "latency_block_p50"}
_FEWEST = 3  # rounds by turns that say more than the numbers of their sides


@dataclass(frozen=True)
class _Kept:
    base: Record
    head: Record


def measured_in_turn(screened: PairsOf, confirmed: PairsOf) -> list[PairedMetric]:
    """One entry for each metric that both sides of a cell have, with all its pairs.

    Cells of which the sides had other data have none: their numbers are of different things. Nor
    have metrics that were taken in two ways, such as energies of two sources.
    """
    return [metric for metric, other in _in_both(screened, confirmed) if not other]


def needs(margins: Margins, screened: PairsOf, confirmed: PairsOf) -> list[Need]:
    """What to measure next, the most urgent first."""
    doubtful = [
        Need(cell_id, "screen", 1)
        for cell_id, pairs in screened.items()
        if failing(pairs) is UNDECIDED and len(pairs) < ENOUGH
    ]
    # A further seed is measured once, whatever came of it; what does not run, no more.
    wanted = needed(measured_in_turn(screened, confirmed), margins, confirmed)
    ended = [cell_id for cell_id, pairs in _of_both(screened, confirmed).items() if _ends(pairs)]
    return doubtful + [need for need in wanted if need.cell_id not in ended]


def verdicts(
    margins: Margins, screened: PairsOf, confirmed: PairsOf, *, own_harness: bool = True
) -> list[Comparison]:
    """Of every cell and metric, from the pairs so far.

    Args:
        own_harness: whether the base has the harness that ran it: one that it has not may be what
            breaks it, which is no improvement of the head.
    """
    cells = _of_both(screened, confirmed)
    others = {cell_id: _kernels(pairs) for cell_id, pairs in cells.items()}
    both = _in_both(screened, confirmed)
    alike = [metric for metric, other in both if not other]
    judged = with_progress(judge(alike, margins), alike, margins, confirmed)
    found = [_with_kernels(made, others.get(made.cell_id, ())) for made in judged]
    for metric, other in both:
        policy = margins.policy(metric.cell_id, metric.metric, metric.kind)
        if other and policy.gate != "off":
            found.append(not_comparable(metric, policy, other))
    for cell_id, pairs in cells.items():
        found += [judge_kernel(cell_id, other) for other in others[cell_id]]
        failed = failing(pairs)
        if isinstance(failed, tuple):
            status = judge_status(cell_id, *failed, repaired=own_harness and is_repaired(pairs))
            found += [] if status is None else [status]
        elif failed is UNDECIDED:
            made = failed_once(cell_id, pairs)
            short = len(screened.get(cell_id, ())) < ENOUGH and cell_id in screened
            found.append(replace(made, open="screen" if short else ""))
            if screened.get(cell_id):
                found += _on_one_side(cell_id, [pair for pair in pairs if ran(pair)], margins)
        elif pairs and _other_data(pairs[0]):
            found.append(only_on(cell_id, Verdict.NOT_COMPARABLE, "data", _other_data(pairs[0])))
        elif screened.get(cell_id):
            found += _on_one_side(cell_id, pairs, margins)
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


def _in_both(screened: PairsOf, confirmed: PairsOf) -> list[tuple[PairedMetric, str]]:
    """Each metric of both sides of a cell, and how it was taken otherwise on one of them, or ""."""
    found = []
    for cell_id in dict.fromkeys((*screened, *confirmed)):
        whole = [pair for pair in screened.get(cell_id, ()) if ran(pair)]
        fresh = [pair for pair in confirmed.get(cell_id, ()) if ran(pair)]
        both = [*whole, *fresh]
        if both and not _other_data(both[0]):
            base, head = _metrics(both, "base"), _metrics(both, "head")
            for name in sorted(set(base) & set(head)):
                # A further seed tells an accuracy; all else is told by the suite's own cells.
                if whole or base[name].kind == "accuracy":
                    metric = _paired(cell_id, name, base[name], whole, fresh)
                    found.append((metric, _taken_otherwise(name, both)))
    return found


def _of_both(screened: PairsOf, confirmed: PairsOf) -> dict[str, list[Blocks]]:
    """All pairs of each cell, of both stages."""
    return {
        cell_id: [*screened.get(cell_id, ()), *confirmed.get(cell_id, ())]
        for cell_id in (*screened, *confirmed)
    }


def _ends(pairs: Sequence[Blocks]) -> bool:
    """Whether it is known that the cell does not run on a side."""
    return isinstance(failing(pairs), tuple)


def _taken_otherwise(name: str, pairs: Sequence[Blocks]) -> str:
    sides = ([pair.base for pair in pairs], [pair.head for pair in pairs])
    base, head = ([r.metrics[name] for r in side if name in r.metrics] for side in sides)
    loads = ([r.value("arrival_rate") for r in side] for side in sides)
    found = any(metric.value is not None for metric in (*base, *head))
    return other_method(base, head) or (other_load(name, *loads) if found else "")


def _kernels(pairs: Sequence[Blocks]) -> list[OtherKernel]:
    """What the blocks that ran resolved differently."""
    well = [pair for pair in pairs if ran(pair)]
    named = any(asks_by_name(r.config) for pair in well for r in (pair.base, pair.head))
    base, head = ([getattr(p, side).resolved for p in well] for side in ("base", "head"))
    return other_kernels(base, head, named=named)


def _with_kernels(made: Comparison, others: Sequence[OtherKernel]) -> Comparison:
    """What depends on the kernel says beside its verdict that two were timed."""
    if not others or made.kind not in OF_THE_MACHINE:
        return made
    return replace(made, reason=f"{made.reason}; {', '.join(map(str, others))}")


def _paired(
    cell_id: str, name: str, like: Metric, pairs: Sequence[Blocks], fresh: Sequence[Blocks]
) -> PairedMetric:
    first = (*pairs, *fresh)[0]
    return PairedMetric(
        cell_id,
        name,
        like.unit,
        like.better,
        like.kind,
        screen=tuple(_values(cell_id, name, pair) for pair in pairs),
        confirm=tuple(_values(cell_id, name, pair) for pair in fresh),
        base_users=_count(first.base, name),
        head_users=_count(first.head, name),
        lost=_why_lost(name, [*pairs, *fresh]),
    )


def _why_lost(name: str, pairs: Sequence[Blocks]) -> str:
    """What the head says of a number that it does not have; want of samples where that is all."""
    sides = ((pair.base.value(name), pair.head.metrics.get(name)) for pair in pairs)
    reasons = (
        NOT_THERE if head is None else head.reason for base, head in sides if base is not None
    )
    return one_line(min(filter(None, reasons), key=lambda why: TOO_FEW in why, default=""), 160)


def _count(record: Record, name: str) -> int | None:
    metric = record.metrics.get(name)
    return None if metric is None else metric.n


def _values(cell_id: str, name: str, pair: Blocks) -> Pair:
    seed = SEED.search(cell_id)
    flags = tuple(sorted({*pair.base.flags, *pair.head.flags}))
    values = (pair.base.value(name), pair.head.value(name))
    by_turns = _of_rounds(name, pair.base, pair.head)
    return Pair(*values, flags=flags, seed=int(seed[1]) if seed else None, by_turns=by_turns)


def _of_rounds(name: str, base: Record, head: Record) -> float | None:
    """The median over rounds of head / base, where they were measured by turns: what the machine
    does for longer than a round, it does to both.
    """
    sides = [record.samples.get(_ROUNDS.get(name, name), []) for record in (base, head)]
    turns = min(record.resolved.get("turns", 0) for record in (base, head))
    both = list(zip(*sides, strict=False))
    if turns < _FEWEST or len(both) != turns or not all(map(all, both)):
        return None
    return math.exp(statistics.median(math.log(h) - math.log(b) for b, h in both))


def _other_data(pair: Blocks) -> str:
    """What the sides were measured on, where it differs."""
    hashes = [record.data.get("sequence_hash") for record in (pair.base, pair.head)]
    return "" if hashes[0] == hashes[1] else f"other sequences: {hashes[0]} and {hashes[1]}"


def _metrics(pairs: Sequence[Blocks], side: str) -> dict[str, Metric]:
    """Every metric that a side has in any pair."""
    found: dict[str, Metric] = {}
    for pair in pairs:
        record: Record = getattr(pair, side)
        for name, metric in record.metrics.items():
            found.setdefault(name, metric)
    return found


def _on_one_side(cell_id: str, pairs: Sequence[Blocks], margins: Margins) -> list[Comparison]:
    """Metrics that one side does not have in any pair; FAILED where the head lost what is gated."""
    base, head = _metrics(pairs, "base"), _metrics(pairs, "head")
    found = []
    for name in sorted(set(base) - set(head)):
        metric = _paired(cell_id, name, base[name], pairs, ())
        gone = lost(metric, margins.policy(cell_id, name, metric.kind))
        found.append(gone or only_on(cell_id, Verdict.REMOVED, name))
    return found + [only_on(cell_id, Verdict.NEW, name) for name in sorted(set(head) - set(base))]


def _read(path: Path, schema: str, shown: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(shown, f"can't be read: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != schema:
        raise InputError(shown, f"not of schema {schema}")
    return content
