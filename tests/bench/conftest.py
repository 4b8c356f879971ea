"""Options as the command line would make them, without a command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.options import Options

ROOT = Path(__file__).resolve().parent.parent.parent


class FakeConfig:
    """Enough of pytest's config for Options: the values of the command line."""

    rootpath = ROOT

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def getoption(self, name: str) -> Any:
        return self.values.get(name)


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., Options]:
    """options(suite="smoke", seq_len="8") is what `--suite smoke --seq-len 8` makes."""

    def make(**given: Any) -> Options:
        values = {"--" + name.replace("_", "-"): value for name, value in given.items()}
        return Options(FakeConfig({"--results-dir": str(tmp_path / "results")} | values))  # type: ignore[arg-type]

    return make
