"""BERT4Rec for one user: a mask behind the history, the last layer for the mask alone."""

from __future__ import annotations

from models.bert4rec import BERT4Rec
from models.ops.program import Program


def write(model: BERT4Rec, length: int) -> Program:
    """The pass over the last of `length` events, as many as leave room for the mask."""
    events, cfg = min(length, model.max_len - 1), model.config
    program = Program(events + 1, model, events=events)
    program.ids[events] = model.mask_item
    embedded = program.embed(model.item_embedding.weight, model.position_embedding.weight)
    _, hidden = program.add_norm(embedded, None, model.norm)
    layers = list(model.stack)
    for layer in layers:
        weight, bias, width = layer.qkv.weight, layer.qkv.bias, cfg.hidden_size
        if layer is not layers[-1]:
            qkv = program.linear(hidden, weight, bias)
            mixed = program.attention(qkv, cfg.num_heads, causal=False)
        else:
            key_value = program.linear(hidden, weight[width:], bias[width:])
            hidden = program.tail(hidden)
            query = program.linear(hidden, weight[:width], bias[:width])
            mixed = program.attention_tail(query, key_value, cfg.num_heads)
        out = program.linear(mixed, layer.out.weight, layer.out.bias)
        _, hidden = program.add_norm(out, hidden, layer.attn_norm)
        inner = program.feed_forward(hidden, layer.ffn_in, layer.ffn_out, "gelu")
        _, hidden = program.add_norm(inner, hidden, layer.ffn_norm)
    program.finish(hidden)
    return program
