"""The selective scan alone, of one library: forward, and forward with backward, on equal numbers.

Each library gets the layout that it takes; softplus and gate, where a library leaves them to its
block, are done around it as that block does.
"""

from __future__ import annotations

import ast
import importlib
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.peers.serve import Unsupported
from measure.highwater import choose_high_water
from measure.memory import trim

Scan = Callable[..., Tensor]
_INTERFACE = "mamba_ssm/ops/selective_scan_interface.py"
_CHANNELS_FIRST = (0, 1, 3, 4, 6)  # u, delta, B, C, z, where a library wants (B, D, L)


class ScanSide:
    """Verbs: prepare, gradients, forward, both, peak."""

    verbs: ClassVar[tuple[str, ...]] = ("prepare", "gradients", "forward", "both", "peak")
    torch_seconds: float = 0.0

    def prepare(
        self, library: str, shape: dict[str, int], path: str | None = None
    ) -> dict[str, Any]:
        """Inputs of shape batch, length, channels, states; a digest of the result to compare."""
        make, channels_first, package = _LIBRARIES[library]
        self.scan = make(path)
        self.elements = shape["batch"] * shape["length"] * shape["channels"] * shape["states"]
        inputs = [tensor.requires_grad_() for tensor in _inputs(**shape)]
        if channels_first:
            for place in _CHANNELS_FIRST:
                moved = inputs[place].detach().transpose(1, 2).contiguous()
                inputs[place] = moved.requires_grad_()
        self.inputs = inputs
        # Later steps weigh more, in the result's digest and in its gradient: a step out of place
        # shows in both.
        ramp = (torch.arange(shape["length"]) + 1.0) / shape["length"]
        ramp = ramp if channels_first else ramp[:, None]
        y = self._run().detach()
        self.dy = ramp.expand_as(y).contiguous()
        last = y[-1, :, -1] if channels_first else y[-1, -1]
        found = [_mean_square(y * self.dy), float(last.double().mean())]
        return {"digest": found, "versions": {package: _version(package)}}

    def gradients(self) -> dict[str, Any]:
        """A digest of the gradients of u, delta and A."""
        self._run_both()
        found = [tensor.grad for tensor in self.inputs[:3]]
        return {"digest": [_mean_square(grad) for grad in found if grad is not None]}

    def forward(self, seconds: float) -> dict[str, Any]:
        """Nanoseconds an element of (batch, step, channel, state), without gradients."""
        with torch.inference_mode():
            return self._time(self._run, seconds)

    def both(self, seconds: float) -> dict[str, Any]:
        """The same, forward and backward to all inputs."""
        return self._time(self._run_both, seconds)

    def peak(self) -> dict[str, Any]:
        """Bytes beyond inputs, result and gradients at the peak of forward and backward."""
        self._run_both()  # code that loads at the first call is no memory of the scan's
        for tensor in self.inputs:
            tensor.grad = None
        mark, _ = choose_high_water()
        trim()
        before = mark.resident()
        mark.start()
        y = self._run_both()
        peak = mark.stop()
        own = sum(tensor.nbytes for tensor in self.inputs)
        new = y.nbytes + own  # the result and the inputs' gradients; the rest was there before
        extra, fixed = max(0, peak - before - new), own + self.dy.nbytes + new
        return {
            "extra_bytes": extra,
            "fixed_bytes": fixed,
            "extra_share": extra / fixed,
            "method": mark.method,
        }

    def _time(self, run: Callable[[], object], seconds: float) -> dict[str, Any]:
        calls, began, cpu = 0, time.perf_counter(), time.process_time()
        while not calls or time.perf_counter() - began < seconds:
            run()
            calls += 1
        took = time.perf_counter() - began
        cpu = time.process_time() - cpu
        nanoseconds = took / calls / self.elements * 1e9
        return {"ns": nanoseconds, "calls": calls, "seconds": took, "cpu_seconds": cpu}

    def _run(self) -> Tensor:
        return self.scan(*self.inputs)

    def _run_both(self) -> Tensor:
        for tensor in self.inputs:
            tensor.grad = None
        y = self.scan(*self.inputs)
        torch.autograd.backward(y, self.dy)
        return y


def _mean_square(tensor: Tensor) -> float:
    return float(tensor.double().square().mean().sqrt())


def _inputs(batch: int, length: int, channels: int, states: int) -> list[Tensor]:
    """u, delta, A, B, C, D, z, delta_bias as Mamba's block has them, in our layout."""
    draw = torch.Generator().manual_seed(0)

    def normal(*size: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*size, generator=draw) * scale

    decay = torch.arange(1, states + 1, dtype=torch.float32).repeat(channels, 1)
    wide, narrow = (batch, length, channels), (batch, length, states)
    return [
        normal(*wide),
        normal(*wide, scale=0.1),
        -decay,
        normal(*narrow),
        normal(*narrow),
        torch.ones(channels),
        normal(*wide),
        normal(channels, scale=0.1) - 3.0,
    ]


def _ours(path: str | None) -> Scan:
    from models.ops.selective_scan import selective_scan

    def scan(*inputs: Tensor) -> Tensor:
        *tensors, bias = inputs
        y = selective_scan(*tensors, delta_bias=bias)
        assert isinstance(y, Tensor), "the last state was not asked for"
        return y

    return scan


def _mambapy(path: str | None) -> Scan:
    block: Any = importlib.import_module("mambapy.mamba").MambaBlock

    def scan(*inputs: Tensor) -> Tensor:
        u, delta, A, B, C, D, z, bias = inputs
        y: Tensor = block.selective_scan(None, u, F.softplus(delta + bias), A, B, C, D)
        return y * F.silu(z)

    return scan


def _transformers(path: str | None) -> Scan:
    library: Any = importlib.import_module("transformers.models.mamba.modeling_mamba")
    return _channels_first(library.mamba_selective_scan)


def _mamba_ssm(path: str | None) -> Scan:
    """selective_scan_ref out of its file: importing the package needs Triton and CUDA."""
    if path is None or not (Path(path) / _INTERFACE).is_file():
        raise Unsupported(f"--mamba-ssm-path: no {_INTERFACE} in that folder")
    tree = ast.parse((Path(path) / _INTERFACE).read_text())
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == "selective_scan_ref"
    ]
    einops: Any = importlib.import_module("einops")
    space = {"torch": torch, "F": F, "rearrange": einops.rearrange, "repeat": einops.repeat}
    # One function of a checkout that the user named, to be run: it is what is compared.
    exec(compile(tree, _INTERFACE, "exec"), space)  # nosec B102
    return _channels_first(space["selective_scan_ref"])


def _channels_first(scan: Any) -> Scan:
    def call(*inputs: Tensor) -> Tensor:
        *tensors, bias = inputs
        y: Tensor = scan(*tensors, delta_bias=bias, delta_softplus=True)
        return y

    return call


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "as given"


# How each is made, whether it wants (B, D, L), and whose version is recorded.
_LIBRARIES: dict[str, tuple[Callable[[str | None], Scan], bool, str]] = {
    "ours": (_ours, False, "numba"),
    "mambapy": (_mambapy, False, "mambapy"),
    "transformers": (_transformers, True, "transformers"),
    "mamba_ssm": (_mamba_ssm, True, "mamba-ssm"),
}

SIDE = ScanSide
