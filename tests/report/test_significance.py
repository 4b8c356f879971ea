"""Differences of accuracy are told apart by seeds and by users, and p-values are Holm's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from report.load import load_runs
from report.significance import contrasts, holm_adjusted, paired_test, user_ndcg


def accuracy(made, value):
    return made.Metric(value, "1", "higher", "accuracy", "full ranking", n=943)


def fits(made, scores):
    """Records of (model, scores by seed)."""
    return [
        made.fit(model, 50, seed, metrics={"ndcg@10": accuracy(made, score)})
        for model, by_seed in scores.items()
        for seed, score in enumerate(by_seed)
    ]


def test_holms_p_values_are_those_of_the_definition() -> None:
    assert holm_adjusted([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm_adjusted([0.9, 0.5]) == [1.0, 1.0]
    assert holm_adjusted([]) == []


def test_the_paired_test_is_scipys_and_has_its_interval() -> None:
    one, other = np.array([1.0, 2.0, 3.5, 4.0]), np.array([0.5, 1.9, 3.0, 3.2])
    found = paired_test(one, other)
    assert found is not None
    assert found.p == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert found.difference == pytest.approx(0.475)
    assert found.low < found.difference < found.high
    assert paired_test([1.0], [2.0]) is None
    with pytest.raises(ValueError, match="2 and 1 values"):
        paired_test([1.0, 2.0], [1.0])


def test_equal_rows_do_not_differ_and_constant_shifts_do() -> None:
    row = np.arange(5.0)
    same, shifted = paired_test(row[:2], row[:2]), paired_test(row + 0.5, row)
    assert same is not None
    assert shifted is not None
    assert (same.p, shifted.p) == (1.0, 0.0)


def test_a_few_seeds_that_are_all_alike_are_chance_and_no_certainty(made, run_json) -> None:
    row = np.arange(4.0)
    assert paired_test(row + 0.5, row) is None
    records = fits(made, {"sasrec": [0.10, 0.12, 0.14], "gru4rec": [0.09, 0.11, 0.13]})
    (contrast,) = contrasts(load_runs([run_json(records)]))
    assert contrast.seeds is None
    assert contrast.why_no_seeds == "3 seeds, all alike: that may be chance"
    assert not contrast.distinguishable


def test_the_ndcg_of_a_user_is_that_of_the_rank_of_its_one_item() -> None:
    assert user_ndcg([1, 3, 10, 10.5, 400]).tolist() == pytest.approx(
        [1.0, 0.5, 1 / np.log2(11), 0.0, 0.0]
    )


def test_a_large_difference_is_told_apart_over_seeds_and_a_small_one_is_not(made, run_json):
    records = fits(
        made,
        {
            "sasrec": [0.150, 0.152, 0.151, 0.149],
            "gru4rec": [0.120, 0.123, 0.121, 0.120],
            "mamba4rec": [0.151, 0.148, 0.152, 0.150],
        },
    )
    found = {(c.first, c.second): c for c in contrasts(load_runs([run_json(records)]))}
    assert found["SASRec", "GRU4Rec"].distinguishable
    assert found["SASRec", "GRU4Rec"].seeds.count == 4
    assert not found["Mamba4Rec", "SASRec"].distinguishable
    assert found["SASRec", "GRU4Rec"].difference == pytest.approx(0.0295)


def test_seeds_are_paired_by_their_number(made, run_json):
    one = fits(made, {"sasrec": [0.10, 0.12, 0.1401]})
    other = fits(made, {"gru4rec": [0.09, 0.11, 0.13]})
    (contrast,) = contrasts(load_runs([run_json([*one, *other[::-1]])]))
    assert contrast.seeds.low == pytest.approx(0.01, abs=2e-4)
    assert contrast.seeds.high == pytest.approx(0.01, abs=2e-4)


def test_one_seed_allows_no_test_over_seeds_and_it_is_said(made, run_json):
    (contrast,) = contrasts(load_runs([run_json(fits(made, {"sasrec": [0.15], "gru4rec": [0.1]}))]))
    assert contrast.seeds is None
    assert contrast.why_no_seeds == "seeds in common: 1; a test needs 2"
    assert contrast.why_no_users == "the ranks of users are not kept beside the records"
    assert not contrast.distinguishable


def test_users_are_paired_by_the_ranks_beside_a_run_folder(made, tmp_path):
    records = fits(made, {"sasrec": [0.5, 0.6], "gru4rec": [0.2, 0.31]})
    folder = made.write_folder(tmp_path / "run", records)
    random = np.random.default_rng(0)
    (folder / "raw").mkdir()
    for record in records:
        ranks = random.integers(1, 6 if record.config["model"] == "sasrec" else 30, 300)
        np.savez(folder / "raw" / f"{record.cell_id}.npz", test_rank=ranks.astype(float))
    (contrast,) = contrasts(load_runs([folder]))
    assert contrast.users.count == 300
    assert contrast.users.difference > 0.2
    assert contrast.users.p < 1e-6
    # Two seeds alone can't tell them apart, and both are asked.
    assert contrast.distinguishable == (contrast.seeds.p < 0.05)


def test_a_broken_file_of_ranks_is_as_none(made, tmp_path):
    records = fits(made, {"sasrec": [0.5, 0.6], "gru4rec": [0.2, 0.3]})
    folder = made.write_folder(tmp_path / "run", records)
    (folder / "raw").mkdir()
    (folder / "raw" / f"{records[0].cell_id}.npz").write_bytes(b"PK\x03\x04 broken")
    (contrast,) = contrasts(load_runs([folder]))
    assert contrast.users is None


def test_equal_models_are_told_apart_in_five_of_a_hundred_cases_at_most() -> None:
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(400):
        rows = random.normal(0.1, 0.01, (3, 5))
        ps = [paired_test(rows[i], rows[j]).p for i, j in ((0, 1), (0, 2), (1, 2))]  # type: ignore[union-attr]
        alarms += min(holm_adjusted(ps)) < 0.05
    assert alarms / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
