"""Mamba4Rec's official architecture around other libraries' Mamba blocks, on the same batches as
ours: mambapy's (parallel scan in PyTorch) and transformers' MambaMixer (step by step on a CPU).

Written from the paper and the description in models/mamba4rec.py: embedding, dropout, LayerNorm,
the block without residual, dropout, LayerNorm, feed-forward of four times the width with residual.
"""

from __future__ import annotations

import importlib
import math
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.peers.sides.plain import OnOurBatches


class Mamba(OnOurBatches):
    """`options["block"]` says whose block: mambapy or transformers."""

    def import_libraries(self) -> dict[str, str]:
        block = self.task.options["block"]
        self.make_block = _BLOCKS[block](self.task.settings)
        return super().import_libraries() | {block: metadata.version(block)}

    def network(self) -> nn.Module:
        return _Mamba4Rec(self.log.num_items, self.task.settings, self.make_block())


class _Mamba4Rec(nn.Module):
    def __init__(self, num_items: int, settings: dict[str, Any], block: nn.Module) -> None:
        super().__init__()
        size = settings["hidden_size"]
        assert settings["num_layers"] == 1, "as published: one layer, without residual"
        self.items = nn.Embedding(num_items + 1, size, padding_idx=0)
        self.dropout = nn.Dropout(settings["dropout"])
        self.norm = nn.LayerNorm(size, eps=1e-12)
        self.block = block
        self.block_norm = nn.LayerNorm(size, eps=1e-12)
        self.inner = nn.Linear(size, 4 * size)
        self.outer = nn.Linear(4 * size, size)
        self.last_norm = nn.LayerNorm(size, eps=1e-12)
        self.apply(_init)

    def forward(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        hidden = self.norm(self.dropout(self.items(item_seq)))  # (B, L, D)
        hidden = self.block_norm(self.dropout(self.block(hidden)))
        inner = self.dropout(F.gelu(self.inner(hidden)))  # (B, L, 4 D)
        hidden = self.last_norm(self.dropout(self.outer(inner)) + hidden)
        return F.linear(hidden[torch.arange(len(lengths)), lengths - 1], self.items.weight)


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def mambapy_block(settings: dict[str, Any]) -> Any:
    """A maker of mambapy's MambaBlock in our sizes."""
    library = importlib.import_module("mambapy.mamba")
    config = library.MambaConfig(
        d_model=settings["hidden_size"],
        n_layers=1,
        d_state=settings["d_state"],
        expand_factor=settings["expand"],
        d_conv=settings["d_conv"],
    )
    return lambda: library.MambaBlock(config)


def transformers_block(settings: dict[str, Any]) -> Any:
    """A maker of transformers' MambaMixer in our sizes."""
    library = importlib.import_module("transformers.models.mamba.modeling_mamba")
    config = library.MambaConfig(
        hidden_size=settings["hidden_size"],
        num_hidden_layers=1,
        state_size=settings["d_state"],
        expand=settings["expand"],
        conv_kernel=settings["d_conv"],
        time_step_rank=math.ceil(settings["hidden_size"] / 16),
    )
    return lambda: library.MambaMixer(config, layer_idx=0)


_BLOCKS = {"mambapy": mambapy_block, "transformers": transformers_block}

SIDE = Mamba
