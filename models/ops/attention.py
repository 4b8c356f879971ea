"""Attention for all transformers here: fused kernels behind one function, and plain references.

Two layouts. Packed, for whole histories: the rows of all sequences one after another, `offsets`
saying where each begins, so that no padding is ever computed; on a CPU a kernel of our own
(attention_numba.py), elsewhere padded for PyTorch's. Padded, for a cache of keys and values:
`attention`, PyTorch's fused kernels. Causal attention never materialises a mask there: padding is
on the right, so a real position can't see it.

Shapes: B sequences, T rows of all of them, M query rows, D hidden size, H heads.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.backend import BackendUnavailable, resolve
from models.ops.linear import linear
from models.ops.per_batch import PerBatch

BACKENDS = ("auto", "reference", "torch", "numba")


def attention_packed(
    qkv: Tensor,
    offsets: Tensor,
    *,
    num_heads: int,
    causal: bool,
    dropout: float = 0.0,
    donated: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Scaled dot-product attention of each sequence with itself, (T, 3 D) -> (T, D).

    Args:
        qkv: query, key and value side by side, as one linear layer makes them; heads contiguous.
        offsets: (B + 1,) int64 on the CPU; sequence b has rows offsets[b]:offsets[b + 1]. Rows
            from offsets[-1] on belong to none: their output and their gradient are 0.
        dropout: on the attention weights, by PyTorch's unfused kernel on a CPU.
        donated: whether its gradient may take the place of qkv, which nobody else reads any more
            then (models/ops/donation.py); `numba` alone does so.
        backend: `auto` is `numba` for float32 on a CPU and `torch` otherwise.

    Raises:
        ValueError: unknown backend, or tensors that do not belong together.
        BackendUnavailable: `numba` for tensors that are not float32 on a CPU.
    """
    width = packed_width(qkv.shape[1], offsets, num_heads)
    name = resolve_attention(backend if dropout == 0 else "torch", qkv.device, qkv.dtype)
    if name == "numba":
        return _numba().attention_packed_numba(qkv, offsets, num_heads, causal, donated)
    query, key_value = qkv.split((width, 2 * width), dim=1)
    return _padded(query, key_value, offsets, offsets, num_heads, causal, name, dropout)


def attention_select(
    query: Tensor,
    key_value: Tensor,
    query_offsets: Tensor,
    offsets: Tensor,
    *,
    num_heads: int,
    dropout: float = 0.0,
    backend: str = "auto",
) -> Tensor:
    """Attention of some positions only, each to all of its sequence: (M, D), (T, 2 D) -> (M, D).

    For the last position of a causal model, and for masked positions of one that sees both sides.

    Args:
        query: those positions' queries, grouped by sequence.
        key_value: key and value of every position side by side.
        query_offsets, offsets: (B + 1,) int64 on the CPU: where a sequence's rows begin in `query`
            and in `key_value`, as in `attention_packed`; a sequence without keys gives 0.

    Raises: as `attention_packed` does.
    """
    width = query.shape[1] if 2 * query.shape[1] == key_value.shape[1] else 0
    _check(query.shape[1], (query_offsets, offsets), width, num_heads)
    name = resolve_attention(backend if dropout == 0 else "torch", query.device, query.dtype)
    if name == "numba":
        return _numba().attention_select_numba(query, key_value, query_offsets, offsets, num_heads)
    return _padded(query, key_value, query_offsets, offsets, num_heads, False, name, dropout)


def attention_absorbed(
    query: Tensor,
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    query_offsets: Tensor,
    offsets: Tensor,
    *,
    num_heads: int,
    dropout: float = 0.0,
    donated: bool = False,
    backend: str = "auto",
) -> Tensor:
    """`attention_select` with its keys' and values' linear layer: (M, D), (T, D) -> (M, D).

    A query's score with a key W x is that of W^T query with x, and a mix of values W x is W times
    the mix of x: where there is one query to a sequence, no key and no value is ever made (known
    as weight absorption: DeepSeek-V2, arXiv 2405.04434, section 2.1). A bias on the keys moves all
    scores of a query alike and leaves the softmax as it is.

    Args:
        rows: what keys and values are made of.
        weight, bias: (2 D, D) and (2 D,), keys first.
        donated: whether their gradient may take the place of the rows, as in `attention_packed`.

    Others and errors: as `attention_select`.
    """
    if weight.shape != (2 * query.shape[1], rows.shape[1]) or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"shapes query {tuple(query.shape)}, rows {tuple(rows.shape)}, weight"
            f" {tuple(weight.shape)}, bias {tuple(bias.shape)}; "
            "needed: (M, D), (T, D), (2 D, D), (2 D,)"
        )
    _check(query.shape[1], (query_offsets, offsets), query.shape[1], num_heads)
    name = resolve_attention(backend if dropout == 0 else "torch", query.device, query.dtype)
    if name == "numba":
        # Imported here so that a process which never needs it does not load LLVM.
        from models.ops.attention_absorbed_numba import attention_absorbed_numba

        mixed = attention_absorbed_numba(
            query, rows, weight, bias, query_offsets, offsets, num_heads, donated
        )
        if mixed is not None:
            return mixed
    backend_of_linear = "torch" if name == "reference" else backend
    key_value = linear(rows, weight, bias, donated=donated, backend=backend_of_linear)
    return attention_select(
        query, key_value, query_offsets, offsets, num_heads=num_heads, dropout=dropout,
        backend=backend,
    )  # fmt: skip


