"""Every planted change still fits the code that it changes, and the judge of the trial can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.planted.__main__ import _judge
from tests.planted.plants import PLANTS, Plant

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_an_edit_fits_and_leaves_code_that_compiles(plant: Plant) -> None:
    changed: dict[str, str] = {}
    for file, old, new in plant.edits:
        text = changed.get(file) or (ROOT / file).read_text()
        assert text.count(old) == 1, f"{file}: {old!r}"
        changed[file] = text.replace(old, new)
    for file, text in changed.items():
        compile(text, file, "exec")
        assert text != (ROOT / file).read_text()


def said(cell: str, metric: str, verdict: str) -> dict[str, object]:
    return {"cell_id": cell, "metric": metric, "verdict": verdict, "change": 0.1, "pairs": [1] * 10,
            "reason": "made up"}  # fmt: skip


PLANT = Plant("made up", (), (), (("gru4rec", "epoch_time"),), ("gru4rec",))


def test_a_plant_is_found_only_where_it_was_planted() -> None:
    right = said("gru4rec-x", "epoch_time", "REGRESSED")
    assert _judge(PLANT, [right, said("sasrec-x", "epoch_time", "UNCHANGED")])["found"]
    assert _judge(PLANT, [right, said("gru4rec-x", "memory_peak", "REGRESSED")])["found"]
    assert not _judge(PLANT, [said("gru4rec-x", "epoch_time", "INCONCLUSIVE")])["found"]
    assert not _judge(PLANT, [right, said("sasrec-x", "epoch_time", "REGRESSED")])["found"]
    assert not _judge(PLANT, [said("gru4rec-x", "epoch_time", "FAILED")])["found"]
