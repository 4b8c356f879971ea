"""The suite's options on pytest's command line, and their check: one clear line for what is not
allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import models
import workloads
from bench.matrix import SCENARIOS, Choices
from bench.suites import SUITES
from data.batches import OBJECTIVES, Objective
from data.log import in_one_line
from measure.allocator import ALLOCATORS
from measure.machine import describe_machine
from measure.processor import one_per_core, physical_cores
from models.ops.backend import BACKENDS
from workloads.setting import COMPILE_MODES, DTYPES

if TYPE_CHECKING:
    import pytest

TEXTS = {
    "--suite": "which list of cells: " + ", ".join(SUITES) + " (default: quick)",
    "--model": "models, such as sasrec,mamba4rec",
    "--dataset": "data sets by name, or a file's path",
    "--workload": "workloads, such as train_epoch,recommend",
    "--seq-len": "history lengths, such as 50,200",
    "--batch-size": "batch sizes, such as 1,256",
    "--seeds": "seeds, such as 0,1,2",
    "--max-epochs": "fit: epochs at most (default: the suite's)",
    "--patience": "fit: epochs without a better validation that end it (default: the suite's)",
    "--scenario": "how requests come: single_stream, offline, server",
    "--rate": "server: requests a second, Poisson (default: as the latency target allows)",
    "--latency-target": "server: milliseconds that p99 may take; the highest rate is searched",
    "--requests": "timed requests of a cell (default: the suite's)",
    "--processes": "fresh ones whose latencies are pooled (default: 5 in paper, serving; else 1)",
    "--objective": "training objective, for models that have it: " + ", ".join(OBJECTIVES),
    "--device": "cpu, cuda or cuda:N (default: cpu)",
    "--dtype": "one of " + ", ".join(DTYPES) + " (default: float32)",
    "--threads": "CPU threads of a worker (default: the cores allotted)",
    "--backend": "kernels: auto, numba (CPU), cuda (for a scan), torch (without one), reference",
    "--compile": f"torch.compile of the layers: {', '.join(COMPILE_MODES)} (GPU: first two)",
    "--min-count": "k of the k-core filter (default: 5)",
    "--data-dir": "folder with data sets, looked in first",
    "--columns": "a file's columns, such as user=visitor,item=sku,timestamp=when",
    "--results-dir": "where runs are kept (default: results)",
    "--cell-timeout": "seconds for one worker (default: 1800; in accuracy 21600)",
    "--memory-limit": "memory for one worker, such as 2GB (default: 90% of the machine's)",
    "--order-seed": "seed of the order in which cells are measured (default: 0)",
    "--repeats": "again for a cell that was not steady or was disturbed (default: 2, in quick 1)",
    "--cpus": "processors for workers, such as 2,3 (default: one of each core); all: as it is",
    "--allocator": "of timed workers: kept (freed memory stays; default) or system (its defaults)",
    "--energy": "auto (default: measured where the hardware counts it), off, estimate=WATTS",
}
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

_LAST_PORT = 65535
_MOST_BYTES = 2**60  # what a limit of the system can hold


class OptionError(ValueError):
    """A value that is not allowed; the message names it and what is."""

    def __init__(self, message: str) -> None:
        super().__init__(in_one_line(message))


def add_options(parser: pytest.Parser) -> None:
    """Declare the suite's options to pytest."""
    group = parser.getgroup("seqrec-bench", "what is measured")
    for name, text in TEXTS.items():
        group.addoption(name, default=None, help=text.replace("%", "%%"))
    group.addoption("--fresh", action="store_true", help="measure all anew, keep nothing")
    group.addoption("--no-prune", action="store_true", help="try lengths that can't fit in memory")
    text = "show the run on 127.0.0.1 while it goes on; a port, or none for any free one"
    group.addoption("--live", nargs="?", const="0", default=None, metavar="PORT", help=text)
    group.addoption("--retry-failed", action="store_true", help="measure failed cells again")


