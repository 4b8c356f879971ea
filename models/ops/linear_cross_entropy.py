"""Softmax cross-entropy on top of a linear layer, without ever holding all logits.

A recommender's last layer has one class per item, so the logits (M, V) dwarf everything else:
25,600 positions and 3,417 items are 350 MB in float32, written and read several times. The blocked
version takes as many positions as fit in the cache, and while their logits are there computes the
loss and both gradients; nothing is recomputed in the backward pass. The idea is that of Liger
Kernel's fused linear cross-entropy (Hsu et al. 2024, arXiv 2410.10989), blocked over positions.
`blocked` does so in PyTorch on any device; `numba` on a CPU in one kernel, in float32.

Shapes: M positions, D hidden size, V classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.backend import BackendUnavailable, resolve

BACKENDS = ("auto", "reference", "blocked", "numba")

# Bytes of one block's logits. On a CPU the best of 2**18 .. 2**24 at 25,600 x 3,417 x 64; the range
# 2**20 .. 2**22 is flat. On a GPU a block must fill the machine instead.
_BLOCK_BYTES = {"cpu": 2**21, "cuda": 2**28}
# Catalogues above this many classes: the logits of a tile of positions leave the cache.
_LARGE = 2**14


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    *,
    backend: str = "auto",
) -> Tensor:
    """Mean over positions of -log softmax(hidden weight^T + bias)[target]; a float32 scalar.

    Args:
        hidden: (M, D). In bfloat16, or under autocast, the products are taken in the lower
            precision; softmax and loss in float32.
        weight: (V, D).
        targets: (M,) int64, each in 0..V - 1 (there is no "ignore" value: select before).
        bias: (V,) or None.
        backend: `auto` is `numba` for float32 on a CPU and `blocked` otherwise.

    Raises:
        ValueError: unknown backend, or tensors that do not belong together.
        BackendUnavailable: `numba` for tensors that are not float32 on a CPU.
    """
    kind = hidden.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    _check(hidden, weight, targets, bias)
    name = resolve_loss(backend, hidden.device, hidden.dtype)
    if name == "reference":
        return linear_cross_entropy_reference(hidden, weight, targets, bias)
    if name == "numba" and len(targets):
        if int(targets.min()) < 0 or int(targets.max()) >= len(weight):
            raise IndexError(f"targets must lie in 0..{len(weight) - 1}")
    inputs = (hidden, weight, bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, bias, name)
        return loss
    return _kernel(name, weight.shape[0])(hidden, weight, targets, bias, (False, False, False))[0]


def resolve_loss(backend: str, device: str | torch.device, dtype: torch.dtype) -> str:
    """Turn a backend's name into the one that will run: reference, blocked or numba.

    Raises: as `linear_cross_entropy` does.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; allowed: {', '.join(BACKENDS)}")
    fits = torch.device(device).type == "cpu" and dtype == torch.float32
    if backend == "numba" and not fits:
        raise BackendUnavailable(f"loss backend 'numba' is float32 on cpu, not {dtype} on {device}")
    if backend == "numba" or (backend == "auto" and fits):
        return resolve("numba", device)
    return "blocked" if backend == "auto" else backend


def linear_cross_entropy_reference(
    hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None
) -> Tensor:
    """The definition, in plain PyTorch; softmax in float32 or, for float64 inputs, float64."""
    logits = F.linear(hidden, weight, bias)  # (M, V)
    return F.cross_entropy(logits.to(_softmax_dtype(hidden)), targets)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, name: str
    ) -> Tensor:
        needed = ctx.needs_input_grad
        wanted = (needed[0], needed[1], needed[3])
        loss, *gradients = _kernel(name, weight.shape[0])(hidden, weight, targets, bias, wanted)
        ctx.save_for_backward(*gradients)
        ctx.dtypes = [hidden.dtype, weight.dtype, weight.dtype if bias is None else bias.dtype]
        # In blocks the gradients are those of the sum: divided by M, half precision loses them.
        ctx.name, ctx.share = name, 1.0 if name == "numba" else 1.0 / hidden.shape[0]
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        factor = dloss * ctx.share  # at least float32, so that a loss scale fits
        saved = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        # Where the loss itself is asked for, the gradients are those kept: who retains the graph
        # and writes to one is stopped at the next pass.
        if ctx.name == "numba" and float(factor) == 1.0:
            scaled = [g for g, _ in saved]
        else:
            scaled = [None if g is None else (g.to(factor.dtype) * factor).to(d) for g, d in saved]
        return scaled[0], scaled[1], None, scaled[2], None


