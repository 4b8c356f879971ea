"""`compile`: compiled layers give what they gave before; what can't be compiled says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.worker import classify
from data import load
from data.batches import train_batches
from models.base import NotSupported
from workloads.setting import Setting


def setting(model: str, **how: str) -> Setting:
    return Setting(model, load("synthetic_u60_i50_n20"), "last", 8, 16, **how)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_layers_equal_plain_ones() -> None:
    batch = next(iter(train_batches(
        load("synthetic_u60_i50_n20"), objective="last", seq_len=8, batch_size=16
    )))  # fmt: skip
    plain = setting("sasrec").make_model().eval()
    compiled = setting("sasrec", compile="default").make_model().eval()
    want, got = plain.loss(batch), compiled.loss(batch)
    torch.testing.assert_close(got, want)
    wanted = torch.autograd.grad(want, list(plain.parameters()))
    found = torch.autograd.grad(got, list(compiled.parameters()))
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_compiling_means_pytorchs_layers() -> None:
    assert setting("sasrec").resolved_layers() == "numba"
    assert setting("sasrec", compile="default").resolved_layers() == "torch"
    mamba = setting("mamba4rec", compile="default")
    assert (mamba.resolved_backend(), mamba.resolved_layers()) == ("numba", "torch")
    with pytest.raises(NotSupported, match="PyTorch's own layers, not on backend 'numba'"):
        setting("sasrec", compile="default", backend="numba").resolved_layers()


def test_a_model_without_layers_cannot_be_compiled() -> None:
    with pytest.raises(NotSupported, match="GRU4Rec has no layers to compile"):
        setting("gru4rec", compile="default").make_model()


@pytest.mark.parametrize("model", ["sasrec", "bert4rec"])
def test_all_compiled_layers_are_used_also_without_gradients(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []

    def counted(finish: Callable[..., Any], **how: Any) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            called.append(1)
            return finish(*arguments, **options)

        return run

    monkeypatch.setattr(torch, "compile", counted)
    compiled = setting(model, compile="default").make_model().eval()
    with torch.inference_mode():
        compiled.last_hidden(torch.ones(3, 8, dtype=torch.int64), torch.tensor([8, 2, 5]))
    assert len(called) == compiled.config.num_layers


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_on_a_gpu_graphs_that_overwrite_each_other_are_unsupported(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a tensor that says it is on one; on a CPU these modes record no graphs."""
    monkeypatch.setattr(torch, "compile", lambda finish, **how: finish)
    model = setting("sasrec").make_model()
    model.compile_layers(mode)
    with FakeTensorMode():
        model.item_embedding.weight = torch.nn.Parameter(torch.empty(1, 1, device="cuda"))
    with pytest.raises(NotSupported, match=f"--compile {mode}: on a GPU .* use default") as error:
        model.compile_layers(mode)
    assert classify(error.value) == ("unsupported", str(error.value))
    model.compile_layers("default")
