"""pytest as the front-end: options, one test a cell, and what is added to its benchmark JSON."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from bench import early_stop  # first: the others take seconds
from bench.cell import Cell
from bench.cell_table import CellTable
from bench.files import write_whole
from bench.journal import JournalError
from bench.live.server import LiveServer
from bench.options import OptionError, Options, add_options
from bench.replay import replay
from bench.series import in_order
from bench.session import Session
from data.log import DataError

SESSION = pytest.StashKey[Session]()
TABLE = pytest.StashKey[CellTable]()
LIVE = pytest.StashKey[LiveServer]()
UNWRITTEN = pytest.StashKey[str]()  # why the JSON could not be written


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Refuse bad input before anything else happens: one line, exit code 2, nothing written."""
    if config.getoption("help") or config.getoption("version"):
        return None
    try:
        _refuse_parallel(config)
        _check_target(config)
        session = Session.prepare(Options(config))
        if not config.getoption("collectonly"):
            if session.options.live is not None:
                config.stash[LIVE] = LiveServer(session.options.live)
            session.hold()
    except (OptionError, DataError, JournalError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        early_stop.over()
    config.stash[SESSION] = session
    print(session.dataset_line, file=sys.stderr if config.getoption("collectonly") else sys.stdout)
    return None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A workload without cells in this suite has no tests."""
    name = collection_path.stem.removeprefix("bench_")
    is_bench = collection_path.name.startswith("bench_")
    return True if is_bench and name not in config.stash[SESSION].workloads else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    workload = metafunc.function.__name__.removeprefix("test_")
    cells = [c for c in metafunc.config.stash[SESSION].cells if c.workload == workload]
    metafunc.parametrize("cell", cells, ids=[cell.cell_id for cell in cells])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """The order of the cells, by the seed."""
    seed = config.stash[SESSION].options.order_seed
    items[:] = in_order(items, seed, cell_of=lambda item: item.callspec.params["cell"])


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.getoption("collectonly"):
        return
    selected = [item.callspec.params["cell"] for item in session.items]  # type: ignore[attr-defined]
    try:
        lines = session.config.stash[SESSION].begin(selected)
    except JournalError as error:
        pytest.exit(f"error: {error}", returncode=2)
    if target := session.config.getoption("benchmark_json"):
        target.parent.mkdir(parents=True, exist_ok=True)
    config = session.config
    config.stash[TABLE] = CellTable(selected, _reporter(config))
    if (live := config.stash.get(LIVE, None)) is not None:
        live.start(config.stash[SESSION].show(selected))
        lines.append(f"live view: {live.address} (while this runs)")
    _reporter(config).showfspath = False  # a line a cell is printed instead
    _reporter(config).write_line("\n".join(lines))
    run = config.stash[SESSION]
    if run.needs_kernels(selected):
        _reporter(config).write_line("kernels are compiled first, once: about a minute")
        run.compile_kernels()


@pytest.fixture
def measured(benchmark: Any, request: pytest.FixtureRequest) -> Callable[[Cell], None]:
    """Measure a cell in its worker and play its samples back."""
    session = request.config.stash[SESSION]

    def measure(cell: Cell) -> None:
        try:
            record = session.measure(cell)
        except JournalError as error:  # a full disk: what is finished is kept
            pytest.exit(f"error: {error}", returncode=2)
        replay(benchmark, record)

    return measure


@pytest.hookimpl(wrapper=True)  # around pytest-benchmark, within the terminal
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """pytest-benchmark writes its JSON here: if it can't, the run's folder still has all."""
    try:
        return (yield)
    except OSError as error:
        target: Path | None = session.config.getoption("benchmark_json")
        if target is None:
            raise
        _drop_half(target)
        session.config.stash[UNWRITTEN] = f"error: can't write {target}: {error.strerror}"
        session.exitstatus = 2
        return None
    finally:
        gc.freeze()  # pytest collects garbage before it ends: half a second on what will go anyway


def _drop_half(target: Path) -> None:
    """A file cut short would be taken for a result."""
    with contextlib.suppress(OSError):
        target.unlink()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and _CONFIG:
        session = _CONFIG[0].stash[SESSION]
        cell_id = report.nodeid.partition("[")[2].removesuffix("]")
        record = session.records.get(cell_id)
        if record is not None:
            _CONFIG[0].stash[TABLE].add(record, kept=session.is_kept(record))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """A line a cell stands for its letter."""
    if report.when != "call" or report.outcome not in _WORDS:
        return None
    return report.outcome, "", _WORDS[report.outcome]


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    machine_info["seqrec_bench"] = config.stash[SESSION].summary()["machine"]


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    output_json["seqrec_bench"] = config.stash[SESSION].summary()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    session = config.stash.get(SESSION, None)
    if session is None or session.runner is None:
        return
    overhead = session.overhead()
    folder = session.runner.journal.folder
    try:
        session.finish()
    except JournalError as error:
        terminalreporter.write_line(f"error: {error}")
    if overhead is not None:
        terminalreporter.write_line(str(overhead))
    terminalreporter.write_line(f"{len(session.records)} cells are kept in {folder}")
    if (live := config.stash.get(LIVE, None)) is not None:
        live.end(session.farewell())
    if len(session.records) < session.selected:
        missing = session.selected - len(session.records)
        terminalreporter.write_line(f"{missing} are not measured yet; the same command goes on")
    target: Path | None = config.getoption("benchmark_json")
    if (unwritten := config.stash.get(UNWRITTEN, None)) is not None:
        terminalreporter.write_line(unwritten)
        target = None
    if target is None:
        terminalreporter.write_line(f"draw them: python plot_results.py {folder}")
        return
    if not any(record.status == "ok" for record in session.records.values()):
        # pytest-benchmark writes nothing without a timed row; what failed is a result too.
        content = {"benchmarks": [], "seqrec_bench": session.summary()}
        try:
            write_whole(target, json.dumps(content, indent=1) + "\n")
        except OSError as error:
            terminalreporter.write_line(f"error: can't write {target}: {error.strerror}")
            return
    terminalreporter.write_line(f"draw them: python plot_results.py {target}")


_CONFIG: list[pytest.Config] = []
_WORDS = {"passed": "PASSED", "failed": "FAILED", "skipped": "SKIPPED"}


def pytest_configure(config: pytest.Config) -> None:
    _CONFIG[:] = [config]
    # Where it is installed it imports the whole library at the end of a run, to say nothing.
    config.pluginmanager.unregister(name="hypothesispytest")


def pytest_unconfigure(config: pytest.Config) -> None:
    """However the run ended, its port is free again."""
    if (live := config.stash.get(LIVE, None)) is not None:
        live.end("It was stopped before its first cell.")


def _reporter(config: pytest.Config) -> pytest.TerminalReporter:
    reporter: pytest.TerminalReporter = config.pluginmanager.getplugin("terminalreporter")
    return reporter


def _refuse_parallel(config: pytest.Config) -> None:
    if config.getoption("numprocesses", default=None):
        raise OptionError("-n: cells are measured one at a time; run without pytest-xdist")


def _check_target(config: pytest.Config) -> None:
    """The JSON is written at the very end; that it can't be is said at the beginning."""
    target: Path | None = config.getoption("benchmark_json")
    if target is None:
        return
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OptionError(f"--benchmark-json {target}: can't be written; name a file in a folder")
