"""The house: imports go one way, every file says what it is, and none grows without end."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("models", "data", "workloads", "measure", "bench", "report")
ALLOWED = {
    "data": {"data"},
    "models": {"models"},
    "measure": {"measure"},
    "workloads": {"workloads", "data", "models"},
    "bench": {"bench", "workloads", "data", "models", "measure"},
    "report": {"report", "measure.record"},
}
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
STANDARD = set(sys.stdlib_module_names)


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{ids(path)}: relative imports hide the direction"
            assert node.module is not None
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_go_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    allowed = ALLOWED[own]
    for name in imported(path):
        top = name.split(".")[0]
        if top in FOLDERS:
            assert top in allowed or any(
                name == a or name.startswith(a + ".") or a.startswith(name + ".") for a in allowed
            ), f"{ids(path)} imports {name}"


def test_the_direction_check_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("from bench.cell import Cell\nimport torch\n")
    assert imported(path) == {"bench.cell", "bench.cell.Cell", "torch"}
    assert "bench" not in ALLOWED["data"]


@pytest.mark.parametrize("path", [p for p in FILES if p.read_text()], ids=ids)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{ids(path)} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_file_is_longer_than_300_lines_or_named_like_a_standard_module(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem == "__init__" or path.stem not in STANDARD
    assert path.stem not in ("utils", "common", "helpers", "misc")


def test_no_bench_file_is_longer_than_30_lines() -> None:
    for path in (ROOT / "bench").glob("bench_*.py"):
        assert len(path.read_text().splitlines()) <= 30


@pytest.mark.parametrize("module", ["measure.record", "measure.machine", "report.load", "data"])
def test_light_modules_do_not_bring_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
