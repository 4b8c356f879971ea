"""Batches for training and evaluation, gathered straight from the flat store.

Padding is 0 and on the **right**: a causal model never reads it, a recurrent state is taken at
`lengths - 1`, and the state that serves the next event is exact. It is decided here and only here.

A sample is never stored: sample k of an epoch is arithmetic on k and the users' bounds, so an epoch
costs its order (one integer a sample) whatever seq_len is, and a batch is one vectorised gather.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.interactions import Interactions, Split
from data.log import DataError

Objective = Literal["last", "all", "cloze"]
OBJECTIVES: tuple[Objective, ...] = ("last", "all", "cloze")

# Share of cloze rows masked at their last position only. Sun et al. (BERT4Rec, CIKM 2019, Model
# Learning) add such samples to match serving; their gen_data_fin.py (`mask_last`) makes one beside
# every dupe_factor = 10 randomly masked ones.
_LAST_ONLY = 0.1

_ORDER, _CUT, _MASK = range(3)  # streams of random numbers, so that one draw never shifts another

_Rows = NDArray[np.int64]
_Bounds = Callable[
    [_Rows], tuple[_Rows, _Rows, _Rows]
]  # samples -> split row, first event, past the last event


@dataclass(frozen=True, eq=False)
class Batch:
    """B rows of histories, padded on the right with 0; a target 0 is no target."""

    item_seq: Tensor  # (B, L) int64
    lengths: Tensor  # (B,) int64, real events of a row
    targets: Tensor  # last and evaluation: (B,); all and cloze: (B, L); int64
    users: Tensor  # (B,) int64, row of the split

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on `device`."""
        tensors = (self.item_seq, self.lengths, self.targets, self.users)
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in tensors))


class Batches:
    """One epoch of batches: iterate as often as you like, the result is the same each time.

    num_samples: rows in all; num_events: real (not padded) inputs in all; num_targets: predictions
    in all. Only the last batch may be smaller than batch_size.
    """

    def __init__(
        self,
        items: NDArray[np.int32],
        bounds: _Bounds,
        *,
        num_samples: int,
        num_events: int,
        seq_len: int,
        batch_size: int,
        order: NDArray[np.int64] | None = None,
        shifted: bool = False,
        cloze: _Cloze | None = None,
    ) -> None:
        self.num_samples, self.num_events = num_samples, num_events
        self.seq_len, self.batch_size = seq_len, batch_size
        self._items, self._bounds, self._order = items, bounds, order
        self._shifted, self._cloze = shifted, cloze
        self._columns = np.arange(seq_len)

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._build, range(len(self)))

    @cached_property
    def num_targets(self) -> int:
        """Predictions in one epoch; for cloze its masks are drawn once more to count them."""
        if self._cloze is None:
            return self.num_events if self._shifted else self.num_samples
        drawn = (self._cloze.draw(i, self._samples(i)[2]) for i in range(len(self)))
        return sum(int(mask.sum()) for mask in drawn)

    def lengths(self) -> NDArray[np.int64]:
        """Real events of each of the epoch's rows (num_samples,), in the order of the store."""
        _, first, past = self._bounds(np.arange(self.num_samples))
        return past - first

    def _samples(self, number: int) -> tuple[_Rows, _Rows, _Rows]:
        """Split row, first event and length of the samples in batch `number`."""
        low = number * self.batch_size
        high = min(low + self.batch_size, self.num_samples)
        chosen = np.arange(low, high) if self._order is None else self._order[low:high]
        rows, first, past = self._bounds(chosen)
        return rows, first, past - first

    def _build(self, number: int) -> Batch:
        rows, first, lengths = self._samples(number)
        real = self._columns < lengths[:, None]  # (B, L)
        places = first[:, None] + self._columns  # (B, L)
        item_seq = self._gather(places, real)
        if self._cloze is not None:
            mask = self._cloze.draw(number, lengths)
            targets = item_seq * mask
            item_seq[mask] = self._cloze.mask_id
        elif self._shifted:
            targets = self._gather(places + 1, real)
        else:
            targets = self._items[first + lengths].astype(np.int64)
        return Batch(*(torch.from_numpy(array) for array in (item_seq, lengths, targets, rows)))

    def _gather(self, places: NDArray[np.int64], real: NDArray[np.bool_]) -> NDArray[np.int64]:
        # Padding columns may point past the store's end: clip there, then blank them with the rest
        # of the padding.
        return np.multiply(self._items.take(places, mode="clip"), real, dtype=np.int64)


