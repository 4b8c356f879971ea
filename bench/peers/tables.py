"""The rows as tables: in the terminal, and in Markdown for README and results/README.md.

Both show how many times better ours is (above 1 ours wins), the median of the pairs with the
smallest and the largest, and both sides' own medians of training.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

_RATIOS = {
    "train": "training",
    "rank": "ranking",
    "recommend": "one user",
    "start_up": "start-up",
    "memory": "memory",
    "memory_equal_batch": "memory, equal batch",
}
_MODEL_HEAD = ("model", "beside", "L", "batch", "samples/s", *_RATIOS.values())
_SCAN_HEAD = ("scan beside", "L, batch", "forward ns", "×", "forward + backward ns", "×", "extra")
_LABELS = {
    "sasrec": "SASRec",
    "bert4rec": "BERT4Rec",
    "gru4rec": "GRU4Rec",
    "mamba4rec": "Mamba4Rec",
}
_MEBIBYTE = 2**20


def terminal(content: Mapping[str, Any]) -> Table:
    """The rows of one results file for the terminal; what failed says why."""
    table = Table(box=box.SIMPLE_HEAD, title=_title(content), title_justify="left")
    head, lines = cells(content["rows"])
    for name in head:
        table.add_column(name, justify="left" if name in head[:2] else "right")
    for line, row in zip(lines, content["rows"], strict=True):
        table.add_row(*(Text(cell) for cell in line))
        if row["reason"]:
            table.add_row("", Text(f"{row['status']}: {row['reason']}", style="yellow"))
    return table


def markdown(content: Mapping[str, Any]) -> str:
    """The rows of one results file as a Markdown table with its conditions below."""
    head, lines = cells(content["rows"])
    ruler = ["---", "---", *["--:"] * (len(head) - 2)]
    table = [_line(head), "|" + "|".join(ruler) + "|", *map(_line, lines)]
    failed = [
        f"- {_name(row)}, L = {row['seq_len']}: {row['status']}, {row['reason']}"
        for row in content["rows"]
        if row["reason"]
    ]
    notes = sorted({f"- {note}" for row in content["rows"] for note in row.get("notes", ())})
    return "\n".join([*table, "", _title(content), *_list(failed + notes)]) + "\n"


def cells(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Head and lines; a file holds rows of models or rows of scans."""
    if rows and "library" in rows[0]:
        return _SCAN_HEAD, [_scan_line(row) for row in rows]
    return _MODEL_HEAD, [_model_line(row) for row in rows]


def _model_line(row: Mapping[str, Any]) -> list[str]:
    ours, peer = row["sides"]["ours"], row["sides"]["peer"]
    batch = f"{_plain(ours.get('batch_size'))} / {_plain(peer.get('batch_size'))}"
    rates = f"{_median(ours, 'train', 'rate')} / {_median(peer, 'train', 'rate')}"
    name = _LABELS.get(row["model"], row["model"])
    start = [name, row["label"], str(row["seq_len"]), batch, rates]
    return [*start, *(_ratio(row["ratios"].get(key)) for key in _RATIOS)]


def _scan_line(row: Mapping[str, Any]) -> list[str]:
    ours, peer = row["sides"]["ours"], row["sides"]["peer"]
    line = [_name(row), f"{row['seq_len']}, {row['batch_size']}"]
    for verb in ("forward", "both"):
        line.append(f"{_nanoseconds(ours, verb)} / {_nanoseconds(peer, verb)}")
        line.append(_ratio(row["ratios"].get(verb)))
    return [*line, f"{_extra(ours)} / {_extra(peer)}"]


def _name(row: Mapping[str, Any]) -> str:
    if "library" not in row:
        return f"{_LABELS.get(row['model'], row['model'])}, {row['label']}"
    threads = row["peer_threads"]
    return f"ours, {threads} threads" if row["library"] == "ours" else str(row["library"])


def _ratio(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    if found["pairs"] == 1:
        return f"{found['median']:.2f}×"
    return f"{found['median']:.2f}× ({found['lowest']:.2f}–{found['highest']:.2f})"


def _median(side: Mapping[str, Any], verb: str, figure: str) -> str:
    rounds = side.get(verb)
    return f"{statistics.median(r[figure] for r in rounds):,.0f}" if rounds else "–"


def _nanoseconds(side: Mapping[str, Any], verb: str) -> str:
    rounds = side.get(verb)
    return f"{statistics.median(r['ns'] for r in rounds):.3g}" if rounds else "–"


def _extra(side: Mapping[str, Any]) -> str:
    found = side.get("memory")
    return f"{found['extra_bytes'] / _MEBIBYTE:,.0f} MiB" if found else "–"


def _plain(value: object) -> str:
    return "–" if value is None else str(value)


def _title(content: Mapping[str, Any]) -> str:
    machine, data = content["machine"], content.get("data", {})
    what = f"{data['name']}, objective last" if data else "selective scan, float32"
    rounds = f"{content['rounds']} pairs in turn of {content['seconds']:g} s"
    commit = (content["commit"]["id"] or "unknown")[:7]
    commit += " with changes" if content["commit"].get("dirty") else ""
    return (
        f"{what}: ours / theirs, × how many times better ours is; {rounds}; {content['threads']}"
        f" thread(s), {machine['cpu_model']}, PyTorch {machine['torch']}, commit {commit}"
    )


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _list(entries: Sequence[str]) -> list[str]:
    return ["", *entries] if entries else []
