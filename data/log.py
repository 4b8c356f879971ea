"""A raw log of interactions as columns, before any rule is applied to it.

A reader fills a `Log`; `data.interactions.from_log` filters and orders it. Ids are held as codes
into sorted labels, so that a log of strings (Amazon's ids) costs four bytes a row and every later
step is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST = 500
_USER_NAMES = (
    "user",
    "user_id",
    "userId",
    "uid",
    "reviewerID",
    "session",
    "session_id",
    "sessionId",
)
_ITEM_NAMES = ("item", "item_id", "itemId", "iid", "movieId", "movie_id", "asin", "product_id")
_TIME_NAMES = ("timestamp", "time", "ts", "unixReviewTime")


class DataError(ValueError):
    """Data that cannot be used; one line that names the value and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(in_one_line(message))


def in_one_line(text: str) -> str:
    """A message that may hold what stands in a file: no line breaks, control characters or bytes of
    broken text, and not longer than a few lines of a terminal.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


@dataclass(frozen=True)
class Columns:
    """Which columns hold the user, the item and the time; None takes the first well-known name."""

    user: str | None = None
    item: str | None = None
    timestamp: str | None = None

    @classmethod
    def parse(cls, text: str) -> Columns:
        """Read `"user=visitor,item=sku,timestamp=when"`; raises DataError for another key."""
        allowed = [field.name for field in fields(cls)]
        pairs = [part.partition("=")[::2] for part in text.split(",") if part]
        keys = [key for key, _ in pairs]
        wrong = [key for key, value in pairs if key not in allowed or not value]
        if wrong:
            raise DataError(
                f"columns {text!r}: {wrong[0]!r} is not one of {', '.join(allowed)} with a name"
            )
        if twice := [key for key in allowed if keys.count(key) > 1]:
            raise DataError(f"columns {text!r}: {twice[0]!r} is given twice; one name is allowed")
        return cls(**dict(pairs))

    def choose(self, found: Sequence[str], where: str) -> tuple[str, str, str | None]:
        """The user, item and time columns among `found`; only the time may be absent (None)."""
        user = _choose("user", self.user, _USER_NAMES, found, where)
        item = _choose("item", self.item, _ITEM_NAMES, found, where)
        if user == item:
            raise DataError(f"{where}: column {user!r} can't be both user and item")
        if self.timestamp is None and not set(_TIME_NAMES) & set(found):
            return user, item, None
        return user, item, _choose("timestamp", self.timestamp, _TIME_NAMES, found, where)


def _choose(
    role: str, wanted: str | None, known: Sequence[str], found: Sequence[str], where: str
) -> str:
    for name in known if wanted is None else (wanted,):
        if found.count(name) > 1:
            raise DataError(
                f"{where}: {found.count(name)} columns are called {name!r}; one is needed"
            )
        if name in found:
            return name
    looked_for = f"column {wanted!r}" if wanted else f"{role} column ({', '.join(known)})"
    remedy = "" if wanted else f" (--columns {role}=NAME says which)"
    raise DataError(f"{where}: no {looked_for}; its columns are {', '.join(found)}{remedy}")


@dataclass(frozen=True, eq=False)
class Ids:
    """A column of ids: row r holds `labels[codes[r]]`; labels are sorted and unique."""

    codes: NDArray[np.int32]  # (rows,)
    labels: NDArray[Any]  # (distinct ids,) integers or strings


@dataclass(frozen=True, eq=False)
class Log:
    """Rows in file order. `timestamps` is None unless each row has one: else file order counts, and
    `untimed` is how many have none.
    """

    users: Ids
    items: Ids
    timestamps: NDArray[Any] | None  # (rows,) any unit: only the order within a user matters
    untimed: int = 0  # rows; 0 beside no timestamps: there is no column of them


def encode_integers(values: NDArray[Any], where: str) -> Ids:
    """Codes of a column of integer ids; raises DataError for a negative one."""
    low, high = int(values.min()), int(values.max())
    if low < 0:
        row = int(np.argmax(values < 0))
        raise DataError(
            f"{where}: negative id {int(values[row])} in row {row + 1}; ids are 0 or more"
        )
    if high > 4 * len(values) + (1 << 20):
        labels, codes = np.unique(values, return_inverse=True)
        return Ids(codes.astype(np.int32), labels)
    # Ids of real logs are nearly dense: a table of the ids seen is an order faster than sorting the
    # rows.
    seen = np.zeros(high + 1, dtype=bool)
    seen[values] = True
    codes_of = np.cumsum(seen, dtype=np.int32) - np.int32(1)
    return Ids(codes_of[values], np.flatnonzero(seen))


def encode_strings(codes: NDArray[Any], labels: NDArray[Any], where: str) -> Ids:
    """Codes of a column of text ids, from codes into distinct labels of any order.

    Text that is all plain integers ("7", not "007") becomes integers, so that a log has the same
    item order whether it came as text or as Parquet; raises DataError for a negative one.
    """
    try:
        integers = labels.astype(np.int64)
    except (ValueError, OverflowError):
        pass
    else:
        if (integers.astype(str) == labels).all():
            return encode_integers(integers[codes], where)
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Ids(rank[codes], labels[order])
