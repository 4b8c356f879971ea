"""Changes that make the suite slower, larger or wrong, each as an edit of its code, and what a
report must say of it.

An edit names a file, a text that stands there once, and what takes its place; a test of the
ordinary suite asserts that every edit still fits.
"""

from __future__ import annotations

from dataclasses import dataclass

LOSS = "models/base.py"
SCAN = "models/ops/selective_scan_numba.py"
SOFTMAX = "models/ops/linear_cross_entropy.py"
Edit = tuple[str, str, str]  # file, what stands there once, what takes its place


@dataclass(frozen=True)
class Plant:
    """One planted change.

    Args:
        cells: options that choose what is measured: the cells it should move, and some that it
            should not.
        moved: parts of a cell's id, each with a metric that must be red there (or "status").
        may_move: parts of ids of cells in which other metrics may be red as well.
        verdict: what a red one must be.
    """

    name: str
    edits: tuple[Edit, ...]
    cells: tuple[str, ...]
    moved: tuple[tuple[str, str], ...]
    may_move: tuple[str, ...]
    verdict: str = "REGRESSED"


def _slower_scan(percent: int, shares: float) -> Plant:
    """The forward scan of a share of the rows once more: `percent` of Mamba4Rec's epoch."""
    again = (
        f"        again = rows.repeat(8, 1)[: max(1, int(len(rows) * {shares}))]\n"
        "        _run_forward(tuple(inputs), again, soft, False, keep=False)\n"
    )
    line = "        y, last, kept = _run_forward(tuple(inputs), rows, soft,"
    return Plant(
        f"scan: an epoch +{percent}%",
        ((SCAN, line, again + line),),
        ("--model=mamba4rec,gru4rec", "--workload=train_epoch"),
        (("mamba4rec", "epoch_time"),),
        ("mamba4rec",),
    )


