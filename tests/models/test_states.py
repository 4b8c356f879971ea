"""A user's state through bytes: nothing is lost, nothing is run, and what is damaged is refused."""

from __future__ import annotations

import random

import pytest
import torch

import models
from models.base import NotSupported
from models.states import state_from_bytes, state_kind, state_to_bytes
from tests.models.small import MAX_LEN, NUM_ITEMS, build

USERS = 3
STATEFUL = [name for name in models.names() if models.get(name).has_step]


def has_layers(name: str) -> bool:
    return hasattr(models.get(name).Config(), "num_layers")


def histories(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    item_seq = torch.randint(
        1, NUM_ITEMS + 1, (USERS, length), generator=torch.Generator().manual_seed(2)
    )
    return item_seq, torch.full((USERS,), length)


@pytest.mark.parametrize("length", [0, 1, 7, MAX_LEN - 1])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", STATEFUL)
@torch.inference_mode()
def test_a_restored_state_goes_on_as_the_full_pass_does(
    name: str, layers: int, length: int
) -> None:
    model = build(name, num_layers=layers)
    item_seq, lengths = histories(length + 1)
    state = model.prefill(item_seq[:, :length], lengths - 1) if length else model.init_state(USERS)
    blobs = [state_to_bytes(model, state, row=row) for row in range(USERS)]
    del state
    full = model.last_hidden(item_seq, lengths)
    together, _ = model.step(item_seq[:, length], state_from_bytes(model, blobs))
    torch.testing.assert_close(together, full, rtol=1e-5, atol=1e-5)
    for row in (2, 0):  # users come back in any order, and alone
        alone, after = model.step(
            item_seq[row : row + 1, length], state_from_bytes(model, [blobs[row]])
        )
        torch.testing.assert_close(alone[0], full[row], rtol=1e-5, atol=1e-5)
        again = state_to_bytes(model, after)
        assert state_to_bytes(model, state_from_bytes(model, [again])) == again


@pytest.mark.parametrize("length", [1, 7, MAX_LEN])
@pytest.mark.parametrize("name", STATEFUL)
@torch.inference_mode()
def test_a_blob_is_the_analytic_state_and_a_header_of_a_line(name: str, length: int) -> None:
    model = build(name)
    blob = state_to_bytes(model, model.prefill(*histories(length)), row=1)
    assert 0 < len(blob) - model.state_bytes(length) < 80


@torch.inference_mode()
def test_half_precision_survives() -> None:
    model = build("sasrec")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        state = model.prefill(*histories(5))
        assert state.keys.dtype == torch.bfloat16
        again = state_from_bytes(model, [state_to_bytes(model, state, row=r) for r in range(USERS)])
    for before, after in zip(model.state_tensors(state), model.state_tensors(again), strict=True):
        assert after.dtype == torch.bfloat16
        assert torch.equal(before, after)


def test_each_model_says_what_it_keeps() -> None:
    kinds = {name: state_kind(build(name)) for name in STATEFUL}
    assert kinds["sasrec"] == "kv_cache"
    assert kinds["gru4rec"] == kinds["mamba4rec"] == "recurrent_state"
    with pytest.raises(NotSupported, match="recompute with encode"):
        state_kind(build("bert4rec"))


@pytest.mark.parametrize("name", STATEFUL)
def test_a_state_of_something_else_is_refused(name: str) -> None:
    model = build(name)
    blob = state_to_bytes(model, model.prefill(*histories(5)))
    other = build("gru4rec" if name != "gru4rec" else "sasrec")
    with pytest.raises(ValueError, match="not a saved state of "):
        state_from_bytes(other, [blob])
    narrower = model.config.hidden_size // 2  # where there are no layers to have more of
    deeper = build(name, num_layers=3, **({} if has_layers(name) else {"hidden_size": narrower}))
    with pytest.raises(ValueError, match="a state of another "):
        state_from_bytes(deeper, [blob])
    with pytest.raises(ValueError, match="at least one"):
        state_from_bytes(model, [])


def test_a_cache_longer_than_the_model_and_users_of_different_length_are_refused() -> None:
    long, short = build("sasrec"), build("sasrec", max_len=4)
    blobs = [state_to_bytes(long, long.prefill(*histories(n))) for n in (3, 5)]
    with pytest.raises(ValueError, match="a state of another SASRec"):
        state_from_bytes(short, blobs[1:])
    with pytest.raises(ValueError, match="group users by length"):
        state_from_bytes(long, blobs)


@pytest.mark.parametrize("name", STATEFUL)
def test_a_damaged_blob_gives_one_line_or_a_state_and_never_more_memory(name: str) -> None:
    model = build(name)
    blob = state_to_bytes(model, model.prefill(*histories(5)))
    header, draw = len(blob) - model.state_bytes(5), random.Random(0)
    for cut in [*range(min(len(blob), 60)), len(blob) - 1]:
        with pytest.raises(ValueError, match="saved state of"):
            state_from_bytes(model, [blob[:cut]])
    with pytest.raises(ValueError, match="3 bytes too many"):
        state_from_bytes(model, [blob + b"abc"])
    reasons = []
    for _ in range(300):
        bad = bytearray(blob)
        bad[draw.randrange(header)] = draw.randrange(256)
        try:
            state_from_bytes(model, [bytes(bad)])
        except ValueError as error:
            reasons.append(str(error))
    assert len(reasons) > 100
    assert not any("\n" in reason for reason in reasons)
