"""A small setting on made-up data, for any model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import data
import models
from data.interactions import Interactions
from workloads.setting import Setting


@pytest.fixture(scope="session")
def interactions() -> Interactions:
    return data.load("synthetic_u80_i40_n25")


@pytest.fixture
def setting(interactions: Interactions) -> Callable[..., Setting]:
    """setting("sasrec", seq_len=8): one model on the made-up data, by its own first objective."""

    def make(model: str, **given: Any) -> Setting:
        defaults = {
            "objective": models.get(model).objectives[0],
            "seq_len": 12,
            "batch_size": 16,
        }
        return Setting(model, interactions, **(defaults | given))

    return make