def key_flops(seq_len: int, queries: int, width: int, num_heads: int) -> int:
    """Operations that so many queries to a sequence need for keys and values: made, or, where that
    is less, absorbed, with what each query then computes more than over keys of its head alone.
    """
    absorbed = 4 * width**2 + 4 * (num_heads - 1) * width * seq_len
    return min(4 * width**2 * seq_len, absorbed * queries)


@lru_cache(maxsize=1)
def _numba() -> ModuleType:
    """Imported late, so that a process which never needs it does not load LLVM."""
    from models.ops import attention_numba

    return attention_numba


@lru_cache(maxsize=64)
def resolve_attention(backend: str, device: str | torch.device, dtype: torch.dtype) -> str:
    """Turn a backend's name into the one that will run: reference, torch or numba.

    Raises: as `attention_packed` does.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; allowed: {', '.join(BACKENDS)}")
    fits = torch.device(device).type == "cpu" and dtype == torch.float32
    if backend == "numba" and not fits:
        raise BackendUnavailable(
            f"attention backend 'numba' is float32 on cpu, not {dtype} on {device}"
        )
    if backend == "numba" or (backend == "auto" and fits):
        return resolve("numba", device)
    return "torch" if backend == "auto" else backend


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    key_lengths: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention, (B, H, L, head) each -> (B, H, L, head).

    Args:
        key_lengths: (B,) real lengths; keys at or beyond them are not seen. Not needed when causal.
        dropout: on the attention weights. On a CPU only the unfused kernel has it.
    """
    mask = None if key_lengths is None else key_mask(key_lengths, key.shape[2])
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )


def attention_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    key_lengths: Tensor | None = None,
) -> Tensor:
    """The same in plain PyTorch, with the whole (L, L) matrix; for tests."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])  # (B, H, L, L)
    if causal:
        future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)
        scores = scores.masked_fill(future, -math.inf)
    if key_lengths is not None:
        scores = scores.masked_fill(~key_mask(key_lengths, key.shape[2]), -math.inf)
    return scores.softmax(dim=-1) @ value


def key_mask(key_lengths: Tensor, length: int) -> Tensor:
    """True where a key is real: (B,) -> (B, 1, 1, L)."""
    positions = torch.arange(length, device=key_lengths.device)
    return (positions < key_lengths[:, None])[:, None, None, :]


def packed_width(columns: int, offsets: Tensor, num_heads: int) -> int:
    """D of queries, keys and values side by side in so many columns.

    Raises:
        ValueError: as `attention_packed` does.
    """
    width, rest = divmod(columns, 3)
    _check(columns, (offsets,), 0 if rest else width, num_heads)
    return width


def _check(columns: int, offsets: tuple[Tensor, ...], width: int, num_heads: int) -> None:
    if width == 0 or num_heads < 1 or width % num_heads:
        raise ValueError(
            f"no {num_heads} equal heads of q, k and v in a width of {columns}; needed: "
            "qkv (T, 3 D), or query (M, D) and key_value (T, 2 D), and D a multiple of num_heads"
        )
    for tensor in offsets:
        if tensor.dtype != torch.int64 or not tensor.is_cpu:
            raise ValueError(f"offsets must be int64 on cpu, not {tensor.dtype} on {tensor.device}")
    if len(offsets[0]) != len(offsets[-1]):
        raise ValueError(f"offsets differ in shape: {[tuple(o.shape) for o in offsets]}")


def _padded(
    query: Tensor,
    key_value: Tensor,
    query_offsets: Tensor,
    offsets: Tensor,
    num_heads: int,
    causal: bool,
    name: str,
    dropout: float = 0.0,
) -> Tensor:
    """Both packed functions by way of (B, H, L, head) tensors."""
    device = query.device
    places = _places(query_offsets, device)
    (q,) = _pad(query, query_offsets, places, 1, num_heads)
    k, v = _pad(key_value, offsets, _places(offsets, device), 2, num_heads)
    lengths = None if causal else _seen(offsets, device)
    if name == "reference":
        mixed = attention_reference(q, k, v, causal=causal, key_lengths=lengths)
    else:
        mixed = attention(q, k, v, causal=causal, key_lengths=lengths, dropout=dropout)
    rows = mixed.transpose(1, 2).flatten(2)[places]  # (real rows, D)
    return F.pad(rows, (0, 0, 0, query.shape[0] - rows.shape[0]))


@PerBatch
def _seen(offsets: Tensor, device: torch.device) -> Tensor:
    """How many keys of each sequence are seen, (B,): where there is none, one of zeros, for softmax
    over nothing is NaN.
    """
    return offsets.diff().clamp(min=1).to(device)


@PerBatch
def _places(offsets: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sequence and position within it of each real row."""
    sequence = torch.repeat_interleave(offsets.diff())  # (real rows,)
    position = torch.arange(len(sequence)) - offsets[sequence]
    return sequence.to(device), position.to(device)


def _pad(
    rows: Tensor, offsets: Tensor, places: tuple[Tensor, Tensor], parts: int, num_heads: int
) -> tuple[Tensor, ...]:
    """(T, parts * D) -> `parts` tensors (B, H, L, head), zeros behind each sequence's end."""
    lengths = offsets.diff()
    longest = max(1, int(lengths.max())) if len(lengths) else 1
    padded = rows.new_zeros(len(lengths), longest, rows.shape[1])  # (B, L, parts * D)
    padded = padded.index_put(places, rows[: len(places[0])])
    split = padded.view(len(lengths), longest, parts, num_heads, -1)
    return split.permute(2, 0, 3, 1, 4).unbind()
