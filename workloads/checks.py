"""Correct before fast: what must hold before a cell is timed. A cell that fails is `incorrect`,
untimed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import models
from data.batches import Batch, train_batches
from models.base import SequentialRecommender
from models.ops.backend import resolve_dense
from models.states import state_from_bytes, state_to_bytes
from workloads.setting import DTYPES, Setting

# Relative to the largest value; float32 sums in another order differ by about 1e-6 of it. Gradients
# may be off by ten times as much.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
# Histories and events of what is compared: so many that kernels take all rows in one pass, and so
# long that they no longer take whole histories at once.
_MANY, _LONG = (40, 24), (3, 300)
# The reference holds all logits: of a large catalogue fewer histories, down to these.
_LOGITS, _FEWEST = 2**25, 9
# A ReLU's input that is 0 but for rounding may take either side, in the kernel or in the reference
# (SASRec: in 6 of 306 batches of 40 histories). A wrong kernel is wrong in every batch.
_BATCHES = 3
_RESTORED = 4  # users whose saved states are checked at full length
# Gradients below this are sums that cancel (a bias before a softmax); they hold rounding only.
_NO_GRADIENT = 1e-7


Rank = Callable[[Tensor, Tensor], Tensor]  # scores (B, V), targets (B,) -> ranks (B,)
_Gradients = tuple[Tensor | None, ...]


class Incorrect(RuntimeError):
    """A fast path gave another result than its reference; the message says by how much."""


class _OtherGradient(Incorrect):
    """A gradient that is finite and differs."""


@torch.no_grad()
def check_kernels(model: SequentialRecommender) -> None:
    """The model's kernels against the plain reference: hidden states of ragged histories."""
    if model.backend in ("reference", "torch"):
        return
    plain = _plain(model)
    for rows, events in (_MANY, _LONG):
        item_seq, lengths = _sample(model, rows, events)
        with _evaluating(model):
            got = model.last_hidden(item_seq, lengths)
        want = plain.last_hidden(item_seq, lengths)
        what = f"{model.backend} kernels at {item_seq.shape[1]} events"
        _compare(got, want, what, TOLERANCES[torch.float32])


def check_training(model: SequentialRecommender, setting: Setting) -> None:
    """Loss and all gradients of small batches, in the dtype that is timed, against the reference in
    float32; dropout off.
    """
    if setting.resolved_backend() == "reference" and setting.dtype == "float32":
        return
    plain = _plain(model)
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
    tolerance = TOLERANCES[DTYPES[setting.dtype]]
    with _evaluating(model):
        with setting.autocast():
            loss = model.loss(batch)
        got: _Gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    expected = plain.loss(batch)
    want: _Gradients = torch.autograd.grad(expected, list(plain.parameters()), allow_unused=True)
    _compare(loss.detach(), expected.detach(), "loss", tolerance)
    for (name, _), mine, theirs in zip(model.named_parameters(), got, want, strict=True):
        if theirs is None or mine is None:
            if mine is not theirs:
                raise Incorrect(f"gradient of {name}: only one of kernel and reference has one")
        elif float(theirs.abs().max()) > _NO_GRADIENT:
            try:
                _compare(mine.float(), theirs, f"gradient of {name}", 10 * tolerance)
            except Incorrect as error:
                if not bool(mine.isfinite().all()):
                    raise
                raise _OtherGradient(str(error)) from None


@torch.no_grad()
def check_padding(model: SequentialRecommender, setting: Setting) -> None:
    """The loss of a batch of ragged rows against its rows alone, each without any padding."""
    batch = _many(setting, setting.seed)
    counts = (batch.targets > 0).reshape(len(batch.lengths), -1).sum(1)  # (B,)
    with _evaluating(model):
        together = model.loss(batch)
        alone = together.new_zeros(())
        for row in range(len(counts)):
            if counts[row]:
                alone += counts[row] * model.loss(_row(batch, row))
    _compare(together, alone / counts.sum(), "loss with padding", TOLERANCES[torch.float32])