class CommandLine(Protocol):
    """The options as given, by their name; pytest's configuration is one."""

    @property
    def rootpath(self) -> Path: ...

    def getoption(self, name: str) -> Any: ...


class Options:
    """The checked command line; every wrong value raises OptionError when it is made."""

    def __init__(self, config: CommandLine) -> None:
        self._config = config
        self.suite = self._one("--suite", SUITES) or "quick"
        self.fresh = bool(config.getoption("--fresh"))
        self.retry = bool(config.getoption("--retry-failed"))
        self.prune = not config.getoption("--no-prune")
        self.order_seed = self._number("--order-seed", 0, least=0)
        self.repeats = self._number("--repeats", 1 if self.suite == "quick" else 2, least=0)
        self.columns = self._text("--columns")
        self.data_dir = self._folder("--data-dir")
        self.results = Path(self._text("--results-dir") or config.rootpath / "results")
        longest = 21600.0 if self.suite == "accuracy" else 1800.0  # a fit takes what it takes
        self.timeout = self._positive("--cell-timeout", "seconds") or longest
        self.memory_limit = self._bytes("--memory-limit")
        self.energy = self._energy()
        self.allocator = self._one("--allocator", ALLOCATORS) or "kept"
        self.live = self._port()
        self.choices = Choices(
            models=self._names("--model", models.names()),
            datasets=self._list("--dataset"),
            workloads=self._names("--workload", workloads.names()),
            seq_lens=self._numbers("--seq-len"),
            batch_sizes=self._numbers("--batch-size"),
            seeds=self._numbers("--seeds", least=0),
            max_epochs=self._number("--max-epochs", 0) or None,
            patience=self._number("--patience", 0) or None,
            objective=self._objective(),
            scenarios=self._names(
                "--scenario", sorted({s for of in SCENARIOS.values() for s in of})
            ),
            requests=self._number("--requests", 0) or None,
            processes=self._number("--processes", 0) or None,
            rate=self._positive("--rate", "requests a second"),
            latency_target=self._target(),
            device=self._device(),
            dtype=self._one("--dtype", DTYPES) or "float32",
            threads=self._threads(),
            backend=self._one("--backend", (*BACKENDS, "torch")) or "auto",
            compile=self._one("--compile", COMPILE_MODES) or "none",
            min_count=self._number("--min-count", 5),
        )
        self._check_models()
        self.cpus = self._cpus(self.choices.threads)

    def machine(self) -> dict[str, Any]:
        """The machine as workers are bound to it: one that dies does not live to describe it."""
        given = self.choices
        return describe_machine(device=given.device, threads=given.threads, cpus=self.cpus)

    def _text(self, option: str) -> str | None:
        value: str | None = self._config.getoption(option)
        return value

    def _list(self, option: str) -> tuple[str, ...] | None:
        text = self._text(option)
        if text is None:
            return None
        values = tuple(part.strip() for part in text.split(","))
        if not all(values):
            raise OptionError(f"{option} {text!r}: an empty value; give names with commas between")
        return values

    def _names(self, option: str, allowed: list[str]) -> tuple[str, ...] | None:
        for value in self._list(option) or ():
            if value not in allowed:
                raise OptionError(f"{option} {value!r}: choose from {', '.join(allowed)}")
        return self._list(option)

    def _check_models(self) -> None:
        """Which cells there are is asked of the models' classes: each file has to be one."""
        for name in self.choices.models or models.names():
            try:
                models.get(name)
            except Exception as error:  # its code is anybody's
                words = f"models/{name}.py can't be imported: {type(error).__name__}: {error}"
                raise OptionError(in_one_line(words)) from error

    def _one(self, option: str, allowed: Iterable[str]) -> str | None:
        value = self._text(option)
        names = list(allowed)
        if value is not None and value not in names:
            raise OptionError(f"{option} {value!r}: choose from {', '.join(names)}")
        return value

    def _objective(self) -> Objective | None:
        self._one("--objective", OBJECTIVES)
        return next((o for o in OBJECTIVES if o == self._text("--objective")), None)

    def _numbers(self, option: str, least: int = 1) -> tuple[int, ...] | None:
        values = self._list(option)
        for value in values or ():
            if not re.fullmatch(r"\d{1,9}", value) or int(value) < least:
                raise OptionError(f"{option} {value!r}: whole numbers from {least} are allowed")
        return None if values is None else tuple(int(value) for value in values)

    def _number(self, option: str, default: int, least: int = 1) -> int:
        values = self._numbers(option, least) or (default,)
        if len(values) > 1:
            raise OptionError(f"{option} {self._text(option)!r}: one number is allowed")
        return values[0]

    def _threads(self) -> int:
        cores = physical_cores()
        threads = self._number("--threads", cores)
        if threads > cores:
            raise OptionError(f"--threads {threads}: this machine allots 1 to {cores} cores")
        return threads

    def _cpus(self, threads: int) -> tuple[int, ...] | None:
        """The processors that workers are bound to; None leaves all that are allotted."""
        allotted = one_per_core()
        if allotted is None or self._text("--cpus") == "all":
            return None
        cpus = self._numbers("--cpus", least=0)
        if cpus is None:
            return tuple(allotted)
        allowed = sorted(os.sched_getaffinity(0))
        said = f"--cpus {self._text('--cpus')}: numbers of processors"
        if not set(cpus) <= set(allowed):
            names = ", ".join(map(str, allowed))
            raise OptionError(f"{said}; this process may use {names}, or all of them (all)")
        if len(set(cpus)) < threads:
            raise OptionError(f"{said}, as many as --threads ({threads}) or more")
        return tuple(sorted(set(cpus)))

    def _device(self) -> str:
        device = self._text("--device") or "cpu"
        if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
            raise OptionError(f"--device {device!r}: choose from cpu, cuda, cuda:N")
        return device

    def _folder(self, option: str) -> Path | None:
        text = self._text(option)
        if text is not None and not Path(text).is_dir():
            raise OptionError(f"{option} {text!r}: no such folder")
        return None if text is None else Path(text)

    def _positive(self, option: str, what: str) -> float | None:
        text = self._text(option)
        if text is not None and not (re.fullmatch(r"\d{1,9}(\.\d+)?", text) and float(text) > 0):
            raise OptionError(f"{option} {text!r}: a number of {what} above 0 is allowed")
        return None if text is None else float(text)

    def _target(self) -> float | None:
        """In seconds; a rate beside it would leave nothing to search."""
        target = self._positive("--latency-target", "milliseconds")
        if target is not None and (rate := self._text("--rate")) is not None:
            raise OptionError(f"--rate {rate} with --latency-target: one of the two is allowed")
        return None if target is None else target / 1e3

    def _port(self) -> int | None:
        """Of the live view: 0 for any that is free, None where none is asked for."""
        text = self._text("--live")
        if text is not None and not (re.fullmatch(r"\d{1,5}", text) and int(text) <= _LAST_PORT):
            raise OptionError(
                f"--live {text!r}: a port from 0 to {_LAST_PORT} is allowed;"
                " without one it goes last: pytest bench/ --live"
            )
        return None if text is None else int(text)

    def _energy(self) -> str:
        text = self._text("--energy") or "auto"
        estimate = re.fullmatch(r"estimate=(\d{1,6}(?:\.\d+)?)", text)
        if text not in ("auto", "off") and not (estimate and float(estimate[1]) > 0):
            raise OptionError(f"--energy {text!r}: auto, off or such as estimate=65 (watts)")
        return text

    def _bytes(self, option: str) -> int | None:
        text = self._text(option)
        if text is None:
            return None
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)", text.lower())
        if match is None or match[2] not in _UNITS:
            raise OptionError(f"{option} {text!r}: such as 500MB, 2GB or 2GiB is allowed")
        size = int(float(match[1]) * _UNITS[match[2]])
        if size > _MOST_BYTES:
            raise OptionError(f"{option} {text!r}: at most {_MOST_BYTES // 2**50} PiB is allowed")
        return size
