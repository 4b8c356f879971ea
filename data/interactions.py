"""The store that everything else reads: one flat array of item ids, user by user, in order.

    log = load("ml_1m", data_dir=Path("~/logs").expanduser())
    log.items[log.offsets[u] : log.offsets[u + 1]]      # the history of user u

Leave-one-out: a user's last item is the test target, the last but one the validation target, the
rest trains.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.k_core import k_core
from data.log import DataError as DataError
from data.log import Log

Part = Literal["train", "valid", "test"]
Made = Literal["read", "cached", "generated"]
_HELD_OUT: dict[str, int] = {"train": 2, "valid": 2, "test": 1}
_MIN_EVENTS = 3  # one to train on, one to validate with, one to test with


@dataclass(frozen=True, eq=False)
class Split:
    """One part of the leave-one-out split, as bounds into the store; no item is copied.

    Row r reads `items[starts[r]:ends[r]]`; for valid and test its target is `items[ends[r]]`. The
    rows of all three parts are the same users, those with at least 3 events.
    """

    items: NDArray[np.int32]  # (num_events,)
    starts: NDArray[np.int64]  # (rows,)
    ends: NDArray[np.int64]  # (rows,)


@dataclass(frozen=True, eq=False)
class Interactions:
    """The histories of a data set after its rules were applied, and where they came from.

    The arrays are for reading: those of a cached store are mapped from its files.
    """

    name: str
    items: NDArray[np.int32]  # (num_events,) ids 1..num_items
    offsets: NDArray[np.int64]  # (num_users + 1,)
    num_items: int
    source: str
    rules: str
    item_labels: NDArray[
        Any
    ]  # (num_items + 1,) original id of each of our ids; index 0 is the padding
    store: Made = "read"  # from its log, from the cache of stores, or made up
    in_log: tuple[int, int, int] | None = None  # users, items, rows before the rules, if any

    @property
    def num_users(self) -> int:
        """Users kept, those too short for the split included."""
        return len(self.offsets) - 1

    @property
    def num_events(self) -> int:
        """Rows of the log that were kept."""
        return len(self.items)

    @cached_property
    def sequence_hash(self) -> str:
        """SHA-256 of items and offsets, 16 hex digits: accuracy compares only where it is equal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.items, "<i4").data)
        digest.update(np.ascontiguousarray(self.offsets, "<i8").data)
        return digest.hexdigest()[:16]

    @property
    def counts(self) -> str:
        """Of those in the log, such as "900 of 943 users, 9 items, 99,000 of 100,000 events"."""
        kept = (self.num_users, self.num_items, self.num_events)
        words = zip(kept, self.in_log or kept, ("users", "items", "events"), strict=True)
        return ", ".join(
            f"{n:,} {word}" if n == of else f"{n:,} of {of:,} {word}" for n, of, word in words
        )

    def describe(self) -> dict[str, str | int | float]:
        """What a record keeps of the data: plain JSON values; lengths are events per user."""
        lengths = np.diff(self.offsets)
        keys = ("users_in_log", "items_in_log", "events_in_log")
        return {
            "name": self.name,
            "num_users": self.num_users,
            "num_items": self.num_items,
            "num_events": self.num_events,
            **dict(zip(keys, self.in_log or (), strict=False)),
            "mean_length": float(lengths.mean()),
            "max_length": int(lengths.max()),
            "sequence_hash": self.sequence_hash,
            "source": self.source,
            "store": self.store,
            "rules": self.rules,
        }

    def split(self, part: Part) -> Split:
        """The bounds of one part of the leave-one-out split; raises DataError for another name."""
        if part not in _HELD_OUT:
            raise DataError(f"part {part!r} is not one of {', '.join(_HELD_OUT)}")
        enough = np.diff(self.offsets) >= _MIN_EVENTS
        starts, ends = self.offsets[:-1][enough], self.offsets[1:][enough]
        return Split(self.items, starts, ends - _HELD_OUT[part])


def from_log(log: Log, *, name: str, source: str, min_count: int = 5) -> Interactions:
    """Filter a log to its k-core and lay its users end to end.

    Order: users by original id; rows of a user by time, ties in file order, or all in file order
    where the log has no complete times. Item ids are 1..num_items in the order of the original ids.
    Repeated rows are kept: a repeat is an event. `min_count` 0 or 1 filters nothing.
    Raises DataError where fewer than two users are left.
    """
    rows = k_core(log.users.codes, log.items.codes, min_count)
    users, items = log.users.codes[rows], log.items.codes[rows]
    lengths = np.bincount(users)
    lengths = lengths[lengths > 0]
    if len(lengths) < 2:
        users_left = f"{len(lengths)} of {len(log.users.labels)} users"
        left = f"{users_left} and {len(rows)} of {len(log.users.codes)} rows"
        raise DataError(
            f"{name} ({source}): {left} are left at min_count={min_count};"
            " at least two users are needed"
        )
    order = _order(users, None if log.timestamps is None else log.timestamps[rows])
    if order is not None:
        items = items[order]
    present = np.bincount(items, minlength=len(log.items.labels)) > 0
    new_id = np.cumsum(present, dtype=np.int32)
    labels = log.items.labels[present]
    return Interactions(
        name=name,
        items=new_id[items],
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        num_items=len(labels),
        source=source,
        rules=_rules(min_count, log),
        item_labels=np.concatenate((np.zeros(1, dtype=labels.dtype), labels)),
        in_log=(len(log.users.labels), len(log.items.labels), len(log.users.codes)),
    )


def _order(users: NDArray[np.int32], timestamps: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """The stable order by (user, time); None where the rows lie in it already, as they often do."""
    later_user = users[1:] > users[:-1]
    same_user = users[1:] == users[:-1]
    if timestamps is None:
        return None if (later_user | same_user).all() else np.argsort(users, kind="stable")
    if (later_user | (same_user & (timestamps[1:] >= timestamps[:-1]))).all():
        return None
    return np.lexsort((timestamps, users))


def _rules(min_count: int, log: Log) -> str:
    core = f"{min_count}-core to its fixed point" if min_count > 1 else "no k-core"
    order = "by time, ties in file order"
    if log.untimed:
        order = f"in file order, since {log.untimed:,} of {len(log.users.codes):,} have no time"
    elif log.timestamps is None:
        order = "in file order, since no time column was named or known"
    return f"{core}; repeats kept; a user's events {order}"
