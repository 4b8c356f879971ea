"""The doctor looks at all there is, says what to do about what is missing, refuses in one line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench import diagnosis
from bench.diagnosis import Finding
from bench.doctor import as_json, as_table, main
from measure.energy_source import Source

ROOT = Path(__file__).resolve().parent.parent.parent
LOOKED_AT = {
    "processor", "PyTorch", "GPU", "kernels: reference", "kernels: numba", "kernels: cuda",
    "Numba's cache", "energy: cpu", "memory", "memory limit", "allocator", "timer", "telemetry",
    "disk", "data", "noise", "contended",
}  # fmt: skip


def test_everything_is_looked_at_and_what_is_wrong_has_an_advice(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.doctor", "--json", "--seconds=0.2"]
    done = subprocess.run(
        [*command, f"--results-dir={tmp_path / 'not' / 'there'}"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    content = json.loads(done.stdout)
    assert content["schema"] == "seqrec-bench/doctor/1"
    findings = {finding["name"]: finding for finding in content["findings"]}
    assert set(findings) >= LOOKED_AT
    for finding in findings.values():
        assert finding["found"], finding
        assert bool(finding["advice"]) == (finding["state"] != "ok"), finding
    assert findings["noise"]["facts"]["spread"] >= 0
    assert "synthetic" in findings["data"]["facts"]["found"]
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds=soon"], "error: --seconds 'soon': from 0.1 to 600 seconds are allowed"),
        (["--seconds=0"], "error: --seconds '0': from 0.1"),
        (["--data-dir=/nowhere"], "error: --data-dir '/nowhere': no such folder"),
        (["--heal"], "error: unrecognized arguments: --heal"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith(message)
    assert seen.err.count("\n") == 1


def test_a_table_keeps_brackets_and_shows_the_advice() -> None:
    findings = [Finding("kernels: cuda", "missing", r"in C:\[bold]x", 'pip install ".[cuda]"')]
    screen = io.StringIO()
    Console(file=screen, width=120).print(as_table(findings))
    assert 'pip install ".[cuda]"' in screen.getvalue()
    assert r"in C:\[bold]x" in screen.getvalue()
    assert as_json(findings)["findings"]


def test_a_machine_that_counts_energy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "find_source", lambda device: Source("rapl", "RAPL, 1 package"))
    assert diagnosis._energy("cpu").state == "ok"
    monkeypatch.setattr(diagnosis, "find_source", lambda device: Source("none", "no RAPL"))
    assert "--energy estimate" in diagnosis._energy("cpu").advice


def test_an_empty_cache_of_kernels_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert diagnosis._kernel_cache().state == "limited"
    (tmp_path / "kernel.nbi").write_bytes(b"")
    assert diagnosis._kernel_cache().facts["kernels"] == 1


def test_a_log_in_the_data_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQREC_CACHE", str(tmp_path / "cache"))
    assert "ml_100k" in diagnosis._data(tmp_path).facts["to_download"]
    (tmp_path / "ml-100k.zip").write_bytes(b"")
    assert "ml_100k" in diagnosis._data(tmp_path).facts["found"]
