"""What every model here has in common: the contract that workloads, tests and reports rely on.

Shape legend, used in the comments of all model files: B batch, L padded length, D hidden_size,
V num_items + 1 (column 0 is padding), H heads, N d_state, E d_inner (or a feed-forward width), K
top-k, T rows of packed sequences (models/packed.py), M chosen ones of them. `item_seq` (B, L) int64
holds ids 1..num_items with 0 as padding on the right; `lengths` (B,) the real lengths, at least 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from models import programs
from models.ops.linear_cross_entropy import linear_cross_entropy
from models.ops.target_rank import rank_of_target
from models.ops.top_k import score_top_k
from models.packed import Chosen, Packed, pack

Objective = Literal["last", "all", "cloze"]


class NotSupported(RuntimeError):
    """The model can't do this by its nature; the message says what to do instead."""


class Batch(Protocol):
    """What `loss` reads of a batch (data/batches.py makes them)."""

    @property
    def item_seq(self) -> Tensor: ...  # (B, L)
    @property
    def lengths(self) -> Tensor: ...  # (B,)
    @property
    def targets(self) -> Tensor: ...  # (B,) for `last`, (B, L) with 0 = none for `all` and `cloze`


class SequentialRecommender(nn.Module):
    """Base of all models: scoring by the item table, losses, top-k, and the serving interface.

    Args:
        num_items: items without padding; ids are 1..num_items.
        max_len: longest history that the model takes, in events.
        config: the model's own frozen dataclass; None for its defaults.
        backend: kernel backend for models that have a choice, see models/ops/backend.py.

    Subclasses give `encode`, or `encode_rows` and compute no padding; `flops`, `state_bytes`, and
    where the architecture allows it `init_state`, `step` and `prefill`.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    Config: ClassVar[type[Any]]
    objectives: ClassVar[tuple[Objective, ...]] = ("all", "last")
    backends: ClassVar[tuple[str, ...]] = ("torch", "numba")
    has_step: ClassVar[bool] = True
    has_program: ClassVar[bool] = False
    state_user_dim: ClassVar[int] = 0  # of each of `state_tensors`: the dimension of the users
    reference: ClassVar[str]

    def __init__(
        self, num_items: int, max_len: int, config: Any = None, *, backend: str = "auto"
    ) -> None:
        super().__init__()
        if num_items < 1:
            raise ValueError(f"num_items={num_items}: at least 1 is needed")
        if max_len < 1:
            raise ValueError(f"max_len={max_len}: at least 1 is needed")
        self.num_items = num_items
        self.max_len = max_len
        self.config = config if config is not None else self.Config()
        self.backend = backend
        # What the layers around scans and attention ask for (models/ops/backend.py).
        self.layer_backend = "torch" if backend in ("reference", "torch") else "auto"
        # One row for padding (0); models that need a mask token add one behind the items.
        rows = num_items + 1 + int("cloze" in self.objectives)
        self.item_embedding = nn.Embedding(rows, self.config.hidden_size, padding_idx=0)
        nn.init.normal_(self.item_embedding.weight, std=0.02)

    # -- what a model does -------------------------------------------------------------------

    def encode(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states (B, L, D); those at and beyond a row's length mean nothing."""
        sequences = pack(item_seq, lengths)
        return sequences.unpack(self.encode_rows(sequences))

    def encode_rows(self, sequences: Packed, chosen: Chosen | None = None) -> Tensor:
        """Hidden states (T, D) of packed sequences, or (M, D) at the chosen rows only.

        The last layer need not compute what nobody asks for.
        """
        if type(self).encode is SequentialRecommender.encode:
            raise NotImplementedError(f"{type(self).__name__} has neither encode nor encode_rows")
        hidden = self.encode(sequences.item_seq, sequences.lengths).flatten(0, 1)  # (B * L, D)
        rows = hidden if sequences.where is None else hidden.index_select(0, sequences.where)
        return rows if chosen is None else chosen.of(rows)

    def last_hidden(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Hidden state (B, D) from which the next item is predicted."""
        alone = programs.last_hidden(self, item_seq, lengths)
        if alone is not None:
            return alone
        sequences = pack(item_seq, lengths)
        return self.encode_rows(sequences, sequences.last())

    def loss(self, batch: Batch) -> Tensor:
        """Mean softmax cross-entropy over the catalogue, padding's column included (as RecBole).

        The targets' shape says which positions count: (B,) the last one, (B, L) all non-zero ones.
        """
        if batch.targets.dim() == 1:
            hidden = self.last_hidden(batch.item_seq, batch.lengths)  # (B, D)
            targets = batch.targets
        else:
            sequences = pack(batch.item_seq, batch.lengths)
            chosen = sequences.choose(batch.targets > 0)
            hidden = self.encode_rows(sequences, chosen)  # (M, D)
            targets = sequences.pack(batch.targets)  # (num_real,)
            if chosen is None:
                hidden = hidden[: sequences.num_real]
            else:
                targets = targets.index_select(0, chosen.index)  # (M,)
        return linear_cross_entropy(
            self.output_hidden(hidden),
            self.output_weight(),
            targets,
            self.output_bias(),
            backend="reference" if self.backend == "reference" else "auto",
        )

    def score(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Scores (B, V) of the next item; column 0 is padding and means nothing."""
        return self.score_hidden(self.last_hidden(item_seq, lengths))

    def score_hidden(self, hidden: Tensor) -> Tensor:
        """Scores (B, V) for hidden states (B, D), such as `step` returns."""
        return nn.functional.linear(
            self.output_hidden(hidden), self.output_weight(), self.output_bias()
        )

    def recommend(
        self, item_seq: Tensor, lengths: Tensor, k: int, *, filter_seen: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The k best next items: ids (B, K) and scores (B, K), best first.

        With `filter_seen` without those of the history; where fewer than k are left, ids are 0.
        """
        seen = None
        if filter_seen:
            behind = torch.arange(item_seq.shape[1], device=item_seq.device) >= lengths[:, None]
            seen = item_seq.masked_fill(behind, 0)  # (B, L)
        return self.recommend_hidden(self.last_hidden(item_seq, lengths), k, seen=seen)

    def recommend_hidden(
        self, hidden: Tensor, k: int, *, seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same for hidden states (B, D), such as `step` returns; `seen` (B, S) ids are left
        out, 0 is none.
        """
        return score_top_k(
            self.output_hidden(hidden), self.output_weight(), self.output_bias(), k,
            seen=seen, backend=self.layer_backend,
        )  # fmt: skip

    def rank(self, item_seq: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Ranks (B,) float64 of the target items (B,) among all, as models/ops/target_rank.py
        defines them.
        """
        return rank_of_target(
            self.output_hidden(self.last_hidden(item_seq, lengths)), self.output_weight(),
            self.output_bias(), targets, backend=self.layer_backend,
        )  # fmt: skip

    # -- the item table as the output layer; BERT4Rec adds a transform and a bias ---------------

    def output_hidden(self, hidden: Tensor) -> Tensor:
        return hidden

    def output_weight(self) -> Tensor:
        table = self.item_embedding.weight
        return table[: self.num_items + 1] if "cloze" in self.objectives else table  # (V, D)

    def output_bias(self) -> Tensor | None:
        return None

    # -- serving one event at a time ----------------------------------------------------------

    def init_state(self, batch_size: int) -> Any:
        """The state of `batch_size` users without history."""
        raise NotSupported(f"{self.label} has no recurrent state; recompute with encode()")

    def step(self, item: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One more event for each user: item (B,), state -> hidden (B, D), new state.

        Equals the full pass at that position. The state given stays usable: stepping it again with
        another item is a different future of the same past.
        """
        raise NotSupported(f"{self.label} has no recurrent state; recompute with encode()")

    def prefill(self, item_seq: Tensor, lengths: Tensor) -> Any:
        """The state after whole histories, as `step` would have left it; all lengths equal."""
        raise NotSupported(f"{self.label} has no recurrent state; recompute with encode()")

    def state_tensors(self, state: Any) -> list[Tensor]:
        """What of a state has to be kept for the users, cut to its real length."""
        raise NotSupported(f"{self.label} has no recurrent state; recompute with encode()")

    def state_from_tensors(self, tensors: list[Tensor]) -> Any:
        """The state that `state_tensors` took apart; it may keep the tensors and write to them."""
        raise NotSupported(f"{self.label} has no recurrent state; recompute with encode()")

    # -- cost, analytic ------------------------------------------------------------------------

    def flops(self, batch_size: int, seq_len: int) -> int:
        """Floating-point operations (multiply-add = 2) of `encode` on a padded batch; no output
        layer.
        """
        raise NotImplementedError  # each subclass has its own

    def needed_flops(self, seq_len: int, outputs: int) -> int:
        """Operations that one history's hidden states at `outputs` positions (the last ones where
        order matters) need: `flops` of one row, less what causal attention would see of the future,
        less what the last layer would do for other positions. By default nothing less.
        """
        return self.flops(1, seq_len)

    def output_flops(self, positions: int) -> int:
        """Floating-point operations of the scores over the catalogue at `positions` positions."""
        return 2 * positions * self.config.hidden_size * (self.num_items + 1)

    def state_bytes(self, seq_len: int) -> int:
        """Bytes of one user's serving state after `seq_len` events, float32."""
        raise NotSupported(f"{self.label} has no recurrent state; recompute with encode()")

    def program_widths(self) -> tuple[int, ...]:
        """Widths that a program (models/programs/) of this model keeps rows in."""
        return (self.config.hidden_size,)

    # -- compiling ------------------------------------------------------------------------------

    def compile_layers(self, mode: str) -> None:
        """Have torch.compile make what each layer does between attention or scan and the next.

        Those themselves are fused kernels already. Compiling happens at the first call, for any
        number of rows at once.

        Raises:
            NotSupported: the model has no such layers; or it lies on a GPU, and the mode is another
                than `default`: those replay CUDA graphs, each a layer, which share their memory.
        """
        if self.item_embedding.weight.is_cuda and mode != "default":
            told = "on a GPU a layer's CUDA graph overwrites another's results; use default"
            raise NotSupported(f"--compile {mode}: {told}")
        layers: list[Any] = [module for module in self.modules() if hasattr(module, "finish")]
        if not layers:
            raise NotSupported(f"{self.label} has no layers to compile: its kernel is all there is")
        every: list[Any] = list(self.modules())
        for module in every:
            if hasattr(module, "layer_backend"):
                module.layer_backend = "torch"
        for layer in layers:
            layer.finish = torch.compile(layer.finish, mode=mode, dynamic=True)

    # -- facts -----------------------------------------------------------------------------------

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def settings(self) -> dict[str, Any]:
        """The config as plain values, for records and saved weights."""
        return dataclasses.asdict(self.config)


def equal_length(lengths: Tensor) -> int:
    """The one length that all rows share; NotSupported where they differ."""
    first = int(lengths[0])
    if bool((lengths != first).any()):
        raise NotSupported("prefill takes rows of one length; group users by length")
    return first


def init_normal(model: nn.Module, std: float = 0.02, *, keep: tuple[nn.Module, ...] = ()) -> None:
    """Linear and embedding weights N(0, std), biases 0, LayerNorm 1 and 0: BERT's scheme.

    What lies inside a module of `keep` stays as it was made.
    """
    kept = {id(inner) for module in keep for inner in module.modules()}
    for module in model.modules():
        if id(module) in kept:
            continue
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
