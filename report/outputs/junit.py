"""JUnit XML, which every CI service shows: a test case per cell and metric.

Red is a failure (with a soft gate: skipped, since it fails nothing), undecided and not compared are
skipped with their reason.
"""

from __future__ import annotations

# It writes XML and parses none.
import xml.etree.ElementTree as ElementTree  # nosec B405
from collections.abc import Iterator

from report.amounts import change, verdict
from report.labels import one_line
from report.verdict import RED, Comparison, Report, Verdict

HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n'
SKIPPED = (Verdict.NOT_MEASURABLE, Verdict.INCONCLUSIVE, Verdict.NOT_COMPARABLE)


def junit(report: Report) -> str:
    """The report as one <testsuites> document."""
    failed = len(report.gating)
    skipped = sum(_outcome(comparison) == "skipped" for comparison in report.comparisons)
    counts = {
        "tests": str(len(report.comparisons)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
        "time": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "seqrec-bench"} | counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "regression report"} | counts)
    facts = {"verdict": report.headline, "design": report.design, "noise": report.noise}
    _properties(suite, facts | {"base": report.base.commit, "head": report.head.commit})
    for comparison in report.comparisons:
        _case(suite, comparison)
    ElementTree.indent(root)
    return HEADER + ElementTree.tostring(root, encoding="unicode") + "\n"


def _outcome(comparison: Comparison) -> str:
    if comparison.verdict in RED:
        return "failure" if comparison.gate == "hard" else "skipped"
    return "skipped" if comparison.verdict in SKIPPED else "passed"


def _case(suite: ElementTree.Element, comparison: Comparison) -> None:
    names = {"classname": _text(comparison.cell_id), "name": _text(comparison.metric), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", names)
    _properties(case, dict(_numbers(comparison)))
    outcome = _outcome(comparison)
    if outcome != "passed":
        message = f"{verdict(comparison)}: {change(comparison)}; {comparison.reason}"
        ElementTree.SubElement(case, outcome, {"message": _text(message)})


def _numbers(comparison: Comparison) -> Iterator[tuple[str, str]]:
    yield "verdict", str(comparison.verdict)
    for name in ("base", "head", "change", "low", "high", "margin"):
        value = getattr(comparison, name)
        if value is not None:
            yield name, repr(float(value))
    yield "pairs", str(len(comparison.pairs))


def _properties(parent: ElementTree.Element, facts: dict[str, str]) -> None:
    properties = ElementTree.SubElement(parent, "properties")
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": _text(value)})


def _text(text: str) -> str:
    """Printable characters only: XML has no way to write the others."""
    return one_line(text, 400).encode("utf-8", "replace").decode()
