"""A pair of blocks: one cell measured on both sides, in fresh processes of each side's code."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.ab.sides import NAMES, Name, Side
from bench.cell import Cell
from bench.findings import Findings
from bench.journal import Journal, Manifest
from bench.memory_limit import available
from bench.options import Options
from bench.overhead import REPEATS
from bench.process import Worker
from bench.runner import Runner
from measure.record import Record

_LEFT_FREE = 2**30  # bytes


class Blocks:
    """Call it with a cell and the order of the sides: each side's record.

    Where memory allows, both sides' workers are alive at once and measured by turns, a round of the
    one and a round of the other, A B B A: what the machine does to one it does to both. What ran
    out of memory there is measured again alone, so that neither side dies of the other.

    Memory is measured where a peak is the question, in training; elsewhere its pass, in a process
    of its own, would double the time of a pair for a number that the weights decide. Shares of time
    by part judge nothing and are left out. Nothing is pruned or repeated here: a pair is two blocks
    of the same work. Of a model that the base lacks there is the head's block alone: it has to run.
    """

    def __init__(
        self,
        folder: Path,
        sides: Mapping[Name, Side],
        options: Options,
        manifest: Manifest,
        new: Collection[str] = (),
    ) -> None:
        self._new = frozenset(new)
        self._runners = {
            name: Runner(
                Journal(_room(folder / name / "blocks"), manifest),
                options.data_dir,
                options.columns,
                options.timeout,
                options.memory_limit,
                prune=False,
                cpus=options.cpus,
                place=sides[name].place,
                allocator=options.allocator,
                parts=False,
            )
            for name in NAMES
        }
        self._alone: set[str] = set()  # cells that two workers at once may have no memory for

    def __call__(self, cell: Cell, order: Sequence[Name]) -> dict[Name, Record]:
        memory = cell.workload == "train_epoch"
        if cell.model in self._new:
            head = self._runners["head"].block(cell, memory=memory)
            return {"base": _without_model(cell), "head": head}
        room = self._runners[order[0]].has_room_for_two(cell)
        if not room or cell.cell_id in self._alone:
            return {name: self._runners[name].block(cell, memory=memory) for name in order}
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        timed = self._pass(cell, "time", order)
        well = [name for name in order if memory and timed[name].status == "ok"]
        held = {} if _ran_out(timed) else self._pass(cell, "memory", well)
        if _ran_out(timed) or _ran_out(held):
            self._alone.add(cell.cell_id)
            again = self(cell, order).items()
            return {n: _with_repeat(made, _seconds(timed, held, of=n)) for n, made in again}
        records = {}
        for name in order:
            seconds = _seconds(timed, held, of=name)
            records[name], _ = self._runners[name].record(
                cell, started, seconds, [timed[name]], held.get(name)
            )
        return records

    def _pass(self, cell: Cell, measuring: str, order: Sequence[Name]) -> dict[Name, Findings]:
        """One pass of each side: loaded side by side where each has a core, measured in order; what
        is timed by turns.
        """
        beside = self._runners["base"].loads_side_by_side(cell)
        with contextlib.ExitStack() as stack:
            workers: dict[Name, Worker] = {}
            for name in order:
                second = beside and bool(workers)
                worker = self._runners[name].worker(cell, measuring, beside=second, paired=True)
                workers[name] = stack.enter_context(worker)
                if not beside:
                    worker.load()
            for worker in workers.values():
                worker.load()
            if measuring == "time":
                by_turns(list(workers.values()))
            return {name: self._runners[name].findings(workers[name]) for name in order}


def by_turns(workers: Sequence[Worker]) -> None:
    """Let them on by turns, a round each, until all have ended; each warms up before the first.

    The others are left as they are where the first one, warmed up, shows that memory is short.
    """
    waiting: list[Worker] = []
    for worker in workers:
        if waiting and not _has_room_for(worker, like=waiting[0]):
            return
        if worker.advance():
            waiting.append(worker)
    while waiting:
        waiting = [worker for worker in waiting if worker.advance()]
        waiting.reverse()


def _without_model(cell: Cell) -> Record:
    """What a side gives that has no file of the model."""
    reason = f"there is no models/{cell.model}.py"
    return Record(cell.cell_id, cell.key, cell.to_dict(), "unsupported", reason)


def _ran_out(passes: Mapping[Name, Findings]) -> bool:
    return any(found.status == "oom" for found in passes.values())


def _seconds(*passes: Mapping[Name, Findings], of: Name) -> float:
    """What a side's workers took, its turns alone."""
    return sum(sum(found[of].phases.values()) for found in passes if of in found)


def _with_repeat(record: Record, before: float) -> Record:
    """The record of a block measured again, with the seconds of that which ran out of memory."""
    overhead = {**record.overhead, REPEATS: {REPEATS: before}}
    return replace(record, overhead=overhead, wall_s=record.wall_s + before)


def _has_room_for(worker: Worker, *, like: Worker) -> bool:
    """Whether a worker may come to hold a quarter more than another does, and leave room. What is
    taken only within a round, as `load` does in reading a log, shows afterwards, by running out.
    """
    more = 1.25 * like.held() - worker.held()
    return more + _LEFT_FREE <= available()


def _room(folder: Path) -> Path:
    for name in ("cells", "weights"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder
