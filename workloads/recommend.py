"""Recommending from histories: the whole request, from ids in host memory to the top 10 in host
memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch

from workloads.answers import check_alone, check_answer
from workloads.checks import check_kernels
from workloads.cost import Cost, forward_cost
from workloads.requests import Requests
from workloads.setting import Setting

TOP_K = 10


class Recommend:
    """`request(i)` serves `batch_size` users at once, each with a history of exactly seq_len
    events.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.requests = Requests(
            setting.interactions,
            seq_len=setting.seq_len,
            batch_size=setting.batch_size,
            seed=setting.seed,
        )
        # float32 on a CPU: nothing to move or to cast, and asking would show in short requests.
        self.plain = setting.device == "cpu" and setting.dtype == "float32"
        self.lengths = torch.full((setting.batch_size,), setting.seq_len, device=setting.device)

    def prepare(self) -> None:
        self._weights()
        check_kernels(self.model, self.setting)
        check_alone(self.model, self.setting, TOP_K)
        self._check_answer()

    @torch.inference_mode()
    def request(self, index: int) -> torch.Tensor:
        return self.answer(index)

    def answer(self, index: int) -> torch.Tensor:
        """The request itself, for a loop in inference mode, which takes 4 us to enter."""
        item_seq = self.requests.histories(index)
        if self.plain:
            return self._best(item_seq)
        with self.setting.autocast():
            return self._best(item_seq.to(self.setting.device)).cpu()

    def of_size(self, batch_size: int) -> Recommend:
        """The same model, checked already, for another number of users at once; what these are
        answered is checked here.
        """
        other = Recommend(dataclasses.replace(self.setting, batch_size=batch_size))
        other.model = self.model
        other._check_answer()
        return other

    def flops(self) -> int:
        """Of one request."""
        users = self.setting.batch_size
        return self.model.flops(users, self.setting.seq_len) + self.model.output_flops(users)

    def cost(self) -> Cost:
        """Of one request."""
        lengths = np.full(self.setting.batch_size, self.setting.seq_len)
        return forward_cost(self.model, lengths, element=self.setting.element_bytes)

    def phases(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "weights", self._weights
        yield "forward", self._request

    def _weights(self) -> None:
        self.model = self.setting.make_model().eval()

    def _check_answer(self) -> None:
        check_answer(self.model, self.setting, self.requests.histories(0), self.request(0))

    def _best(self, item_seq: torch.Tensor) -> torch.Tensor:
        return self.model.recommend(item_seq, self.lengths, TOP_K)[0]

    def _request(self) -> None:
        self.request(0)


WORKLOAD = Recommend
