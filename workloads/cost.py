"""What work costs by arithmetic alone: operations and bytes of real events, the same everywhere.

Operations are those that the answer needs at each history's real length
(`SequentialRecommender.needed_flops`): padding costs nothing, nor does the future under a causal
mask, nor the last layer where nothing is asked of it, as in the kernels. Bytes are the least that
has to move: in each pass every weight once, the rows of the item table that are looked up, and the
hidden states at the borders of layers; what stays inside a layer is free. Work that moves or
computes more than this looks worse. A first layer that is looked up by item instead of multiplied
(where nothing is trained) looks better, GRU4Rec's by up to a half: a product kept from before is
counted as if it were made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import SequentialRecommender

_FLOAT = 4  # weights and optimizer state are float32 whatever the dtype
_ID = 8


@dataclass(frozen=True)
class Cost:
    """Of an epoch, a request or a ranking.

    Args:
        calls: steps, requests or batches that it is made of.
    """

    flops: int
    bytes: int
    calls: int

    def times(self, number: int) -> Cost:
        """Of so many of it, one after the other."""
        return Cost(number * self.flops, number * self.bytes, number * self.calls)

    @property
    def working_set(self) -> int:
        """Bytes of one of its calls."""
        return self.bytes // max(1, self.calls)


def training_cost(
    model: SequentialRecommender,
    lengths: NDArray[np.int64],
    *,
    targets: int,
    steps: int,
    element: int = _FLOAT,
) -> Cost:
    """Of `steps` optimisation steps over rows of these lengths (N,), backward = 2 forward.

    A step reads the weights forward and backward, writes their gradients, and Adam reads weight,
    gradient and both means and writes all but the gradient: ten times the parameters.
    """
    flops = 3 * (_forward_flops(model, lengths, targets) + model.output_flops(targets))
    weights = 10 * _FLOAT * model.num_parameters() * steps
    # Forward writes and reads a border, backward reads it, writes its gradient and reads that.
    moved = 5 * _borders(model, lengths, element) + _looked_up(model, lengths)
    return Cost(flops, weights + moved, steps)


def forward_cost(
    model: SequentialRecommender,
    lengths: NDArray[np.int64],
    *,
    calls: int = 1,
    element: int = _FLOAT,
) -> Cost:
    """Of scoring the catalogue after each of the histories (N,), in so many calls."""
    flops = _forward_flops(model, lengths, len(lengths)) + model.output_flops(len(lengths))
    weights = _weight_bytes(model) * calls
    moved = 2 * _borders(model, lengths, element) + _looked_up(model, lengths)
    return Cost(flops, weights + moved, calls)


def step_cost(model: SequentialRecommender, users: int, seq_len: int) -> Cost:
    """Of event number `seq_len` of each user: the state is read whole, and what is new written.

    A recurrent state is rewritten; a cache that grows with the history gains one event.
    """
    flops = users * (model.flops(1, seq_len) // seq_len) + model.output_flops(users)
    before, after = model.state_bytes(max(1, seq_len - 1)), model.state_bytes(max(2, seq_len))
    state = users * (before + ((after - before) or after))
    row = users * (model.config.hidden_size * _FLOAT + _ID)
    return Cost(flops, _weight_bytes(model) + state + row, 1)


def _forward_flops(model: SequentialRecommender, lengths: NDArray[np.int64], targets: int) -> int:
    """One target a history is its last event; more are spread evenly over the events."""
    counts = np.bincount(lengths)
    share = targets / int(lengths.sum())
    return sum(
        int(counts[n])
        * model.needed_flops(int(n), 1 if targets == len(lengths) else round(int(n) * share))
        for n in np.flatnonzero(counts)
    )


def _weight_bytes(model: SequentialRecommender) -> int:
    """All weights once; of the item table the rows that are scored."""
    table = model.item_embedding.weight.numel() - model.output_weight().numel()
    return _FLOAT * (model.num_parameters() - table)


def _borders(model: SequentialRecommender, lengths: NDArray[np.int64], element: int) -> int:
    """The hidden states (T, D) behind each layer, once."""
    layers: int = getattr(model.config, "num_layers", 1)
    return int(lengths.sum()) * model.config.hidden_size * element * layers


def _looked_up(model: SequentialRecommender, lengths: NDArray[np.int64]) -> int:
    """Ids, and the row of the item table of each."""
    return int(lengths.sum()) * (_ID + model.config.hidden_size * _FLOAT)
