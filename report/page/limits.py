"""What a reader must know before believing the page: found in the records, not written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from report.facets import Cell
from report.labels import model_label, one_line
from report.load import Run
from report.notes import flag_notes
from report.page.machines import differences, in_words

# Below this many seeds a spread says little of the next seed.
FEW_SEEDS = 5
MOST_FAILURES = 12


def limits(runs: Sequence[Run], found: Sequence[Cell]) -> list[str]:
    """One sentence for each limit."""
    return [
        *_machines(runs),
        *_dirty(found),
        *_seeds(found),
        *(f"{note}." for note in flag_notes(found, "epoch_time")),
        *_untrained(found),
        *_failures(found),
    ]


def _machines(runs: Sequence[Run]) -> list[str]:
    said = in_words(differences(runs), runs)
    if said:
        return [said]
    return ["All numbers are of one machine: on another, ratios may hold and single times won't."]


def _dirty(found: Sequence[Cell]) -> list[str]:
    dirty = sorted({c.facets["commit"] for c in found if c.facets["commit"].endswith("-dirty")})
    return [f"Measured with uncommitted changes: {', '.join(dirty)}."] if dirty else []


def _seeds(found: Sequence[Cell]) -> list[str]:
    fits = [cell for cell in found if cell.workload == "fit" and cell.ok]
    if not fits:
        return ["No accuracy was measured."]
    counts = Counter((c.facets["run"], c.model, c.facets["dataset"], c.seq_len) for c in fits)
    fewest = min(counts.values())
    if fewest >= FEW_SEEDS:
        return []
    seeds = "one seed" if fewest == 1 else f"{fewest} seeds"
    return [
        f"Some accuracies are of {seeds} only. The test users' sampling error comes on top; it is "
        "shared by all models."
    ]


def _untrained(found: Sequence[Cell]) -> list[str]:
    if not any(cell.workload.startswith(("train_epoch", "recommend")) for cell in found):
        return []
    return [
        "Epoch times and latencies use untrained weights, for which the arithmetic is the same."
    ]


def _failures(found: Sequence[Cell]) -> list[str]:
    failed = [cell for cell in found if not cell.ok]
    if not failed:
        return []
    lines = [f"{len(failed)} of {len(found)} cells did not run:"]
    for cell in failed[:MOST_FAILURES]:
        name = f"{model_label(cell.model)} {cell.workload} L={cell.seq_len}"
        lines.append(f"{name}: {cell.record.status}, {one_line(str(cell.record.reason), 160)}")
    if len(failed) > MOST_FAILURES:
        lines.append(f"… and {len(failed) - MOST_FAILURES} more: sort the table by status.")
    return lines
