"""The terminal's table: a line a cell, numbers whole, plain lines where there is no terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from _pytest.terminal import TerminalReporter

from bench.cell import Cell
from bench.cell_table import CellTable
from measure.record import Record

RecordOf = Callable[..., Record]
CELLS = [
    Cell("gru4rec", "recommend", "ml_1m", "all", 50, 1),
    Cell("mamba4rec", "serve_step", "ml_1m", "all", 16384, 1),
]


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def printed(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """printed(records, columns=100) is what a table of CELLS prints of them."""

    def run(records: list[Record], *, columns: int = 160, terminal: bool = True) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        file = FakeTerminal() if terminal else io.StringIO()
        table = CellTable(CELLS, TerminalReporter(pytestconfig, file))
        for record in records:
            table.add(record, kept=False)
        return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())

    return run


def test_columns_stand_under_each_other(printed: Callable[..., str], record_of: RecordOf) -> None:
    header, *lines = printed([record_of(cell) for cell in CELLS]).splitlines()
    assert lines[0].startswith("1/2 ok ")
    assert lines[1].startswith("2/2 ok ")
    for line, cell in zip(lines, CELLS, strict=True):
        assert line.index(cell.model) == header.index("model")
        assert line.index(cell.workload) == header.index("workload")
        assert line.index("latency_p50 2.1 ms") == header.index("result")
        end = header.index(" L ") + 2
        assert line[:end].split()[-1] == str(cell.seq_len)


def test_flags_and_seconds_are_shown(printed: Callable[..., str], record_of: RecordOf) -> None:
    out = printed([record_of(CELLS[0], flags=["noisy", "contended"])])
    assert "  3 s  latency_p50 2.1 ms" in out
    assert out.endswith("  noisy, contended\n")


def test_a_reason_is_cut_to_the_terminal_and_cannot_write_on_it(
    printed: Callable[..., str], record_of: RecordOf
) -> None:
    reason = "\x1b[2J" + "no memory " * 30
    line = printed([record_of(CELLS[0], status="oom", reason=reason, metrics={})], columns=100)
    line = line.splitlines()[1]
    assert len(line) == 100
    assert line.endswith("…")
    assert r"\x1b[2J" in line
    assert "oom" in line


def test_numbers_are_never_cut(printed: Callable[..., str], record_of: RecordOf) -> None:
    assert "latency_p50 2.1 ms" in printed([record_of(CELLS[0])], columns=40)


def test_a_kept_cell_says_so(
    pytestconfig: pytest.Config, record_of: RecordOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = FakeTerminal()
    table = CellTable(CELLS, TerminalReporter(pytestconfig, file))
    table.add(record_of(CELLS[0]), kept=True)
    assert "  kept  " in file.getvalue()


def test_elsewhere_a_line_names_the_whole_cell(
    printed: Callable[..., str], record_of: RecordOf
) -> None:
    failed = record_of(replace(CELLS[1]), status="timeout", reason="not finished after 1 s")
    out = printed([record_of(CELLS[0]), failed], terminal=False)
    assert out.splitlines() == [
        f"  {CELLS[0].cell_id}: latency_p50 2.1 ms, latency_p95 not measured",
        f"  {CELLS[1].cell_id}: timeout: not finished after 1 s",
    ]
