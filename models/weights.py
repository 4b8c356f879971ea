"""Trained models on disk: what was built, with which settings, and its weights; data only, no code.

models.weights.save(model, path); model = models.weights.load(path)
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from pickle import UnpicklingError

import torch

import models
from models.base import SequentialRecommender

SCHEMA = "seqrec-bench/weights/1"


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
    """The saved model in evaluation mode on the CPU; ValueError where the file is another's."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: no weights of this suite: {reason}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path}: no weights of this suite: schema {SCHEMA} expected")
    model_class = models.get(content["model"])
    config = model_class.Config(**content["settings"])
    model = model_class(content["num_items"], content["max_len"], config, backend=backend)
    model.load_state_dict(content["state"])
    return model.eval()
