"""The k-core of a log: the filter behind "five-core", repeated until it changes nothing.

Dropping rare items can make a user rare and the other way round; published counts differ where a
tool stops after one pass. Repeated rows count as rows, as in RecBole's
`user_inter_num_interval`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def k_core(users: NDArray[np.int32], items: NDArray[np.int32], min_count: int) -> NDArray[np.int64]:
    """Rows, ascending, of the largest part where each user and each item has `min_count` rows.

    users, items: (rows,) non-negative codes. The fixed point is unique, so the order of the passes
    is free.
    """
    rows = np.arange(len(users))
    while len(rows):
        enough_items = np.bincount(items) >= min_count
        enough_users = np.bincount(users) >= min_count
        keep = enough_items[items] & enough_users[users]
        if keep.all():
            break
        rows, users, items = rows[keep], users[keep], items[keep]
    return rows
