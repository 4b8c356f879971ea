"""What ran out of memory tells of what is larger, and of nothing else; the order is the seed's."""

from __future__ import annotations

import dataclasses

import pytest

from bench.cell import Cell
from bench.series import in_order, pruned, series_of, source_of_pruning
from measure.record import Record, dumps, loads

CELL = Cell("sasrec", "train_epoch", "synthetic", "all", 1024, 16)


def failed(cell: Cell) -> Record:
    oom = {"where": "host", "phase": "backward", "limit_bytes": 2 * 10**9}
    return Record(cell.cell_id, cell.key, cell.to_dict(), "oom", reason="no memory", oom=oom)


@pytest.mark.parametrize(
    ("changes", "is_pruned"),
    [
        ({"seq_len": 2048}, True),
        ({"seq_len": 2048, "batch_size": 8}, True),  # as many events a batch, as in `scaling`
        ({"seq_len": 2048, "batch_size": 7}, False),
        ({"seq_len": 512, "batch_size": 64}, False),
        ({"seq_len": 1024}, False),
        ({"seq_len": 2048, "model": "gru4rec"}, False),
        ({"seq_len": 2048, "workload": "recommend"}, False),
        ({"seq_len": 2048, "objective": "last"}, False),
        ({"seq_len": 2048, "dtype": "bfloat16"}, False),
        ({"seq_len": 2048, "threads": 2}, False),
        ({"seq_len": 2048, "backend": "torch"}, False),
    ],
)
def test_only_longer_cells_of_the_series_are_not_tried(
    changes: dict[str, object], is_pruned: bool
) -> None:
    cell = dataclasses.replace(CELL, **changes)  # type: ignore[arg-type]
    assert (source_of_pruning(cell, [failed(CELL)]) is not None) is is_pruned


def test_a_cell_that_was_not_tried_points_to_the_one_it_derives_from() -> None:
    longer = dataclasses.replace(CELL, seq_len=4096)
    record = loads(dumps(pruned(longer, failed(CELL), {}, "now")))
    assert record.status == "pruned_oom"
    assert record.oom == {"derived_from": CELL.cell_id, "limit_bytes": 2 * 10**9}
    assert "L=1024" in (record.reason or "")


def test_the_order_is_shuffled_by_the_seed_with_shorter_ones_first_in_a_series() -> None:
    cells = [
        dataclasses.replace(CELL, model=model, seq_len=length)
        for model in ("a", "b", "c")
        for length in (400, 100, 300, 200)
    ]
    one, again, other = in_order(cells, 0), in_order(cells, 0), in_order(cells, 1)
    assert one == again
    assert one != other
    assert set(one) == set(cells) == set(other)
    for model in ("a", "b", "c"):
        assert [c.seq_len for c in one if c.model == model] == [100, 200, 300, 400]
    assert len({series_of(c) for c in one[:4]}) > 1
