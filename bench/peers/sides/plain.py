"""PyTorch's own layers as a peer: what a careful user writes in a page, on our batches.

nn.TransformerEncoder (causal for SASRec, over both sides for BERT4Rec) and nn.GRU between the same
embedding and a full softmax, the last position only; fused Adam; no dropout on attention weights
where ours has none, so that its fused attention is used.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.peers.contestant import Contestant, Samples
from bench.peers.exchange import read_exchange
from data.batches import eval_batches, train_batches
from measure.ranking import ranking_metrics, ranks
from workloads.requests import Requests


class OnOurBatches(Contestant):
    """A plain PyTorch model, `network()`, trained and served around our loader."""

    def import_libraries(self) -> dict[str, str]:
        return {name: metadata.version(name) for name in ("torch", "numpy")}

    @abstractmethod
    def network(self) -> nn.Module:
        """(item_seq, lengths) -> scores (B, V) of the next item."""

    def load(self) -> None:
        self.log = read_exchange(Path(self.task.exchange))
        self.number = 0

    def make(self) -> None:
        torch.manual_seed(self.task.seed)
        self.model = self.network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.pool = Requests(self.log, seq_len=self.task.seq_len, batch_size=1, seed=self.task.seed)
        self.length = torch.tensor([self.task.seq_len])

    def epoch(self) -> Iterator[Any]:
        self.number += 1
        return iter(
            train_batches(
                self.log,
                objective="last",
                seq_len=self.task.seq_len,
                batch_size=self.batch_size,
                seed=self.task.seed,
                epoch=self.number - 1,
            )
        )

    def rows(self, batch: Any) -> int:
        return len(batch.targets)

    def samples(self, batch: Any) -> Samples:
        return batch.item_seq.numpy(), batch.targets.numpy()

    def steps(self, batches: Iterator[Any]) -> list[float]:
        self.model.train()
        losses = []
        for batch in batches:
            loss = F.cross_entropy(self.model(batch.item_seq, batch.lengths), batch.targets)
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            losses.append(loss.item())
        return losses

    @torch.inference_mode()
    def rank_all(self, batch_size: int) -> tuple[int, dict[str, float]]:
        self.model.eval()
        batches = eval_batches(
            self.log, part="test", seq_len=self.task.seq_len, batch_size=batch_size
        )
        found = torch.cat(
            [ranks(self.model(batch.item_seq, batch.lengths), batch.targets) for batch in batches]
        )
        metrics = {name: metric.value or 0.0 for name, metric in ranking_metrics(found).items()}
        return len(found), metrics

    @torch.inference_mode()
    def request(self, index: int) -> list[int]:
        self.model.eval()
        scores = self.model(self.pool.histories(index), self.length)
        best: list[int] = (scores[:, 1:].topk(10, dim=1).indices[0] + 1).tolist()
        return best

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())


class Plain(OnOurBatches):
    """The layers that PyTorch has for our model."""

    def network(self) -> nn.Module:
        task = self.task
        if task.model == "gru4rec":
            return _Gru(self.log.num_items, task.settings)
        return _Transformer(
            self.log.num_items, task.seq_len, task.settings, causal=task.model == "sasrec"
        )


class _Gru(nn.Module):
    def __init__(self, num_items: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items + 1, settings["hidden_size"], padding_idx=0)
        nn.init.xavier_normal_(self.items.weight)
        self.dropout = nn.Dropout(settings["dropout"])
        self.gru = nn.GRU(
            settings["hidden_size"],
            settings["gru_size"],
            settings["num_layers"],
            batch_first=True,
        )
        self.dense = nn.Linear(settings["gru_size"], settings["hidden_size"])

    def forward(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        hidden, _ = self.gru(self.dropout(self.items(item_seq)))  # (B, L, E)
        return F.linear(self.dense(_last(hidden, lengths)), self.items.weight)


class _Transformer(nn.Module):
    """Pre-norm with ReLU and a causal mask, or post-norm with GELU and a mask token at the end."""

    def __init__(
        self, num_items: int, max_len: int, settings: dict[str, Any], *, causal: bool
    ) -> None:
        super().__init__()
        size = settings["hidden_size"]
        self.causal, self.num_items = causal, num_items
        self.items = nn.Embedding(num_items + 2, size, padding_idx=0)  # the last row is the mask
        self.positions = nn.Embedding(max_len, size)
        nn.init.normal_(self.items.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.norm = nn.Identity() if causal else nn.LayerNorm(size)
        self.dropout = nn.Dropout(settings["dropout"])
        layer = nn.TransformerEncoderLayer(
            size,
            settings["num_heads"],
            settings["inner_size"],
            settings["dropout"],
            "relu" if causal else "gelu",
            batch_first=True,
            norm_first=causal,
        )
        layer.self_attn.dropout = settings["attn_dropout"]
        self.encoder = nn.TransformerEncoder(
            layer,
            settings["num_layers"],
            norm=nn.LayerNorm(size) if causal else None,
            enable_nested_tensor=not causal,
        )
        self.head = nn.Identity() if causal else _Head(size)
        self.bias = None if causal else nn.Parameter(torch.zeros(num_items + 1))

    def forward(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        if not self.causal:
            item_seq, lengths = self._with_mask(item_seq, lengths)
        places = torch.arange(item_seq.shape[1])
        embedded = self.norm(self.items(item_seq) + self.positions(places))  # (B, L, D)
        hidden = self.dropout(embedded)
        if self.causal:  # padding is on the right: no position that counts can see it
            mask = nn.Transformer.generate_square_subsequent_mask(item_seq.shape[1])
            hidden = self.encoder(hidden, mask=mask, is_causal=True)
        else:
            hidden = self.encoder(hidden, src_key_padding_mask=item_seq == 0)
        table = self.items.weight[: self.num_items + 1]
        return F.linear(self.head(_last(hidden, lengths)), table, self.bias)

    def _with_mask(self, item_seq: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The mask token behind each history; a full one loses its oldest event."""
        full = (lengths == item_seq.shape[1]).long()  # (B,)
        padded = F.pad(item_seq, (0, 1))  # (B, L + 1)
        index = torch.arange(item_seq.shape[1]) + full[:, None]
        lengths = lengths - full
        moved = padded.gather(1, index)  # (B, L)
        return moved.scatter(1, lengths[:, None], self.num_items + 1), lengths + 1


class _Head(nn.Sequential):
    def __init__(self, size: int) -> None:
        super().__init__(nn.Linear(size, size), nn.GELU(), nn.LayerNorm(size))


def _last(hidden: Tensor, lengths: Tensor) -> Tensor:
    return hidden[torch.arange(len(lengths)), lengths - 1]


SIDE = Plain
