"""How a figure looks: one colour, marker and line style per model, everywhere, and the font sizes.

Colours are Okabe and Ito's, told apart with any kind of colour vision; marker and line style say
the same again for print in grey. In the latency figures the line style tells percentiles apart
instead, and the marker alone repeats the model. Figures are made under `styled`, which changes no
global state.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl

from report.typeset import FONT

P = ParamSpec("P")
R = TypeVar("R")
# The stubs of matplotlib want literal names here, other ones in other versions.
LineStyle = Any


@dataclass(frozen=True)
class Look:
    """A model's colour, marker and line style."""

    color: str
    marker: str
    linestyle: LineStyle


_DASHED: LineStyle = (0, (6.0, 2.5))
_DASHDOT: LineStyle = (0, (7.0, 2.0, 1.5, 2.0))
_DOTTED: LineStyle = (0, (2.0, 1.5))
LOOKS = {
    "mamba4rec": Look("#0072B2", "o", "-"),
    "sasrec": Look("#D55E00", "s", _DASHED),
    "bert4rec": Look("#CC79A7", "^", _DASHDOT),
    "gru4rec": Look("#009E73", "D", _DOTTED),
    "recmamba": Look("#56B4E9", "v", "-"),
    "ssd4rec": Look("#E69F00", "P", _DASHED),
    "ss4rec": Look("#7B61C9", "p", _DASHDOT),
}
# Free for models without a fixed look; none of these markers is one of the four main ones. All are
# seen on the page's light paper and on its dark one.
_COLORS = ("#56B4E9", "#E69F00", "#7B61C9", "#7F7F7F", "#A0662B", "#7F8F1F")
_MARKERS = ("v", "P", "p", "h", "<", ">", "*")
_STYLES: tuple[LineStyle, ...] = ("-", _DASHED, _DASHDOT)

# Phases of memory stack in the order in which they happen: a ramp from light to dark, with
# hatches for neighbours in grey print; none of these is a model's colour.
PHASES: dict[str, tuple[str, str]] = {
    "weights": ("#FDE8A1", ""),
    "batch": ("#C9B35A", "////"),
    "forward": ("#8F9A9C", ""),
    "backward": ("#4B6A8A", "\\\\\\\\"),
    "optimizer": ("#14284B", ""),
}

# Parts of a training step's time; the first is what the architectures differ in. None is a model's
# colour, and neighbours differ in grey too.
SHARES: dict[str, tuple[tuple[str, ...], tuple[str, str]]] = {
    "attention, scan or recurrence": (("attention", "scan", "recurrence"), ("#14284B", "")),
    "convolution": (("convolution",), ("#8C7BB8", "\\\\\\\\")),
    "feed-forward, or all behind attention": (("feed_forward", "post_mixer"), ("#4B6A8A", "")),
    "linear layers": (("linear",), ("#A9C6DE", "////")),
    "norms, dropout": (("norm", "dropout"), ("#7C8B72", "")),
    "data, embedding": (("data", "embedding"), ("#C9B35A", "////")),
    "loss": (("loss",), ("#FDE8A1", "")),
    "optimizer": (("optimizer",), ("#B07A5E", "----")),
    "rest": (("rest",), ("#DADADA", "")),
}

# A model's second line in a panel (another kernel, say) keeps its look, with half-filled markers.
FILLS: tuple[Any, ...] = ("full", "left", "bottom", "right", "top")

TEXT_SIZE = 11.0
NOTE_SIZE = 9.0
STYLE: Any = {
    "font.family": FONT,
    "font.size": TEXT_SIZE,
    "axes.titlesize": TEXT_SIZE,
    "axes.labelsize": TEXT_SIZE,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "legend.handlelength": 2.7,
    "lines.linewidth": 2.0,
    "lines.markersize": 7.0,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.dpi": 160,
    # Names come from files: a "$" in them is a dollar sign, not the start of a formula.
    "text.parse_math": False,
    # Text as outlines and a fixed salt: the same picture and the same bytes on any machine.
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "svg.hashsalt": "seqrec-bench",
}


def look(model: str) -> Look:
    """The model's look; for a name not listed one drawn from its letters, the same every time."""
    if model in LOOKS:
        return LOOKS[model]
    place = zlib.crc32(model.encode())
    place, color = divmod(place, len(_COLORS))
    place, marker = divmod(place, len(_MARKERS))
    return Look(_COLORS[color], _MARKERS[marker], _STYLES[place % len(_STYLES)])


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function under STYLE."""

    @wraps(function)
    def under_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(STYLE):
            return function(*args, **kwargs)

    return under_style
