"""What follows the token mixer in a transformer's layer: an output layer and a feed-forward
network, each with its residual and its norm.

    sum = residual + mixed W_o^T + b_o             inner = norm(sum)
    sum' = base + feed_forward(inner)              normed = norm'(sum')

`base` is `sum` in a pre-norm model and `inner` in a post-norm one. On a CPU, for widths in whole
tiles, it is one pass over the rows, a block of them at a time, which writes its results alone, and
so are its gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.ops.add_norm import add_norm
from models.ops.backend import resolve_dense
from models.ops.dropout import noise_for
from models.ops.feed_forward import check_activation, feed_forward
from models.ops.linear import FEW_ROWS, linear, whole_tiles


class Weights(NamedTuple):
    """Of a layer; D wide, K from the mixer, E in the feed-forward network."""

    output: Tensor  # (D, K)
    output_bias: Tensor  # (D,)
    gamma: Tensor  # (D,)
    beta: Tensor  # (D,)
    inner: Tensor  # (E, D)
    inner_bias: Tensor  # (E,)
    outer: Tensor  # (D, E)
    outer_bias: Tensor  # (D,)
    last_gamma: Tensor  # (D,)
    last_beta: Tensor  # (D,)


def post_mixer(
    mixed: Tensor,
    residual: Tensor,
    weights: Weights,
    *,
    eps: tuple[float, float],
    activation: str,
    post_norm: bool,
    dropout: float = 0.0,
    inner_dropout: float = 0.0,
    donated: bool = False,
    inside: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """mixed (T, K), residual (T, D) -> the next layer's residual (T, D) and its input (T, D): sum'
    and normed, in a post-norm model normed twice.

    Args:
        eps: of the two norms.
        activation: relu or gelu.
        dropout: on what is added to a residual; 0 outside of training.
        inner_dropout: on the inner values of the feed-forward network.
        donated: whether a gradient may take the place of sum', which nobody else reads any more
            then (models/ops/donation.py); a post-norm model never sees it.
        inside: whether normed goes to another layer of the model alone, so that nobody else reads
            its gradient, and that of mixed may take its place.
        backend: see `resolve_dense` in models/ops/backend.py.
    """
    check_activation(activation)
    w, smooth = weights, activation == "gelu"
    trained = torch.is_grad_enabled() or dropout != 0 or inner_dropout != 0
    if resolve_dense(backend, mixed) == "numba" and _fits(mixed, w, trained=trained):
        # Imported here so that a process which never needs them does not load LLVM.
        if trained:
            from models.ops.post_mixer_training_numba import post_mixer_training_numba

            noises = noise_for(dropout), noise_for(inner_dropout), noise_for(dropout)
            return post_mixer_training_numba(
                mixed, residual, w, eps, smooth, post_norm, noises, donated or post_norm, inside
            )
        from models.ops.post_mixer_numba import post_mixer_numba

        return post_mixer_numba(mixed, residual, w, eps, smooth, post_norm)
    mixed = linear(mixed, w.output, w.output_bias, backend=backend)
    total, inner = add_norm(
        mixed, residual, w.gamma, w.beta, eps=eps[0], dropout=dropout, backend=backend
    )
    outer = feed_forward(
        inner, w.inner, w.inner_bias, w.outer, w.outer_bias,
        activation=activation, dropout=inner_dropout, backend=backend,
    )  # fmt: skip
    total, normed = add_norm(
        outer, inner if post_norm else total, w.last_gamma, w.last_beta,
        eps=eps[1], dropout=dropout, backend=backend,
    )  # fmt: skip
    return normed if post_norm else total, normed


def _fits(mixed: Tensor, weights: Weights, *, trained: bool) -> bool:
    """Whether one pass will do: whole tiles, and in inference enough rows."""
    return (trained or len(mixed) >= FEW_ROWS) and whole_tiles(weights.output, weights.outer)
