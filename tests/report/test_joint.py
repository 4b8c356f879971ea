"""Runs are parts of one where they differ in nothing but in which cells they measured."""

from __future__ import annotations

import pytest

from report.facets import cells
from report.joint import joint_labels
from report.load import load_runs
from report.page.chooser import chooser


@pytest.fixture
def load(made, tmp_path):
    """Runs of these records, each with a name of its own; the last one with other settings."""

    def loaded(*parts, **last):
        paths = []
        for place, records in enumerate(parts):
            changes = {"run_id": f"quick-{place}"} | (last if place == len(parts) - 1 else {})
            paths.append(made.write_json(tmp_path / f"{place}.json", records, **changes))
        return load_runs(paths)

    return loaded


@pytest.fixture
def labels(load):
    def joined(*parts, **last):
        runs = load(*parts, **last)
        return [joint_labels(runs)[run.label] for run in runs]

    return joined


def test_lengths_measured_later_belong_to_the_run(labels, made):
    one, two, three = labels(*[[made.train("sasrec", at)] for at in (50, 100, 200)])
    assert one == two == three == "quick-0 + 1 + 2"


def test_many_parts_are_counted(labels, made):
    found = labels(*[[made.train("sasrec", at)] for at in (50, 100, 200, 400, 800)])
    assert set(found) == {found[0]}
    assert found[0] == "quick-0 + 1 + 3 more"


@pytest.mark.parametrize(
    "other",
    [{"fingerprint": "another"}, {"fingerprint": ""}, {"commit": "0" * 40}],
)
def test_what_was_measured_elsewhere_is_another_run(labels, made, other):
    later = made.train("sasrec", 100, machine=made.MACHINE | other)
    assert len(set(labels([made.train("sasrec", 50)], [later]))) == 2


def test_the_commit_may_be_the_runs(labels, made):
    bare = {name: value for name, value in made.MACHINE.items() if name != "commit"}
    parts = [[made.train("sasrec", at, machine=bare)] for at in (50, 100)]
    assert len(set(labels(*parts))) == 1
    assert len(set(labels(*parts, commit="1" * 40))) == 2


def test_uncommitted_changes_are_unlike_each_other(labels, made):
    dirty = made.MACHINE | {"commit": "abc-dirty"}
    parts = [[made.train("sasrec", at, machine=dirty)] for at in (50, 100)]
    assert len(set(labels(*parts))) == 2


def test_another_allocator_is_another_run(labels, made):
    parts = [
        [made.train("sasrec", at, resolved={"allocator": name, "dataset": "ml_100k"})]
        for at, name in ((50, "glibc, memory kept"), (100, "glibc, defaults"))
    ]
    assert len(set(labels(*parts))) == 2


def test_a_cell_of_both_keeps_them_apart(labels, made):
    both = [made.train("sasrec", at) for at in (50, 100)]
    assert len(set(labels(both, both[1:]))) == 2


def test_another_suite_is_another_run(labels, made):
    parts = [[made.train("sasrec", at)] for at in (50, 100)]
    assert len(set(labels(*parts, suite="scaling"))) == 2


def test_the_chooser_answers_from_all_parts(made, load):
    parts = [
        [made.train("sasrec", at), *(made.fit("sasrec", at, seed) for seed in range(3))]
        for at in (50, 200)
    ]
    found = cells(load(*parts))
    (setting,) = chooser(found)["settings"]
    (model,) = setting["datasets"][0]["models"]
    assert model["epoch"]["at"] == model["accuracy"]["at"] == [50, 200]
    assert model["accuracy"]["borrowed"] == ["", ""]


def test_a_model_without_a_step_recomputes_whatever_its_objective(made, load):
    records = [made.serve("sasrec", "serve_step", 50), made.train("sasrec", 50)]
    records += [
        made.train(name, 50, resolved={"has_step": name == "steps"}) for name in ("steps", "none")
    ]
    (setting,) = chooser(cells(load(records)))["settings"]
    found = {model["model"]: model["recomputes"] for model in setting["datasets"][0]["models"]}
    assert found == {"sasrec": False, "steps": False, "none": True}


def test_accuracy_of_each_length_comes_from_the_run_that_has_it(made, load):
    own = [made.train("sasrec", 50), made.fit("sasrec", 50, 0)]
    elsewhere = made.MACHINE | {"commit": "1" * 40}
    more = [made.fit("sasrec", at, 0, machine=elsewhere) for at in (50, 200)]
    found = cells(load(own, more))
    setting = chooser(found)["settings"][0]
    accuracy = setting["datasets"][0]["models"][0]["accuracy"]
    assert accuracy["at"] == [50, 200]
    assert accuracy["borrowed"] == ["", found[-1].run.label]
