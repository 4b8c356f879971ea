"""Trained weights from elsewhere: data only, and no size is believed before it was checked."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

import models
from models import weights
from tests.fuzz.mutate import mutate, mutate_json
from tests.fuzz.target import Target


class Weights(Target):
    """A mutated file, or a whole one with other contents, through `models.weights.load`."""

    file_name = "weights.pt"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        path = folder / "real.pt"
        self.seeds, self.contents = [], []
        for name in ("gru4rec", "sasrec"):
            torch.manual_seed(0)
            weights.save(models.get(name)(9, 6), path)
            self.seeds.append(path.read_bytes())
            self.contents.append(torch.load(path, weights_only=True))

    def mutated(self, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return mutate(rng.choice(self.seeds), rng, others=self.seeds)
        content = dict(rng.choice(self.contents))
        state = content.pop("state")
        content = mutate_json(content, rng)
        if isinstance(content, dict) and rng.random() < 0.9:
            content["state"] = dict(rng.choice((state, state, {})))
        return _packed(content)

    def strategy(self) -> st.SearchStrategy[bytes]:
        number = st.integers(-3, 2**40) | st.none() | st.text(max_size=3) | st.floats()
        real = dict(self.contents[0])
        return st.fixed_dictionaries(
            {"num_items": number, "max_len": number},
            optional={
                "settings": st.dictionaries(st.sampled_from(sorted(real["settings"])), number)
            },
        ).map(lambda given: _packed(real | given))

    def feed(self, given: bytes) -> str | None:
        path = self.folder / self.file_name
        path.write_bytes(given)
        try:
            weights.load(path)
        except ValueError as error:
            return str(error)
        return None


def _packed(content: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()
