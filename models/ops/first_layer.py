"""A transformer's first layer, from ids to what the next layer is given, where nothing is trained.

A layer's queries, keys, values and sums are three to six times as many numbers as its results, and
one core multiplies them faster than memory brings them. So on a CPU some sequences at a time go all
the way (embed_linear.py, attention.py, post_mixer.py) before the next ones begin, and only the
results are written to memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.ops.attention import attention_packed, packed_width, resolve_attention
from models.ops.backend import resolve_dense
from models.ops.embed_linear import can_look_up, embed_linear
from models.ops.feed_forward import check_activation
from models.ops.linear import whole_tiles
from models.ops.post_mixer import Weights, post_mixer

# A longer sequence is more rows than a task needs, and layer by layer two threads share it: alone,
# one of 500 events took 9 (SASRec) and 20% (BERT4Rec) longer at once on two cores.
LONGEST = 256


class Embedding(NamedTuple):
    """Of V items at P positions, and the norm that follows."""

    table: Tensor  # (V, D)
    places: Tensor  # (P, D)
    gamma: Tensor  # (D,)
    beta: Tensor  # (D,)


def first_layer(
    ids: Tensor,
    positions: Tensor,
    offsets: Tensor,
    embedding: Embedding,
    projection: tuple[Tensor, Tensor],
    weights: Weights,
    *,
    num_heads: int,
    causal: bool,
    eps: tuple[float, float, float],
    activation: str,
    post_norm: bool,
    factor: float = 1.0,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The next layer's residual (T, D) and its input (T, D), as `post_mixer` gives them.

    Args:
        ids, positions: (T,) int64. offsets: (B + 1,) int64 on the CPU, as `attention_packed` takes
            them; what comes back in rows that belong to no sequence means nothing, but is finite.
        projection: weight (3 D, D) and bias (3 D,) of queries, keys and values.
        weights: of what follows attention.
        eps: of the norms of the embedding, behind attention and behind the layer.
        post_norm: the residual of attention is the normed embedding; else the embedding itself.
        factor: on the items' embeddings alone.

    Raises:
        IndexError: an id or a position lies outside of its table.
        ValueError: as `attention_packed` and `post_mixer` do, and for shapes that do not belong
            together.
    """
    check_activation(activation)
    packed_width(len(projection[0]), offsets, num_heads)
    _check_shapes(ids, positions, embedding.table.shape[1], projection[0], weights.output)
    operands = (*embedding, *projection)
    if not torch.is_grad_enabled() and _fits(operands, offsets, weights, backend):
        # Imported here so that a process which never needs it does not load LLVM.
        from models.ops.first_layer_numba import first_layer_numba

        return first_layer_numba(
            ids, positions, offsets, operands, weights, num_heads=num_heads, causal=causal,
            factor=factor, eps=eps, smooth=activation == "gelu", post_norm=post_norm,
        )  # fmt: skip
    table, places, gamma, beta = embedding
    embedded, normed, qkv = embed_linear(
        ids, table, positions, places, gamma, beta, *projection, factor=factor, eps=eps[0],
        backend=backend,
    )  # fmt: skip
    mixed = attention_packed(qkv, offsets, num_heads=num_heads, causal=causal, backend=backend)
    return post_mixer(
        mixed, normed if post_norm else embedded, weights, eps=eps[1:], activation=activation,
        post_norm=post_norm, backend=backend,
    )  # fmt: skip


def _check_shapes(
    ids: Tensor, positions: Tensor, width: int, projection: Tensor, output: Tensor
) -> None:
    if (
        ids.shape != positions.shape
        or projection.shape != (3 * width, width)
        or output.shape != (width, width)
    ):
        raise ValueError(
            f"shapes ids {tuple(ids.shape)}, positions {tuple(positions.shape)}, projection"
            f" {tuple(projection.shape)}, output layer {tuple(output.shape)}; needed: (T,), (T,),"
            f" ({3 * width}, {width}), ({width}, {width})"
        )


def _fits(operands: tuple[Tensor, ...], offsets: Tensor, weights: Weights, backend: str) -> bool:
    """Whether all three parts have a kernel for these, and sequences are short enough."""
    table = operands[0]
    if resolve_dense(backend, table) != "numba":
        return False
    lengths = np.diff(offsets.numpy())
    return (
        resolve_attention(backend, table.device, table.dtype) == "numba"
        and can_look_up(operands)
        and whole_tiles(weights.output, weights.outer)
        and len(lengths) > 0
        and 1 <= lengths.min()
        and lengths.max() <= LONGEST
    )
