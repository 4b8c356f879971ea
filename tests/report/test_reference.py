"""What stands in docs/, plots/reference/ and README is what the reference runs say today."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path

import pytest

from report.figures import FIGURES
from report.finding import finding
from report.page.build import build_page
from report.reference import COMMAND, PAGE, PLOTS, README, reference_runs, with_finding
from report.save import save_figures

ROOT = Path(__file__).resolve().parents[2]
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


@pytest.fixture(scope="module")
def runs():
    return reference_runs(ROOT)


def test_the_page_in_docs_is_that_of_the_reference_runs(runs):
    assert_equal(_known((ROOT / PAGE).read_text()), _known(build_page(runs)))


def test_the_finding_in_readme_is_that_of_the_reference_runs(runs):
    readme = (ROOT / README).read_text()
    assert readme == with_finding(readme, finding(runs)), COMMAND


def test_the_figures_are_those_of_the_reference_runs(runs, tmp_path):
    saved = save_figures(runs, tmp_path, ("svg",))
    there = sorted(path.name for path in (ROOT / PLOTS).glob("*.svg"))
    assert there == sorted(path.name for path in saved.files), COMMAND
    assert "epoch_time.svg" in there
    assert len(there) >= len(FIGURES) - 2
    for path in saved.files:
        assert_equal(_points((ROOT / PLOTS / path.name).read_text()), _points(path.read_text()))


def test_a_readme_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="finding"):
        with_finding("# a page", "x")


def assert_equal(old: str, new: str) -> None:
    """Equal texts, numbers within 1%: other processors add in other orders."""
    for at, (a, b) in enumerate(zip_longest(_NUMBER.split(old), _NUMBER.split(new))):
        if a == b:
            continue
        assert None not in (a, b), f"out of date: {COMMAND}"
        assert at % 2, f"out of date: {COMMAND} ({a!r}, {b!r})"
        assert float(a) == pytest.approx(float(b), rel=0.01, abs=0.02), f"out of date: {COMMAND}"


def _known(page: str) -> str:
    """The page without what libraries drew or bring, which a change of version may move."""
    page = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", page)
    page = re.sub(r"(?s)<script>.*?</script>", "", page, count=1)
    return re.sub(r"script-src [^;]+;", "", page)


def _points(picture: str) -> str:
    """A figure as drawn, without its version and the names made of all digits of its numbers."""
    picture = re.sub(r"(?s)<metadata>.*?</metadata>", "", picture)
    picture = re.sub(r"#?\b[a-z][0-9a-f]{10}\b", "", picture)
    return re.sub(r"(?s)<style.*?</style>", "", picture)