def _check(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None) -> None:
    (positions, channels), classes = hidden.shape, weight.shape[0]
    offset = weight.new_empty(classes) if bias is None else bias
    shapes = (weight.shape, targets.shape, offset.shape)
    if shapes != ((classes, channels), (positions,), (classes,)):
        raise ValueError(
            f"shapes hidden {tuple(hidden.shape)}, weight, targets, bias {[*map(tuple, shapes)]}; "
            "needed: (M, D), (V, D), (M,), (V,)"
        )
    kinds = {(t.dtype, t.device) for t in (hidden, weight, offset)}
    if len(kinds) > 1 or targets.device != hidden.device or targets.dtype != torch.int64:
        raise ValueError(
            f"hidden, weight and bias must share dtype and device, got {sorted(map(str, kinds))}; "
            f"targets must be int64 there, got {targets.dtype} on {targets.device}"
        )


def _kernel(
    name: str, classes: int
) -> Callable[..., tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]]:
    if name == "blocked":
        return _loss_and_gradients
    # Imported here so that a process which never needs it does not load LLVM.
    if classes > _LARGE:
        from models.ops.linear_cross_entropy_large_numba import large_loss_and_gradients

        return large_loss_and_gradients
    from models.ops.linear_cross_entropy_numba import loss_and_gradients_numba

    return loss_and_gradients_numba


def _softmax_dtype(hidden: Tensor) -> torch.dtype:
    return torch.promote_types(hidden.dtype, torch.float32)


def _loss_and_gradients(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The mean loss, and where wanted the gradients of the summed loss: hidden's in its own dtype,
    weight's and bias's in at least float32.
    """
    exact = _softmax_dtype(hidden)
    positions, classes = hidden.shape[0], weight.shape[0]
    room = _BLOCK_BYTES.get(hidden.device.type, 2**28) // (classes * hidden.element_size())
    block = max(16, min(room, positions))
    losses = hidden.new_empty(positions, dtype=exact)  # (M,)
    dhidden = torch.empty_like(hidden) if wanted[0] else None  # (M, D)
    dweight = torch.zeros_like(weight, dtype=exact) if wanted[1] else None  # (V, D)
    dbias = None if bias is None or not wanted[2] else torch.zeros_like(bias, dtype=exact)  # (V,)
    buffer = hidden.new_empty(min(block, positions), classes)
    for start in range(0, positions, block):
        part = slice(start, min(start + block, positions))
        x, target = hidden[part], targets[part, None]  # (block, D), (block, 1)
        product = buffer[: x.shape[0]]  # (block, V)
        torch.mm(x, weight.mT, out=product)
        logits = product.to(exact)
        if bias is not None:
            logits += bias
        top = logits.amax(1, keepdim=True)
        at_target = logits.gather(1, target)
        odds = logits.sub_(top).exp_()  # (block, V), from here on no longer logits
        total = odds.sum(1, keepdim=True)
        losses[part] = (total.log() + top - at_target)[:, 0]
        if not any(wanted):
            continue
        # d loss / d logits = softmax - one_hot.
        slope = odds.mul_(1 / total)
        slope.scatter_add_(1, target, torch.full_like(total, -1.0))
        if dbias is not None:
            dbias += slope.sum(0)
        slope = slope.to(hidden.dtype)
        if dhidden is not None:
            torch.mm(slope, weight, out=dhidden[part])
        if dweight is None:
            continue
        if exact == hidden.dtype:
            dweight.addmm_(slope.mT, x)
        else:
            dweight += slope.mT @ x  # summed over blocks in float32
    return losses.mean(), dhidden, dweight, dbias
