"""A worker that left no findings: what its exit code and its last words say."""

from __future__ import annotations

import io
import signal

import pytest

from bench.death import death
from bench.findings import Findings
from bench.memory_limit import MemoryLimit
from bench.worker import CANNOT_WRITE


def found(code: int, words: bytes = b"", *, killed: bool = False) -> Findings:
    log, stage = io.BytesIO(words), io.BytesIO(b"backward".ljust(32))
    return death(code, log, stage, MemoryLimit(2**30, "RLIMIT_DATA"), killed_for_memory=killed)


@pytest.mark.parametrize(
    ("code", "words", "killed", "reason"),
    [
        (-signal.SIGKILL, b"", True, "killed by the kernel for memory (SIGKILL)"),
        (-signal.SIGABRT, b"LLVM ERROR: out of memory", False, "killed for memory (SIGABRT)"),
    ],
)
def test_a_death_for_memory_says_where_it_was(
    code: int, words: bytes, killed: bool, reason: str
) -> None:
    lost = found(code, words, killed=killed)
    assert (lost.status, lost.reason) == ("oom", reason)
    assert lost.oom is not None
    assert (lost.oom["phase"], lost.oom["signal"]) == ("backward", -code)
    assert lost.oom["limit_bytes"] == 2**30


@pytest.mark.parametrize("code", [-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT])
def test_another_death_is_an_error_with_the_signals_name(code: int) -> None:
    lost = found(code, b"the last words")
    assert (lost.status, lost.oom) == ("error", None)
    assert lost.reason == f"worker died of {signal.Signals(-code).name}"
    assert lost.details == "the last words"


def test_an_end_without_findings_names_its_exit_code() -> None:
    assert found(3).reason == "worker ended with exit code 3 and left no findings"


def test_what_could_not_be_written_is_no_result_of_the_cell() -> None:
    with pytest.raises(OSError, match="No space left on device"):
        found(CANNOT_WRITE, b"at first\nNo space left on device\n")
