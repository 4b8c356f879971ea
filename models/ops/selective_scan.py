"""The selective scan of Mamba: a linear recurrence whose coefficients depend on the input.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t        y_t = (C_t h_t + D u_t) * silu(z_t)

(Gu & Dao 2023, arXiv 2312.00752, algorithm 2; names as in mamba_ssm's `selective_scan_fn`.) Here
are the front function, the ten plain lines that define what every kernel must compute, and the
single step for serving. The CPU kernel is in selective_scan_numba.py.

Shapes: B batch, L length, D channels (d_inner), N states per channel (d_state).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import cuda_kernels, resolve
from models.ops.rows import pad_rows, unpad_rows


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = True,
    lengths: Tensor | None = None,
    offsets: Tensor | None = None,
    return_last_state: bool = False,
    donated: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan along time; differentiable in every floating-point argument.

    Args:
        u, delta, z: (B, L, D), or (T, D) with `offsets`; z gates the output and may be None.
        A: (D, N), negative in Mamba.
        B, C: (B, L, N), or (T, N).
        D: (D,), the skip.
        delta_bias: (D,), added to delta before the softplus.
        lengths: (B,) int64. Steps at or beyond a row's length are skipped: y is 0 there and the
            state stays as it was.
        offsets: (B + 1,) int64 on the CPU: the sequences lie one after another without padding
            (models/packed.py), sequence b in rows offsets[b]:offsets[b + 1]; y is 0 in rows from
            offsets[-1] on. Not together with `lengths`.
        return_last_state: also return the state after step `length - 1`, (B, D, N), float32 in
            the fast kernels. Its gradient flows too, except on `cuda` where it is detached.
        donated: whether a gradient may take the place of delta, which nobody else reads any more
            then (models/ops/donation.py); `numba` alone does so.

    Raises:
        ValueError: unknown backend, or shapes that do not belong together.
        BackendUnavailable: the backend named is missing or does not fit the device.
    """
    name = resolve(backend, u.device)
    if offsets is not None and (u.dim() != 2 or lengths is not None):
        raise ValueError(f"offsets go with u of (T, D) and no lengths, not {tuple(u.shape)}")
    tensors = (u, delta, A, B, C, D, z, delta_bias)
    if offsets is None:
        _check_shapes(*tensors, lengths, u.shape[:2])
    else:
        _check_shapes(*tensors, None, u.shape[:1])
    if name == "numba":
        y, last = _on_cpu(tensors, delta_softplus, lengths, offsets, return_last_state, donated)
    elif offsets is not None:
        return _padded(tensors, delta_softplus, offsets, return_last_state, name)
    elif name == "reference":
        y, last = selective_scan_reference(
            u, delta, A, B, C, D, z,
            delta_bias=delta_bias, delta_softplus=delta_softplus, lengths=lengths,
        )  # fmt: skip
    else:
        y, last = _selective_scan_cuda(u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths)
    return (y, last) if return_last_state else y


def _on_cpu(
    tensors: tuple[Any, ...],
    delta_softplus: bool,
    lengths: Tensor | None,
    offsets: Tensor | None,
    return_last_state: bool,
    donated: bool,
) -> tuple[Tensor, Tensor]:
    """The CPU kernel, for which padded sequences are packed ones with gaps."""
    # Imported here so that a process which never scans does not load LLVM.
    from models.ops.selective_scan_numba import selective_scan_numba

    u, delta, A, B, C, D, z, delta_bias = tensors
    if offsets is not None:
        rows = torch.stack((offsets[:-1], offsets.diff()), dim=1)  # (B, 2)
        return selective_scan_numba(
            u, delta, A, B, C, D, z, delta_bias, delta_softplus, rows, return_last_state, donated
        )
    batch, length, _ = u.shape
    if lengths is None:
        lengths = torch.full((batch,), length)
    elif lengths.numel() and not (0 <= int(lengths.min()) and int(lengths.max()) <= length):
        raise ValueError(f"lengths must lie in 0..{length}, got {lengths.tolist()}")
    rows = torch.stack((torch.arange(batch) * length, lengths.to("cpu", torch.int64)), dim=1)
    u, delta, B, C = (tensor.flatten(0, 1) for tensor in (u, delta, B, C))
    y, last = selective_scan_numba(
        u, delta, A, B, C, D, None if z is None else z.flatten(0, 1), delta_bias, delta_softplus,
        rows, return_last_state, donated,
    )  # fmt: skip
    return y.view(batch, length, -1), last


