"""Scan and convolution over packed sequences: the same as over padded ones, without the padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.ops.causal_conv1d import causal_conv1d
from models.ops.rows import clear_rest, pad_rows, unpad_rows
from models.ops.selective_scan import selective_scan

LENGTHS = (5, 1, 40, 17, 16, 2, 33, 3, 64, 7)
CHANNELS, STATES = 24, 5
ROWS = sum(LENGTHS) + 3  # three rows that belong to no sequence


def offsets() -> Tensor:
    return torch.tensor([0, *LENGTHS]).cumsum(0)


def operands() -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(0)
    wide, mixing, each = (ROWS, CHANNELS), (ROWS, STATES), (CHANNELS,)
    shapes = {
        "u": wide, "delta": wide, "A": (CHANNELS, STATES), "B": mixing, "C": mixing, "D": each,
        "z": wide, "delta_bias": each,
    }  # fmt: skip
    tensors = {name: torch.randn(shape, generator=make) for name, shape in shapes.items()}
    tensors["A"] = -tensors["A"].abs() - 0.01
    return tensors


def scanned(backend: str, dtype: torch.dtype) -> list[Tensor]:
    leaves = {name: t.to(dtype).requires_grad_() for name, t in operands().items()}
    y, last = selective_scan(**leaves, offsets=offsets(), return_last_state=True, backend=backend)
    torch.manual_seed(1)
    slopes = [torch.randn(t.shape).to(dtype) for t in (y, last)]
    return [
        y.detach(),
        last.detach(),
        *torch.autograd.grad((y, last), list(leaves.values()), slopes),
    ]


@pytest.mark.usefixtures("poisoned_memory")
def test_the_packed_scan_equals_the_reference() -> None:
    got, want = scanned("numba", torch.float32), scanned("reference", torch.float64)
    for mine, theirs in zip(got, want, strict=True):
        assert float((mine - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())
    assert bool((got[0][-3:] == 0).all())


@pytest.mark.usefixtures("poisoned_memory")
def test_the_packed_convolution_equals_the_reference() -> None:
    def run(backend: str, dtype: torch.dtype) -> list[Tensor]:
        make = torch.Generator().manual_seed(0)
        shapes = ((ROWS, CHANNELS), (CHANNELS, 4), (CHANNELS,))
        given = [torch.randn(s, generator=make).to(dtype).requires_grad_() for s in shapes]
        y = causal_conv1d(*given, offsets=offsets(), backend=backend)
        slope = torch.randn(y.shape, generator=make).to(dtype)
        return [y.detach(), *torch.autograd.grad(y, given, slope)]

    got, want = run("numba", torch.float32), run("reference", torch.float64)
    for mine, theirs in zip(got, want, strict=True):
        assert float((mine - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())


def test_operands_may_be_parts_of_wider_rows() -> None:
    tensors = operands()
    wide = torch.cat((tensors["B"], tensors["C"], tensors["z"]), dim=1)
    parts = wide.split((STATES, STATES, CHANNELS), dim=1)
    views = tensors | dict(zip(("B", "C", "z"), parts, strict=True))
    want = selective_scan(**tensors, offsets=offsets())
    assert isinstance(want, Tensor)
    assert torch.equal(selective_scan(**views, offsets=offsets()), want)
    filters = torch.randn(CHANNELS, 3), torch.randn(CHANNELS)
    gates = causal_conv1d(tensors["z"], *filters, offsets=offsets())
    assert torch.equal(causal_conv1d(parts[2], *filters, offsets=offsets()), gates)


def test_padding_and_packing_undo_each_other() -> None:
    packed = torch.randn(ROWS, 3)
    padded = pad_rows(packed, offsets())
    assert padded.shape == (len(LENGTHS), max(LENGTHS), 3)
    assert bool((padded[1, 1:] == 0).all())
    back = unpad_rows(padded, offsets(), ROWS)
    assert torch.equal(back[:-3], packed[:-3])
    assert bool((back[-3:] == 0).all())


def test_offsets_and_lengths_are_one_or_the_other() -> None:
    tensors = operands()
    with pytest.raises(ValueError, match="offsets go with u of"):
        selective_scan(**tensors, offsets=offsets(), lengths=torch.tensor([3]))
    with pytest.raises(ValueError, match="needed: "):
        selective_scan(**tensors)


@pytest.mark.parametrize(
    ("rows", "free"),
    [
        ([(0, 2), (2, 3)], [5, 6]),
        ([(4, 3), (0, 4)], []),
        ([(1, 2), (5, 1)], [0, 3, 4, 6]),
        ([(3, 1), (0, 3), (4, 0)], [4, 5, 6]),
        ([(2, 2), (0, 0)], [0, 1, 4, 5, 6]),
        ([], [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_rows_of_no_sequence_are_cleared(rows: list[tuple[int, int]], free: list[int]) -> None:
    both = torch.ones(7, 3), torch.ones(7, 5)
    clear_rest(torch.tensor(rows, dtype=torch.int64).view(-1, 2), *both)
    for out in both:
        assert [i for i in range(7) if out[i].sum() == 0] == free
