"""Depthwise causal convolution followed by SiLU, the short filter in front of Mamba's scan.

    y[b, t, d] = silu(bias[d] + sum_k weight[d, k] x[b, t - K + 1 + k, d]),  x = 0 before the start

Names as in the package causal_conv1d, but the layout is (B, L, D) with the channel innermost, as
the linear layers around it give and take it. The CPU kernel is in causal_conv1d_numba.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import cuda_kernels, resolve
from models.ops.rows import pad_rows, unpad_rows


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    offsets: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Filter x (B, L, D) with weight (D, K) and bias (D,), then SiLU; (B, L, D), differentiable.

    Output t depends on inputs up to t only, so padding on the right never reaches real steps.

    Args:
        offsets: (B + 1,) int64 on the CPU: x is (T, D), the sequences one after another without
            padding (models/packed.py); the output is 0 in rows from offsets[-1] on.

    Raises:
        ValueError: unknown backend, or shapes that do not belong together.
        BackendUnavailable: the backend named is missing or does not fit the device.
    """
    name = resolve(backend, x.device)
    channels = x.shape[-1]
    if (
        x.dim() != (3 if offsets is None else 2)
        or weight.shape[:-1] != (channels,)
        or bias.shape != (channels,)
    ):
        raise ValueError(
            f"shapes x {tuple(x.shape)}, weight {tuple(weight.shape)}, bias {tuple(bias.shape)}; "
            "needed: (B, L, D), or (T, D) with offsets, (D, K), (D,)"
        )
    if not x.device == weight.device == bias.device:
        raise ValueError(f"x, weight, bias on {x.device}, {weight.device}, {bias.device}")
    if name == "numba":
        return _on_cpu(x, weight, bias, offsets)
    if offsets is not None:
        padded = causal_conv1d(pad_rows(x, offsets), weight, bias, backend=name)
        return unpad_rows(padded, offsets, x.shape[0])
    if name == "reference":
        return causal_conv1d_reference(x, weight, bias)
    y: Tensor = cuda_kernels().causal_conv1d_fn(x.mT, weight, bias, activation="silu")
    return y.mT


def _on_cpu(x: Tensor, weight: Tensor, bias: Tensor, offsets: Tensor | None) -> Tensor:
    # Imported here so that a process which never convolves does not load LLVM.
    from models.ops.causal_conv1d_numba import causal_conv1d_numba

    if offsets is not None:
        rows = torch.stack((offsets[:-1], offsets.diff()), dim=1)  # (B, 2)
        return causal_conv1d_numba(x, weight, bias, rows)
    batch, length, _ = x.shape
    rows = torch.stack((torch.arange(batch) * length, torch.full((batch,), length)), dim=1)
    return causal_conv1d_numba(x.flatten(0, 1), weight, bias, rows).view(x.shape)


def causal_conv1d_reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The definition, in plain PyTorch, for any dtype and device."""
    channels, width = weight.shape
    padded = F.pad(x.mT, (width - 1, 0))  # (B, D, K - 1 + L)
    y: Tensor = F.silu(F.conv1d(padded, weight[:, None, :], bias, groups=channels))
    return y.mT


def causal_conv1d_step(
    window: Tensor, x: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """One event x (B, D); window (B, K - 1, D) holds the last inputs, oldest first, 0 at the start.

    Returns y (B, D) and the window for the next event.
    """
    inputs = torch.cat((window, x[:, None, :]), dim=1)  # (B, K, D)
    y = F.silu((inputs * weight.mT).sum(1) + bias)  # (B, D)
    return y, inputs[:, 1:]
