"""Names of cells as short as they can be told apart: what all of them share is said once."""

from __future__ import annotations

from collections.abc import Collection


def short_names(cell_ids: Collection[str]) -> tuple[dict[str, str], str]:
    """Each id's parts that not all have, with spaces between; and the parts that all have.

    A single id stays whole, and so do those that share nothing or of which nothing would be left.
    """
    parts = {name: name.split("-") for name in cell_ids}
    if len(parts) < 2:
        return {name: name for name in parts}, ""
    shared = set.intersection(*(set(mine) for mine in parts.values()))
    names = {name: " ".join(p for p in mine if p not in shared) for name, mine in parts.items()}
    if not shared or "" in names.values() or len(set(names.values())) < len(names):
        return {name: name for name in parts}, ""
    first = next(iter(parts.values()))
    return names, " ".join(part for part in first if part in shared)
