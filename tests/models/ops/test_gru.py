"""The GRU over packed sequences against PyTorch's nn.GRU: states, gradients, steps, threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.ops import gru_numba
from models.ops.gru import gru, gru_items, gru_step
from tests.models.ops.gru_layer import RAGGED, factors_of, made_layer, made_rows, offsets_of

LENGTHS = {
    "one": (63,),
    "two": (5, 17),
    "three": (3, 3, 2),
    "ragged": RAGGED,
    "groups": RAGGED * 6,
    "empty": (0, 4, 0, 1),
}
FAST = ("torch", "numba")


def _expected(
    layer: nn.GRU, x: Tensor, lengths: tuple[int, ...], last_only: bool
) -> tuple[Tensor, Tensor]:
    """nn.GRU's states, sequence by sequence, and the leaf that they come from."""
    leaf = x.double().requires_grad_()
    total, states = len(x), layer.hidden_size
    parts = [
        layer(rows)[0] if len(rows) else leaf.new_zeros(0, states)
        for rows in leaf[: sum(lengths)].split(list(lengths))
    ]
    if last_only:
        ends = [part[-1] if len(part) else leaf.new_zeros(states) for part in parts]
        return torch.stack(ends), leaf
    return torch.cat([*parts, leaf.new_zeros(total - sum(lengths), states)]), leaf


def _run(x: Tensor, lengths: tuple[int, ...], weights: list[Tensor], **how: object) -> list[Tensor]:
    """States, and gradients of x and the weights by a sum with fixed factors."""
    leaves = [t.clone().requires_grad_() for t in (x, *weights)]
    y = gru(leaves[0], offsets_of(lengths), *leaves[1:], **how)
    return [y.detach(), *torch.autograd.grad((y * factors_of(y)).sum(), leaves)]


