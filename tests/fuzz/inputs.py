"""All kinds of input, each with its share of the whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.fuzz.command_line import CommandLine
from tests.fuzz.data_files import DataFile, Store
from tests.fuzz.journals import JournalFolder
from tests.fuzz.results import ResultFile, RunFolder
from tests.fuzz.target import Target
from tests.fuzz.verdicts import Verdicts
from tests.fuzz.weight_files import Weights

Make = Callable[[Path], Target]
_ENDINGS = {
    "parquet": 12,
    "csv": 12,
    "tsv": 6,
    "inter": 6,
    "dat": 6,
    "data": 6,
    "json": 8,
    "csv.gz": 4,
    "json.gz": 4,
    "zip": 6,
}
TARGETS: dict[str, tuple[Make, int]] = {
    **{ending: (partial(DataFile, ending=ending), share) for ending, share in _ENDINGS.items()},
    "store": (Store, 4),
    "run.json": (ResultFile, 8),
    "run folder": (RunFolder, 4),
    "verdicts": (Verdicts, 6),
    "journal": (JournalFolder, 6),
    "options": (CommandLine, 6),
    "weights": (Weights, 2),
}


def counts(total: int) -> dict[str, int]:
    """How many inputs of each kind, `total` together."""
    shares = sum(share for _, share in TARGETS.values())
    found = {name: total * share // shares for name, (_, share) in TARGETS.items()}
    found["parquet"] += total - sum(found.values())
    return found
