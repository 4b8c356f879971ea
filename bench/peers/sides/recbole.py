"""RecBole's side, tuned: its own data path, trainer and evaluation, with autograd's debugging mode
switched off (importing its models turns that on for the whole process) and memory kept.

Its models, loss CE over the whole catalogue, every prefix of a history a sample. Dropout, sizes and
activation are those of our model; attention weights get no dropout where ours get none.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.peers.contestant import Contestant, Samples
from bench.peers.exchange import INTER_NAME, read_exchange
from workloads.requests import Requests

_CLASSES: dict[str, str] = {"sasrec": "SASRec", "bert4rec": "BERT4Rec", "gru4rec": "GRU4Rec"}
# The activation of our feed-forward layers; RecBole's default is a GELU written out in Python.
_ACTIVATIONS = {"sasrec": "relu", "bert4rec": "gelu"}


class RecBole(Contestant):
    """RecBole 1.2.1, driven by its public classes."""

    def import_libraries(self) -> dict[str, str]:
        self.config_module: Any = importlib.import_module("recbole.config")
        self.data_module: Any = importlib.import_module("recbole.data")
        self.interaction: Any = importlib.import_module("recbole.data.interaction").Interaction
        self.get_trainer: Any = importlib.import_module("recbole.utils").get_trainer
        self.model_class: Any = self.find_model()
        # A line at the top of its sine.py debugs every model of the process.
        torch.autograd.set_detect_anomaly(False)
        return {n: metadata.version(n) for n in ("recbole", "torch", "numpy", "pandas")}

    def find_model(self) -> Any:
        models = importlib.import_module("recbole.model.sequential_recommender")
        return getattr(models, _CLASSES[self.task.model])

    def model_settings(self) -> dict[str, Any]:
        """Our settings in RecBole's words."""
        ours = self.task.settings
        if self.task.model == "gru4rec":
            return {
                "embedding_size": ours["hidden_size"],
                "hidden_size": ours["gru_size"],
                "num_layers": ours["num_layers"],
                "dropout_prob": ours["dropout"],
            }
        return {
            "hidden_size": ours["hidden_size"],
            "n_layers": ours["num_layers"],
            "n_heads": ours["num_heads"],
            "inner_size": ours["inner_size"],
            "hidden_dropout_prob": ours["dropout"],
            "attn_dropout_prob": ours["attn_dropout"],
            "hidden_act": _ACTIVATIONS[self.task.model],
        }

    def load(self) -> None:
        settings = {
            "data_path": self.task.exchange,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {
                "split": {"LS": "valid_and_test"},
                "order": "TO",
                "mode": "full",
                "group_by": "user",
            },
            "MAX_ITEM_LIST_LENGTH": self.task.seq_len,
            "train_neg_sample_args": None,
            "loss_type": "CE",
            "metrics": ["Hit", "NDCG", "MRR"],
            "topk": [10],
            "valid_metric": "NDCG@10",
            "use_gpu": False,
            "show_progress": False,
            "train_batch_size": getattr(self, "batch_size", 2048),
            "seed": self.task.seed,
        }
        self.config = self.config_module.Config(
            model=self.model_class, dataset=INTER_NAME, config_dict=settings | self.model_settings()
        )
        self.dataset = self.data_module.create_dataset(self.config)
        self.train_data, _, self.test_data = self.data_module.data_preparation(
            self.config, self.dataset
        )

    def make(self) -> None:
        torch.manual_seed(self.task.seed)
        self.config["train_batch_size"] = self.batch_size
        self.train_data = type(self.train_data)(
            self.config, self.train_data._dataset, None, shuffle=True
        )
        self.model = self.model_class(self.config, self.train_data._dataset)
        self.trainer = self.get_trainer(self.config["MODEL_TYPE"], self.config["model"])(
            self.config, self.model
        )
        self.losses: list[float] = []
        self.evaluations: dict[int, Any] = {}
        self.pool = self.requests()

    def epoch(self) -> Iterator[Any]:
        return iter(self.train_data)

    def rows(self, batch: Any) -> int:
        return len(batch)

    def samples(self, batch: Any) -> Samples:
        tokens = self.our_ids()
        return tokens[batch["item_id_list"].numpy()], tokens[batch["item_id"].numpy()]

    def steps(self, batches: Iterator[Any]) -> list[float]:
        """RecBole's own epoch, over the batches given; it returns the sum, so losses are noted."""
        losses: list[float] = []

        def noted(batch: Any) -> Any:
            loss = self.model.calculate_loss(batch)
            losses.append(loss.item())
            return loss

        self.trainer._train_epoch(batches, 0, loss_func=noted)
        return losses

    def rank_all(self, batch_size: int) -> tuple[int, dict[str, float]]:
        if batch_size not in self.evaluations:
            self.config["eval_batch_size"] = batch_size
            self.evaluations[batch_size] = type(self.test_data)(
                self.config, self.test_data._dataset, self.test_data._sampler, shuffle=False
            )
        found = self.trainer.evaluate(self.evaluations[batch_size], load_best_model=False)
        metrics = {name.replace("hit", "hr"): float(value) for name, value in found.items()}
        return len(self.test_data._dataset), metrics

    def requests(self) -> list[Any]:
        """Requests as ours serves them, in RecBole's ids."""
        log = read_exchange(Path(self.task.exchange))
        pool = Requests(log, seq_len=self.task.seq_len, batch_size=1, seed=self.task.seed)
        our_ids = self.our_ids()
        their_ids = np.zeros(log.num_items + 1, dtype=np.int64)  # made-up data lacks some items
        their_ids[our_ids] = np.arange(len(our_ids))
        length = torch.tensor([self.task.seq_len])
        return [
            self.interaction(
                {
                    "item_id_list": torch.from_numpy(their_ids[pool.histories(index).numpy()]),
                    "item_length": length,
                }
            )
            for index in range(pool.pool)
        ]

    @torch.inference_mode()
    def request(self, index: int) -> list[int]:
        self.model.eval()
        scores = self.model.full_sort_predict(self.pool[index % len(self.pool)]).view(1, -1)
        scores[:, 0] = -torch.inf
        best: list[int] = scores.topk(10, dim=1).indices[0].tolist()
        return best

    def our_ids(self) -> Any:
        """Our id of each of RecBole's, 0 for padding."""
        tokens = self.train_data._dataset.field2id_token["item_id"]
        return np.array([0, *(int(token) for token in tokens[1:])], dtype=np.int64)

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def notes(self) -> list[str]:
        if self.task.model != "bert4rec":
            return []
        share = int(0.2 * self.task.seq_len)
        return [f"RecBole's BERT4Rec predicts up to {share} masked items a sample, ours the last"]


SIDE = RecBole
