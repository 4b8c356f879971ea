"""What the reference runs say, where readers see it first: `python -m report.reference`.

Writes docs/index.html, the figures in plots/reference/ and README's finding anew, all from
results/reference/*.json. Tests fail where one of them is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from report.finding import finding
from report.load import InputError, Run, load_runs
from report.page.build import build_page
from report.save import save_figures

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path("results/reference")
PAGE, PLOTS, README = Path("docs/index.html"), Path("plots/reference"), Path("README.md")
COMMAND = "python -m report.reference"
_BEGIN, _END = f"<!-- finding: {COMMAND} -->", "<!-- end of finding -->"


def main() -> int:
    """Write page, figures and finding; 2 and one line where a result file can't be used."""
    try:
        runs = reference_runs(ROOT)
        said = finding(runs)
        readme = with_finding((ROOT / README).read_text(encoding="utf-8"), said)
    except (InputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page = build_page(runs, said)
    for old in (ROOT / PLOTS).glob("*.svg"):
        old.unlink()
    saved = save_figures(runs, ROOT / PLOTS, ("svg",))
    (ROOT / PAGE).write_text(page, encoding="utf-8")
    (ROOT / README).write_text(readme, encoding="utf-8")
    print(
        said, *saved.in_words(PLOTS), f"Page: {PAGE}, {len(page.encode()) / 1e6:.1f} MB", sep="\n"
    )
    return 0


def reference_runs(root: Path) -> Sequence[Run]:
    """The runs whose results are committed, by their files' names; InputError where one can't be
    read.
    """
    paths = sorted((root / RESULTS).glob("*.json"))
    runs = load_runs(paths)
    return [replace(run, label=path.stem) for run, path in zip(runs, paths, strict=True)]


def with_finding(text: str, said: str) -> str:
    """The README with this finding between its two marks; ValueError where they are missing."""
    block = re.compile(rf"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    if not block.search(text):
        raise ValueError(f"{README}: the mark {_BEGIN!r} is missing")
    return block.sub(lambda _: f"{_BEGIN}\n> {said}\n{_END}", text, count=1)


if __name__ == "__main__":
    sys.exit(main())
