"""The report on a comparison whose blocks were measured in turn, and what an A/A one teaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from report.endings import PairsOf
from report.hodges_lehmann import paired
from report.judge import OF_THE_MACHINE, log_of, ratios
from report.labels import one_line
from report.looks import SCREEN_PAIRS
from report.margins import Margins, Noise, Policy
from report.pairing import measured_in_turn, read_comparison, verdicts
from report.seeds import TRIED_SEEDS
from report.status import compare, only_on
from report.threshold import by_turns
from report.two_files import noise_line, other_machines_noise
from report.verdict import Comparison, Pair, PairedMetric, Report, Side, Verdict

# Bounds of the noise are two of 5% each: with five pairs no wider ones exist.
NOISE_ALPHA = 0.05
_UNKNOWN = "not measured on this machine (--aa does): the margins stand as they are"


def report_in_turn(
    folder: Path,
    margins: Margins,
    *,
    command: str,
    strict: bool = False,
    out_of_time: bool = False,
    notes: Sequence[str] = (),
) -> Report:
    """The report on results/ab-...; InputError where something there can't be read.

    Args:
        command: what reproduces it.
        out_of_time: whether pairs were still wanting when the time was over.
        notes: what else a reader should know.
    """
    content, screened, confirmed = read_comparison(folder)
    machine = content["machine"]
    margins, foreign = margins.on(str(machine.get("fingerprint", ""))), margins
    notes = [*notes, *other_machines_noise(foreign, margins)]
    sides = [
        Side(
            label=name,
            commit=content[name],
            machine=str(machine.get("cpu_model") or machine.get("cpu") or ""),
            fingerprint=str(machine.get("fingerprint", "")),
            dataset=str(content.get("dataset", "")),
            started=str(content.get("started", "")),
        )
        for name in ("base", "head")
    ]
    own_harness = not content.get("harness")
    found = verdicts(margins, screened, confirmed, own_harness=own_harness)
    found += [_not_reached(cell) for cell in content.get("cells", ()) if cell not in screened]
    found += [_removed(str(model)) for model in content.get("removed", ())]
    used = margins.used(one.key for one in found if one.kind in OF_THE_MACHINE)
    known = [(entry.metric, entry.half_width) for entry in used]
    idle = margins.idle((one.key, one.kind) for one in found)
    judged = tuple(_with_command(one, command, out_of_time) for one in found)
    return Report(
        base=sides[0],
        head=sides[1],
        design=_design(content, screened, confirmed),
        noise=noise_line(known, "pairs", _UNKNOWN, hosted=margins.hosted),
        command=command,
        comparisons=judged,
        strict=strict,
        notes=(*_notes(content, out_of_time, judged), *notes, *idle),
        aa=bool(content.get("aa")),
    )


def noise_floors(screened: PairsOf, confirmed: PairsOf) -> list[Noise]:
    """How far the pairs of an A/A comparison lie apart: half the 90% interval of ln(head / base),
    by cell and metric, screen and confirmation together; and how far their processes do.
    """
    found = []
    for metric in measured_in_turn(screened, confirmed):
        pairs = (*metric.screen, *metric.confirm)
        r = ratios(metric, pairs)
        if metric.kind in OF_THE_MACHINE and len(r) >= 5:
            interval = paired(r, NOISE_ALPHA)
            half = max(abs(interval.low), abs(interval.high))
            apart = _between_files(metric, pairs)
            found.append(Noise(*metric.key, half, apart, by_turns=by_turns(pairs)))
    return found


def _between_files(metric: PairedMetric, pairs: Sequence[Pair]) -> float:
    """95% of |ln| of any base and the head of any other pair."""
    unit = metric.unit
    bases, heads = np.transpose(
        [
            (log_of(pair.base, unit), log_of(pair.head, unit))
            for pair in pairs
            if pair.base is not None and pair.head is not None
        ]
    )
    apart = np.abs(heads[None, :] - bases[:, None])
    return float(np.quantile(apart[~np.eye(len(bases), dtype=bool)], 0.95, method="higher"))


def _design(content: dict[str, Any], screened: PairsOf, confirmed: PairsOf) -> str:
    fresh = sum(map(len, confirmed.values()))
    pairs = f"{sum(map(len, screened.values()))} pairs of processes to screen, {fresh} to confirm"
    what = "the base beside itself (A/A)" if content.get("aa") else "both sides in turn"
    return f"{what}: {pairs}, A B B A, order seed {content.get('order_seed', 0)}"


def _not_reached(cell_id: str) -> Comparison:
    made = PairedMetric(cell_id, "cell", "", "none", "capacity")
    reason = "not measured: the time was over"
    made_of = compare(made, Policy(0.0, 0.0, "hard"), Verdict.INCONCLUSIVE, reason, "status")
    return replace(made_of, progress=(0, SCREEN_PAIRS), open="screen")


def _removed(model: str) -> Comparison:
    reason = f"only in base: the head has no models/{one_line(model, 80)}.py"
    return only_on(one_line(model, 80), Verdict.REMOVED, "model", reason)


def _notes(content: dict[str, Any], out_of_time: bool, judged: Sequence[Comparison]) -> list[str]:
    notes = []
    if any(map(_is_unlike_its_sides, judged)):
        notes.append(
            "a change that is not that of its base and head is the median over rounds by turns, in"
            " which the machine was the same for both"
        )
    if out_of_time:
        notes.append("the time was over before all was decided: the same command goes on")
    if content["base"] == content["head"] and not content.get("aa"):
        notes.append(
            "both sides are one commit: what differs is the machine, whose noise --aa keeps"
        )
    if content.get("harness"):
        notes.append(
            "both sides were run by this checkout's harness: what changed in"
            f" {', '.join(content['harness'])} is not judged"
        )
    if not content.get("environments") and content.get("pins"):
        notes.append("pins changed, but both sides had one environment (--environments gives two)")
    return notes


def _is_unlike_its_sides(found: Comparison) -> bool:
    """Whether a reader who divides what was measured by turns would wonder."""
    base, head, change, margin = found.base, found.head, found.change, found.margin
    if not base or head is None or change is None or margin is None:
        return False
    turns = any(pair.by_turns is not None for pair in found.pairs)
    return turns and abs(head / base - 1 - change) > margin / 2


def _with_command(found: Comparison, command: str, out_of_time: bool) -> Comparison:
    """What would decide: to go on; after the last look other pairs, of an accuracy more seeds."""
    if found.verdict not in (Verdict.INCONCLUSIVE, Verdict.NOT_MEASURABLE):
        return found
    if out_of_time and found.progress is not None:
        return replace(found, decide=command)
    if found.kind == "accuracy":
        if "--seeds" in command:
            return found
        seeds = ",".join(map(str, TRIED_SEEDS))
        return replace(found, decide=f"{command} --workload fit --seeds {seeds}")
    return replace(found, decide=f"{command} --fresh")