@torch.no_grad()
def check_ranks(model: SequentialRecommender, rank: Rank) -> None:
    """The model's own ranks against those of its scores, where near ones may change places; and
    where all scores are equal, exactly.
    """
    item_seq, lengths = _sample(model, *_MANY)
    targets = item_seq[:, 0]
    with _evaluating(model):
        got = model.rank(item_seq, lengths, targets)
        want = rank(model.score(item_seq, lengths).float(), targets)
    if not float((got - want).abs().max()) <= 1 + model.num_items * TOLERANCES[torch.float32]:
        raise Incorrect(f"ranks {got.tolist()} differ from those of the scores, {want.tolist()}")
    level = copy.deepcopy(model)
    # PyTorch's product scores equal rows unequally by a bit, in the last columns on two threads:
    # there all are 0.
    own = resolve_dense(model.layer_backend, model.output_weight()) == "numba"
    level.output_weight()[:] = level.output_weight()[1] if own else 0.0
    if (bias := level.output_bias()) is not None:
        bias[:] = 0.0
    with _evaluating(level):
        got = level.rank(item_seq, lengths, targets)
    want = rank(level.item_embedding.weight.new_zeros(len(targets), level.num_items + 1), targets)
    if not torch.equal(got.double(), want.double()):
        raise Incorrect(f"of equal scores the ranks are {got.tolist()}, not {want.tolist()}")


@torch.no_grad()
def check_step(model: SequentialRecommender) -> None:
    """step() event by event against the full pass, at every position."""
    item_seq, _ = _sample(model, *_MANY)
    item_seq = item_seq.clamp_min(1)  # whole rows: a state moves in lockstep
    lengths = item_seq.new_full((len(item_seq),), item_seq.shape[1])
    with _evaluating(model):
        full = model.encode(item_seq, lengths)  # (B, L, D)
        state = model.init_state(len(item_seq))
        for position in range(item_seq.shape[1]):
            hidden, state = model.step(item_seq[:, position], state)
            where = f"step() at position {position}"
            _compare(hidden, full[:, position], where, TOLERANCES[torch.float32])


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
    with _evaluating(model):
        full = model.last_hidden(item_seq, lengths).float()
        hidden, _ = model.step(item_seq[:, -1], restored)
    kind = item_seq.device.type
    reduced = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if reduced else torch.float32
    _compare(hidden.float(), full, "a step from a restored state", TOLERANCES[dtype])


def check_state_bytes(counted: int, analytic: int) -> None:
    """The bytes of one user's state, counted on its tensors, against the model's own formula."""
    if counted != analytic:
        raise Incorrect(f"a user's state takes {counted} bytes, state_bytes() says {analytic}")


def _row(batch: Batch, row: int) -> Batch:
    length = int(batch.lengths[row])
    one = slice(row, row + 1)
    targets = batch.targets[one] if batch.targets.dim() == 1 else batch.targets[one, :length]
    return Batch(batch.item_seq[one, :length], batch.lengths[one], targets, batch.users[one])


def _plain(model: SequentialRecommender) -> SequentialRecommender:
    """The same weights on the reference kernels, in evaluation mode."""
    model_class = models.get(model.name)
    plain = model_class(model.num_items, model.max_len, model.config, backend="reference")
    plain.load_state_dict(model.state_dict())
    return plain.to(next(model.parameters()).device).eval()


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
    item_seq, lengths = _histories(items, rows, min(setting.seq_len, events), seed)
    columns = torch.arange(item_seq.shape[1])
    asked = (columns % 16 == 0) & (columns < lengths[:, None]) | (columns == lengths[:, None] - 1)
    targets = item_seq[:, 0] if setting.objective == "last" else item_seq * asked
    if setting.objective == "cloze":
        item_seq = torch.where(asked, items + 1, item_seq)
    return Batch(item_seq, lengths, targets, torch.arange(rows)).to(setting.device)


def _sample(model: SequentialRecommender, rows: int, events: int) -> tuple[Tensor, Tensor]:
    item_seq, lengths = _histories(model.num_items, rows, min(model.max_len, events), 0)
    device = next(model.parameters()).device
    return item_seq.to(device), lengths.to(device)


def _histories(items: int, rows: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """Padded (B, L) and lengths (B,), all of them up to the given one."""
    generator = torch.Generator().manual_seed(seed)
    item_seq = torch.randint(1, items + 1, (rows, length), generator=generator)
    lengths = (length - torch.arange(rows) * length // rows).clamp_min(1)
    item_seq[torch.arange(length) >= lengths[:, None]] = 0
    return item_seq, lengths


class _evaluating:
    """Evaluation mode inside, the former mode after."""

    def __init__(self, model: SequentialRecommender) -> None:
        self.model, self.training = model, model.training

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *error: object) -> None:
        self.model.train(self.training)


def _compare(got: Tensor, want: Tensor, what: str, tolerance: float) -> None:
    scale = float(want.abs().max().clamp_min(1e-6))
    difference = float((got - want).abs().max()) / scale
    if not difference <= tolerance:  # also true for NaN
        raise Incorrect(
            f"{what}: differs from the reference by {difference:.2g}, allowed {tolerance:.0e}"
        )
