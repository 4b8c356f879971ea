"""Which packages a commit asks for: constraints.txt, and what pyproject.toml names of them.

Margins, the settings of linters and whatever else stands there are no pins.
`python -m bench.ab.pins BASE`: exit code 1 where the checkout asks for others than that commit.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from bench.ab.worktree import file_at

_OF_PROJECT = ("requires-python", "dependencies", "optional-dependencies")


def changed_pins(root: Path, base: str, head: str | None) -> list[str]:
    """The files in which the two ask for other packages.

    Args:
        head: a commit; None for the checkout as it is.
    """
    found = []
    for name, tables in (("pyproject.toml", _tables), ("constraints.txt", _lines)):
        old = file_at(root, base, name)
        new = file_at(root, head, name) if head is not None else _on_disk(root / name)
        if tables(old or "") != tables(new or ""):
            found.append(name)
    return found


def _on_disk(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _tables(text: str) -> Any:
    try:
        content = tomllib.loads(text)
    except ValueError:
        return text
    project = content.get("project", {})
    asked = [project.get(name) for name in _OF_PROJECT] if isinstance(project, dict) else project
    return [asked, content.get("dependency-groups"), content.get("build-system")]


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]


if __name__ == "__main__":
    sys.exit(1 if changed_pins(Path.cwd(), sys.argv[1], None) else 0)
