"""The report in Markdown: a job's summary, and a pull request's comment.

First line: verdict and counts. What is red, what is undecided, what would decide it and what the
verdict does not cover is shown, the rest folded. A limit in bytes is kept by leaving out rows, the
least important first, and saying so.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from report.amounts import amount, count, finding, margin, verdict
from report.labels import one_line
from report.outputs.terminal import LINE, facts, to_decide
from report.short_names import short_names
from report.verdict import RED, UNDECIDED, Comparison, Report, Verdict

SUMMARY_BYTES = 1_000_000  # a job's summary may have 1 MiB
COMMENT_BYTES = 64_000  # a comment 65,536 characters
IMPROVED = (Verdict.IMPROVED, Verdict.OOM_FIXED)
# Characters that Markdown, tables or formulas would take for theirs.
SPECIAL = {ord(char): f"&#{ord(char)};" for char in "\\`*_[]|~$#!{}"}
HEADER = (
    "| verdict | cell | metric | base | head | change | margin | n |\n"
    "|---|---|---|--:|--:|--:|--:|--:|\n"
)
MEANINGS = {
    Verdict.REGRESSED: "all of the range in brackets lies beyond the margin, the least change that"
    " matters; chance alone does that in at most 1.2% of cases; what is counted has no range",
    Verdict.OOM_NEW: "the head runs out of memory where the base does not",
    Verdict.FAILED: "the head does not run as the base does, for the reason given",
    Verdict.NOT_MEASURABLE: "the machine was too busy or too noisy to tell",
    Verdict.INCONCLUSIVE: "the range reaches across the margin, or more pairs are wanted",
    Verdict.IMPROVED: "all of the range lies beyond the margin for the better; chance alone does"
    " that in at most 1.2% of cases; what is counted has no range",
}


def markdown(report: Report, limit: int = SUMMARY_BYTES) -> str:
    """The whole report in at most `limit` bytes."""
    rest = [v for v in Verdict if v not in (*RED, *UNDECIDED, *IMPROVED)]
    sections = (
        ("Regressions", report.of(RED), False),
        ("Undecided: neither a regression nor shown to be unchanged", report.of(UNDECIDED), False),
        ("Improvements", report.of(IMPROVED), True),
        ("Everything else", report.of(rest), True),
    )
    small_print = _listed(facts(report))
    small_print = (
        f"\n<details><summary>How it was measured</summary>\n\n{small_print}\n</details>\n"
    )
    written = f"### {_safe(report.headline)}\n\n{_safe(report.design)}\n"
    written += "\n" * bool(report.notes) + _listed(report.notes)
    moved = [row for _, rows, _ in sections[:-1] for row in rows]
    names, shared = short_names([row.cell_id for row in moved])
    written += (
        f"\nCells of the first tables: {_safe(one_line(shared, LINE))}, and\n" if shared else ""
    )
    commands = "".join(f"\nTo decide: {_command(line)}\n" for line in to_decide(report))
    legend = _legend(report)
    left = limit - _size(written + commands + legend + small_print)
    for title, rows, folded in sections:
        if rows:
            text = _section(title, rows, folded, left, {} if rows is sections[-1][1] else names)
            left -= _size(text)
            written += text + commands * (rows[0].verdict in UNDECIDED)
    return written + legend + small_print


def _legend(report: Report) -> str:
    """What the verdicts that a reader sees first mean."""
    lines = [f"{v}: {MEANINGS[v]}" for v in report.counts() if v in MEANINGS]
    return "\n" + _listed([*lines, "n: pairs of processes, seeds or rounds"]) if lines else ""


def no_report(reason: str) -> str:
    """What stands in its place where there is none."""
    return f"### No report: {_safe(one_line(reason, LINE))}\n"


def _section(
    title: str, rows: Sequence[Comparison], folded: bool, left: int, names: Mapping[str, str]
) -> str:
    opening = f"\n<details><summary>{title}: {len(rows):,}</summary>\n\n"
    if not folded:
        opening = f"\n**{title}: {len(rows):,}**\n\n"
    closing = "\n</details>\n" if folded else ""
    left -= _size(opening) + _size(closing) + _size(HEADER) + 100
    kept: list[str] = []
    for row in rows:
        line = _row(row, names.get(row.cell_id, row.cell_id))
        left -= _size(line)
        if left < 0:
            break
        kept.append(line)
    more = "" if len(kept) == len(rows) else f"\n{len(rows) - len(kept):,} more are in the JSON.\n"
    return opening + (HEADER if kept else "") + "".join(kept) + more + closing


def _row(row: Comparison, name: str) -> str:
    cells = (
        verdict(row),
        f"<code>{_entities(one_line(name, 160))}</code>",
        f"<code>{_entities(row.metric)}</code>",
        _safe(one_line(amount(row.base, row.unit), 40)),
        _safe(one_line(amount(row.head, row.unit), 40)),
        _safe(finding(row, 160)),
        margin(row),
        count(row),
    )
    return "| " + " | ".join(cells) + " |\n"


def _listed(lines: Sequence[str]) -> str:
    return "".join(f"- {_safe(one_line(line, LINE))}\n" for line in lines)


def _command(line: str) -> str:
    """To be copied as it is: unlike other text, without a space of no width behind each @."""
    return f"<code>{_entities(one_line(line, LINE))}</code>"


def _safe(text: str) -> str:
    """Text that is shown as it is, and calls nobody by @name."""
    return _entities(text.replace("@", "@\u200b"))


def _entities(text: str) -> str:
    """No HTML and no Markdown in it: both are written as entities."""
    first, *others = html.escape(text).split("&")
    return "&".join([first.translate(SPECIAL), *[_after_entity(part) for part in others]])


def _after_entity(part: str) -> str:
    entity, _, text = part.partition(";")
    return f"{entity};{text.translate(SPECIAL)}"


def _size(text: str) -> int:
    return len(text.encode())