def _padded(
    tensors: tuple[Any, ...],
    delta_softplus: bool,
    offsets: Tensor,
    return_last_state: bool,
    backend: str,
) -> Tensor | tuple[Tensor, Tensor]:
    """Packed sequences by a kernel that knows padded ones only."""
    u, delta, A, B, C, D, z, delta_bias = tensors
    u, delta, B, C = (pad_rows(tensor, offsets) for tensor in (u, delta, B, C))
    z = None if z is None else pad_rows(z, offsets)
    # Padding is behind each sequence, and y there is thrown away: lengths say which state is the
    # last one and nothing else, and cost a kernel its bias and its softplus.
    sizes = offsets.diff()
    ragged = return_last_state and bool((sizes != sizes[0]).any())
    lengths = sizes.to(u.device) if ragged else None
    found = selective_scan(
        u, delta, A, B, C, D, z, delta_bias=delta_bias, delta_softplus=delta_softplus,
        lengths=lengths, return_last_state=return_last_state, backend=backend,
    )  # fmt: skip
    rows = tensors[0].shape[0]
    if isinstance(found, Tensor):
        return unpad_rows(found, offsets, rows)
    return unpad_rows(found[0], offsets, rows), found[1]


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = True,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The definition, in plain PyTorch: returns y (B, L, D) and the last state (B, D, N)."""
    state = u.new_zeros(u.shape[0], *A.shape)  # (B, D, N)
    outputs = []
    # unbind, because the gradient of each u[:, t] would be a whole zero tensor: quadratic in L.
    gates = [None] * u.shape[1] if z is None else z.unbind(1)
    steps = zip(u.unbind(1), delta.unbind(1), B.unbind(1), C.unbind(1), gates, strict=True)
    for t, (u_t, delta_t, B_t, C_t, z_t) in enumerate(steps):
        y, new_state = selective_scan_step(
            state, u_t, delta_t, A, B_t, C_t, D, z_t,
            delta_bias=delta_bias, delta_softplus=delta_softplus,
        )  # fmt: skip
        if lengths is not None:
            alive = (t < lengths)[:, None]  # (B, 1)
            y = torch.where(alive, y, torch.zeros_like(y))
            new_state = torch.where(alive[:, :, None], new_state, state)
        state = new_state
        outputs.append(y)
    return torch.stack(outputs, dim=1), state


def selective_scan_step(
    state: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = True,
) -> tuple[Tensor, Tensor]:
    """One event: u, delta, z (B, D); B, C (B, N); state (B, D, N). Returns y and the new state."""
    delta = delta if delta_bias is None else delta + delta_bias
    delta = F.softplus(delta) if delta_softplus else delta
    decay = torch.exp(delta[:, :, None] * A)  # (B, D, N)
    state = decay * state + (delta * u)[:, :, None] * B[:, None, :]  # (B, D, N)
    y = (state * C[:, None, :]).sum(-1) + D * u  # (B, D)
    return (y if z is None else y * F.silu(z)), state


def _selective_scan_cuda(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """mamba_ssm's kernel, which wants (B, D, L) and float32 parameters."""
    alive = None
    if lengths is not None:
        # The kernel knows no lengths. A time step of exactly 0 decays by exp(0) = 1 and adds
        # nothing, so the state stays; the bias and softplus must therefore come before the mask.
        alive = (torch.arange(u.shape[1], device=u.device) < lengths[:, None])[:, :, None]
        delta = delta if delta_bias is None else delta + delta_bias
        delta = F.softplus(delta.float()).to(u.dtype) if delta_softplus else delta
        delta = torch.where(alive, delta, torch.zeros_like(delta))
        delta_bias, delta_softplus = None, False
    y, last = cuda_kernels().selective_scan_fn(
        u.mT, delta.mT, A.float(), B.mT, C.mT, D.float(),
        z=None if z is None else z.mT,
        delta_bias=None if delta_bias is None else delta_bias.float(),
        delta_softplus=delta_softplus,
        return_last_state=True,
    )  # fmt: skip
    y = y.mT
    return (y if alive is None else torch.where(alive, y, torch.zeros_like(y))), last.detach()


def _check_shapes(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None,
    delta_bias: Tensor | None,
    lengths: Tensor | None,
    steps: tuple[int, ...],
) -> None:
    """`steps` is (B, L) or (T,)."""
    channels, states = u.shape[-1], A.shape[-1]
    if u.dim() != len(steps) + 1:
        raise ValueError(f"u has shape {tuple(u.shape)}; needed: (B, L, D), or (T, D) with offsets")
    if steps[-1] == 0:
        raise ValueError("u has length 0; at least one step is needed")
    wanted: list[tuple[str, Tensor | None, tuple[int, ...]]] = [
        ("delta", delta, (*steps, channels)),
        ("A", A, (channels, states)),
        ("B", B, (*steps, states)),
        ("C", C, (*steps, states)),
        ("D", D, (channels,)),
        ("z", z, (*steps, channels)),
        ("delta_bias", delta_bias, (channels,)),
        ("lengths", lengths, steps[:1]),
    ]
    for name, tensor, shape in wanted:
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; needed: {shape}")
        if tensor is not None and tensor.device != u.device:
            raise ValueError(f"{name} is on {tensor.device}; needed: {u.device}, as u is")
