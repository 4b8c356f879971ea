"""Serving a user's next event from kept state: step, score, top 10, without reading the history
again.

The state is that of a history of seq_len - 1 events; each request adds event number seq_len to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from workloads.answers import check_alone, check_answer
from workloads.checks import check_kernels, check_restored, check_state_bytes, check_step
from workloads.cost import Cost, step_cost
from workloads.recommend import TOP_K
from workloads.requests import Requests
from workloads.setting import Setting


class ServeStep:
    """`request(i)` takes one more event for each of `batch_size` users and recommends."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.requests = Requests(
            setting.interactions,
            seq_len=max(1, setting.seq_len - 1),
            batch_size=setting.batch_size,
            seed=setting.seed,
        )
        # float32 on a CPU: nothing to move or to cast, and asking would show in a short step.
        self.plain = setting.device == "cpu" and setting.dtype == "float32"

    def prepare(self) -> None:
        self._prepare_state()
        self._check_answer()

    @torch.inference_mode()
    def request(self, index: int) -> torch.Tensor:
        return self.answer(index)

    def answer(self, index: int) -> torch.Tensor:
        """The request itself, for a loop in inference mode, which takes 4 us to enter."""
        event = self.requests.events(index)
        if self.plain:
            return self._best(event)
        with self.setting.autocast():
            return self._best(event.to(self.setting.device)).cpu()

    def flops(self) -> int:
        """Of one request: one position's share of a full pass."""
        users, length = self.setting.batch_size, self.setting.seq_len
        return self.model.flops(users, length) // length + self.model.output_flops(users)

    def state_bytes(self) -> int:
        """Of one user, counted on the real state."""
        tensors = self.model.state_tensors(self.state)
        return sum(t.numel() * t.element_size() for t in tensors) // self.setting.batch_size

    def analytic_state_bytes(self) -> int:
        """Of one user by the model's own formula, for float32."""
        return self.model.state_bytes(self.setting.seq_len - 1)

    def cost(self) -> Cost:
        """Of one request."""
        return step_cost(self.model, self.setting.batch_size, self.setting.seq_len)

    def phases(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "weights", self._weights
        yield "state", self._state
        yield "forward", self._request

    def _prepare_state(self) -> None:
        self._weights()
        check_kernels(self.model, self.setting)
        check_alone(self.model, self.setting, TOP_K)
        check_step(self.model, self.setting)
        self._state()
        self._check_state()

    def _weights(self) -> None:
        self.model = self.setting.make_model().eval()

    @torch.inference_mode()
    def _state(self, index: int = 0) -> None:
        length = self.setting.seq_len - 1
        if length == 0:
            self.state = self.model.init_state(self.setting.batch_size)
            return
        histories = self.requests.histories(index).to(self.setting.device)
        lengths = torch.full((self.setting.batch_size,), length, device=self.setting.device)
        with self.setting.autocast():
            self.state = self.model.prefill(histories, lengths)

    @torch.inference_mode()
    def _check_state(self) -> None:
        item_seq = self._whole(self.requests.histories(0)).to(self.setting.device)
        with self.setting.autocast():
            check_restored(self.model, self.state, item_seq)
        if self.setting.dtype == "float32":
            check_state_bytes(self.state_bytes(), self.analytic_state_bytes())

    def _check_answer(self) -> None:
        """Of request 0."""
        item_seq = self._whole(self._history(0))
        check_answer(self.model, self.setting, item_seq, self.request(0))

    def _history(self, index: int) -> torch.Tensor:
        """What those of request `index` had read before it, (B, L - 1): here always the same."""
        return self.requests.histories(0)

    def _whole(self, history: torch.Tensor) -> torch.Tensor:
        """(B, L): so much of a history as a state has read, and the event of request 0."""
        read = history[:, : self.setting.seq_len - 1]
        return torch.cat((read, self.requests.events(0)[:, None]), dim=1)

    def _best(self, event: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.model.step(event, self.state)
        return self.model.recommend_hidden(hidden, TOP_K)[0]

    def _request(self) -> None:
        self.request(0)


WORKLOAD = ServeStep
