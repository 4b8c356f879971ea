"""Sequential recommenders, one file each: `models.get("sasrec")` imports models/sasrec.py and takes
its MODEL.

The file name is the registry; imports are lazy, so that an optional kernel of one model never
enters the memory baseline of another.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.base import SequentialRecommender

_NOT_MODELS = {"base", "mamba", "packed", "pre_norm_layer", "states", "weights"}


def names() -> list[str]:
    """All models' names, sorted: the files of this folder but those that models are made with."""
    found = (m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)
    return sorted(name for name in found if name not in _NOT_MODELS and not name.startswith("_"))


def get(name: str) -> type[SequentialRecommender]:
    """The model class of that name; ValueError naming the allowed ones."""
    if name not in names():
        raise ValueError(f"unknown model {name!r}; choose from {', '.join(names())}")
    model: type[SequentialRecommender] = importlib.import_module(f"models.{name}").MODEL
    return model
