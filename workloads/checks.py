"""Correct before fast: what must hold before a cell is timed. A cell that fails is `incorrect`,
untimed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from data.batches import Batch, Batches, train_batches
from models.base import SequentialRecommender
from models.ops.backend import resolve_dense
from models.states import state_from_bytes, state_to_bytes
from workloads.reference import (
    TOLERANCES,
    Evaluating,
    Incorrect,
    compare,
    ragged_histories,
    reference_of,
    some_of,
    tolerance_of,
)
from workloads.setting import Setting

# Histories and events of what is compared: so many that kernels take all rows in one pass, and so
# long that they no longer take whole histories at once.
_MANY, _LONG = (40, 24), (3, 300)
# The reference holds all logits: of a large catalogue fewer histories, down to these.
_LOGITS, _FEWEST = 2**25, 9
# A ReLU's input that is 0 but for rounding may take either side, in the kernel or in the reference
# (SASRec: in 6 of 306 batches of 40 histories). A wrong kernel is wrong in every batch.
_BATCHES = 3
# In half precision what the past changes may be off by five times as much, relative to itself (of
# sound kernels it is by a fifth of that); below such a share of the hidden states it is rounding.
_PAST, _NO_PAST = 5, 1e-3
_RESTORED = 4  # users whose saved states are checked at full length
# Gradients below this are sums that cancel (a bias before a softmax); they hold rounding only.
_NO_GRADIENT = 1e-7


Rank = Callable[[Tensor, Tensor], Tensor]  # scores (B, V), targets (B,) -> ranks (B,)
_Gradients = tuple[Tensor | None, ...]


class _OtherGradient(Incorrect):
    """A gradient that is finite and differs."""


@torch.no_grad()
def check_kernels(model: SequentialRecommender, setting: Setting) -> None:
    """The model's kernels against the plain reference: hidden states of ragged histories, in the
    dtype that is timed.
    """
    if setting.resolved_backend() == "reference" and setting.dtype == "float32":
        return
    plain = reference_of(model)
    for rows, events in (_MANY, _LONG):
        item_seq, lengths = _sample(model, rows, events)
        with Evaluating(model), setting.autocast():
            got = model.last_hidden(item_seq, lengths).float()
        want = plain.last_hidden(item_seq, lengths)
        what = f"{model.backend} kernels at {item_seq.shape[1]} events"
        compare(got, want, what, tolerance_of(setting))
    if setting.dtype != "float32":
        _check_past(model, plain, setting)


def _check_past(
    model: SequentialRecommender, plain: SequentialRecommender, setting: Setting
) -> None:
    """What histories with the same last event differ by, relative to the largest of it.

    Of a fresh model's hidden states that is between 40% (Mamba4Rec) and 1% (BERT4Rec), less than
    half precision may be off by: without this a kernel that reads no history would pass.
    """
    item_seq, lengths = _whole_sample(model)
    item_seq[:, -1] = item_seq[0, -1]
    with Evaluating(model), setting.autocast():
        got = model.last_hidden(item_seq, lengths).float()
    want = plain.last_hidden(item_seq, lengths)
    past = want - want.mean(0)  # (B, D)
    scale = max(float(past.abs().max()), _NO_PAST * float(want.abs().max()))
    what = f"what {item_seq.shape[1] - 1} events before the last one change"
    compare(got - got.mean(0), past, what, _PAST * tolerance_of(setting), scale=scale)


def check_training(model: SequentialRecommender, setting: Setting) -> None:
    """Loss and all gradients of small batches, in the dtype that is timed, against the reference in
    float32; dropout off.
    """
    if setting.resolved_backend() == "reference" and setting.dtype == "float32":
        return
    plain = reference_of(model)
    for make in (_many, _long):
        for attempt in range(_BATCHES):
            try:
                _check_gradients(model, plain, setting, make(setting, setting.seed + attempt))
                break
            except _OtherGradient:
                if attempt == _BATCHES - 1:
                    raise


def _check_gradients(
    model: SequentialRecommender, plain: SequentialRecommender, setting: Setting, batch: Batch
) -> None:
    tolerance = tolerance_of(setting)
    with Evaluating(model):
        with setting.autocast():
            loss = model.loss(batch)
        got: _Gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    expected = plain.loss(batch)
    want: _Gradients = torch.autograd.grad(expected, list(plain.parameters()), allow_unused=True)
    compare(loss.detach(), expected.detach(), "loss", tolerance)
    for (name, _), mine, theirs in zip(model.named_parameters(), got, want, strict=True):
        if theirs is None or mine is None:
            if mine is not theirs:
                raise Incorrect(f"gradient of {name}: only one of kernel and reference has one")
        elif float(theirs.abs().max()) > _NO_GRADIENT:
            try:
                compare(mine.float(), theirs, f"gradient of {name}", 10 * tolerance)
            except Incorrect as error:
                if not bool(mine.isfinite().all()):
                    raise
                raise _OtherGradient(str(error)) from None


@torch.no_grad()
def check_padding(model: SequentialRecommender, setting: Setting) -> None:
    """The loss of a batch of ragged rows against its rows alone, each without any padding."""
    batch = _many(setting, setting.seed)
    counts = (batch.targets > 0).reshape(len(batch.lengths), -1).sum(1)  # (B,)
    with Evaluating(model), setting.autocast():
        together = model.loss(batch).float()
        alone = together.new_zeros(())
        for row in range(len(counts)):
            if counts[row]:
                alone += counts[row] * model.loss(_row(batch, row)).float()
    compare(together, alone / counts.sum(), "loss with padding", tolerance_of(setting))


@torch.no_grad()
def check_ranks(
    model: SequentialRecommender, setting: Setting, rank: Rank, batches: Batches
) -> None:
    """The model's own ranks in the first batch and the last against those of the reference's
    scores, where near ones may change places; and where all scores are equal, exactly.
    """
    plain = reference_of(model)
    for batch in _ends(batches):
        batch = batch.to(setting.device)
        item_seq, lengths, targets = batch.item_seq, batch.lengths, batch.targets
        with Evaluating(model), setting.autocast():
            got = model.rank(item_seq, lengths, targets)
        some = some_of(len(targets), events=setting.seq_len, items=model.num_items)
        scores = plain.score(item_seq[some], lengths[some])
        _compare_ranks(got[some], scores, targets[some], tolerance_of(setting))
    _check_ties(model, setting, rank)


def _ends(batches: Iterable[Batch]) -> list[Batch]:
    """The first and the last, one at a time: an epoch of them may be large."""
    found: list[Batch] = []
    for batch in batches:
        found[1:] = [batch]
    return found


def _compare_ranks(got: Tensor, scores: Tensor, targets: Tensor, tolerance: float) -> None:
    """Ranks (B,) against scores (B, V) of which each may be off."""
    wanted, items = scores.gather(1, targets[:, None]), scores[:, 1:]
    near = 2 * tolerance * scores.abs().max()
    best = 1 + (items > wanted + near).sum(1)
    worst = (items >= wanted - near).sum(1)  # the target among them
    if bool((wrong := ~((best <= got) & (got <= worst))).any()):
        found, low, high = (float(t[wrong][0]) for t in (got, best, worst))
        raise Incorrect(f"a rank is {found:g}; by the reference's scores {low:g} to {high:g}")


def _check_ties(model: SequentialRecommender, setting: Setting, rank: Rank) -> None:
    item_seq, lengths = _sample(model, *_MANY)
    targets = item_seq[:, 0]
    level = copy.deepcopy(model)
    with Evaluating(level), setting.autocast():
        # PyTorch's product scores equal rows unequally by a bit, in the last columns on two
        # threads: there all are 0.
        own = resolve_dense(model.layer_backend, model.output_weight()) == "numba"
        level.output_weight()[:] = level.output_weight()[1] if own else 0.0
        if (bias := level.output_bias()) is not None:
            bias[:] = 0.0
        got = level.rank(item_seq, lengths, targets)
    want = rank(level.item_embedding.weight.new_zeros(len(targets), level.num_items + 1), targets)
    if not torch.equal(got.double(), want.double()):
        raise Incorrect(f"of equal scores the ranks are {got.tolist()}, not {want.tolist()}")


@torch.no_grad()
def check_step(model: SequentialRecommender, setting: Setting) -> None:
    """step() event by event against the full pass, at every position, in the dtype that is
    timed.
    """
    item_seq, lengths = _whole_sample(model)  # a state moves in lockstep
    with Evaluating(model), setting.autocast():
        full = model.encode(item_seq, lengths).float()  # (B, L, D)
        state = model.init_state(len(item_seq))
        for position in range(item_seq.shape[1]):
            hidden, state = model.step(item_seq[:, position], state)
            where = f"step() at position {position}"
            compare(hidden.float(), full[:, position], where, tolerance_of(setting))


@torch.no_grad()
def check_restored(model: SequentialRecommender, state: Any, item_seq: Tensor) -> None:
    """A step from `state` saved to bytes and restored against the full pass over item_seq (B, L).

    The state is that of L - 1 events; the first few users stand for all. In the dtype of the
    autocast that is on.
    """
    rows = min(_RESTORED, len(item_seq))
    item_seq = item_seq[:rows]
    lengths = torch.full((rows,), item_seq.shape[1], device=item_seq.device)
    restored = state_from_bytes(model, [state_to_bytes(model, state, row=r) for r in range(rows)])
    with Evaluating(model):
        full = model.last_hidden(item_seq, lengths).float()
        hidden, _ = model.step(item_seq[:, -1], restored)
    kind = item_seq.device.type
    reduced = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if reduced else torch.float32
    compare(hidden.float(), full, "a step from a restored state", TOLERANCES[dtype])


def check_state_bytes(counted: int, analytic: int) -> None:
    """The bytes of one user's state, counted on its tensors, against the model's own formula."""
    if counted != analytic:
        raise Incorrect(f"a user's state takes {counted} bytes, state_bytes() says {analytic}")


def _row(batch: Batch, row: int) -> Batch:
    length = int(batch.lengths[row])
    one = slice(row, row + 1)
    targets = batch.targets[one] if batch.targets.dim() == 1 else batch.targets[one, :length]
    return Batch(batch.item_seq[one, :length], batch.lengths[one], targets, batch.users[one])


def _many(setting: Setting, seed: int) -> Batch:
    """The first batch of the log's own short histories."""
    rows, events = _MANY
    room = _LOGITS // (events * (setting.interactions.num_items + 1))
    batches = train_batches(
        setting.interactions,
        objective=setting.objective,
        seq_len=min(setting.seq_len, events),
        batch_size=max(_FEWEST, min(rows, room)),
        seed=seed,
    )
    return next(iter(batches)).to(setting.device)


