"""Load or compile a model's kernels and layers before anything is timed.

The first call of a Numba kernel compiles it (seconds) or loads it from the cache on disk (tenths of
a second); on a GPU the first call loads a binary. Timed around `warm_up`, that cost is a number of
its own instead of a part of the first batch.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch

import models
from workloads.setting import Setting

# More rows than the kernels leave to PyTorch for being few.
_ROWS, _LENGTH, _ITEMS = 40, 8, 20
_FEW = (2, 1)  # which others take


def warm_up(setting: Setting, *, training: bool) -> None:
    """Run a small model of the same kind once: with `training` its loss and gradients, and its
    hidden states as they are checked, without gradients; else its scores, and its step where it has
    one.
    """
    model_class = models.get(setting.model)
    config = model_class.Config(**setting.options)
    model = model_class(_ITEMS, _LENGTH, config, backend=setting.resolved_backend())
    model = model.to(setting.device).train(training)
    if setting.compile != "none":
        model.compile_layers(setting.compile)
    item_seq = torch.ones(_ROWS, _LENGTH, dtype=torch.int64, device=setting.device)
    lengths = torch.arange(_ROWS, device=setting.device) % _LENGTH + 1  # (B,)
    with setting.autocast():
        if training:
            model.loss(_batch(setting.objective, item_seq, lengths)).backward()
        model.eval()
        with torch.inference_mode():
            if training:
                for rows in (_ROWS, *_FEW):
                    model.last_hidden(item_seq[:rows], lengths[:rows])
                return
            for rows in (_ROWS, *_FEW):
                model.recommend(item_seq[:rows], lengths[:rows], 10)
            if model.has_step:
                model.step(item_seq[:, 0], model.init_state(_ROWS))


def _batch(objective: str, item_seq: torch.Tensor, lengths: torch.Tensor) -> SimpleNamespace:
    real = torch.arange(_LENGTH, device=lengths.device) < lengths[:, None]  # (B, L)
    targets = lengths if objective == "last" else item_seq * real
    if objective == "cloze":
        targets = targets * (torch.arange(_LENGTH, device=lengths.device) % 2 == 0)
    return SimpleNamespace(item_seq=item_seq * real, lengths=lengths, targets=targets)
