"""What the run says in one sentence per data set, and no more than it says.

At the longest L that most models share: the shortest epoch, the most accurate, and whether the
gap to the second is larger than the spread over seeds. An extrapolated time or a missing model is
said too. `finding` says what all of it comes to, for the head of a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from report.crossover import APART, BETWEEN, Crossover, crossover
from report.curves import curve_of
from report.facets import CLOZE, cells
from report.fastest import fastest, not_sure
from report.labels import listed, number, time_unit
from report.load import Run
from report.series import Line, Panel, Point, panels
from report.significance import Contrast, contrasts_at
from report.stopped import stopped_after


@dataclass(frozen=True)
class Ranked:
    """The lines that have a metric at one L, the best first."""

    seq_len: int
    entries: list[tuple[Line, Point]]


def findings(runs: Sequence[Run]) -> list[str]:
    """One sentence per panel of training times and per panel of accuracies."""
    sentences = [_fastest(panel) for panel in panels(cells(runs, "train_epoch"))]
    sentences += [_most_accurate(panel) for panel in panels(cells(runs, "fit"))]
    return [sentence for sentence in sentences if sentence]


def rank(panel: Panel, metric: str, *, highest: bool) -> Ranked | None:
    """The lines at the L that most of them have, the longest such L; None for fewer than two."""
    found = [Ranked(at, _at(panel, at, metric, highest=highest)) for at in panel.lengths]
    most = max(found, key=lambda one: (len(one.entries), one.seq_len), default=None)
    return most if most is not None and len(most.entries) > 1 else None


def _at(panel: Panel, seq_len: int, metric: str, *, highest: bool) -> list[tuple[Line, Point]]:
    """The lines that have the metric at L, the best first."""
    both = [(line, point) for line in panel.lines for point in line.points(metric)]
    here = [entry for entry in both if entry[1].seq_len == seq_len]
    return sorted(here, key=lambda entry: entry[1].value, reverse=highest)


def _fastest(panel: Panel) -> str | None:
    panel, others = _one_task(panel)
    ranked = rank(panel, "epoch_time", highest=False)
    if ranked is None:
        return None
    (line, point), (second, next_point) = ranked.entries[:2]
    unit = time_unit(point.value)
    estimated = " (extrapolated)" if point.extrapolated or next_point.extrapolated else ""
    troubled = [entry.label for entry, at in ranked.entries if at.disturbed]
    unsure = f"; {not_sure(troubled)}" if troubled else ""
    return (
        f"{_where(panel, ranked)} the shortest epoch is {line.label}'s: "
        f"{number(point.value / unit.size)} {unit.name}, "
        f"{next_point.value / point.value:.2f} times as fast as {second.label}'s{estimated}"
        f"{unsure}{_absent(panel, ranked)}{others}."
    )


def _one_task(panel: Panel) -> tuple[Panel, str]:
    """The panel without epochs of another task than most, and who was left out for that: the cloze
    task predicts a part of the events, and its epochs are shorter for it.
    """
    causal = [line for line in panel.lines if not _is_cloze(line)]
    left = [line.label for line in panel.lines if _is_cloze(line)]
    if not causal or not left:
        return panel, ""
    said = f"; an epoch of {listed(left)} is another task and is not compared"
    return Panel(panel.title, causal, panel.facets), said


def _is_cloze(line: Line) -> bool:
    return any(cell.facets["objective"] == CLOZE for group in line.cells.values() for cell in group)


def _most_accurate(panel: Panel) -> str | None:
    ranked = rank(panel, "ndcg@10", highest=True)
    if ranked is None:
        return None
    (line, point), (second, other) = ranked.entries[:2]
    return (
        f"{_where(panel, ranked)}{_cut_off(panel, ranked.seq_len)} the highest mean NDCG@10 is "
        f"{line.label}'s, {point.value:.4f}, "
        f"against {other.value:.4f} of {second.label}; {_spread(point, other)}"
        f"{_absent(panel, ranked)}."
    )


def _spread(best: Point, other: Point) -> str:
    """What the seeds allow to be said of the difference."""
    n = min(best.n, other.n)
    if n < 2:
        return "one seed, so the difference may be chance"
    if best.low > other.high:
        return f"n = {n} seeds, and their ranges do not overlap"
    return f"n = {n} seeds, and the difference is within their spread"


def _where(panel: Panel, ranked: Ranked) -> str:
    title = f" ({panel.title})" if panel.title else ""
    return f"On {panel.facets['dataset']} at L={ranked.seq_len}{title}"


def _absent(panel: Panel, ranked: Ranked) -> str:
    have = {line.label for line, _ in ranked.entries}
    absent = [line.label for line in panel.lines if line.label not in have]
    return f"; no number for {', '.join(absent)}" if absent else ""


def finding(runs: Sequence[Run]) -> str:
    """What it all comes to, with its uncertainty: who is fastest at either end of L, where they
    change places, and which accuracies can't be told apart; "" where nothing can be compared.

    Times are those of one panel: the one with the most lengths, then models. Accuracies are those
    of one data set, each length by the panel that knows most of it.
    """
    served = [c for c in cells(runs, "recommend") if c.record.config.get("batch_size") == 1]
    parts = [
        _speed(_widest(panels(cells(runs, "train_epoch"))), "epoch_time", "through an epoch"),
        _speed(_widest(panels(served)), "latency_p50", "to answer one user"),
        _accuracy(panels(cells(runs, "fit"))),
    ]
    return " ".join(part for part in parts if part)


def _widest(found: Sequence[Panel]) -> Panel | None:
    """The panel that compares most: lengths, then models, then repeats."""
    return max(found, key=lambda p: (len(p.lengths), len(p.lines), len(p.cells)), default=None)


def _speed(panel: Panel | None, metric: str, doing: str) -> str:
    """ "On ML-1M the fastest to answer is SASRec at L=50 (...) and GRU4Rec at L=800 (...)."."""
    if panel is None:
        return ""
    panel, others = _one_task(panel) if metric == "epoch_time" else (panel, "")
    ends = fastest(panel, metric)
    if not ends:
        return ""
    curves = {line.label: curve_of(line, metric) for line in panel.lines}
    short, long = ends[0], ends[-1]
    said = f"On {panel.facets['dataset']} the fastest {doing} is {short.in_words()}"
    if long is not short:
        said += f" and {'again ' if long.first == short.first else ''}{long.in_words()}"
    if short.first != long.first:
        said += _crossed(crossover(curves[short.first], curves[long.first]))
    if short.extrapolated or long.extrapolated:
        said += ", extrapolated from a part of an epoch"
    for curve in curves.values():
        if curve.oom_from is not None:
            said += f"; {curve.label} ran out of memory at L={curve.oom_from:,}"
    return f"{said}{others}."


def _crossed(found: Crossover) -> str:
    """Where the two change places, as far as it is known."""
    if found.status == BETWEEN and found.length is not None:
        return f"; they cross at {found.where()}"
    if found.bracket is not None:
        low, high = found.bracket
        return f"; they change places between L={low:,} and {high:,}"
    return "; where they cross is not clear" if found.status != APART else ""


def _accuracy(among: Sequence[Panel]) -> str:
    """ "The highest NDCG@10 on ML-1M at L=50 is GRU4Rec's, 0.0647, but ...; at L=200 it is ..."."""
    widest = _widest(among)
    if widest is None:
        return ""
    said, beside = list[str](), list[Contrast]()
    dataset = widest.facets["dataset"]
    alike = [panel for panel in among if panel.facets["dataset"] == dataset]
    for seq_len in sorted({at for panel in alike for at in panel.lengths}):
        panel = max(alike, key=lambda one: _known(one, seq_len))
        entries = _at(panel, seq_len, "ndcg@10", highest=True)
        if len(entries) < 2:
            continue
        (best, point), *others = entries
        found = {frozenset((c.first, c.second)): c for c in contrasts_at(panel, seq_len)}
        tests = {line.label: found[frozenset((best.label, line.label))] for line, _ in others}
        beside += tests.values()
        at = f"L={seq_len:,}{_cut_off(panel, seq_len)} {'it ' if said else ''}is"
        said.append(f"{at} {best.label}'s, {point.value:.4f}{_beside(tests)}")
    if not said:
        return ""
    lead = f"The highest NDCG@10 on {dataset} at "
    return f"{lead}{'; at '.join(said)} ({_tested(beside)})."


def _known(panel: Panel, seq_len: int) -> tuple[int, bool, int]:
    """How much is known of the accuracies at L: models, whether they converged, seeds."""
    here = [cell for cell in panel.cells if cell.seq_len == seq_len and cell.ok]
    entries = _at(panel, seq_len, "ndcg@10", highest=True)
    return len(entries), not stopped_after(here), len(here)


def _cut_off(panel: Panel, seq_len: int) -> str:
    """Said where all were stopped early: then the accuracies are those of fast learners."""
    limit = stopped_after([cell for cell in panel.cells if cell.seq_len == seq_len])
    return f", training cut off after {limit} epochs," if limit else ""


def _beside(tests: Mapping[str, Contrast]) -> str:
    """Which of the others are lower, as far as that can be told."""
    same = [label for label, test in tests.items() if not test.distinguishable]
    lower = [label for label, test in tests.items() if test.distinguishable]
    said = f", but {listed(same)} can't be told apart from it" if same else ""
    if lower:
        said += f"; {listed(lower)} {'is' if len(lower) == 1 else 'are'} lower"
    return said


def _tested(beside: Sequence[Contrast]) -> str:
    """What the verdict rests on."""
    seeds = [c.seeds.count for c in beside if c.seeds is not None]
    users = [c.users.count for c in beside if c.users is not None]
    over = [f"{min(n):,} {name}" for n, name in ((seeds, "seeds"), (users, "users")) if n]
    if not over:
        return "too few seeds for a test"
    return f"paired tests over {' and '.join(over)}, 5% over all pairs"
