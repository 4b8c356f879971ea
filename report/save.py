"""Figures into files: the same records give the same bytes.

A changed picture then means a change of numbers. All figures are drawn before the first is
written; a name without data gives no file and is reported.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from report.figures import FIGURES
from report.load import Run
from report.palette import styled
from report.sheet import settle

FORMATS = ("png", "svg")  # what is written where nothing else is asked for
ALLOWED = (*FORMATS, "pdf")
# Without a date in it, so that equal records give equal bytes.
_UNDATED: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Saved:
    """The files written, and the figures there was no data for."""

    files: list[Path]
    not_drawn: list[str]

    def in_words(self, out: Path) -> list[str]:
        """One line on each for the terminal."""
        absent = [f"Not drawn, no data: {', '.join(self.not_drawn)}"] if self.not_drawn else []
        return [*absent, f"Figures: {len(self.files)} files in {out}/"]


@styled
def save_figures(runs: Sequence[Run], out: Path, formats: Sequence[str] = FORMATS) -> Saved:
    """Write each figure that has data as `out`/NAME.FORMAT; OSError where that is not possible."""
    # A name with letters that the font lacks is shown with boxes, in silence.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    figures = {name: make(list(runs)) for name, make in FIGURES.items()}
    drawn = {name: figure for name, figure in figures.items() if figure is not None}
    out.mkdir(parents=True, exist_ok=True)
    for figure in drawn.values():
        settle(figure)
    files = [
        _write(figure, out / f"{name}.{kind}", kind)
        for name, figure in drawn.items()
        for kind in formats
    ]
    return Saved(files, [name for name in figures if name not in drawn])


def _write(figure: Figure, path: Path, kind: str) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, format=kind, metadata=_UNDATED.get(kind))
    return path
