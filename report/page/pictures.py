"""The figures as pictures inside the page, for readers without JavaScript.

The same figures that plot_results.py writes, with their text as text, which takes a third of the
room of outlines. As images: a picture's own styles need no permission of the page's policy.
"""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from report.figures import FIGURES
from report.load import Run
from report.palette import styled
from report.sheet import settle

TITLES = {
    "memory_phases": "Training: memory by phase",
    "time_parts": "Training: share of time by part",
    "tails": "Serving: tails of latency",
    "roofline": "How near to what the machine allows",
    "pareto": "Pareto front",
}


def pictures(runs: Sequence[Run]) -> dict[str, str]:
    """Figure name -> data URI of its SVG, for the figures that have data."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return {name: uri for name in FIGURES if (uri := _picture(name, runs))}


@styled
def _picture(name: str, runs: Sequence[Run]) -> str:
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure = FIGURES[name](list(runs))
        return "" if figure is None else _uri(figure)


def _uri(figure: Figure) -> str:
    settle(figure)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    text = re.sub(r"(?s)<metadata>.*?</metadata>", "", drawn.getvalue())
    text = re.sub(r"\n\s*", "\n", text)
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()
