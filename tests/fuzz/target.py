"""One kind of input that comes from outside, and the part of the program that takes it in."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st


class Target:
    """Makes inputs and feeds them.

    `feed` returns the refusal, or None where the input was taken; whatever else it raises is what
    the fuzzing looks for. A refusal is one line that names `file_name`.
    """

    file_name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mutated(self, rng: random.Random) -> Any:
        """A real input with something done to it; the same for the same random numbers."""
        raise NotImplementedError

    def strategy(self) -> st.SearchStrategy[Any]:
        """Inputs made up by hypothesis."""
        raise NotImplementedError

    def feed(self, given: Any) -> str | None:
        raise NotImplementedError
