"""Bytes of tensors, counted: which memory a program takes, the same on every machine.

    counter = TensorBytes()
    with counter.phase("forward"):
        ...
    counter.peak, counter.at_peak  # bytes, and how many of them each phase had made

Each storage counts from the operation that made it until its last tensor is gone. What goes through
torch's dispatcher is counted; what a kernel takes for itself inside of one operation is not.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# Neither has a public name; PyTorch's own documentation of dispatch modes gives these.
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: PLC2701
from torch.utils._pytree import tree_leaves  # noqa: PLC2701


class TensorBytes:
    """Live and highest bytes of the tensors made inside its phases.

    Args:
        watched: tensors whose own highest sum is wanted too, such as logits by their shape.

    Attributes:
        peak: the most bytes alive at once. at_peak: phase -> bytes alive then that it had made.
        saved: bytes of the tensors that autograd kept for the backward pass, each storage once,
            without those made before the phase in which they were kept (weights and batch).
        watched_peak: as peak, of the watched tensors.
    """

    def __init__(self, watched: Callable[[Tensor], bool] | None = None) -> None:
        self.peak = self.watched_peak = self.saved = 0
        self.at_peak: dict[str, int] = {}
        self._watched = watched or (lambda _: False)
        self._alive: dict[str, int] = {}
        self._watched_now = 0
        self._known: dict[int, tuple[str, int, bool]] = {}  # storage -> phase, bytes, watched
        self._kept: set[int] = set()
        self._phase = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what the block makes; a name may be used again."""
        self._phase = name
        self._alive.setdefault(name, 0)
        self._kept.clear()
        saved = 0

        def keep(tensor: Tensor) -> Tensor:
            nonlocal saved
            key = tensor.untyped_storage()._cdata
            known = self._known.get(key)
            if known is not None and known[0] == name and key not in self._kept:
                self._kept.add(key)
                saved += known[1]
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with _Seen(self._see), hooks:
            yield
        self.saved = max(self.saved, saved)

    @property
    def alive(self) -> int:
        """Bytes alive now."""
        return sum(self._alive.values())

    def count(self, tensor: Tensor) -> None:
        """Count a tensor that no operation made, such as one from NumPy, in the phase now on."""
        self._see(tensor)

    def _see(self, tensor: Tensor) -> None:
        if tensor.layout == torch.sparse_coo:
            self._see(tensor._indices())
            self._see(tensor._values())
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or not size:
            return
        watched = self._watched(tensor)
        self._known[key] = (self._phase, size, watched)
        weakref.finalize(storage, self._gone, key)
        self._alive[self._phase] += size
        self._watched_now += size * watched
        self.watched_peak = max(self.watched_peak, self._watched_now)
        if self.alive > self.peak:
            self.peak = self.alive
            self.at_peak = dict(self._alive)

    def _gone(self, key: int) -> None:
        phase, size, watched = self._known.pop(key)
        self._alive[phase] -= size
        self._watched_now -= size * watched


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shows every tensor that an operation returns."""

    def __init__(self, see: Callable[[Tensor], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._see = see

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else the first operation imports PyTorch's compiler, only to be left alone by it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf)
        return result
