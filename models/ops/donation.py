"""Gradients that take the place of a value which nobody reads any more.

The largest tensors of a backward pass are gradients of tensors that forward kept for it, each read
once more and then freed. A kernel that has read a row before it writes that row's gradient can
write it there: the peak is lower, and no page is touched for the first time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules

# Whether the running backward pass keeps its graph for another one (PyTorch 2.5; it has no public
# name, and its own compiler asks for the same purpose).
_keeps_graph: Callable[[], bool] | None = getattr(
    torch._C._autograd, "_get_current_graph_task_keep_graph", None
)


def place_for_gradient(value: Tensor, *, donated: bool) -> Tensor:
    """Where the gradient of `value`, contiguous and kept by the function now in its backward pass,
    is written: in its place where that is allowed, else in new memory.

    PyTorch is told of the write: where another function had kept the value too, it raises, unless
    hooks on saved tensors are set.

    Args:
        donated: whether the value is no leaf, and nobody else reads it from now on: no function in
            its own backward pass, nor anyone later. A graph that is retained will read it again
            itself, so then it stays; inside of a reentrant checkpoint PyTorch does not tell, and
            the second backward pass raises.
    """
    if not donated or _keeps_graph is None or _keeps_graph():
        return torch.empty(value.shape)
    torch.autograd.graph.increment_version(value)
    return value.detach()


def unwatched(model: nn.Module) -> bool:
    """Whether no hook sees what goes from one module of the model to the next: whoever keeps such a
    tensor, or asks for its gradient, is to find it as it was.
    """
    if modules._has_any_global_hook():
        return False
    return not any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for m in model.modules()
    )
