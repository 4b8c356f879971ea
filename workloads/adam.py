"""Adam (Kingma and Ba, arXiv 1412.6980) by PyTorch's fused kernel, called through its functional
form.

The arithmetic is torch.optim.Adam's. Its class is not used because making one imports PyTorch's
compiler: 1.3 s at the start of every worker, and memory that no recommender asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam:
    """Adam without weight decay; its state is made at the first step of each parameter.

    `param_groups` is there for torch.amp.GradScaler, which asks an optimizer for nothing else.
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
        # Of each parameter: mean of the gradient, mean of its square, number of steps.
        self.state: dict[nn.Parameter, tuple[Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        params = [p for p in self.param_groups[0]["params"] if p.grad is not None]
        for p in params:
            if p not in self.state:
                step = torch.zeros((), device=p.device)
                self.state[p] = (torch.zeros_like(p), torch.zeros_like(p), step)
        adam(
            list[Tensor](params),
            [p.grad for p in params if p.grad is not None],
            [self.state[p][0] for p in params],
            [self.state[p][1] for p in params],
            [],
            [self.state[p][2] for p in params],
            fused=True,
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

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward pass writes instead of adding."""
        for p in self.param_groups[0]["params"]:
            p.grad = None
