"""The official Mamba4Rec code on a CPU: its own model file, from a checkout that the user names, in
RecBole tuned as for the other models, with mambapy's block in the place of mamba_ssm's.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from bench.peers.serve import Unsupported
from bench.peers.sides.mamba import mambapy_block
from bench.peers.sides.recbole import RecBole


class Official(RecBole):
    """`options["path"]` is the checkout of github.com/chengkai-liu/Mamba4Rec."""

    def import_libraries(self) -> dict[str, str]:
        return super().import_libraries() | {"mambapy": metadata.version("mambapy")}

    def find_model(self) -> Any:
        path = Path(self.task.options["path"]) / "mamba4rec.py"
        if not path.is_file():
            raise Unsupported("--mamba4rec-path: no mamba4rec.py in that folder")
        stand_in = types.ModuleType("mamba_ssm")
        stand_in.Mamba = _block  # type: ignore[attr-defined]
        sys.modules["mamba_ssm"] = stand_in
        spec = importlib.util.spec_from_file_location("mamba4rec_official", path)
        assert spec is not None, "it is a .py file"
        assert spec.loader is not None, "a .py file has a loader"
        module = importlib.util.module_from_spec(spec)
        # RecBole asks for the module of a model's class when it looks for default settings.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module.Mamba4Rec

    def model_settings(self) -> dict[str, Any]:
        ours = self.task.settings
        names = ("hidden_size", "num_layers", "d_state", "d_conv", "expand")
        return {name: ours[name] for name in names} | {"dropout_prob": ours["dropout"]}

    def notes(self) -> list[str]:
        return ["its mamba_ssm block is mambapy's here, since mamba_ssm's needs CUDA"]


def _block(d_model: int, d_state: int, d_conv: int, expand: int) -> nn.Module:
    settings = {"hidden_size": d_model, "d_state": d_state, "d_conv": d_conv, "expand": expand}
    block: nn.Module = mambapy_block(settings)()
    return block


SIDE = Official
