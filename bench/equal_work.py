"""Equal work at every length: how many rows of a log hold as many events, and up to which length a
longer window holds more of a history.

A real log has few long histories, so rows of L events exist for short L only: a batch of tokens / L
rows would shrink with L until a step is nothing but its fixed cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.cell import Cell
from data.batches import Objective, train_batches
from data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class EqualWork:
    """What a log's histories say of batches and lengths."""

    log: Interactions

    def batch_size(self, events: int, objective: Objective, seq_len: int) -> int:
        """Rows that hold about `events` real events, for all models the same: the cloze task has
        the windows of `all` with one event more a history.
        """
        causal: Objective = "last" if objective == "last" else "all"
        epoch = train_batches(self.log, objective=causal, seq_len=seq_len, batch_size=1)
        return max(1, round(events * epoch.num_samples / epoch.num_events))

    @cached_property
    def longest(self) -> int:
        """Events of the longest history that are trained on."""
        split = self.log.split("train")
        return int((split.ends - split.starts).max(initial=0))

    def telling(self, seq_lens: Sequence[int]) -> tuple[int, ...]:
        """Those up to the first that holds the longest history: epochs beyond it are alike."""
        whole = min((length for length in seq_lens if length >= self.longest), default=None)
        return tuple(length for length in seq_lens if whole is None or length <= whole)


def left_out(
    planned: Iterable[Cell], cells: Iterable[Cell], logs: Mapping[str, EqualWork]
) -> list[str]:
    """A line for each log of which lengths that were planned would repeat a shorter one."""
    kept = {(cell.workload, cell.dataset, cell.seq_len) for cell in cells}
    gone: dict[str, set[int]] = {}
    for cell in planned:
        if (cell.workload, cell.dataset, cell.seq_len) not in kept:
            gone.setdefault(cell.dataset, set()).add(cell.seq_len)
    return [
        f"epochs at L={', '.join(f'{length:,}' for length in sorted(lengths))} are left out: the"
        f" longest history of {logs[name].log.name} has {logs[name].longest:,} events to train on"
        for name, lengths in gone.items()
    ]