PLANTS: tuple[Plant, ...] = (
    _slower_scan(10, 1.33),
    _slower_scan(25, 3.1),
    Plant(
        "an extra copy in the loss",
        (
            (
                LOSS,
                "            self.output_hidden(hidden),\n            self.output_weight(),\n"
                "            targets,",
                "            torch.cat([self.output_hidden(hidden)] * 2)[: len(hidden)],\n"
                "            self.output_weight(),\n            targets,",
            ),
        ),
        ("--model=gru4rec", "--workload=train_epoch,serve_step"),
        (("train_epoch", "tensor_peak_bytes"),),
        ("train_epoch",),
    ),
    Plant(
        "a hidden state twice as large",
        (("models/gru4rec.py", "gru_size: int = 128", "gru_size: int = 256"),),
        ("--model=gru4rec,sasrec", "--workload=serve_step"),
        (("gru4rec", "state_bytes"),),
        ("gru4rec",),
    ),
    Plant(
        "a tensor kept at each step",
        (
            (
                LOSS,
                "        return linear_cross_entropy(\n            self.output_hidden(hidden),",
                '        self.__dict__.setdefault("_seen", []).append(hidden.detach().clone())\n'
                "        return linear_cross_entropy(\n            self.output_hidden(hidden),",
            ),
        ),
        ("--model=gru4rec", "--workload=train_epoch,serve_step"),
        (("train_epoch", "tensor_growth_bytes"),),
        ("train_epoch",),
    ),
    Plant(
        "a key/value cache that is not sliced",
        (
            (
                "models/sasrec.py",
                "        served = self._served(item, state.keys, state.values, at)"
                " if serves(self) else None",
                "        served = None  # the whole cache, as a static one is read\n"
                "        for cache in (state.keys, state.values):\n"
                "            cache.repeat(1, 1, 1, 16, 1).sum()",
            ),
        ),
        ("--model=sasrec,gru4rec", "--workload=serve_step"),
        (("sasrec", "latency_p50"),),
        ("sasrec",),
    ),
    Plant(
        "targets off by one",
        (
            (
                "data/batches.py",
                "targets = self._gather(places + 1, real)",
                "targets = self._gather(places, real)",
            ),
        ),
        ("--model=gru4rec,sasrec", "--workload=fit,load"),
        (("gru4rec", "ndcg@10"), ("sasrec", "ndcg@10")),
        ("-fit-",),
    ),
    Plant(
        "ties counted in favour",
        (
            (
                "models/ops/target_rank.py",
                "    return 1.0 + larger.double() + 0.5 * (equal - 1).double()",
                "    return 1.0 + larger.double() + 0.0 * (equal - 1).double()",
            ),
        ),
        ("--model=gru4rec", "--workload=rank_all,serve_step"),
        (("rank_all", "status"),),
        (),
        "FAILED",
    ),
    Plant(
        "one more dtype cast",
        (
            (
                LOSS,
                "            self.output_hidden(hidden),\n            self.output_weight(),\n"
                "            targets,",
                "            self.output_hidden(hidden).double().float(),\n"
                "            self.output_weight(),\n            targets,",
            ),
        ),
        ("--model=sasrec", "--workload=train_epoch,serve_step"),
        (("train_epoch", "tensor_peak_bytes"),),
        ("train_epoch",),
    ),
    Plant(
        "a Python loop in the data loader",
        (
            (
                "data/batches.py",
                '        return np.multiply(self._items.take(places, mode="clip"), real,'
                " dtype=np.int64)",
                "        taken = np.zeros(places.shape, dtype=np.int64)\n"
                "        for at in np.ndindex(*places.shape):\n"
                "            if real[at]:\n"
                "                taken[at] = self._items[places[at]]\n"
                "        return taken",
            ),
        ),
        ("--model=gru4rec", "--workload=train_epoch,serve_step"),
        (("train_epoch", "epoch_time"),),
        ("train_epoch",),
    ),
    Plant(
        "padding trained",
        (
            (
                LOSS,
                "            targets = sequences.pack(batch.targets)  # (num_real,)\n",
                "            hidden = self.encode(batch.item_seq, batch.lengths).flatten(0, 1)\n"
                "            targets, chosen = batch.targets.flatten(), None\n"
                "            sequences.num_real = len(targets)\n",
            ),
        ),
        ("--model=gru4rec", "--workload=train_epoch,serve_step"),
        (("train_epoch", "status"),),
        (),
        "FAILED",
    ),
    Plant(
        "a stall at each 200th request",
        (
            (
                LOSS,
                "    def score(self, item_seq: Tensor, lengths: Tensor) -> Tensor:",
                "    asked = 0\n\n"
                "    def score(self, item_seq: Tensor, lengths: Tensor) -> Tensor:",
            ),
            (
                LOSS,
                "        alone = programs.last_hidden(self, item_seq, lengths)",
                "        SequentialRecommender.asked += 1\n"
                "        if SequentialRecommender.asked % 200 == 0:\n"
                '            __import__("time").sleep(0.01)\n'
                "        alone = programs.last_hidden(self, item_seq, lengths)",
            ),
        ),
        ("--model=gru4rec", "--workload=recommend,serve_step"),
        (("recommend", "latency_p999"),),
        ("recommend",),  # the request after a stall is slow as well, and that is p99
    ),
    Plant(
        "a kernel's package gone",
        (
            (
                "models/ops/backend.py",
                "def _require_numba() -> None:\n",
                "def _require_numba() -> None:\n"
                '    raise BackendUnavailable("numba is not installed")\n',
            ),
        ),
        ("--model=gru4rec", "--workload=serve_step,load"),
        (("gru4rec", "status"),),
        (),
        "FAILED",
    ),
    Plant(
        "only a comment",
        (("models/gru4rec.py", '"""GRU4Rec', '# Nothing but a comment.\n"""GRU4Rec'),),
        ("--model=gru4rec", "--workload=train_epoch,serve_step"),
        (),
        (),
    ),
)
