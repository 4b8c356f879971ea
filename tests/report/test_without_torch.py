"""report/ needs what the dependency group `report` names, and nothing else."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUP = PROJECT["dependency-groups"]["report"]
# Modules that are not named like the package that brings them.
PACKAGES = {"vl_convert": "vl-convert-python"}
FILES = [
    *(ROOT / "report").rglob("*.py"),
    ROOT / "measure" / "record.py",
    ROOT / "plot_results.py",
]


def imported() -> set[str]:
    """Packages that are imported anywhere in what judges and shows."""
    modules = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    tops = {module.split(".")[0] for module in modules}
    foreign = tops - set(sys.stdlib_module_names) - {"report", "measure"}
    return {PACKAGES.get(top, top) for top in foreign}


def names(requirements: list[str]) -> set[str]:
    return {re.split("[<>=!~ ]", requirement)[0] for requirement in requirements}


def test_the_group_is_exactly_what_is_imported() -> None:
    assert names(GROUP) == imported()


def test_the_group_asks_for_the_same_versions_as_the_project() -> None:
    assert set(GROUP) <= set(PROJECT["project"]["dependencies"])


def test_nothing_in_the_group_brings_torch() -> None:
    for name in names(GROUP):
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        assert "torch" not in names([one for one in required if "extra ==" not in one])
