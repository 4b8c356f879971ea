"""The sides that run in our own environment, asked as the harness asks them, on made-up data."""

from __future__ import annotations

import os
import sys
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import data
import models
from bench.peers.contest import FROM_THE_LOG, check_learning
from bench.peers.contestant import Contestant, Task
from bench.peers.exchange import read_exchange, write_exchange
from bench.peers.roster import OUR_SIDE, PEERS, batch_sizes
from bench.peers.serve import STARTED
from bench.peers.sides.mamba import Mamba
from bench.peers.sides.ours import Ours
from bench.peers.sides.plain import Plain
from bench.peers.sides.recbole import RecBole
from bench.peers.sides.scan import ScanSide
from workloads.requests import Requests

DATASET = "synthetic_u30_i40_n20"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STARTED, "0")


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    write_exchange(data.load(DATASET, progress=False), tmp_path)
    return tmp_path


def task(model: str, exchange: Path, **options: Any) -> dict[str, Any]:
    return {
        "model": model,
        "dataset": DATASET,
        "data_dir": None,
        "exchange": str(exchange),
        "seq_len": 12,
        "settings": asdict(models.get(model).Config()),
        "options": options,
    }


class _Wide(nn.Module):
    """Stands in for mambapy's block: (B, L, D) -> (B, L, D), causal enough."""

    def __init__(self, config: types.SimpleNamespace) -> None:
        super().__init__()
        self.linear = nn.Linear(config.d_model, config.d_model)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.linear(hidden.cumsum(1))
        return mixed

    @staticmethod
    def selective_scan(self: None, u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any) -> Any:
        """As mambapy's, from our own reference."""
        from models.ops.selective_scan import selective_scan_reference

        return selective_scan_reference(u, delta, A, B, C, D, delta_softplus=False)[0]


