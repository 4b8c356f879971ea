"""Who is compared with what: one row a peer, in the order of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.environments import OWN

OUR_SIDE = "bench.peers.sides.ours"
# Sizes that a side may choose among, as far as its memory allows, and the most padded positions
# (batch x L) that a side may hold at once: RecBole's attention then stays under about 5 GB.
BATCHES = (32, 64, 128, 256, 512, 1024, 2048)
POSITIONS = 102_400


@dataclass(frozen=True)
class Peer:
    """A library's form of one of our models.

    Args:
        environment: of environments.py; side: the module that drives it there.
        positions: its own bound on a batch, where it needs more memory for each.
        reads_logs: whether it reads interactions by itself; a peer on our loader has no start-up.
        path: the option that must give a checkout; where to get it, without which the row is
            unsupported.
    """

    model: str
    name: str
    label: str
    environment: str
    side: str
    positions: int = POSITIONS
    reads_logs: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    where: str = ""


def _of_field(model: str, layer: str) -> list[Peer]:
    recbole = Peer(
        model, "recbole", "RecBole 1.2.1, tuned", "recbole", _side("recbole"), reads_logs=True
    )
    return [recbole, Peer(model, "torch", f"PyTorch's {layer}", OWN, _side("plain"))]


def batch_sizes(seq_len: int, positions: int) -> list[int]:
    """The batch sizes to try at a length, smallest first."""
    return [size for size in BATCHES if size * seq_len <= positions] or [BATCHES[0]]


def _side(name: str) -> str:
    return f"bench.peers.sides.{name}"


PEERS: tuple[Peer, ...] = (
    *_of_field("sasrec", "nn.TransformerEncoder, causal"),
    *_of_field("bert4rec", "nn.TransformerEncoder"),
    *_of_field("gru4rec", "nn.GRU"),
    Peer(
        "mamba4rec",
        "mambapy",
        "official architecture on mambapy",
        "mamba",
        _side("mamba"),
        positions=12_800,
        options={"block": "mambapy"},
    ),
    Peer(
        "mamba4rec",
        "transformers",
        "official architecture on transformers",
        "mamba",
        _side("mamba"),
        positions=12_800,
        options={"block": "transformers"},
    ),
    Peer(
        "mamba4rec",
        "official",
        "official code in RecBole, on mambapy",
        "recbole",
        _side("official"),
        positions=12_800,
        reads_logs=True,
        path="--mamba4rec-path",
        where="git clone https://github.com/chengkai-liu/Mamba4Rec",
    ),
)
MODELS = tuple(dict.fromkeys(peer.model for peer in PEERS))
NAMES = tuple(dict.fromkeys(peer.name for peer in PEERS))


def missing_path(peer_option: str | None, paths: Mapping[str, Path], where: str) -> str | None:
    """Why a peer that only a checkout holds can't run; None where it can."""
    if peer_option is None or peer_option in paths:
        return None
    return f"its code is not on the package index: {where}, then {peer_option} FOLDER"
