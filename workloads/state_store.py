"""Many users' serving states, kept as bytes: what a server holds between a user's two events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.base import SequentialRecommender
from models.states import state_from_bytes, state_to_bytes

GIGABYTE = 10**9


class StateStore:
    """`put` users' states after an event, `get` them before the next.

    States are kept as models/states.py writes them, so that they could as well lie on a disk or in
    another process; `num_bytes` is what they take there, without the store's own index.
    """

    def __init__(self, model: SequentialRecommender) -> None:
        self.model = model
        self._blobs: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._blobs)

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self._blobs.values()))

    @property
    def users_per_gb(self) -> float:
        """Users whose states fit in 10**9 bytes, of the average length of those that are here."""
        return GIGABYTE * len(self) / self.num_bytes

    def put(self, users: Sequence[int], state: Any) -> None:
        """Keep the state of a batch: its row i is that of users[i]."""
        for row, user in enumerate(users):
            self._blobs[user] = state_to_bytes(self.model, state, row=row)

    def get(self, users: Sequence[int]) -> Any:
        """The state of a batch of these users, in this order.

        Raises:
            KeyError: a user has none.
            ValueError: their histories differ in length.
        """
        return state_from_bytes(self.model, [self._blobs[user] for user in users])

    def copy(self, user: int, to: int) -> None:
        """Give another user the same state, in bytes of its own."""
        self._blobs[to] = bytes(bytearray(self._blobs[user]))
