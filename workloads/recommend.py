"""Recommending from histories: the whole request, from ids in host memory to the top 10 in host
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from workloads.checks import check_kernels
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
        self.lengths = torch.full((setting.batch_size,), setting.seq_len, device=setting.device)

    def prepare(self) -> None:
        self._weights()
        check_kernels(self.model)

    @torch.inference_mode()
    def request(self, index: int) -> torch.Tensor:
        item_seq = self.requests.histories(index).to(self.setting.device)
        with self.setting.autocast():
            ids, _ = self.model.recommend(item_seq, self.lengths, TOP_K)
        return ids.cpu()

    def flops(self) -> int:
        """Of one request."""
        users = self.setting.batch_size
        return self.model.flops(users, self.setting.seq_len) + self.model.output_flops(users)

    def phases(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "weights", self._weights
        yield "forward", self._request

    def _weights(self) -> None:
        self.model = self.setting.make_model().eval()

    def _request(self) -> None:
        self.request(0)


WORKLOAD = Recommend
