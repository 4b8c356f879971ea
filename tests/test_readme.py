"""README is true: its tree names every file, its model example keeps the contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
FOLDERS = ("models", "data", "workloads", "measure", "bench", "report")
# Files that the tree names by a pattern: a kernel file beside its op, the thin bench files.
PATTERNS = ("_numba.py", "_kernels.py")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_tree_names_every_file(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        by_pattern = path.name.endswith(PATTERNS) or path.name.startswith("bench_")
        if path.name != "__init__.py" and not by_pattern:
            assert re.search(rf"(?<![\w.]){re.escape(path.name)}", README), path.name


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_model_in_ten_lines_works() -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    space: dict[str, object] = {}
    exec(block[1], space)
    model = space["MODEL"](20, 5)  # type: ignore[operator]
    ids, _ = model.recommend(torch.tensor([[3, 4, 0]]), torch.tensor([2]), 3)
    assert ids.shape == (1, 3)