@dataclass(frozen=True)
class _Cloze:
    mask_id: int
    mask_ratio: float
    seq_len: int
    seed: int
    epoch: int

    def draw(self, number: int, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(B, L) places to mask in batch `number`: at least one a row, none in the padding."""
        rng = _generator(self.seed, self.epoch, _MASK, number)
        rows = np.arange(len(lengths))
        drawn = rng.random((len(lengths), self.seq_len), dtype=np.float32)
        real = np.arange(self.seq_len) < lengths[:, None]
        mask: NDArray[np.bool_] = (drawn < self.mask_ratio) & real
        one = (rng.random(len(lengths)) * lengths).astype(
            np.int64
        )  # a real position for a row left without
        mask[rows, one] |= ~mask.any(axis=1)
        last_only = rng.random(len(lengths)) < _LAST_ONLY
        mask[last_only] = False
        mask[rows[last_only], lengths[last_only] - 1] = True
        return mask


def train_batches(
    interactions: Interactions,
    *,
    objective: Objective,
    seq_len: int,
    batch_size: int,
    seed: int = 0,
    epoch: int = 0,
    mask_ratio: float = 0.2,
) -> Batches:
    """One epoch over the train part of every history.

    last: every event with a predecessor is a sample, its input the up to seq_len events before it.
    all: a history is cut into windows of seq_len inputs, and every event with a predecessor is a
    target exactly once. Epoch 0 counts the windows from a history's end, so that they are as few as
    can be; later epochs cut at a random place, so that contexts vary. The first may be short.
    cloze: the same windows over the events themselves; each real position is masked with
    probability `mask_ratio`, at least one in a row, or (one row in ten) the last position only.
    Masked inputs are num_items + 1.

    The order, the cuts and the masks depend on seed and epoch alone. Raises DataError for an
    unknown objective, sizes below 1, or where no history is long enough.
    """
    _check_sizes(seq_len, batch_size)
    if objective not in OBJECTIVES:
        raise DataError(f"objective {objective!r} is not one of {', '.join(OBJECTIVES)}")
    if not 0 < mask_ratio <= 1:
        raise DataError(f"mask_ratio {mask_ratio} is not above 0 and at most 1")
    split = interactions.split("train")
    # The last event of the train part is never an input of a causal objective: nothing in the part
    # follows it.
    inputs = split.ends - split.starts - (objective != "cloze")
    if objective == "last":
        bounds, num_samples = _prefixes(split, inputs, seq_len)
        num_events = _prefix_events(inputs, seq_len)
    else:
        rng = _generator(seed, epoch, _CUT) if epoch else None
        bounds, num_samples = _windows(split, inputs, seq_len, rng)
        num_events = int(inputs.sum())
    if num_samples == 0:
        raise DataError(
            f"{interactions.name}: no history is long enough to train on ({objective!r})"
        )
    return Batches(
        interactions.items,
        bounds,
        num_samples=num_samples,
        num_events=num_events,
        seq_len=seq_len,
        batch_size=batch_size,
        order=_generator(seed, epoch, _ORDER).permutation(num_samples),
        shifted=objective == "all",
        cloze=_Cloze(interactions.num_items + 1, mask_ratio, seq_len, seed, epoch)
        if objective == "cloze"
        else None,
    )


def eval_batches(
    interactions: Interactions, *, part: Literal["valid", "test"], seq_len: int, batch_size: int
) -> Batches:
    """Each user of the split once, in order: the last seq_len events and the held-out item."""
    _check_sizes(seq_len, batch_size)
    if part not in ("valid", "test"):
        raise DataError(f"part {part!r} is not one of valid, test")
    split = interactions.split(part)
    if not len(split.ends):
        raise DataError(f"{interactions.name}: no user has the 3 events that a split needs")
    first = np.maximum(split.starts, split.ends - seq_len)
    return Batches(
        interactions.items,
        lambda rows: (rows, first[rows], split.ends[rows]),
        num_samples=len(first),
        num_events=int((split.ends - first).sum()),
        seq_len=seq_len,
        batch_size=batch_size,
    )


def _prefixes(split: Split, inputs: _Rows, seq_len: int) -> tuple[_Bounds, int]:
    past = np.cumsum(inputs)  # samples up to and with each user

    def bounds(samples: _Rows) -> tuple[_Rows, _Rows, _Rows]:
        rows = np.searchsorted(past, samples, side="right")
        start = split.starts[rows]
        target = start + 1 + samples - (past[rows] - inputs[rows])
        return rows, np.maximum(start, target - seq_len), target

    return bounds, int(past[-1]) if len(past) else 0


def _prefix_events(inputs: _Rows, seq_len: int) -> int:
    """Sum over all prefixes of min(prefix, seq_len)."""
    short = np.minimum(inputs, seq_len)
    return int((short * (short + 1) // 2 + (inputs - short) * seq_len).sum())


def _windows(
    split: Split, inputs: _Rows, seq_len: int, rng: np.random.Generator | None
) -> tuple[_Bounds, int]:
    whole = (inputs - 1) % seq_len + 1
    head = whole if rng is None else rng.integers(1, seq_len + 1, len(inputs))
    head = np.where(inputs > seq_len, head, inputs)
    counts = (inputs > 0) + -(-(inputs - head) // seq_len)
    past = np.cumsum(counts)

    def bounds(samples: _Rows) -> tuple[_Rows, _Rows, _Rows]:
        rows = np.searchsorted(past, samples, side="right")
        number = samples - (past[rows] - counts[rows])  # 0 is the head, the others follow it
        cut = head[rows] + number * seq_len
        first, end = np.maximum(cut - seq_len, 0), np.minimum(cut, inputs[rows])
        first[number == 0] = 0
        return rows, split.starts[rows] + first, split.starts[rows] + end

    return bounds, int(past[-1]) if len(past) else 0


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def _check_sizes(seq_len: int, batch_size: int) -> None:
    for name, value in (("seq_len", seq_len), ("batch_size", batch_size)):
        if value < 1:
            raise DataError(f"{name} {value} is not 1 or more")
