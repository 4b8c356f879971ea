"""A chart as a Vega-Lite specification: layers of bands, lines, bars and points, one panel wide.

Data are named and given in the browser, panel by panel. The colours of axes and text are not here
but in page.css, which follows light, dark and print.
"""

from __future__ import annotations

import json
from typing import Any

from report.page.chart import Axis, Chart

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
HEIGHT = 300
DASHES: tuple[list[float], ...] = ([], [6, 3], [1.5, 2.5])
NUMBER = ",~r"
# What the note beside the pointer says of a point.
TOLD = ("line", "style", "x", "y", "low", "high", "n", "note")
CONFIG = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "labelPadding": 8,
        "titlePadding": 10,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelOverlap": "greedy",
    },
    "legend": {"disable": True},
    "aria": False,
}


def specification(chart: Chart) -> dict[str, Any]:
    """The specification of each of the chart's panels."""
    encoding = {
        "x": _channel("x", chart.x),
        "y": _channel("y", chart.y),
        "color": _by_line(chart, [key.color for key in chart.keys]),
    }
    fitted = any(part.fits["x"] for part in chart.parts)
    lines = _bands(encoding) if fitted else []
    lines += [_line(chart, encoding)] if chart.joined else []
    ranged = any(low is not None for part in chart.parts for low in part.points["low"])
    marks = [*([_bars(chart, encoding)] if ranged else []), _points(chart, encoding)]
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": HEIGHT,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": CONFIG,
        "layer": [*lines, *marks, *_labels(chart, encoding)],
    }


def _channel(field: str, axis: Axis) -> dict[str, Any]:
    scale: dict[str, Any] = {"nice": False}
    if axis.low is not None:
        scale["domain"] = [axis.low, axis.high]
    drawn: dict[str, Any] = {"title": axis.title}
    if axis.log:
        scale["type"] = "log"
        drawn |= {"values": axis.ticks, "format": NUMBER}
    else:
        scale["zero"] = False
        drawn |= {"tickCount": 6}
    if field == "x":
        drawn |= {"grid": False, "labelFlush": False}
    else:
        drawn |= {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "start"}
        drawn |= {"titleX": 0, "titleY": -14, "titleBaseline": "bottom"}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": drawn}


def _by_line(chart: Chart, values: list[Any]) -> dict[str, Any]:
    labels = [key.label for key in chart.keys]
    return {"field": "line", "type": "nominal", "scale": {"domain": labels, "range": values}}


def _bands(encoding: dict[str, Any]) -> list[dict[str, Any]]:
    """Between which values a fit lies with 95%, and the fit itself, thin."""
    low = encoding["y"] | {"field": "low"}
    shared = {"x": encoding["x"], "color": encoding["color"], "detail": {"field": "style"}}
    band = {"type": "area", "opacity": 0.13, "clip": True}
    fit = {"type": "line", "strokeWidth": 1, "opacity": 0.8, "clip": True}
    data = {"name": "fits"}
    return [
        {"data": data, "mark": band, "encoding": shared | {"y": low, "y2": {"field": "high"}}},
        {"data": data, "mark": fit, "encoding": shared | {"y": encoding["y"]}},
    ]


def _line(chart: Chart, encoding: dict[str, Any]) -> dict[str, Any]:
    """Measured points joined; a dash is a percentile everywhere, never a model."""
    styled: dict[str, Any] = {"detail": {"field": "style"}}
    if chart.styles:
        styles = list(chart.styles)
        dashes = [DASHES[place % len(DASHES)] for place in range(len(styles))]
        scale = {"domain": styles, "range": dashes}
        styled["strokeDash"] = {"field": "style", "type": "nominal", "scale": scale}
    return {
        "data": {"name": "points"},
        "mark": {"type": "line", "strokeJoin": "round", "clip": True, **_weight(chart)},
        "encoding": encoding | styled,
    }


def _weight(chart: Chart) -> dict[str, float]:
    """Many seeds on one another have to let each other through."""
    seeds = chart.name == "learning"
    return {"strokeWidth": 1.2 if seeds else 2, "opacity": 0.6 if seeds else 1}


def _main(chart: Chart) -> str:
    """Of several percentiles the first has markers and bars; the others are lines alone."""
    return f"datum.style === {json.dumps(chart.styles[0])}" if len(chart.styles) > 1 else "true"


def _bars(chart: Chart, encoding: dict[str, Any]) -> dict[str, Any]:
    """From the lowest to the highest value behind a point."""
    low = encoding["y"] | {"field": "low"}
    test = f"isValid(datum.low) && datum.high > datum.low && {_main(chart)}"
    return {
        "data": {"name": "points"},
        "transform": [{"filter": test}],
        "mark": {"type": "rule", "strokeWidth": 1.4, "clip": True},
        "encoding": encoding | {"y": low, "y2": {"field": "high"}},
    }


def _points(chart: Chart, encoding: dict[str, Any]) -> dict[str, Any]:
    """Filled where measured, hollow where scaled up; of a learning curve the best epoch only."""
    mark: dict[str, Any] = {"type": "point", "strokeWidth": 2}
    opacity = {"condition": {"test": _main(chart), "value": 1}, "value": 0}
    encoding = encoding | {"shape": _by_line(chart, [key.shape for key in chart.keys])}
    fill = {"condition": {"test": "datum.hollow", "value": "transparent"}, **encoding["color"]}
    layer: dict[str, Any] = {"data": {"name": "points"}, "mark": mark}
    if chart.name == "learning":
        layer["transform"] = [{"filter": "datum.hollow"}]
        fill = encoding["color"]
    tooltip = [{"field": name} for name in TOLD]
    more = {"size": {"value": 60}, "opacity": opacity, "fill": fill, "tooltip": tooltip}
    return layer | {"encoding": encoding | more}


def _labels(chart: Chart, encoding: dict[str, Any]) -> list[dict[str, Any]]:
    """Beside the points of accuracy against cost: their L."""
    if chart.joined:
        return []
    mark = {"type": "text", "align": "left", "dx": 9, "dy": -7, "fontSize": 11}
    text = {"field": "label", "type": "nominal"}
    return [{"data": {"name": "points"}, "mark": mark, "encoding": encoding | {"text": text}}]
