"""One HTML file that answers which recommender, at which length, at what cost.

    python plot_results.py --page results/*.json --out page.html

It asks nobody for anything: Vega-Lite, styles and scripts are inside. The library comes from the
installed, pinned vl-convert-python, whose bundle is Vega, Vega-Lite and Vega-Embed (0.9 MB, where
Plotly's is 4 MB); its interpreter of expressions (`ast`) runs without eval, which the page's policy
forbids. The same records give the same bytes: no date of today is in it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from report.facets import cells
from report.finding import finding, findings
from report.labels import one_line
from report.load import Run
from report.page.cell_table import HEAD, MOST_ROWS, cell_columns, cell_rows
from report.page.charts import charts
from report.page.chooser import chooser
from report.page.comparison import comparison
from report.page.limits import limits
from report.page.machines import data_cards, differences, in_words, machine_cards
from report.page.methods import methods
from report.page.pictures import TITLES, pictures
from report.page.policy import policy
from report.page.tables import behind_pictures, together
from report.page.vega import specification

HERE = Path(__file__).resolve().parent
VEGA_LITE = "6.4"
SCRIPTS = (
    "formats.js",
    "theme.js",
    "scroll.js",
    "charts.js",
    "reading.js",
    "draws.js",
    "ranking.js",
    "judge.js",
    "answer.js",
    "chooser.js",
    "cells.js",
)
# Pictures and what numbers say together take seconds to work out; above this there are charts and
# the tables behind them alone, and the page says so.
MOST_CELLS = 2000
# Of one chart's table in the page; the records hold all.
MOST_CHART_ROWS = 400


def build_page(runs: Sequence[Run], said: str | None = None) -> str:
    """The whole page as text; `said` is its finding where that has been worked out already."""
    said = finding(runs) if said is None else said
    runs = _named_shortly(runs)
    all_of_it = sum(len(run.records) for run in runs) <= MOST_CELLS
    # A script's end inside of a script would end it early; the library has none, ours neither.
    # Its stub has no default for the snippet, of which there is none.
    library = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    style = (HERE / "page.css").read_text()
    script = "\n".join((HERE / name).read_text() for name in SCRIPTS)
    found = cells(runs)
    drawn = charts(found)
    shown = [_for_page(chart) | {"spec": specification(chart)} for chart in drawn]
    different = differences(runs)
    columns = cell_columns(runs, found)
    return (
        _environment()
        .get_template("template.html")
        .render(
            policy=policy([library, script], [style]),
            library=library,
            script=script,
            style=style,
            data={
                "chooser": chooser(found),
                "charts": shown,
                "cells": columns,
                "again": page_command(runs),
            },
            finding=_sentences(said),
            findings=findings(runs),
            charts=drawn,
            pictures=pictures(runs) if all_of_it else {},
            picture_titles=TITLES,
            picture_tables=behind_pictures(runs) if all_of_it else {},
            together=together(runs) if all_of_it else [],
            most_cells=MOST_CELLS,
            most_chart_rows=MOST_CHART_ROWS,
            head=HEAD,
            rows=cell_rows(found),
            most_rows=MOST_ROWS,
            count=len(columns["columns"]["L"]),
            runs=runs,
            datasets=list(dict.fromkeys(cell.facets["dataset"] for cell in found)),
            differences=different,
            difference=in_words(different, runs),
            comparison=comparison(runs, found) if len(runs) > 1 else [],
            methods=methods(found),
            machines=machine_cards(runs, found),
            data_cards=data_cards(found),
            limits=limits(runs, found),
            page_command=page_command(runs),
        )
    )


def _sentences(text: str) -> list[str]:
    """The sentences of a finding; a full stop in brackets ends none."""
    ends, depth = [0], 0
    for place, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and text[place : place + 2] == ". ":
            ends.append(place + 2)
    return [text[start:end].strip() for start, end in pairwise([*ends, len(text)]) if text]


def _named_shortly(runs: Sequence[Run]) -> list[Run]:
    """Runs by their files' names, which are shorter than run ids, where those differ."""
    names = [one_line(run.path.stem, 40) for run in runs]
    distinct = len(set(names)) == len(names)
    return [
        replace(run, label=name if distinct else run.label)
        for run, name in zip(runs, names, strict=True)
    ]


def page_command(runs: Sequence[Run]) -> str:
    """How this page is made again, without folders outside of the checkout."""
    paths = [run.path.name if run.path.is_absolute() else run.path.as_posix() for run in runs[:6]]
    words = ["python", "plot_results.py", "--page", *(one_line(path, 120) for path in paths)]
    return shlex.join(words) + (" …" if len(runs) > 6 else "")


def _for_page(chart: Any) -> dict[str, Any]:
    """What charts.js needs; the tables stand in the page already."""
    content = asdict(chart)
    for part in content["parts"]:
        del part["rows"], part["head"], part["notes"]
    return {name: content[name] for name in ("name", "title", "keys", "parts", "joined", "styles")}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The filter `tojson` writes <, > and & as escapes, so that no text ends the script around it.
    environment.policies["json.dumps_function"] = _dumps
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    return environment


def _dumps(content: Any, **options: Any) -> str:
    return json.dumps(content, allow_nan=False, **options)
