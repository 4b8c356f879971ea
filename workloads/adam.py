"""Adam (Kingma and Ba, arXiv 1412.6980) by PyTorch's fused kernel, called by itself.

The arithmetic is torch.optim.Adam's. Its class is not used because making one imports PyTorch's
compiler: 1.3 s at the start of every worker, and memory that no recommender asked for. Nor is its
functional form, which counts the steps of each parameter in a tensor of its own: adding one to all
of these takes as long as the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Adam:
    """Adam without weight decay; its state is made at the first step of each parameter.

    `param_groups` is there for torch.amp.GradScaler, which asks an optimizer for nothing else. Its
    parameters are those given: none can be added.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.param_groups = [{"params": list(parameters)}]
        self.lr, self.betas, self.eps = lr, betas, eps
        # Of each parameter: mean of the gradient, mean of its square.
        self.state: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        self._steps: Tensor | None = None  # how many, of each parameter in order
        self._step_of: tuple[Tensor, ...] = ()  # the same one by one

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        every = self.param_groups[0]["params"]
        given = [index for index, p in enumerate(every) if p.grad is not None]
        if not given:
            return
        params = [every[index] for index in given]
        for p in params:
            if p not in self.state:
                self.state[p] = (torch.zeros_like(p), torch.zeros_like(p))
        torch._fused_adam_(
            list[Tensor](params),
            [p.grad for p in params if p.grad is not None],
            [self.state[p][0] for p in params],
            [self.state[p][1] for p in params],
            [],
            self._counted(given),
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
        # The fused kernel does not count its writes, and kernels keep weights laid out for them.
        torch.autograd.graph.increment_version(params)

    def _counted(self, given: list[int]) -> list[Tensor]:
        """The numbers of steps of these parameters, this one with them."""
        every = self.param_groups[0]["params"]
        if self._steps is None:
            self._steps = torch.zeros(len(every), device=every[0].device)
            self._step_of = self._steps.unbind()
        if len(given) == len(every):
            self._steps += 1
        else:
            self._steps[given] += 1
        return [self._step_of[index] for index in given]

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward pass writes instead of adding."""
        for p in self.param_groups[0]["params"]:
            p.grad = None
