"""Words and numbers as people read them: names, short texts, units.

Inside the project everything is in seconds and bytes and under lower-case keys; only report/
turns these into ms, MiB and "ML-100K". Texts come from result files, so all are made safe to show
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MODELS = {
    "mamba4rec": "Mamba4Rec",
    "sasrec": "SASRec",
    "bert4rec": "BERT4Rec",
    "gru4rec": "GRU4Rec",
    "recmamba": "RecMamba",
    "ssd4rec": "SSD4Rec",
    "ss4rec": "SS4Rec",
}
DATASETS = {
    "ml_100k": "ML-100K",
    "ml_1m": "ML-1M",
    "ml_20m": "ML-20M",
    "amazon_beauty": "Amazon Beauty",
    "amazon_video_games": "Amazon Video Games",
    "synthetic": "synthetic data",
}


@dataclass(frozen=True)
class Unit:
    """What a number is divided by before it is shown, and the name of the quotient."""

    name: str
    size: float


SECONDS = (Unit("µs", 1e-6), Unit("ms", 1e-3), Unit("s", 1.0))
BYTES = (Unit("MiB", 2.0**20), Unit("GiB", 2.0**30))


@lru_cache(maxsize=8192)  # a large run asks a million times, for a few texts
def one_line(text: str, width: int = 120) -> str:
    """The text without control characters and line breaks, cut with "…" after `width`."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= width else plain[: width - 1].rstrip() + "…"


def model_label(model: str) -> str:
    return MODELS.get(model, one_line(model, 28))


def dataset_label(dataset: str) -> str:
    return DATASETS.get(dataset, one_line(dataset, 40))


def order_of(model: str) -> tuple[int, str]:
    """Sorts the known models in their fixed order, all others after them by name."""
    known = list(MODELS)
    return (known.index(model) if model in known else len(known), model)


def time_unit(seconds: float) -> Unit:
    """The largest unit in which `seconds` is at least one, but no smaller than µs."""
    return next((unit for unit in reversed(SECONDS) if seconds >= unit.size), SECONDS[0])


def byte_unit(size: float) -> Unit:
    """MiB up to 10 GiB, so that the numbers of most machines share one unit."""
    return BYTES[1] if size >= 10 * BYTES[1].size else BYTES[0]


def number(value: float) -> str:
    """Three significant digits, no exponent: 0.0123, 4.56, 1,230."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.2g}"
    digits = 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}" if abs(value) >= 1 else f"{value:.3g}"


def tick(value: float) -> str:
    """An axis number without an exponent and without needless zeros: 0.05, 2, 1,000."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def lengths(values: list[int]) -> str:
    """ "L=50, 100, 200", or "L=50 to 16384 (8 lengths)" when there are many."""
    values = sorted(set(values))
    if len(values) > 4:
        return f"L={values[0]} to {values[-1]} ({len(values)} lengths)"
    return "L=" + ", ".join(str(value) for value in values)


def listed(names: Sequence[str]) -> str:
    """ "A", "A and B", "A, B and C"; of one name or more."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
