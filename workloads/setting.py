"""A setting: which model works on which data, under which protocol; where workloads start."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

import models
from data.batches import Objective
from data.interactions import Interactions
from models.base import NotSupported, SequentialRecommender
from models.ops.backend import resolve, resolve_layers
from models.ops.linear_cross_entropy import resolve_loss

COMPILE_MODES = ("none", "default", "reduce-overhead", "max-autotune")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Setting:
    """One model on one dataset.

    Args:
        seq_len: padded length L of batches and capacity of the model, in events.
        dtype: float32, or autocast to bfloat16 or float16 with float32 weights.
        compile: mode of torch.compile for the model's layers; "none" leaves them as they are.
        options: fields of the model's Config that differ from its defaults.
    """

    model: str
    interactions: Interactions
    objective: Objective
    seq_len: int
    batch_size: int
    device: str = "cpu"
    dtype: str = "float32"
    backend: str = "auto"
    compile: str = "none"
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def make_model(self) -> SequentialRecommender:
        """The model, its weights drawn from the seed, on the device."""
        model_class = models.get(self.model)
        if self.objective not in model_class.objectives:
            allowed = ", ".join(model_class.objectives)
            raise NotSupported(f"{model_class.label} is not trained by {self.objective}: {allowed}")
        torch.manual_seed(self.seed)
        config = model_class.Config(**self.options)
        model = model_class(
            self.interactions.num_items, self.seq_len, config, backend=self.resolved_backend()
        )
        model = model.to(self.device)
        if self.compile != "none":
            model.compile_layers(self.compile)
        return model

    def resolved_backend(self) -> str:
        """The name of the kernels that the model runs on."""
        if "cuda" in models.get(self.model).backends:
            return resolve(self.backend, self.device)
        return self.resolved_layers()

    def resolved_layers(self) -> str:
        """Which kernels the layers around a scan run on; as `resolved_backend` without one."""
        scan_only = self.backend == "cuda" or "cuda" in models.get(self.model).backends
        wanted = "auto" if scan_only and self.backend != "reference" else self.backend
        if self.compile != "none":
            if wanted not in ("auto", "torch"):
                raise NotSupported(
                    f"torch.compile works on PyTorch's own layers, not on backend {wanted!r}"
                )
            wanted = "torch"
        return resolve_layers(wanted, self.device, DTYPES[self.dtype])

    def resolved_loss(self) -> str:
        """Which kernel the softmax over the catalogue runs on."""
        wanted = "reference" if self.resolved_backend() == "reference" else "auto"
        return resolve_loss(wanted, self.device, DTYPES[self.dtype])

    @property
    def element_bytes(self) -> int:
        """Bytes of one number of a hidden state."""
        return DTYPES[self.dtype].itemsize

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which the model computes; does nothing for float32."""
        if self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=DTYPES[self.dtype])


def check_device(device: str, dtype: str) -> None:
    """Raises NotSupported where this machine or this device can't run a cell at all."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise NotSupported(f"device {device}: PyTorch sees no CUDA device on this machine")
    if device == "cpu" and dtype == "float16":
        raise NotSupported("float16 on a CPU has no fast kernels; use bfloat16 or float32")
