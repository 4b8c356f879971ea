"""PyTorch's global switches, which decide what kernels may run and how device memory is handed out.

Read at the end of a worker, since libraries may set them as they are imported.
"""

from __future__ import annotations

import os
from typing import Any

# Variables that set up the allocator of a device; the shorter name is PyTorch's newer one.
_ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
_SDPA = ("flash", "mem_efficient", "math", "cudnn")


def describe_switches() -> dict[str, Any]:
    """Plain JSON: `tf32`, `cudnn_benchmark`, `deterministic` (whether deterministic algorithms were
    asked for), `sdpa_allowed` (backends of scaled dot-product attention that may be chosen) and
    `torch_alloc_conf` (the variables that are set, {} for none).
    """
    import torch

    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return {
        "tf32": bool(cuda.matmul.allow_tf32 or cudnn.allow_tf32),
        "cudnn_benchmark": bool(cudnn.benchmark),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "sdpa_allowed": [name for name in _SDPA if _is_allowed(cuda, name)],
        "torch_alloc_conf": {name: os.environ[name] for name in _ALLOCATOR if name in os.environ},
    }


def _is_allowed(cuda: Any, name: str) -> bool:
    asked = getattr(cuda, f"{name}_sdp_enabled", None)  # PyTorch 2.4 has none for cuDNN
    return asked is not None and bool(asked())
