"""Packing batches: what is real is kept in order, what is padding is gone, and back again."""

from __future__ import annotations

import torch

from models.packed import pack

ITEM_SEQ = torch.tensor([[5, 6, 7, 0], [8, 0, 0, 0], [1, 2, 3, 4]])
LENGTHS = torch.tensor([3, 1, 4])


def test_rows_follow_each_other_without_padding() -> None:
    sequences = pack(ITEM_SEQ, LENGTHS)
    assert sequences.ids.tolist() == [5, 6, 7, 8, 1, 2, 3, 4]
    assert sequences.positions.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    assert sequences.offsets.tolist() == [0, 3, 4, 8]
    assert torch.equal(sequences.unpack(sequences.ids[:, None])[..., 0], ITEM_SEQ)


def test_rows_are_filled_up_to_whole_tiles_with_padding() -> None:
    sequences = pack(ITEM_SEQ[:2], LENGTHS[:2])
    assert sequences.num_real == 4
    sequences = pack(ITEM_SEQ[:1], LENGTHS[:1])
    assert sequences.ids.tolist() == [5, 6, 7, 0]
    assert sequences.num_real == 3


def test_a_batch_without_padding_is_taken_as_it_is() -> None:
    sequences = pack(ITEM_SEQ[2:], LENGTHS[2:])
    assert sequences.where is None
    assert sequences.ids.data_ptr() == ITEM_SEQ[2:].data_ptr()
    assert sequences.unpack(torch.ones(4, 2)).shape == (1, 4, 2)


def test_what_lies_in_the_padding_is_never_read() -> None:
    dirty = torch.where(ITEM_SEQ == 0, 9, ITEM_SEQ)
    assert torch.equal(pack(dirty, LENGTHS).ids, pack(ITEM_SEQ, LENGTHS).ids)


def test_chosen_rows_know_their_sequence() -> None:
    sequences = pack(ITEM_SEQ, LENGTHS)
    last = sequences.last()
    assert last.index.tolist() == [2, 3, 7]
    assert last.offsets.tolist() == [0, 1, 2, 3]
    wanted = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]]).bool()
    chosen = sequences.choose(wanted)
    assert chosen is not None
    assert chosen.index.tolist() == [0, 2, 5]
    assert chosen.offsets.tolist() == [0, 2, 2, 3]
    assert chosen.of(sequences.ids).tolist() == [5, 7, 2]
    assert sequences.choose(ITEM_SEQ > 0) is None
