"""From a cell to its record: the journal first, else one worker for time and one for memory."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from bench.capacity import search
from bench.cell import Cell
from bench.findings import Findings
from bench.gate import CAN_WAIT
from bench.journal import Journal, cannot_write
from bench.memory_limit import available, default_limit
from bench.memory_pass import measures_memory
from bench.overhead import REPEATS
from bench.peaks import Peaks
from bench.pool import pooled
from bench.process import HERE, Place, Worker
from bench.series import pruned, source_of_pruning
from bench.steadiness import asks_again, steadiest
from bench.worker import Request
from data import is_path
from measure.clock import Stopwatch
from measure.processor import physical_cores
from measure.record import Record, not_measured

RETRIED = ("error", "timeout")
_ROOM_FOR_TWO = 4 * 2**30  # bytes
_NOTICED = 0.1  # seconds; less is reading the peak that was kept


@dataclass(frozen=True)
class Runner:
    """Runs cells one after the other.

    Args:
        timeout: seconds for one worker.
        memory_limit: bytes a worker may hold; None for nine tenths of the machine's.
        retry: measure cells again that ended in an error or a timeout.
        prune: don't try what is larger than a cell that ran out of memory.
        repeats: how often at most a cell is measured again that was not steady.
        cpus: the processors that workers may run on.
        place: where workers find the code, and their Python.
        energy: "auto", "off" or "estimate=<watts>".
        allocator: of timed workers: "kept" or "system".
        parts: tell a training step's share of time by part.
    """

    journal: Journal
    data_dir: Path | None
    columns: str | None
    timeout: float
    memory_limit: int | None = None
    retry: bool = False
    prune: bool = True
    repeats: int = 0
    cpus: tuple[int, ...] | None = None
    place: Place = HERE
    failed: list[Record] = field(default_factory=list, compare=False)  # for memory, in this start
    energy: str = "auto"
    allocator: str = "kept"
    parts: bool = True

    @cached_property
    def _peaks(self) -> Peaks:
        journal = self.journal
        return Peaks(journal.folder, journal.manifest.machine["fingerprint"], self.cpus)

    def kept(self, cell: Cell) -> Record | None:
        """The record of an earlier start of this run, if it counts."""
        record = self.journal.read(cell)
        if record is not None and self.retry and _is_to_retry(record):
            return None
        if record is not None and record.status == "pruned_oom" and not self.prune:
            return None
        return record

    def measure(self, cell: Cell) -> Record:
        """The cell's record, measured now and written to the journal."""
        record, raw = self._measure(cell, memory=measures_memory(cell))
        if "flops" in record.metrics:
            shares, seconds = self._peaks.shares(cell, record.metrics)
            record.metrics.update(shares)
            if seconds > _NOTICED:
                record.overhead["peak"] = {"measured": seconds}
        self.journal.write(cell, record, raw)
        return record

    def block(self, cell: Cell, *, memory: bool) -> Record:
        """The cell's record, measured now and not kept: one block of a comparison."""
        return self._measure(cell, memory=memory and measures_memory(cell))[0]

    def remember(self, record: Record) -> None:
        """Let what ran out of memory tell of larger cells, also when it is kept from before."""
        if record.status == "oom":
            self.failed.append(record)

    def _measure(self, cell: Cell, *, memory: bool) -> tuple[Record, dict[str, list[float]]]:
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        source = source_of_pruning(cell, self.failed) if self.prune else None
        if source is not None:
            return pruned(cell, source, self.journal.manifest.machine, started), {}
        with Stopwatch() as watch:
            if cell.workload == "capacity":
                attempts, held = [search(cell, self._probe)], None
            else:
                attempts, held = self._passes(cell, memory=memory)
        return self.record(cell, started, watch.seconds or 0.0, attempts, held)

    def record(
        self,
        cell: Cell,
        started: str,
        seconds: float,
        attempts: list[Findings],
        held: Findings | None,
    ) -> tuple[Record, dict[str, list[float]]]:
        """What the workers of a cell found as its record, and its long series.

        Args:
            attempts: of the timed pass. held: what the memory pass found, where there was one.
        """
        findings = steadiest(attempts)
        overhead = {"time": findings.phases}
        if again := [other for other in attempts if other is not findings]:
            overhead[REPEATS] = {REPEATS: sum(sum(a.phases.values()) for a in again)}
        if held is not None:
            overhead["memory"] = held.phases
            _add_memory(findings, held)
        record = Record(
            cell_id=cell.cell_id,
            key=cell.key,
            config=cell.to_dict(),
            status=findings.status,
            reason=findings.reason,
            resolved=findings.resolved,
            metrics=findings.metrics,
            samples=findings.samples,
            histograms=findings.histograms,
            flags=findings.flags,
            telemetry=findings.telemetry,
            machine=findings.machine or self.journal.manifest.machine,
            data=findings.data,
            started=started,
            wall_s=seconds,
            overhead=overhead,
            oom=findings.oom,
            repeats=len(attempts) - 1,
            details=findings.details,
        )
        return record, findings.raw

    def _passes(self, cell: Cell, *, memory: bool) -> tuple[list[Findings], Findings | None]:
        """The timed pass, again while it is not steady and there are repeats left; then that of
        memory, if the time is good. On two cores both workers load side by side.
        """
        with contextlib.ExitStack() as workers:
            timed = workers.enter_context(self.worker(cell, "time"))
            other = None
            if memory and self.loads_side_by_side(cell):
                other = workers.enter_context(self.worker(cell, "memory", beside=True))
                other.load()
            attempts = [self._pooled(cell, self.findings(timed))]
            while len(attempts) <= self.repeats and asks_again(attempts):
                attempts.append(self._pooled(cell, self._work(cell, "time")))
            if not memory or all(attempt.status != "ok" for attempt in attempts):
                return attempts, None
            return attempts, self.findings(other) if other else self._work(cell, "memory")

    def _pooled(self, cell: Cell, first: Findings) -> Findings:
        """The first process's findings with those of the cell's others, which measure no energy."""
        parts = [first]
        while len(parts) < cell.processes and parts[-1].status == "ok":
            parts.append(self._work(cell, "time", energy="off"))
        return pooled(cell, parts)

    def loads_side_by_side(self, cell: Cell) -> bool:
        """Whether two of the cell's workers may: each takes a core."""
        cores = physical_cores() if self.cpus is None else len(self.cpus)
        return cores > 1 and self.has_room_for_two(cell)

    def has_room_for_two(self, cell: Cell) -> bool:
        """Whether two of the cell's workers may be alive at once. A device's libraries take memory
        of it as they load, which the other would see; where the host's is short, the one at work
        would lack it.
        """
        room = available() > _ROOM_FOR_TWO
        return CAN_WAIT and cell.device == "cpu" and cell.workload != "capacity" and room

    def _probe(self, cell: Cell) -> Findings:
        return self._work(cell, "memory")

    def _work(self, cell: Cell, measuring: str, *, energy: str | None = None) -> Findings:
        with self.worker(cell, measuring, energy=energy) as worker:
            return self.findings(worker)

    def findings(self, worker: Worker) -> Findings:
        """What a worker finds; JournalError where it can't write that."""
        try:
            return worker.findings()
        except OSError as error:
            raise cannot_write(self.journal.folder, error) from error

    def worker(
        self,
        cell: Cell,
        measuring: str,
        *,
        beside: bool = False,
        paired: bool = False,
        energy: str | None = None,
    ) -> Worker:
        """A worker that has been started; see `Worker`. `energy` other than the run's."""
        request = Request(
            cell,
            measuring,
            self.journal.path("findings", cell).with_suffix(f".{measuring}.part").resolve(),
            self.journal.path("weights", cell).resolve(),
            dataset=str(Path(cell.dataset).resolve()) if is_path(cell.dataset) else cell.dataset,
            data_dir=self.data_dir.resolve() if self.data_dir else None,
            columns=self.columns,
            memory_limit=self.memory_limit or (default_limit() if cell.device == "cpu" else None),
            cpus=self.cpus,
            energy=energy or self.energy,
            allocator=self.allocator,
            parts=self.parts,
        )
        try:
            return Worker(
                request, timeout=self.timeout, place=self.place, beside=beside, paired=paired
            )
        except OSError as error:
            raise cannot_write(self.journal.folder, error) from error


def _is_to_retry(record: Record) -> bool:
    """Whether one of its passes ended in what another try may mend."""
    lost = record.metrics.get("memory_peak")
    passes = tuple(f"memory pass: {status}:" for status in RETRIED)
    return record.status in RETRIED or bool(lost and (lost.reason or "").startswith(passes))


def _add_memory(findings: Findings, memory: Findings) -> None:
    """Join the memory pass to the timed one; where it failed, the metric says why."""
    if memory.status == "ok":
        findings.metrics |= memory.metrics
        findings.resolved["allocator_memory_pass"] = memory.resolved.get("allocator")
        return
    reason = f"memory pass: {memory.status}: {memory.reason}"
    findings.metrics["memory_peak"] = not_measured(
        reason, unit="B", better="lower", kind="memory_physical"
    )
    findings.details = memory.details


def without_details(record: Record) -> Record:
    """The record as the joint results file keeps it: everything but a traceback's text."""
    return dataclasses.replace(record, details=None)
