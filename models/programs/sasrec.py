"""SASRec for one user: the last layer computes its keys and values everywhere, the rest once."""

from __future__ import annotations

from models.ops.program import Program
from models.sasrec import SASRec


def write(model: SASRec, length: int) -> Program:
    """The pass over `length` events."""
    program, cfg = Program(length, model), model.config
    embedded = program.embed(
        model.item_embedding.weight, model.position_embedding.weight, model.factor
    )
    layers = list(model.stack)
    hidden, normed = program.add_norm(embedded, None, layers[0].attn_norm)
    for layer, norm in zip(layers, model.norms_after, strict=True):
        if layer is not layers[-1]:
            qkv = program.linear(normed, layer.qkv.weight, layer.qkv.bias)
            mixed = program.attention(qkv, cfg.num_heads, causal=True)
        else:
            weight, bias, width = layer.qkv.weight, layer.qkv.bias, cfg.hidden_size
            query = program.linear(program.tail(normed), weight[:width], bias[:width])
            key_value = program.linear(normed, weight[width:], bias[width:])
            mixed = program.attention_tail(query, key_value, cfg.num_heads)
            hidden = program.tail(hidden)
        out = program.linear(mixed, layer.out.weight, layer.out.bias)
        hidden, normed = program.add_norm(out, hidden, layer.ffn_norm)
        inner = program.feed_forward(normed, layer.ffn_in, layer.ffn_out, "relu")
        hidden, normed = program.add_norm(inner, hidden, norm)
    program.finish(normed)
    return program
