"""How a comparison spends its time, with made-up blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.ab.campaign import Campaign, Pairs, first_is_base
from bench.ab.ledger import Ledger
from bench.ab.sides import Name
from bench.cell import Cell
from measure.record import Metric, Record


def cell(model: str) -> Cell:
    return Cell(model, "recommend", "synthetic_u60_i50_n20", "all", 50, 1)


CELLS = [cell(name) for name in ("sasrec", "gru4rec", "mamba4rec")]


class Machine:
    """Blocks as a real run would order them."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, Name]] = []

    def __call__(self, cell: Cell, order: Sequence[Name]) -> dict[Name, Record]:
        return {side: self.block(cell, side) for side in order}

    def block(self, cell: Cell, side: Name) -> Record:
        self.blocks.append((cell.model, side))
        metric = Metric(1.0 if side == "base" else 1.3, "s", "lower", "time", "made up")
        return Record(cell.cell_id, cell.key, cell.to_dict(), "ok", metrics={"latency_p50": metric})


@dataclass(frozen=True)
class Want:
    cell_id: str
    stage: str
    pairs: int


class Doubting:
    """Screens with so many pairs a cell, then doubts the first until it has `pairs` fresh ones."""

    SCREEN = (4, 4, 1)

    def __init__(self, pairs: int) -> None:
        self.pairs = pairs

    def __call__(self, screened: Pairs, confirmed: Pairs) -> list[Want]:
        short = [
            Want(c.cell_id, "screen", count - len(screened[c.cell_id]))
            for c, count in zip(CELLS, self.SCREEN, strict=True)
            if len(screened[c.cell_id]) < count
        ]
        doubted = CELLS[0].cell_id
        if len(confirmed[doubted]) < self.pairs:
            short.append(Want(doubted, "confirm", self.pairs - len(confirmed[doubted])))
        return short


@pytest.fixture
def machine() -> Machine:
    return Machine()


def campaign(folder: Path, machine: Machine, pairs: int = 3, seconds: float = 60.0) -> Campaign:
    needs = Doubting(pairs)
    return Campaign(CELLS, Ledger(folder), machine, needs, seconds, say=lambda line: None)


def test_sides_take_turns_and_each_is_first_equally_often() -> None:
    firsts = [first_is_base(number) for number in range(8)]
    assert firsts == [True, False, False, True] * 2


def test_only_the_cell_in_doubt_gets_fresh_pairs(tmp_path: Path, machine: Machine) -> None:
    run = campaign(tmp_path, machine)
    run.run()
    screened, confirmed = run.pairs("screen"), run.pairs("confirm")
    assert [len(screened[c.cell_id]) for c in CELLS] == [4, 4, 1]
    assert [len(confirmed[c.cell_id]) for c in CELLS] == [3, 0, 0]
    assert len(machine.blocks) == 2 * (4 + 4 + 1 + 3)
    assert not run.out_of_time


def test_the_blocks_of_a_pair_follow_each_other(tmp_path: Path, machine: Machine) -> None:
    campaign(tmp_path, machine).run()
    for one, other in zip(machine.blocks[::2], machine.blocks[1::2], strict=True):
        assert one[0] == other[0]
        assert {one[1], other[1]} == {"base", "head"}


def test_a_second_start_measures_what_is_missing_only(tmp_path: Path, machine: Machine) -> None:
    campaign(tmp_path, machine).run()
    before = len(machine.blocks)
    campaign(tmp_path, machine, pairs=5).run()
    assert len(machine.blocks) == before + 2 * 2
    victim = next(tmp_path.glob("pairs/*/confirm-03.json"))
    victim.write_text(victim.read_text()[:100])
    again = campaign(tmp_path, machine, pairs=5)
    again.run()
    assert len(machine.blocks) == before + 2 * 3, "a half-written pair is measured again"
    assert len(again.pairs("confirm")[CELLS[0].cell_id]) == 5


def test_cells_in_reserve_are_measured_where_they_are_asked_for(
    tmp_path: Path, machine: Machine
) -> None:
    reserve = [dataclasses.replace(CELLS[0], seed=seed) for seed in (1, 2)]
    wanted = reserve[1].cell_id

    def needs(screened: Pairs, confirmed: Pairs) -> list[Want]:
        return [] if wanted in confirmed else [Want(wanted, "confirm", 1)]

    run = Campaign(
        CELLS, Ledger(tmp_path), machine, needs, 60.0, say=lambda line: None, reserve=reserve
    )
    run.run()
    assert [len(run.pairs("screen")[cell.cell_id]) for cell in CELLS] == [1, 1, 1]
    assert set(run.pairs("confirm")) - {cell.cell_id for cell in CELLS} == {wanted}
    assert set(run.pairs("screen")) == {cell.cell_id for cell in CELLS}


def test_no_pair_begins_when_the_time_is_over(tmp_path: Path, machine: Machine) -> None:
    run = campaign(tmp_path, machine, seconds=0.0)
    run.run()
    assert run.out_of_time
    assert machine.blocks == []


def test_a_pair_of_another_cell_of_that_name_is_not_taken(tmp_path: Path, machine: Machine) -> None:
    campaign(tmp_path, machine).run()
    other = dataclasses.replace(CELLS[0], requests=7)  # the same id, other settings
    assert other.cell_id == CELLS[0].cell_id
    assert Ledger(tmp_path).read(other, "screen", 0) is None
