"""The data as both sides read it: our k-cored histories for processes that don't load them.

`write_exchange` leaves `log.npz` (the store itself) and `peers/peers.inter` (RecBole's atomic file)
in a folder. The time of an event there is its place in its user's history: RecBole casts times to
float32 and sorts by them, which real seconds do not survive.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.interactions import Interactions

INTER_NAME = "peers"
_HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"


def write_exchange(log: Interactions, folder: Path) -> None:
    """Write both files of `log` into the folder."""
    np.savez(folder / "log.npz", items=log.items, offsets=log.offsets, num_items=log.num_items)
    lengths = np.diff(log.offsets)
    users = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(log.items)) - np.repeat(log.offsets[:-1], lengths)
    target = folder / INTER_NAME / f"{INTER_NAME}.inter"
    target.parent.mkdir()
    with target.open("w", encoding="utf-8") as file:
        file.write(_HEADER)
        np.savetxt(file, np.stack((users, log.items, places), axis=1), fmt="%d", delimiter="\t")


def read_exchange(folder: Path) -> Interactions:
    """The histories that `write_exchange` was given, without their original ids."""
    with np.load(folder / "log.npz", allow_pickle=False) as stored:
        num_items = int(stored["num_items"])
        return Interactions(
            name="exchange",
            items=stored["items"],
            offsets=stored["offsets"],
            num_items=num_items,
            source="exchange",
            rules="as its source",
            item_labels=np.arange(num_items + 1),
        )
