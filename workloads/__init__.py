"""What a model is made to do, one workload a file: `workloads.get("train_epoch")` takes that file's
WORKLOAD.

A workload only works: it builds, checks itself, and offers the pieces that are timed. How they are
timed stands in bench/, with what instruments in measure/.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

_NOT_WORKLOADS = {
    "adam",
    "answers",
    "checks",
    "cost",
    "reference",
    "requests",
    "serve_stored",
    "setting",
    "state_store",
    "trainer",
    "warm_up",
}


def names() -> list[str]:
    """All workloads' names, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_WORKLOADS)


def get(name: str) -> type[Any]:
    """The workload class of that name; ValueError naming the allowed ones."""
    if name not in names():
        raise ValueError(f"unknown workload {name!r}; choose from {', '.join(names())}")
    workload: type[Any] = importlib.import_module(f"workloads.{name}").WORKLOAD
    return workload
