"""Pins are what names packages, and nothing else that stands beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.ab.pins import changed_pins
from measure.git import git

ROOT = Path(__file__).resolve().parents[3]
ME = ("-c", "user.name=test", "-c", "user.email=test@localhost")
BASE = """[project]
name = "x"
dependencies = ["torch>=2.4"]
[dependency-groups]
report = ["numpy"]
[tool.seqrec-bench.margins]
ignore = []
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "constraints.txt").write_text("# pins\ntorch==2.4\n")
    (tmp_path / "pyproject.toml").write_text(BASE)
    git(tmp_path, "add", ".")
    git(tmp_path, *ME, "commit", "--quiet", "--message", "one")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("pyproject.toml", "ignore = []", "rules = [{margin = 5.0}]", False),
        ("pyproject.toml", "torch>=2.4", "torch>=2.5", True),
        ("pyproject.toml", "numpy", "scipy", True),
        ("pyproject.toml", "ignore", "[", True),
        ("constraints.txt", "# pins", "# other words", False),
        ("constraints.txt", "2.4", "2.5", True),
    ],
)
def test_only_packages_are_pins(
    repository: Path, file: str, old: str, new: str, changed: bool
) -> None:
    path = repository / file
    path.write_text(path.read_text().replace(old, new))
    assert changed_pins(repository, "HEAD", None) == ([file] if changed else [])
    command = [sys.executable, "-m", "bench.ab.pins", "HEAD"]
    asked = subprocess.run(command, cwd=repository, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert asked.returncode == int(changed)
    git(repository, *ME, "commit", "--quiet", "--all", "--message", "two")
    assert changed_pins(repository, "HEAD~1", "HEAD") == ([file] if changed else [])
