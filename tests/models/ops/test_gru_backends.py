"""Which kernel a GRU runs on: dtypes, devices, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.ops.backend import BackendUnavailable
from models.ops.gru import gru, gru_step
from tests.models.ops.gru_layer import RAGGED, factors_of, made_layer, made_rows, offsets_of


def test_autocast_and_other_dtypes_run_on_torch() -> None:
    _, weights = made_layer(16, 32)
    x, offsets = made_rows(9, 16), offsets_of((5, 4))
    exact = gru(x, offsets, *weights)
    with torch.autocast("cpu", torch.bfloat16):
        low = gru(x.bfloat16(), offsets, *weights)
        step = gru_step(x[:1].bfloat16(), torch.zeros(1, 32), *weights)
    torch.testing.assert_close(low.float(), exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(step.float(), exact[:1], rtol=0.05, atol=0.05)
    double = gru(x.double(), offsets, *(w.double() for w in weights))
    assert double.dtype == torch.float64
    with pytest.raises(BackendUnavailable, match="float32 on cpu"):
        gru(x.double(), offsets, *(w.double() for w in weights), backend="numba")


def test_an_unknown_backend_is_refused_with_the_names() -> None:
    _, weights = made_layer()
    with pytest.raises(ValueError, match=r"'fast'.*reference, torch, numba"):
        gru(made_rows(3), offsets_of((3,)), *weights, backend="fast")
    with pytest.raises(ValueError, match=r"'fast'.*reference, torch, numba"):
        gru_step(made_rows(2), torch.zeros(2, 40), *weights, backend="fast")


@pytest.mark.parametrize("offsets", [[1, 3], [0, 4], [0, 2, 1, 3], []], ids=str)
def test_offsets_that_leave_the_rows_are_refused(offsets: list[int]) -> None:
    _, weights = made_layer()
    with pytest.raises(ValueError, match="offsets"):
        gru(made_rows(3), torch.tensor(offsets, dtype=torch.int64), *weights)
    with pytest.raises(ValueError, match="int64"):
        gru(made_rows(3), torch.tensor([0, 3], dtype=torch.int32), *weights)


def test_tensors_that_do_not_belong_together_are_refused() -> None:
    _, weights = made_layer()
    with pytest.raises(ValueError, match=r"needed: \(T, D\), \(3E, D\)"):
        gru(made_rows(3, 25), offsets_of((3,)), *weights)
    with pytest.raises(ValueError, match="share dtype"):
        gru(made_rows(3), offsets_of((3,)), *weights[:3], weights[3].double())


def test_pytorchs_gru_is_told_to_keep_what_gradients_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or cuDNN refuses them: "backward can only be called in training mode"."""
    told, actual = [], torch.gru

    def spy(*arguments: object) -> tuple[Tensor, Tensor]:
        *_, dropout, train, bidirectional = arguments
        told.append((dropout, train, bidirectional))
        return actual(*arguments)

    monkeypatch.setattr(torch, "gru", spy)
    _, weights = made_layer()
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            gru(made_rows(8), offsets_of((5, 3)), *weights, backend="torch")
    assert told == [(0.0, True, False), (0.0, False, False), (0.0, False, False)]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("last_only", [False, True], ids=["all", "last"])
def test_on_a_gpu_states_and_gradients_are_those_of_a_cpu_also_in_eval_mode(
    last_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    lengths, (_, weights) = RAGGED, made_layer()
    x, offsets = made_rows(sum(lengths) + 3), offsets_of(lengths)

    def run(device: str) -> list[Tensor]:
        leaves = [t.to(device).requires_grad_() for t in (x, *weights)]
        y = gru(leaves[0], offsets, *leaves[1:], last_only=last_only, backend="torch")
        factors = factors_of(y.cpu()).to(device)
        return [
            y.detach().cpu(),
            *(g.cpu() for g in torch.autograd.grad((y * factors).sum(), leaves)),
        ]

    for one, other in zip(run("cuda"), run("cpu"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
