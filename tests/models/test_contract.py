"""Every model of models.names() keeps the same contract; a new one is tested as it stands."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import models
from data.batches import OBJECTIVES
from measure.ranking import ranks
from models import weights
from models.base import NotSupported, SequentialRecommender
from tests.models.small import MAX_LEN, NUM_ITEMS, ROWS, batch_for, build, histories


@pytest.fixture(params=models.names())
def model(request: pytest.FixtureRequest) -> SequentialRecommender:
    return build(request.param)


STATEFUL = [name for name in models.names() if models.get(name).has_step]
STATELESS = [name for name in models.names() if not models.get(name).has_step]


def test_hidden_states_have_the_contract_shape(model: SequentialRecommender) -> None:
    item_seq, lengths = histories()
    hidden = model.encode(item_seq, lengths)
    assert hidden.shape == (ROWS, MAX_LEN, model.config.hidden_size)
    assert model.score(item_seq, lengths).shape == (ROWS, NUM_ITEMS + 1)


def test_padding_is_never_seen(model: SequentialRecommender) -> None:
    item_seq, lengths = histories()
    other = item_seq.clone()
    other[other == 0] = 5  # whatever lies behind a row's length must not matter
    assert torch.allclose(
        model.score(item_seq, lengths), model.score(other, lengths), rtol=0, atol=1e-6
    )


def test_a_row_does_not_depend_on_the_padded_length(model: SequentialRecommender) -> None:
    item_seq, lengths = histories()
    short = model.score(item_seq[2:3, : int(lengths[2])], lengths[2:3])
    assert torch.allclose(short, model.score(item_seq, lengths)[2:3], atol=1e-5)


def test_the_order_of_events_matters(model: SequentialRecommender) -> None:
    item_seq = torch.tensor([[1, 2, 3, 4, 5]])
    lengths = torch.tensor([5])
    swapped = torch.tensor([[1, 2, 3, 5, 4]])
    same = torch.allclose(model.score(item_seq, lengths), model.score(swapped, lengths))
    assert not same, f"{model.label} scores alike whatever the order: no sequential recommender"


def test_its_objectives_are_those_of_the_suite(model: SequentialRecommender) -> None:
    assert model.objectives
    assert set(model.objectives) <= set(OBJECTIVES)


@torch.inference_mode()
def test_where_each_event_is_predicted_no_state_knows_a_later_one(
    model: SequentialRecommender,
) -> None:
    if "all" not in model.objectives:
        pytest.skip("its objectives have no target at each event")
    item_seq, _ = histories()
    item_seq[item_seq == 0] = 7
    for length in (1, 2, MAX_LEN // 2):
        other = item_seq.clone()
        other[:, length:] = item_seq[:, length:] % NUM_ITEMS + 1
        knows, same = (model.encode(s, torch.full((ROWS,), MAX_LEN)) for s in (item_seq, other))
        told = f"{model.label}: the state after {length} events changes with a later one"
        torch.testing.assert_close(same[:, :length], knows[:, :length], rtol=0, atol=1e-6, msg=told)


@pytest.mark.parametrize("name", models.names())
def test_every_objective_gives_a_finite_loss_and_gradients(name: str) -> None:
    for objective in models.get(name).objectives:
        model = build(name).train()
        loss = model.loss(batch_for(model, objective))
        loss.backward()
        assert loss.dim() == 0
        assert torch.isfinite(loss)
        missing = [n for n, p in model.named_parameters() if p.grad is None]
        assert missing == []
        assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.parametrize("name", models.names())
def test_the_loss_is_the_cross_entropy_of_the_scores(name: str) -> None:
    model = build(name)
    batch = batch_for(model, "last")
    scores = model.score(batch.item_seq, batch.lengths)
    expected = torch.nn.functional.cross_entropy(scores, batch.targets)
    assert torch.allclose(model.loss(batch), expected, atol=1e-5)


@pytest.mark.parametrize("name", models.names())
def test_what_is_not_asked_for_is_skipped_exactly(name: str) -> None:
    """The last layer at the targets only: loss and gradients as if it were computed everywhere."""
    for objective in models.get(name).objectives:
        model, whole = build(name), build(name, backend="reference")
        batch = batch_for(model, objective)
        if objective == "last":
            ended = getattr(model, "append_mask", lambda *given: given)
            item_seq, lengths = ended(batch.item_seq, batch.lengths)
            hidden = whole.encode(item_seq, lengths)[torch.arange(ROWS), lengths - 1]
            targets = batch.targets
        else:
            hidden = whole.encode(batch.item_seq, batch.lengths)[batch.targets > 0]
            targets = batch.targets[batch.targets > 0]
        expected = torch.nn.functional.cross_entropy(whole.score_hidden(hidden), targets)
        loss = model.loss(batch)
        torch.testing.assert_close(loss, expected)
        got = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        want = torch.autograd.grad(expected, list(whole.parameters()), allow_unused=True)
        for (parameter, _), mine, theirs in zip(model.named_parameters(), got, want, strict=True):
            assert (mine is None) == (theirs is None), parameter
            if mine is not None:
                torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5, msg=parameter)


@pytest.mark.parametrize("name", models.names())
def test_a_few_steps_learn_a_small_batch(name: str) -> None:
    model = build(name, dropout=0.0).train()
    batch = batch_for(model, "last")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    first = float(model.loss(batch).detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
    assert float(model.loss(batch).detach()) < 0.5 * first


def test_recommendations_are_the_best_scores_without_padding(
    model: SequentialRecommender,
) -> None:
    item_seq, lengths = histories()
    ids, best = model.recommend(item_seq, lengths, 10)
    scores = model.score(item_seq, lengths)
    scores[:, 0] = -torch.inf
    order = scores.argsort(dim=1, descending=True)[:, :10]
    assert torch.equal(ids, order)
    assert torch.allclose(best, scores.gather(1, order), atol=1e-6)


def test_recommendations_leave_out_what_was_seen_where_asked(
    model: SequentialRecommender,
) -> None:
    item_seq, lengths = histories()
    behind = torch.arange(MAX_LEN) >= lengths[:, None]
    item_seq[behind] = 9  # whatever lies there was not seen
    ids, _ = model.recommend(item_seq, lengths, NUM_ITEMS, filter_seen=True)
    for row, kept in enumerate(ids.tolist()):
        seen = set(item_seq[row, : lengths[row]].tolist())
        assert set(kept) - {0} == set(range(1, NUM_ITEMS + 1)) - seen


def test_the_models_own_ranks_are_those_of_its_scores(model: SequentialRecommender) -> None:
    item_seq, lengths = histories()
    targets = torch.tensor([1, 2, 3, NUM_ITEMS])
    wanted = ranks(model.score(item_seq, lengths), targets)
    assert torch.equal(model.rank(item_seq, lengths, targets), wanted)


@pytest.mark.parametrize("k", [0, NUM_ITEMS + 1])
def test_an_impossible_k_is_refused(model: SequentialRecommender, k: int) -> None:
    with pytest.raises(ValueError, match=f"k={k}: allowed are 1 to {NUM_ITEMS}"):
        model.recommend(*histories(), k)


@pytest.mark.parametrize("name", STATEFUL)
@torch.inference_mode()
def test_step_equals_the_full_pass_at_every_position(name: str) -> None:
    model = build(name)
    item_seq, _ = histories()
    item_seq[item_seq == 0] = 7
    full = model.encode(item_seq, torch.full((ROWS,), MAX_LEN))
    state = model.init_state(ROWS)
    for position in range(MAX_LEN):
        hidden, state = model.step(item_seq[:, position], state)
        torch.testing.assert_close(hidden, full[:, position], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, MAX_LEN - 1])
@pytest.mark.parametrize("name", STATEFUL)
@torch.inference_mode()
def test_a_step_after_prefill_equals_the_full_pass(name: str, length: int) -> None:
    model = build(name)
    item_seq, _ = histories(length + 1)
    item_seq[item_seq == 0] = 7
    full = model.encode(item_seq, torch.full((ROWS,), length + 1))
    state = model.prefill(item_seq[:, :length], torch.full((ROWS,), length))
    hidden, _ = model.step(item_seq[:, length], state)
    torch.testing.assert_close(hidden, full[:, length], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", STATEFUL)
@torch.inference_mode()
def test_a_state_can_be_stepped_twice(name: str) -> None:
    model = build(name)
    item_seq, _ = histories(5)
    state = model.prefill(item_seq[:1], torch.tensor([5]))
    first, _ = model.step(torch.tensor([3]), state)
    model.step(torch.tensor([9]), state)
    again, _ = model.step(torch.tensor([3]), state)
    assert torch.equal(first, again)


@pytest.mark.parametrize("length", [1, 7, MAX_LEN])
@pytest.mark.parametrize("name", STATEFUL)
def test_counted_state_bytes_equal_the_analytic_ones(name: str, length: int) -> None:
    model = build(name)
    state = model.prefill(torch.ones(1, length, dtype=torch.int64), torch.tensor([length]))
    counted = sum(t.numel() * t.element_size() for t in model.state_tensors(state))
    assert counted == model.state_bytes(length)


@pytest.mark.parametrize("name", STATEFUL)
def test_prefill_refuses_rows_of_different_length(name: str) -> None:
    with pytest.raises(NotSupported, match="group users by length"):
        build(name).prefill(*histories())


@pytest.mark.parametrize("name", STATELESS)
def test_a_model_without_state_says_so(name: str) -> None:
    model = build(name)
    for call in (
        lambda: model.init_state(1),
        lambda: model.step(torch.tensor([1]), None),
        lambda: model.prefill(*histories()),
        lambda: model.state_tensors(None),
        lambda: model.state_bytes(5),
    ):
        with pytest.raises(NotSupported, match="recompute with encode"):
            call()


def test_saved_weights_come_back_whole(model: SequentialRecommender, tmp_path) -> None:
    path = tmp_path / "weights.pt"
    weights.save(model, path)
    loaded = weights.load(path)
    ids, scores = model.recommend(*histories(), 5)
    again, same = loaded.recommend(*histories(), 5)
    assert torch.equal(ids, again)
    assert torch.equal(scores, same)
    assert loaded.settings() == model.settings()


def test_flops_grow_with_batch_and_length(model: SequentialRecommender) -> None:
    assert model.flops(2, 10) == 2 * model.flops(1, 10)
    assert model.flops(1, 20) >= 2 * model.flops(1, 10)
    assert model.output_flops(3) == 3 * model.output_flops(1)


def test_analytic_flops_agree_with_torchs_counter(model: SequentialRecommender) -> None:
    if model.name in ("gru4rec", "mamba4rec"):
        pytest.skip("torch's counter sees neither the GRU nor the scan")
    # Fused kernels are not in its table; the same sums as plain products are.
    plain = build(model.name, backend="reference")
    item_seq, _ = histories()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        plain.encode(item_seq, torch.full((ROWS,), MAX_LEN))
    assert counter.get_total_flops() == model.flops(ROWS, MAX_LEN)


@pytest.mark.parametrize("name", models.names())
def test_each_model_names_its_sources(name: str) -> None:
    model_class = models.get(name)
    assert model_class.name == name
    assert model_class.reference
    assert importlib.import_module(f"models.{name}").__doc__


@pytest.mark.parametrize(("num_items", "max_len"), [(0, 5), (5, 0)])
def test_sizes_below_one_are_refused(num_items: int, max_len: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        models.get("sasrec")(num_items, max_len)


def test_an_unknown_model_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match="unknown model 'nope'; choose from bert4rec, gru4rec"):
        models.get("nope")
