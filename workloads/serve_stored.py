"""Serving next events of many users from a store: restore the state, step, recommend, save.

Each request is for another user, drawn at random, and adds event number seq_len to a history of
seq_len - 1, so that a request is as long as its label says; the state after it goes to a second
store, where the next request to the same place overwrites it.
"""

from __future__ import annotations

import numpy as np
import torch

from workloads.recommend import TOP_K
from workloads.serve_step import ServeStep
from workloads.setting import Setting
from workloads.state_store import StateStore

_MOST_USERS = 4096
_MOST_BYTES = 2**28  # of states: more would only be slower to fill
_PREFILLED = 32  # batches of users with histories of their own; the others are their copies


class ServeStored(ServeStep):
    """`answer(i)` serves `batch_size` users who lie beside each other in the store."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.draws = np.random.default_rng([setting.seed, 1]).random(self.requests.pool)

    def prepare(self) -> None:
        self._prepare_state()
        self._fill()
        self._check_answer()

    def answer(self, index: int) -> torch.Tensor:
        first = self._group(index) * self.setting.batch_size
        users = range(first, first + self.setting.batch_size)
        event = self.requests.events(index).to(self.setting.device)
        with self.setting.autocast():
            hidden, after = self.model.step(event, self.store.get(users))
            best = self.model.recommend_hidden(hidden, TOP_K)[0].cpu()
        self.after.put(range(self.setting.batch_size), after)
        return best

    def _group(self, index: int) -> int:
        """Whom request `index` is for."""
        return int(self.draws[index % len(self.draws)] * self.groups)

    def _history(self, index: int) -> torch.Tensor:
        return self.requests.histories(self._group(index) % _PREFILLED)

    @torch.inference_mode()
    def _fill(self) -> None:
        size = self.setting.batch_size
        self.store, self.after = StateStore(self.model), StateStore(self.model)
        self.store.put(range(size), self.state)
        fit = _MOST_BYTES // self.store.num_bytes
        self.groups = max(1, min(_MOST_USERS // size, fit))
        for group in range(1, min(self.groups, _PREFILLED)):
            self._state(group)
            self.store.put(range(group * size, (group + 1) * size), self.state)
        for user in range(len(self.store), self.groups * size):
            self.store.copy(user % (_PREFILLED * size), user)