def _long(setting: Setting, seed: int) -> Batch:
    """Made-up long histories, with few targets: at every sixteenth event and the last one."""
    items, (rows, events) = setting.interactions.num_items, _LONG
    item_seq, lengths = ragged_histories(items, rows, min(setting.seq_len, events), seed)
    columns = torch.arange(item_seq.shape[1])
    asked = (columns % 16 == 0) & (columns < lengths[:, None]) | (columns == lengths[:, None] - 1)
    targets = item_seq[:, 0] if setting.objective == "last" else item_seq * asked
    if setting.objective == "cloze":
        item_seq = torch.where(asked, items + 1, item_seq)
    return Batch(item_seq, lengths, targets, torch.arange(rows)).to(setting.device)


def _whole_sample(model: SequentialRecommender) -> tuple[Tensor, Tensor]:
    """Many histories of one length."""
    item_seq, lengths = _sample(model, *_MANY)
    return item_seq.clamp_min(1), torch.full_like(lengths, item_seq.shape[1])


def _sample(model: SequentialRecommender, rows: int, events: int) -> tuple[Tensor, Tensor]:
    item_seq, lengths = ragged_histories(model.num_items, rows, min(model.max_len, events), 0)
    device = next(model.parameters()).device
    return item_seq.to(device), lengths.to(device)
