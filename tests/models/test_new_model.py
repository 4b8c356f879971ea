"""A model that is added as README says keeps the contract, whatever its settings are called; one
that knows the future doesn't.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import models
from models import weights
from tests.models import test_contract, test_states
from tests.models.small import build

ROOT = Path(models.__file__).parents[1]
# The mean of what was seen so far, its sum kept: a Config of one setting.
RUNNING_SUM = '''"""A running sum."""

from dataclasses import dataclass

from models.base import SequentialRecommender, equal_length


@dataclass(frozen=True)
class Settings:
    hidden_size: int = 16


class RunningSum(SequentialRecommender):
    name, label, Config, reference = "running_sum", "Running sum", Settings, "ours"

    def encode(self, item_seq, lengths):
        events = self.item_embedding(item_seq)
        return events.cumsum(1)

    def init_state(self, batch_size):
        return self.item_embedding.weight.new_zeros(batch_size, self.config.hidden_size)

    def step(self, item, state):
        after = state + self.item_embedding(item)
        return after, after

    def prefill(self, item_seq, lengths):
        return self.encode(item_seq, lengths)[:, equal_length(lengths) - 1]

    def state_tensors(self, state):
        return [state]

    def state_from_tensors(self, tensors):
        return tensors[0]

    def state_bytes(self, seq_len):
        return 4 * self.config.hidden_size

    def flops(self, batch_size, seq_len):
        return 0


MODEL = RunningSum
'''


def _add(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, code: str) -> None:
    (folder / f"{name}.py").write_text(code, "utf-8")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, f"models.{name}", raising=False)


@pytest.fixture
def last_item(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """README's ten lines, as they stand there."""
    told = (ROOT / "README.md").read_text("utf-8").partition("## A new model in ten lines")[2]
    code = told.partition("```python\n")[2].partition("```")[0]
    _add(monkeypatch, tmp_path, "last_item", code)
    return "last_item"


@pytest.fixture
def running_sum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    _add(monkeypatch, tmp_path, "running_sum", RUNNING_SUM)
    return "running_sum"


def test_the_model_of_the_readme_keeps_the_contract(last_item: str, tmp_path: Path) -> None:
    model = build(last_item)
    test_contract.test_hidden_states_have_the_contract_shape(model)
    test_contract.test_the_order_of_events_matters(model)
    test_contract.test_where_each_event_is_predicted_no_state_knows_a_later_one(model)
    test_contract.test_a_few_steps_learn_a_small_batch(last_item)
    test_contract.test_analytic_flops_agree_with_torchs_counter(model)
    test_contract.test_saved_weights_come_back_whole(model, tmp_path)


def test_many_layers_need_tensors_of_theirs(last_item: str, tmp_path: Path) -> None:
    model = build(last_item, num_layers=65)
    weights.save(model, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="it has fewer tensors than layers"):
        weights.load(tmp_path / "weights.pt")


def test_a_config_needs_neither_dropout_nor_layers(running_sum: str, tmp_path: Path) -> None:
    test_contract.test_a_few_steps_learn_a_small_batch(running_sum)
    test_contract.test_step_equals_the_full_pass_at_every_position(running_sum)
    test_contract.test_saved_weights_come_back_whole(build(running_sum), tmp_path)
    test_states.test_a_restored_state_goes_on_as_the_full_pass_does(running_sum, 2, 7)
    test_states.test_a_state_of_something_else_is_refused(running_sum)
    test_states.test_a_damaged_blob_gives_one_line_or_a_state_and_never_more_memory(running_sum)


def test_a_model_that_knows_the_future_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    leaks = RUNNING_SUM.replace("events.cumsum(1)", "events.cumsum(1) + events.roll(-1, 1)")
    _add(monkeypatch, tmp_path, "leaks", leaks.replace("running_sum", "leaks"))
    with pytest.raises(AssertionError, match="the state after 1 events changes with a later one"):
        test_contract.test_where_each_event_is_predicted_no_state_knows_a_later_one(build("leaks"))


def test_an_objective_of_its_own_is_refused(
    running_sum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.get(running_sum), "objectives", ("bpr",))
    with pytest.raises(AssertionError):
        test_contract.test_its_objectives_are_those_of_the_suite(build(running_sum))
