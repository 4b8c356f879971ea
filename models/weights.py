"""Trained models on disk: what was built, with which settings, and its weights; data only, no code.

models.weights.save(model, path); model = models.weights.load(path)
"""

from __future__ import annotations

import io
import os
from pathlib import Path

# The exception's name alone; weights are loaded with weights_only.
from pickle import UnpicklingError  # nosec B403
from typing import Any

import torch

import models
from models.base import SequentialRecommender

SCHEMA = "seqrec-bench/weights/1"
_FEW_LAYERS = 64  # take no memory to speak of, whatever a file says of them


def save(model: SequentialRecommender, path: Path) -> None:
    """Writes the model whole or not at all (a temporary file, then a rename)."""
    content = {
        "schema": SCHEMA,
        "model": model.name,
        "num_items": model.num_items,
        "max_len": model.max_len,
        "settings": model.settings(),
        "state": model.state_dict(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()  # first to memory: of a full disk torch.save says a line of its source
    torch.save(content, packed)
    partial = path.with_name(path.name + ".tmp")
    try:
        with partial.open("wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def load(path: Path, *, backend: str = "auto") -> SequentialRecommender:
    """The saved model in evaluation mode on the CPU; ValueError where the file is another's.

    What the file says of its sizes is held against its own tensors before memory is taken for it.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError(f"schema {SCHEMA} expected")
        _check_sizes(content)
        with torch.device("meta"):  # shapes alone
            expected = _shapes(_build(content, "reference").state_dict())
        if _shapes(content["state"]) != expected:
            raise ValueError("its tensors are not those of its settings")
        model = _build(content, backend)
        model.load_state_dict(content["state"])
    except _BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: no weights of this suite: {reason}") from error
    return model.eval()


# What torch.load and a model's constructor raise for what they were not made for.
_BROKEN = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError),
    *(UnpicklingError, OverflowError, AssertionError, MemoryError, ArithmeticError),
)


def _build(content: dict[str, Any], backend: str) -> SequentialRecommender:
    model_class = models.get(content["model"])
    config = model_class.Config(**content["settings"])
    return model_class(content["num_items"], content["max_len"], config, backend=backend)


def _check_sizes(content: dict[str, Any]) -> None:
    """No layer and no dimension that the file has no numbers for."""
    state, settings = content["state"], content["settings"]
    most = max(tensor.numel() for tensor in state.values())
    sizes = [content["num_items"], content["max_len"], *settings.values()]
    if any(isinstance(size, int) and size > most for size in sizes):
        raise ValueError("its tensors are smaller than its settings")
    if settings.get("num_layers", 1) > max(_FEW_LAYERS, len(state)):  # not all layers have weights
        raise ValueError("it has fewer tensors than layers")


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
