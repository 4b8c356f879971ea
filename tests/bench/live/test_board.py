"""The board: whole to whoever comes, then each change, to any number at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from bench.cell import Cell
from bench.live.board import Board
from measure.record import Record

RecordOf = Callable[..., Record]
FIRST = Cell("gru4rec", "recommend", "ml_1m", "all", 50, 1)
CELLS = [FIRST, replace(FIRST, seq_len=200), replace(FIRST, model="sasrec")]


@pytest.fixture
def board() -> Board:
    return Board(CELLS, {"Suite": "smoke"})


def whole(board: Board) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(board.whole())
    return content


def statuses(content: dict[str, Any]) -> list[str]:
    return [cell["status"] for cell in content["cells"]]


def test_at_first_all_cells_wait_in_the_runs_order(board: Board) -> None:
    content = whole(board)
    assert [cell["cell"] for cell in content["cells"]] == [cell.cell_id for cell in CELLS]
    assert statuses(content) == ["waiting"] * 3
    assert content["facts"] == {"Suite": "smoke"}
    assert (content["done"], content["total"], content["running"]) == (0, 3, None)


def test_the_running_cell_and_the_time_left_are_told(board: Board) -> None:
    board.begin(CELLS[1], left=40.0)
    content = whole(board)
    assert statuses(content) == ["waiting", "running", "waiting"]
    assert content["running"]["name"] == "gru4rec recommend L200 B1"
    assert 0 <= content["running"]["seconds"] < 5
    assert content["left_seconds"] == 40.0


def test_a_landed_cell_shows_its_numbers_with_units_and_its_flags(
    board: Board, record_of: RecordOf
) -> None:
    board.begin(FIRST, left=9.0)
    board.land(record_of(FIRST, flags=["noisy"]), kept=False, left=6.0)
    row = whole(board)["cells"][0]
    assert row["numbers"] == [["latency_p50", "2.1 ms"], ["latency_p95", "not measured"]]
    assert (row["flags"], row["seconds"], row["kept"]) == (["noisy"], 3.2, False)
    assert whole(board)["running"] is None
    assert whole(board)["done"] == 1


def test_a_cell_that_failed_shows_its_reason(board: Board, record_of: RecordOf) -> None:
    board.land(record_of(FIRST, status="oom", reason="no memory", metrics={}), kept=False, left=0)
    row = whole(board)["cells"][0]
    assert (row["status"], row["reason"], row["numbers"]) == ("oom", "no memory", [])


def test_followers_hear_everything_once_and_in_order(board: Board, record_of: RecordOf) -> None:
    heard: list[list[dict[str, Any]]] = [[], []]

    def follow(into: list[dict[str, Any]]) -> None:
        into.extend(json.loads(line) for line in board.follow() if line)

    threads = [Thread(target=follow, args=(into,)) for into in heard]
    threads[0].start()
    for cell in CELLS:
        board.begin(cell, left=3.0)
        board.land(record_of(cell), kept=False, left=2.0)
    threads[1].start()  # one that comes late
    board.end("kept in results/x")
    for thread in threads:
        thread.join(timeout=5)
    for news in heard:
        assert "facts" in news[0]
        assert all("facts" not in later for later in news[1:])
        rows = {cell["cell"]: cell["status"] for part in news for cell in part["cells"]}
        assert rows == {cell.cell_id: "ok" for cell in CELLS}
        assert news[-1]["ended"] == "kept in results/x"
        assert [part["ended"] for part in news[:-1]] == [None] * (len(news) - 1)
        assert [part["done"] for part in news] == sorted(part["done"] for part in news)


def test_a_follower_that_leaves_is_not_waited_for(board: Board) -> None:
    follower = board.follow()
    next(follower)
    follower.close()
    board.end("over")
    assert whole(board)["ended"] == "over"


def test_odd_names_are_kept_as_text_on_one_line(record_of: RecordOf) -> None:
    reason = "</script><img src=x onerror=alert(1)>\r\ndata: {}\n\n\u202eabc\ud800"
    board = Board(CELLS, {"Data": reason})
    board.land(record_of(FIRST, status="error", reason=reason, metrics={}), kept=False, left=0)
    text = board.whole()
    assert text.isascii()
    assert "\n" not in text
    assert "\r" not in text
    assert json.loads(text)["cells"][0]["reason"] == reason
