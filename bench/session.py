"""One start of the suite: options become cells, data is resolved once, the journal opened, cells
measured.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import data
from bench.cell import Cell
from bench.equal_work import EqualWork, left_out
from bench.estimate import in_words, total_seconds
from bench.hold import HeldError, Hold
from bench.journal import (
    SCHEMA,
    Journal,
    JournalError,
    cannot_write,
    new_manifest,
    past_seconds,
    require_writable,
)
from bench.kernels import are_missing, compile_missing
from bench.live.board import Board
from bench.matrix import NO_MODEL, cells_of
from bench.options import OptionError, Options
from bench.overhead import Overhead, add_up, seconds_alive
from bench.progress import CellProgress
from bench.runner import Runner, without_details
from bench.suites import SUITES
from data.interactions import Interactions
from data.log import Columns, DataError
from measure.commit import find_commit
from measure.record import Record
from workloads.recommend import TOP_K

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Session:
    """What pytest's hooks work with; made once the command line is known to be right."""

    options: Options
    cells: list[Cell]
    dataset_line: str
    data_hashes: dict[str, str]
    left_out: list[str] = field(default_factory=list)  # lengths that say nothing new, in words
    records: dict[str, Record] = field(default_factory=dict)
    selected: int = 0
    measured: list[Record] = field(default_factory=list)  # by this start, not kept from another
    runner: Runner | None = None
    progress: CellProgress | None = None
    held: Hold | None = None
    compiling: float = 0.0  # seconds that kernels took, before the first cell
    board: Board | None = None  # where the run is shown while it goes on

    @classmethod
    def prepare(cls, options: Options) -> Session:
        """Reads every dataset once, so that bad input is refused before anything is measured.

        Raises OptionError, DataError or JournalError, each with one line for the user.
        """
        cells = cells_of(SUITES[options.suite], options.choices)
        if not cells:
            raise OptionError(f"suite {options.suite} has no cells under these options")
        _check_load(cells, options)
        require_writable(options.results)
        logs = {name: _read(name, options) for name in sorted({cell.dataset for cell in cells})}
        filled = {name: EqualWork(log) for name, log in logs.items()}
        planned, cells = cells, cells_of(SUITES[options.suite], options.choices, filled)
        shorter = left_out(planned, cells, filled)
        # A path stays what the cell is called by; `auto` becomes the name of what it found.
        names = {name: logs[name].name if name == "auto" else name for name in logs}
        cells = [dataclasses.replace(c, dataset=names[c.dataset]) for c in cells]
        _check_logs(cells, {names[name]: log for name, log in logs.items()})
        line = "; ".join(_line(log, chosen=name == "auto") for name, log in logs.items())
        hashes = {names[name]: log.sequence_hash for name, log in logs.items()}
        return cls(options, list(dict.fromkeys(cells)), line, hashes, shorter)

    def hold(self) -> None:
        """Keep other runs out of the results folder until this one ends: their work would be in the
        times of this one. Raises JournalError where one is there already.
        """
        folder = self.options.results
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.held = Hold(folder)
        except HeldError as error:
            raise JournalError(f"{error}; wait for it, or choose another --results-dir") from error
        except OSError as error:
            raise cannot_write(folder, error) from error

    @property
    def workloads(self) -> set[str]:
        return {cell.workload for cell in self.cells}

    def begin(self, selected: list[Cell]) -> list[str]:
        """Open the journal; the lines to print before the first cell."""
        self.selected = len(selected)
        options = self.options
        machine = options.machine()
        past = past_seconds(options.results)
        manifest = new_manifest(
            suite=options.suite,
            cells=self.cells,
            argv=[_public(argument) for argument in sys.argv[1:]],
            dataset_line=self.dataset_line,
            data_hashes=self.data_hashes,
            limits={
                "timeout": options.timeout,
                "memory": options.memory_limit,
                "energy": options.energy,
                "allocator": options.allocator,
                "cpus": options.cpus,
            },
            commit=_short(find_commit(ROOT)),
            machine=machine,
            root=ROOT,
            order_seed=options.order_seed,
        )
        journal = Journal.open(options.results, manifest, fresh=options.fresh, retry=options.retry)
        self.runner = Runner(
            journal,
            options.data_dir,
            options.columns,
            options.timeout,
            options.memory_limit,
            options.retry,
            options.prune,
            options.repeats,
            options.cpus,
            energy=options.energy,
            allocator=options.allocator,
        )
        to_do = [cell for cell in selected if self.runner.kept(cell) is None]
        self.progress = CellProgress(to_do, past)
        expected = in_words(total_seconds(to_do, past))
        plan = f"suite {options.suite}: {len(to_do)} cells to measure, about {expected}"
        lines = [*self.left_out, plan]
        lines += [f"{name} is damaged ({why}): made anew" for name, why in journal.damaged.items()]
        kept = len(selected) - len(to_do)
        if kept:
            lines.append(
                f"going on with {journal.folder.name}: {kept} finished cells are kept;"
                " --fresh measures all anew"
            )
        return lines

    def measure(self, cell: Cell) -> Record:
        """The cell's record, kept or new."""
        assert self.runner is not None, "begin() comes first"
        assert self.progress is not None, "begin() comes first"
        record = self.runner.kept(cell)
        if record is None:
            if self.board is not None:
                self.board.begin(cell, left=self.progress.seconds_left)
            with self.progress.cell(cell):
                record = self.runner.measure(cell)
            self.measured.append(record)
        self.runner.remember(record)
        self.records[cell.cell_id] = record
        if self.board is not None:
            kept = self.is_kept(record)
            self.board.land(record, kept=kept, left=self.progress.seconds_left)
        return record

    def needs_kernels(self, selected: list[Cell]) -> bool:
        """Whether some are to be compiled for the cells that are still to be measured."""
        assert self.runner is not None, "begin() comes first"
        runner = self.runner
        return are_missing(cell for cell in selected if runner.kept(cell) is None)

    def compile_kernels(self) -> None:
        """All of them, once for this machine, before anything is measured."""
        assert self.runner is not None, "begin() comes first"
        assert self.progress is not None, "begin() comes first"
        self.compiling = compile_missing(
            self.runner.place, self.progress.console, timeout=self.runner.timeout
        )

    def show(self, selected: list[Cell]) -> Board:
        """A board of these cells, kept up to date from now on; `begin` comes first."""
        assert self.runner is not None, "begin() comes first"
        manifest = self.runner.journal.manifest
        facts = {
            "Suite": self.options.suite,
            "Data": self.dataset_line.removeprefix("data: "),
            "Machine": _machine(manifest.machine),
            "Commit": manifest.commit or "unknown",
            "Results": _public(str(self.runner.journal.folder)),
        }
        self.board = Board(selected, facts)
        return self.board

    def farewell(self) -> str:
        """What the live view says at the end."""
        assert self.runner is not None, "begin() comes first"
        folder = _public(str(self.runner.journal.folder))
        missing = self.selected - len(self.records)
        more = f" {missing} are not measured yet; the same command goes on." if missing else ""
        return f"{len(self.records)} cells are kept in {folder}.{more}"

    def is_kept(self, record: Record) -> bool:
        """Whether an earlier start measured it; of the record that came last."""
        return not self.measured or self.measured[-1] is not record

    def overhead(self) -> Overhead | None:
        """Where this start's seconds went so far; None where it has measured nothing."""
        if not self.measured:
            return None
        passes = [record.overhead for record in self.measured]
        return add_up(seconds_alive(), passes, compiling=self.compiling)

    def finish(self) -> None:
        if self.runner is not None:
            self._keep_overhead()
            try:
                self.runner.journal.finish(self.cells)
            finally:
                self.runner.journal.close()
                if self.held is not None:
                    self.held.release()

    def summary(self) -> dict[str, Any]:
        """What goes beside pytest-benchmark's own content: the run and all its records."""
        assert self.runner is not None, "begin() comes first"
        self._keep_overhead()
        manifest = dataclasses.asdict(self.runner.journal.manifest)
        records = [without_details(r).to_dict() for _, r in sorted(self.records.items())]
        return manifest | {"schema": SCHEMA, "records": records}

    def _keep_overhead(self) -> None:
        assert self.runner is not None, "begin() comes first"
        if (overhead := self.overhead()) is not None:
            self.runner.journal.manifest.overhead = overhead.to_dict()


