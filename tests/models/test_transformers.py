"""SASRec and BERT4Rec: what sees what, and the attention that both use."""

from __future__ import annotations

import pytest
import torch

from models.base import NotSupported
from models.bert4rec import BERT4Rec
from models.ops.attention import attention, attention_reference
from models.sasrec import SASRec


@pytest.mark.parametrize("length", [1, 2, 63, 200])
@pytest.mark.parametrize("causal", [True, False])
def test_fused_attention_equals_the_reference(length: int, causal: bool) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, length, 32, requires_grad=True) for _ in range(3))
    lengths = None if causal else torch.tensor([length, max(1, length // 2), 1])
    got = attention(query, key, value, causal=causal, key_lengths=lengths)
    want = attention_reference(query, key, value, causal=causal, key_lengths=lengths)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(want)
    for mine, theirs in zip(
        torch.autograd.grad((got * weights).sum(), (query, key, value)),
        torch.autograd.grad((want * weights).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_sasrec_sees_only_the_past() -> None:
    model = SASRec(20, 8).eval()
    item_seq = torch.randint(1, 21, (1, 8))
    changed = item_seq.clone()
    changed[0, 5] = changed[0, 5] % 20 + 1
    lengths = torch.tensor([8])
    before, after = model.encode(item_seq, lengths), model.encode(changed, lengths)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_bert4rec_sees_both_sides() -> None:
    model = BERT4Rec(20, 8).eval()
    item_seq = torch.randint(1, 21, (1, 8))
    changed = item_seq.clone()
    changed[0, 7] = changed[0, 7] % 20 + 1
    lengths = torch.tensor([8])
    assert not torch.allclose(model.encode(item_seq, lengths), model.encode(changed, lengths))


def test_bert4rec_appends_a_mask_and_drops_the_oldest_event_where_it_is_full() -> None:
    model = BERT4Rec(20, 4)
    item_seq = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 9, 0]])
    masked, lengths = model.append_mask(item_seq, torch.tensor([4, 2, 3]))
    assert masked.tolist() == [[2, 3, 4, 21], [5, 6, 21, 0], [7, 8, 9, 21]]
    assert lengths.tolist() == [4, 3, 4]
    assert item_seq.tolist()[0] == [1, 2, 3, 4]


def test_bert4rec_ties_its_output_to_the_items_and_adds_a_bias() -> None:
    model = BERT4Rec(20, 4)
    assert model.output_weight().data_ptr() == model.item_embedding.weight.data_ptr()
    assert model.output_weight().shape == (21, 64)
    assert model.output_bias().shape == (21,)


@pytest.mark.parametrize("model_class", [SASRec, BERT4Rec])
def test_a_history_over_max_len_is_refused(model_class: type) -> None:
    model = model_class(20, 4)
    with pytest.raises(ValueError, match="length 5 is over max_len=4"):
        model.encode(torch.ones(1, 5, dtype=torch.int64), torch.tensor([5]))


def test_a_full_sasrec_state_refuses_another_step() -> None:
    model = SASRec(20, 4).eval()
    state = model.prefill(torch.ones(1, 4, dtype=torch.int64), torch.tensor([4]))
    with pytest.raises(NotSupported, match="max_len=4"):
        model.step(torch.tensor([1]), state)


def test_dropout_on_attention_weights_can_be_switched_on() -> None:
    from models.sasrec import SASRecConfig

    torch.manual_seed(0)
    model = SASRec(20, 8, SASRecConfig(dropout=0.0, attn_dropout=0.5)).train()
    item_seq, lengths = torch.randint(1, 21, (2, 8)), torch.tensor([8, 8])
    assert not torch.allclose(model.encode(item_seq, lengths), model.encode(item_seq, lengths))


def test_a_step_in_training_drops_of_the_embedding_too() -> None:
    """Where its layers drop nothing, two seeds give two states."""
    model = SASRec(20, 8).train()
    for layer in model.stack:
        layer.eval()
    item, found = torch.tensor([1, 2]), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(model.step(item, model.init_state(2))[0])
    assert not torch.equal(*found)
