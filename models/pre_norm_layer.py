"""A pre-norm transformer's layer, SASRec's: attention and a position-wise feed-forward network with
ReLU, each x + dropout(f(norm(x))). Rows are those of packed sequences.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.ops.attention import attention, attention_absorbed, attention_packed
from models.ops.linear import linear
from models.ops.post_mixer import Weights, post_mixer
from models.packed import Chosen, Packed


class PreNormLayer(nn.Module):
    """Pre-norm attention and position-wise feed-forward, each with its residual."""

    def __init__(
        self, width: int, inner: int, num_heads: int, dropout: float, attn_dropout: float
    ) -> None:
        super().__init__()
        self.width, self.num_heads = width, num_heads
        self.dropout, self.attn_dropout = dropout, attn_dropout
        self.attn_norm = nn.LayerNorm(width, eps=1e-8)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width, eps=1e-8)
        self.ffn_in = nn.Linear(width, inner)
        self.ffn_out = nn.Linear(inner, width)

    def rows(
        self, hidden: Tensor, normed: Tensor, sequences: Packed, chosen: Chosen | None,
        norm: nn.LayerNorm, backend: str, *, inside: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Residual stream (T, D) and its normed form -> both after this layer, normed by `norm`;
        with `chosen`, which must be last rows, at these only. `inside`: another layer follows."""
        if chosen is None:
            mixed = self.mix(self.project(normed, backend), sequences, backend)
            return self.finish(hidden, mixed, norm, backend, inside=inside)
        parts = (self.width, 2 * self.width)  # split, not sliced: one gradient
        (asked, weight), (shift, bias) = (w.split(parts) for w in (self.qkv.weight, self.qkv.bias))
        asking, normed = chosen.beside(normed, backend)
        query = linear(asking, asked, shift, backend=backend)  # (M, D)
        mixed = attention_absorbed(
            query, normed, weight, bias, chosen.offsets, sequences.offsets,
            num_heads=self.num_heads, dropout=self._attn_dropout, donated=True,
            backend=backend,
        )  # fmt: skip
        return self.finish(chosen.of(hidden, backend), mixed, norm, backend)

    def project(self, normed: Tensor, backend: str) -> Tensor:
        """Queries, keys and values: (T, D) -> (T, 3 D)."""
        return linear(normed, self.qkv.weight, self.qkv.bias, donated=True, backend=backend)

    def mix(self, qkv: Tensor, sequences: Packed, backend: str) -> Tensor:
        """(T, 3 D) -> (T, D)."""
        return attention_packed(
            qkv, sequences.offsets, num_heads=self.num_heads, causal=True,
            dropout=self._attn_dropout, donated=True, backend=backend,
        )  # fmt: skip

    def finish(
        self, hidden: Tensor, mixed: Tensor, norm: nn.LayerNorm, backend: str, *,
        inside: bool = False,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """What follows attention: output layer and feed-forward network, each with its residual."""
        eps, drop = (self.ffn_norm.eps, norm.eps), self.dropout if self.training else 0.0
        return post_mixer(
            mixed, hidden, self.post_mixer_weights(norm), eps=eps, activation="relu",
            post_norm=False, dropout=drop, inner_dropout=drop, donated=True, inside=inside,
            backend=backend,
        )  # fmt: skip

    def post_mixer_weights(self, norm: nn.LayerNorm) -> Weights:
        """Weights of what follows attention."""
        return Weights(
            self.out.weight, self.out.bias, self.ffn_norm.weight, self.ffn_norm.bias,
            self.ffn_in.weight, self.ffn_in.bias, self.ffn_out.weight, self.ffn_out.bias,
            norm.weight, norm.bias,
        )  # fmt: skip

    @property
    def _attn_dropout(self) -> float:
        return self.attn_dropout if self.training else 0.0

    def step(
        self, hidden: Tensor, normed: Tensor, keys: Tensor, values: Tensor, at: int,
        norm: nn.LayerNorm, backend: str,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """One position (B, D), and its normed form, against the cache (B, H, max_len, head), whose
        slot `at` is written."""
        split = self.qkv(normed).view(len(normed), 3, self.num_heads, -1)
        query, keys[:, :, at], values[:, :, at] = split.unbind(1)  # (B, H, head) each
        mixed = attention(query[:, :, None], keys[:, :, : at + 1], values[:, :, : at + 1])
        return self.finish(hidden, mixed.flatten(1), norm, backend)