@pytest.fixture
def mambapy(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.ModuleType("mambapy.mamba")
    library.MambaConfig = types.SimpleNamespace  # type: ignore[attr-defined]
    library.MambaBlock = _Wide  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mambapy", types.ModuleType("mambapy"))
    monkeypatch.setitem(sys.modules, "mambapy.mamba", library)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0")


def run_all(side: Contestant, given: dict[str, Any]) -> dict[str, Any]:
    """Every verb once."""
    found = {"prepare": side.prepare(given, batch_size=8), "count": side.count()}
    found["learn"] = side.learn(steps=30)
    side.use(batch_size=16)
    found["train"] = side.train(seconds=0.0)
    found["rank"] = side.rank(batch_size=64, seconds=0.0)
    found["recommend"] = side.recommend(requests=3, seconds=1.0)
    found["peak"] = side.peak(steps=2)
    found["first_batch"] = side.first_batch(given, batch_size=8)
    return found


@pytest.mark.parametrize("model", ["sasrec", "bert4rec", "gru4rec"])
def test_plain_pytorch_trains_on_what_ours_trains_on(model: str, exchange: Path) -> None:
    ours, plain = (run_all(side, task(model, exchange)) for side in (Ours(), Plain()))
    assert ours["count"] == plain["count"]
    assert ours["count"]["samples"] > 100
    for found in (ours, plain):
        losses = found["learn"]["losses"]
        assert check_learning(losses)["ok"]
        assert (found["train"]["samples"], found["train"]["steps"]) == (16, 1)
        assert found["rank"]["users"] == 30
        assert 0 <= found["rank"]["metrics"]["hr@10"] <= 1
        assert found["recommend"]["requests"] == 3
        assert found["first_batch"]["seconds"] > 0


@pytest.mark.parametrize("side", [Ours, Plain])
def test_what_a_side_loads_at_its_first_step_is_no_memory_of_its_training(
    side: type[Contestant], exchange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[torch.Tensor] = []
    steps = side.steps

    def steps_of_a_library(self: Contestant, batches: Any) -> list[float]:
        if not loaded:
            loaded.append(torch.ones(64 << 18))  # 64 MiB of code, say
        return steps(self, batches)

    monkeypatch.setattr(side, "steps", steps_of_a_library)
    contestant, given = side(), task("gru4rec", exchange)
    contestant.prepare(given, batch_size=8)
    assert contestant.task.exchange == str(exchange)
    assert contestant.count()["samples"] > 100, "not the made-up histories"
    assert contestant.peak(steps=1)["over_baseline_bytes"] < 48 << 20


def test_recboles_requests_are_ours_in_its_own_ids(exchange: Path) -> None:
    side, log = RecBole(), read_exchange(exchange)
    side.task = Task(**task("gru4rec", exchange))
    side.interaction = dict
    missing = int(log.items.max()) + 1  # an id that no event has leaves a gap in RecBole's ids
    np.savez(
        exchange / "log.npz", items=np.where(log.items == 3, missing, log.items),
        offsets=log.offsets, num_items=missing,
    )  # fmt: skip
    ours = np.array([0, *(i for i in range(missing, 0, -1) if i != 3)])
    side.our_ids = lambda: ours  # type: ignore[method-assign]
    pool = Requests(read_exchange(exchange), seq_len=12, batch_size=1, seed=0)
    for index, request in enumerate(side.requests()):
        assert (ours[request["item_id_list"].numpy()] == pool.histories(index).numpy()).all()


def test_plain_layers_have_as_many_parameters_as_ours(exchange: Path) -> None:
    for model, more in (("gru4rec", 0), ("sasrec", 64), ("bert4rec", 0)):
        counts = []
        for side in (Ours(), Plain()):
            counts.append(side.prepare(task(model, exchange), batch_size=4)["parameters"])
        # One table for both masks: SASRec's has a row too many.
        assert counts[1] - counts[0] == more, model


@pytest.mark.usefixtures("mambapy")
def test_the_official_architecture_runs_around_a_block(exchange: Path) -> None:
    found = run_all(Mamba(), task("mamba4rec", exchange, block="mambapy"))
    assert found["count"]["samples"] > 100
    assert found["prepare"]["versions"]["mambapy"] == "0"


@pytest.mark.usefixtures("mambapy")
def test_scans_agree_and_a_wrong_one_does_not() -> None:
    shape = {"batch": 2, "length": 9, "channels": 16, "states": 4}
    digests = []
    for library in ("ours", "mambapy"):
        side = ScanSide()
        first = side.prepare(library, shape)["digest"]
        digests.append(first + side.gradients()["digest"])
        assert side.forward(seconds=0.0)["ns"] > 0
        assert side.both(seconds=0.0)["calls"] == 1
        assert side.peak()["fixed_bytes"] > 0
    assert digests[0] == pytest.approx(digests[1], rel=1e-3)
    scan = side.scan
    side.scan = lambda *inputs: scan(*inputs).roll(1, dims=1)
    assert side.gradients()["digest"] != pytest.approx(digests[0][2:], rel=1e-3)


def test_mamba_ssms_reference_is_taken_out_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mamba_ssm" / "ops" / "selective_scan_interface.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import nothing_that_is_here\n"
        "def selective_scan_ref(u, delta, A, B, C, D=None, z=None, delta_bias=None,"
        " delta_softplus=False):\n    return rearrange(u) + torch.zeros(1)\n"
    )
    shape = {"batch": 2, "length": 3, "channels": 4, "states": 2}
    einops = types.ModuleType("einops")
    einops.rearrange = einops.repeat = lambda tensor: tensor  # type: ignore[attr-defined]
    sys.modules["einops"] = einops
    try:
        ScanSide().prepare("mamba_ssm", shape, path=str(tmp_path))
    finally:
        del sys.modules["einops"]
    with pytest.raises(RuntimeError, match="--mamba-ssm-path: no mamba_ssm/ops"):
        ScanSide().prepare("mamba_ssm", shape, path=str(tmp_path / "ops"))


def test_every_row_names_a_side_and_a_model_that_exist() -> None:
    for side in {OUR_SIDE, *(peer.side for peer in PEERS)}:
        assert (Path(__file__).parents[2] / f"{side.replace('.', os.sep)}.py").exists()
    assert {peer.model for peer in PEERS} <= set(models.names())
    assert batch_sizes(200, 102_400) == [32, 64, 128, 256, 512]
    assert batch_sizes(10**6, 102_400) == [32]


def test_learning_repeats_one_batch(exchange: Path) -> None:
    side = Plain()
    side.prepare(task("gru4rec", exchange), batch_size=8)
    seen: list[int] = []
    side.steps = lambda batches: [float(seen.append(id(b)) or 0) for b in batches]  # type: ignore[method-assign,func-returns-value]
    side.learn(steps=4)
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_start_up_reads_the_log_and_says_so(
    exchange: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQREC_CACHE", str(tmp_path / "cache"))
    path = exchange / "peers" / "peers.inter"
    given = task("gru4rec", exchange) | {"dataset": str(path)}
    assert Ours().first_batch(given, batch_size=8)["store"] == "read"
    assert Ours().first_batch(given, batch_size=8)["store"] == "cached"
    for name, value in FROM_THE_LOG.items():
        monkeypatch.setenv(name, value)
    assert Ours().first_batch(given, batch_size=8)["store"] == "read"
