"""What runs were measured on: a card per run and per data set, and how their machines differ.

Two runs whose machines differ in a hard key (processor, cores, GPU, version of PyTorch, threads)
must not be compared in time, memory or energy; accuracy and what is counted may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from report.facets import Cell, machine_text
from report.labels import BYTES, number, one_line
from report.load import Run
from report.page.rerun import command
from report.sides import HARD_KEYS

WORDS = {
    "os": "operating system",
    "arch": "architecture",
    "cpu_model": "processor",
    "physical_cores": "cores",
    "gpus": "GPUs",
    "torch": "PyTorch",
    "torch_build": "build of PyTorch",
    "cuda": "CUDA",
    "python": "Python",
    "threads": "threads",
}
_MACHINE = ("os", "arch", "python", "torch", "cuda", "numba")


@dataclass(frozen=True)
class Card:
    """A heading and facts, each a name and a text; `command` measures it again."""

    title: str
    facts: list[tuple[str, str]]
    command: str = ""


@dataclass(frozen=True)
class Difference:
    """A hard key in which the runs' machines differ, with each run's text."""

    name: str
    texts: list[str]


def machine_cards(runs: Sequence[Run], found: Sequence[Cell]) -> list[Card]:
    """One card per run."""
    return [_machine_card(run, [c for c in found if c.run is run]) for run in runs]


def data_cards(found: Sequence[Cell]) -> list[Card]:
    """One card per data set, as the records describe it."""
    cards: dict[str, Card] = {}
    for cell in found:
        data = cell.record.data
        if data and cell.facets["dataset"] not in cards:
            cards[cell.facets["dataset"]] = Card(cell.facets["dataset"], _data_facts(data))
    return list(cards.values())


def differences(runs: Sequence[Run]) -> list[Difference]:
    """The hard keys in which the machines of `runs` differ; [] for a single run."""
    by_run = [_hard(run) for run in runs]
    found = []
    for key in HARD_KEYS:
        texts = [hard[key] for hard in by_run]
        if len(set(texts)) > 1:
            found.append(Difference(WORDS.get(key, key), texts))
    return found


def in_words(found: Sequence[Difference], runs: Sequence[Run]) -> str:
    """One sentence to stand beside every comparison of the runs; "" where nothing differs."""
    if not found:
        return ""
    parts = [f"{one.name} ({' / '.join(dict.fromkeys(one.texts))})" for one in found]
    return (
        f"The machines of these {len(runs)} runs differ in {', '.join(parts)}: their times and "
        "memory must not be compared; accuracy and what is counted may be."
    )


def comparable(one: Run, other: Run) -> bool:
    """Whether times of the two runs may be compared: no hard key differs."""
    return not differences([one, other])


def _hard(run: Run) -> dict[str, str]:
    """Each hard key's text; several where the run's cells were measured under several."""
    seen: dict[str, dict[str, None]] = {key: {} for key in HARD_KEYS}
    for machine in _described(run):
        for key in HARD_KEYS:
            seen[key][_value(key, machine.get(key))] = None
    return {key: ", ".join(texts) or "unknown" for key, texts in seen.items()}


def _described(run: Run) -> list[dict[str, Any]]:
    own = [record.machine for record in run.records if record.status == "ok" and record.machine]
    return own or [run.machine]


def _value(key: str, value: Any) -> str:
    if key == "gpus" and isinstance(value, list):
        names = [str(gpu.get("name")) for gpu in value if isinstance(gpu, dict)]
        return one_line(", ".join(names) or "none", 60)
    if key in ("torch", "python"):  # the last number is a matter of mended faults
        return ".".join(str(value).split("+")[0].split(".")[:2])
    return "none" if value is None else one_line(str(value), 60)


def _machine_card(run: Run, found: Sequence[Cell]) -> Card:
    machine = _described(run)[0]
    dates = sorted(cell.record.started[:10] for cell in found if cell.record.started)
    counts = Counter(cell.record.status for cell in found)
    memory = machine.get("memory_bytes")
    facts = [
        ("run", run.run_id),
        ("suite", run.suite),
        ("machine", machine_text(machine)),
        ("memory", f"{memory / BYTES[1].size:.1f} GiB" if isinstance(memory, int) else ""),
        *((WORDS.get(key, key), _text(machine.get(key))) for key in _MACHINE),
        ("threads", _several(cell.facets["threads"] for cell in found)),
        ("dtype", _several(cell.facets["dtype"] for cell in found)),
        ("kernels", _several(_text(c.record.resolved.get("backend")) for c in found)),
        ("allocator", _several(_text(c.record.resolved.get("allocator")) for c in found)),
        ("commit", _several(cell.facets["commit"].removeprefix("commit ") for cell in found)),
        ("measured", " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else ""),
        ("took", _duration(sum(cell.record.wall_s for cell in found))),
        ("cells", ", ".join(f"{count} {status}" for status, count in counts.most_common())),
        ("fingerprint", _text(machine.get("fingerprint_name") or machine.get("fingerprint"))),
        ("data", run.dataset_line.removeprefix("data:").strip()),
    ]
    return Card(run.label, [fact for fact in facts if fact[1]], command(run))


def _data_facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    for key, word in (
        ("num_users", "users"),
        ("users_in_log", "users in the log"),
        ("num_items", "items, the catalogue"),
        ("items_in_log", "items in the log"),
        ("num_events", "events"),
        ("events_in_log", "events in the log"),
        ("mean_length", "mean history"),
        ("max_length", "longest history"),
    ):
        value = data.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            facts.append((word, f"{value:,}" if isinstance(value, int) else number(value)))
    for key, word in (("rules", "rules"), ("source", "source"), ("sequence_hash", "hash")):
        if _text(data.get(key)):
            facts.append((word, _text(data.get(key))))
    return facts


def _several(texts: Any) -> str:
    return one_line(", ".join(dict.fromkeys(text for text in texts if text)), 160)


def _text(value: Any) -> str:
    return "" if value is None else one_line(str(value), 160)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s in cells" if seconds else ""
    return (
        f"{seconds / 60:.0f} min in cells" if seconds < 5400 else f"{seconds / 3600:.1f} h in cells"
    )
