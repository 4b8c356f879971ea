"""Generated histories with a structure to learn: for tests, first runs and long sequences.

Items have Zipf popularity and lie in groups. A user prefers some groups. Events come in runs: a run
starts at a popular item and walks through the successors of its group, so the next item can be
predicted from the last ones; some events are noise from the overall popularity, which a model with
longer memory sees through. Between runs the group stays near the last one or returns to the user's
preference. Nothing of it is a Python loop over events: a walk is a cumulative sum.

The name gives sizes: `synthetic_u2000_i1000_n100` is 2,000 users, 1,000 items and 100 events a user
in the mean (log-normal); `x16386` instead of `n` gives each user exactly so many; `s1` is the seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.dataset import Request
from data.interactions import Interactions
from data.log import DataError
from data.room import require_room

_FORM = "synthetic[_u<users>][_i<items>][_n<mean events> or _x<exact events>][_s<seed>]"
_FIELDS = {"u": "num_users", "i": "num_items", "n": "mean_length", "x": "exact_length", "s": "seed"}
_MINIMUM = {"u": 2, "i": 10, "n": 5, "x": 3, "s": 0}
_CHUNK_EVENTS = 1 << 21  # bounds the memory of the generator, not the size of its result

_NEW_RUN = 0.2  # share of events that start a run
_RETURN = 0.5  # share of runs that start in a group of the user's preference
_NOISE = 0.1  # share of events from the overall popularity
_STEPS = np.array([1, 2, 3], dtype=np.int32)  # to the successors of an item, nearest first,
_STEP_SHARES = np.array([0.7, 0.2, 0.1])  # and how often each is taken
_ZIPF = 1.0


@dataclass(frozen=True)
class Synthetic:
    """Sizes of a generated log; one numpy gives one log for the same sizes and seed."""

    num_users: int = 1000
    num_items: int = 1000
    mean_length: int = 100
    exact_length: int | None = None
    seed: int = 0

    def load(self, name: str, request: Request) -> Interactions:
        """Generate the log that `name` asks for; the k-core of the request is not applied to it."""
        sizes = _parse(name)
        require_room(sizes._bytes(), f"data set {name!r}")
        return sizes._generate(name)

    def _bytes(self) -> int:
        """About what the generator takes: the items, a chunk's arrays, users and items beside."""
        events = self.num_users * (self.exact_length or self.mean_length)
        one = self.exact_length or 20 * self.mean_length  # a chunk holds one user at least
        chunk = min(events, max(_CHUNK_EVENTS, one))
        return 4 * events + 60 * chunk + 40 * self.num_users + 40 * self.num_items

    def _generate(self, name: str) -> Interactions:
        rng = _generator(self.seed, 0)
        lengths = self._lengths(rng)
        rank_to_item = rng.permutation(self.num_items).astype(np.int32) + np.int32(1)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        items = np.empty(offsets[-1], dtype=np.int32)
        for number, (low, high) in enumerate(_chunks(offsets)):
            ranks = self._walk(lengths[low:high], _generator(self.seed, 1 + number))
            items[offsets[low] : offsets[high]] = rank_to_item[ranks]
        return Interactions(
            name=name,
            items=items,
            offsets=offsets,
            num_items=self.num_items,
            source=f"generated, seed {self.seed}",
            rules="as generated: no k-core, repeats kept, no ties",
            item_labels=np.arange(self.num_items + 1),
            store="generated",
        )

    def _lengths(self, rng: np.random.Generator) -> NDArray[np.int64]:
        if self.exact_length is not None:
            return np.full(self.num_users, self.exact_length, dtype=np.int64)
        spread = 0.7
        raw = rng.lognormal(0.0, spread, self.num_users)
        raw *= self.mean_length / raw.mean()
        return np.clip(raw, 5, 20 * self.mean_length).astype(np.int64)

    def _walk(self, lengths: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int32]:
        """(events,) popularity ranks, 0 the most popular, of users laid end to end."""
        num_groups = max(2, min(50, self.num_items // 50))
        group_size = self.num_items // num_groups
        total = int(lengths.sum())
        user = np.repeat(np.arange(len(lengths)), lengths)
        first = np.cumsum(lengths) - lengths

        starts = rng.random(total, dtype=np.float32) < _NEW_RUN
        starts[first] = True
        run = np.cumsum(starts) - 1  # (events,) number of the run
        begin = np.flatnonzero(starts)  # (runs,) its first event
        group = _run_groups(user[begin], len(lengths), num_groups, rng)[run]

        steps = _STEPS[_draw(_STEP_SHARES, total, rng)]
        steps[begin] = _draw(
            _zipf_shares(group_size), len(begin), rng
        )  # a run starts at a popular item
        position = _restarting_sum(steps, begin, run) % group_size
        # Groups are dealt like cards, so that each has its share of popular items.
        ranks: NDArray[np.int32] = (position * num_groups + group).astype(np.int32)

        noise = np.flatnonzero(rng.random(total, dtype=np.float32) < _NOISE)
        ranks[noise] = _draw(_zipf_shares(self.num_items), len(noise), rng)
        return ranks


def _run_groups(
    users: NDArray[np.int64], num_users: int, num_groups: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(runs,) group of each run: near the last one, or back to a favourite of the user."""
    favourites = _draw(_zipf_shares(num_groups), 3 * num_users, rng).reshape(num_users, 3)
    returns = rng.random(len(users)) < _RETURN
    returns[np.flatnonzero(np.diff(users, prepend=-1))] = True  # also the first run of each user
    moves = rng.integers(0, 2, len(users))  # stay, or go to the next group
    pick = _draw(np.array([0.6, 0.3, 0.1]), len(users), rng)
    moves[returns] = favourites[users[returns], pick[returns]]
    begin = np.flatnonzero(returns)
    return _restarting_sum(moves, begin, np.cumsum(returns) - 1) % num_groups


def _restarting_sum(
    values: NDArray[np.integer], begin: NDArray[np.int64], segment: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Cumulative sum that starts anew at each index of `begin`; `segment` is the number of it."""
    total = np.cumsum(values, dtype=np.int64)
    return total - (total[begin] - values[begin])[segment]


def _zipf_shares(size: int) -> NDArray[np.float64]:
    weights = np.arange(1.0, size + 1.0) ** -_ZIPF
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _draw(shares: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices, index i with probability shares[i]."""
    edges = np.cumsum(shares)
    return np.searchsorted(edges / edges[-1], rng.random(count), side="right")


def _chunks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of users of about _CHUNK_EVENTS events each."""
    low = 0
    while low < len(offsets) - 1:
        high = int(np.searchsorted(offsets, offsets[low] + _CHUNK_EVENTS, side="right")) - 1
        high = max(high, low + 1)
        yield low, high
        low = high


def _parse(name: str) -> Synthetic:
    values: dict[str, int] = {}
    for part in name.split("_")[1:]:
        match = re.fullmatch(r"([uinxs])(\d{1,9})", part)
        if match is None or match[1] in values or int(match[2]) < _MINIMUM[match[1]]:
            least = ", ".join(f"{letter} {value}" for letter, value in _MINIMUM.items())
            raise DataError(f"data set {name!r}: {part!r} does not fit {_FORM}, at least {least}")
        values[match[1]] = int(match[2])
    if {"n", "x"} <= values.keys():
        raise DataError(f"data set {name!r}: 'n' with 'x' does not fit {_FORM}")
    return Synthetic(**{_FIELDS[letter]: value for letter, value in values.items()})


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


DATASET = Synthetic()