def _read(name: str, options: Options) -> Interactions:
    columns = Columns.parse(options.columns) if options.columns else None
    return data.load(
        name, data_dir=options.data_dir, min_count=options.choices.min_count, columns=columns
    )


def _line(log: Interactions, *, chosen: bool) -> str:
    rules = "" if log.in_log is None else f" ({log.rules})"
    return f"data: {log.name}{' (auto)' if chosen else ''}, {log.counts}, {log.source}{rules}"


def _check_logs(cells: list[Cell], logs: dict[str, Interactions]) -> None:
    """What every cell needs: users to hold out, ten items to recommend, events for its requests."""
    for log in logs.values():
        if not len(log.split("test").ends):
            raise DataError(f"{log.name} ({log.source}): no user has the 3 events of a split")
        if log.num_items < TOP_K:
            raise DataError(f"{log.name} ({log.source}): {log.num_items} items, {TOP_K} are needed")
    for cell in cells:
        log = logs[cell.dataset]
        if cell.model != NO_MODEL and cell.seq_len >= log.num_events:
            raise OptionError(
                f"--seq-len {cell.seq_len}: {log.name} has {log.num_events} events;"
                " choose a shorter length or a larger dataset"
            )


def _check_load(cells: list[Cell], options: Options) -> None:
    """A rate or a target says nothing to cells that wait for each answer."""
    for name in ("rate", "latency_target"):
        given = getattr(options.choices, name) is not None
        if given and not any(cell.scenario == "server" for cell in cells):
            option = "--" + name.replace("_", "-")
            raise OptionError(f"{option}: no cell is served under load; add --scenario server")


def _machine(machine: dict[str, Any]) -> str:
    """Such as "AMD EPYC 7B13, 2 cores"."""
    parts = [machine.get("cpu_model"), f"{machine.get('physical_cores')} cores"]
    parts += [gpu.get("name") for gpu in machine.get("gpus", [])]
    return ", ".join(str(part) for part in parts)


def _public(argument: str) -> str:
    """An argument as results may show it: of an absolute path, its last part."""
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}.../{Path(value).name}" if Path(value).is_absolute() else argument


def _short(commit: dict[str, Any]) -> str | None:
    identity = commit.get("id")
    if identity is None:
        return None
    return str(identity)[:10] + ("-dirty" if commit.get("dirty") else "")