@pytest.mark.parametrize("backend", [*FAST, "reference"])
@pytest.mark.parametrize("last_only", [False, True], ids=["all", "last"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_states_and_gradients_are_those_of_torchs_layer(
    lengths: tuple[int, ...], last_only: bool, backend: str
) -> None:
    if backend == "reference" and len(lengths) > len(RAGGED):
        pytest.skip("a plain loop over 1,746 rows")
    layer, weights = made_layer()
    x = made_rows(sum(lengths) + 3)
    y, leaf = _expected(layer, x, lengths, last_only)
    wanted = torch.autograd.grad((y * factors_of(y)).sum(), [leaf, *layer.parameters()])
    got = _run(x, lengths, weights, last_only=last_only, backend=backend)
    for one, other in zip(got, [y, *wanted], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=2e-5)
    assert not got[1][sum(lengths) :].any(), "rows of no sequence have no gradient"
    if not last_only:
        assert not got[0][sum(lengths) :].any()


@pytest.mark.parametrize("lengths", [(17,), (5, 3), RAGGED], ids=str)
@pytest.mark.parametrize(("inputs", "states"), [(16, 16), (64, 128), (1, 1), (33, 17)])
def test_other_widths(inputs: int, states: int, lengths: tuple[int, ...]) -> None:
    layer, weights = made_layer(inputs, states)
    x = made_rows(sum(lengths), inputs)
    y, leaf = _expected(layer, x, lengths, False)
    wanted = torch.autograd.grad((y * factors_of(y)).sum(), [leaf, *layer.parameters()])
    for one, other in zip(_run(x, lengths, weights), [y, *wanted], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_without_gradients_the_states_are_the_same(lengths: tuple[int, ...]) -> None:
    _, weights = made_layer()
    x = made_rows(sum(lengths))
    for last_only in (False, True):
        kept = _run(x, lengths, weights, last_only=last_only)[0]
        assert torch.equal(gru(x, offsets_of(lengths), *weights, last_only=last_only), kept)


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("last_only", [False, True], ids=["all", "last"])
@pytest.mark.parametrize(("inputs", "states"), [(24, 40), (64, 128), (16, 17)])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_items_looked_up_give_the_states_of_their_rows(
    lengths: tuple[int, ...], inputs: int, states: int, last_only: bool
) -> None:
    _, weights = made_layer(inputs, states)
    table, offsets = made_rows(30, inputs), offsets_of(lengths)
    ids = torch.randint(30, (sum(lengths) + 3,), generator=torch.Generator().manual_seed(2))
    for _ in range(2):  # made, then as kept
        with torch.no_grad():
            got = gru_items(ids, table, offsets, *weights, last_only=last_only, backend="numba")
        want = gru(table[ids], offsets, *weights, last_only=last_only, backend="reference")
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_items_are_looked_up_anew_after_a_weight_has_changed() -> None:
    _, weights = made_layer()
    table, offsets, ids = made_rows(9), offsets_of((5, 17, 30)), torch.arange(52) % 9
    for changed in (table, *weights):
        with torch.no_grad():
            gru_items(ids, table, offsets, *weights)
            changed.mul_(2.0)
            got = gru_items(ids, table, offsets, *weights)
        torch.testing.assert_close(got, gru(table[ids], offsets, *weights), rtol=1e-4, atol=1e-4)


def test_items_with_gradients_reach_the_table() -> None:
    _, weights = made_layer()
    table, ids = made_rows(9).requires_grad_(), torch.tensor([3, 4, 3, 5])
    gru_items(ids, table, offsets_of((2, 2)), *weights).sum().backward()
    assert torch.equal(table.grad.abs().sum(1) > 0, torch.tensor([0, 0, 0, 1, 1, 1, 0, 0, 0]) > 0)


def test_an_item_outside_of_the_table_is_refused() -> None:
    _, weights = made_layer()
    with torch.no_grad(), pytest.raises(IndexError, match=r"0\.\.8"):
        gru_items(torch.tensor([0, 9, 1]), made_rows(9), offsets_of((3,)), *weights)


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_no_sequences_are_no_work(backend: str) -> None:
    _, weights = made_layer()
    for rows in (0, 2):
        y = gru(made_rows(rows), offsets_of(()), *weights, backend=backend)
        assert y.shape == (rows, 40)
        assert not y.any()
        last = gru(made_rows(rows), offsets_of(()), *weights, last_only=True, backend=backend)
        assert last.shape == (0, 40)


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("last_only", [False, True], ids=["all", "last"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_only_memory_that_was_written_is_read(lengths: tuple[int, ...], last_only: bool) -> None:
    _, weights = made_layer()
    x = made_rows(sum(lengths) + 1)
    results = _run(x, lengths, weights, last_only=last_only, backend="numba")
    assert all(bool(result.isfinite().all()) for result in results)


@pytest.mark.parametrize("lengths", [RAGGED * 6, RAGGED, (9, 9)], ids=["groups", "ragged", "two"])
def test_any_number_of_threads_gives_the_same_bits(
    lengths: tuple[int, ...], set_threads: Callable[[int], None]
) -> None:
    _, weights = made_layer(64, 128)
    x = made_rows(sum(lengths), 64)
    runs = []
    for threads in (1, 1, 2, 3):
        set_threads(threads)
        runs.append(_run(x, lengths, weights, backend="numba"))
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(run, runs[0], strict=True))


def test_saturated_gates_stay_finite() -> None:
    _, weights = made_layer()
    for one in _run(1e4 * made_rows(23), (20, 3), weights, backend="numba"):
        assert bool(one.isfinite().all())


def test_inputs_need_not_be_contiguous_or_require_gradients() -> None:
    layer, weights = made_layer()
    wide = made_rows(20, 48)
    x, leaves = wide[:, ::2], [w.requires_grad_() for w in weights]
    assert not x.is_contiguous()
    gru(x, offsets_of((20,)), *leaves).sum().backward()
    layer(x.double())[0].sum().backward()
    for leaf, parameter in zip(leaves, layer.parameters(), strict=True):
        torch.testing.assert_close(leaf.grad.double(), parameter.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", [16, 64, 24])
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("backend", [*FAST, "reference", "auto"])
def test_steps_equal_the_full_pass(backend: str, batch: int, inputs: int) -> None:
    _, weights = made_layer(inputs, 2 * inputs)
    x = made_rows(7 * batch, inputs).view(batch, 7, inputs)
    full = gru(x.flatten(0, 1), offsets_of((7,) * batch), *weights).view(batch, 7, -1)
    state = torch.zeros(batch, 2 * inputs)
    for t in range(7):
        before = state.clone()
        after = gru_step(x[:, t], state, *weights, backend=backend)
        assert torch.equal(state, before), "a state can be stepped twice"
        torch.testing.assert_close(after, full[:, t], rtol=1e-5, atol=1e-5)
        state = after


@pytest.mark.parametrize("batch", [1, 2])
def test_steps_have_gradients(batch: int) -> None:
    _, weights = made_layer(16, 32)
    leaves = [t.requires_grad_() for t in (made_rows(batch, 16), torch.ones(batch, 32), *weights)]
    got = torch.autograd.grad(gru_step(*leaves).sum(), leaves)
    wanted = torch.autograd.grad(torch.gru_cell(*leaves).sum(), leaves)
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))


def test_groups_are_whole_tiles_and_cover_all_sequences() -> None:
    for batch in (1, 3, 4, 31, 32, 33, 65, 256, 1000):
        plan = gru_numba._plan(offsets_of((2,) * batch))
        assert plan.groups[0][0] == 0
        assert plan.groups[-1][1] == batch
        assert all(start % 4 == 0 and start < stop <= start + 32 for start, stop in plan.groups)
