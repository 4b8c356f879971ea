"""Records go through JSON unchanged; what is no record is refused in one line."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from measure.record import (
    SCHEMA,
    STATUSES,
    Metric,
    Record,
    RecordError,
    dumps,
    from_dict,
    loads,
    not_measured,
)

FACTS = {"unit": "s", "better": "lower", "kind": "time", "method": "median of perf_counter_ns"}


@pytest.fixture
def record():
    return Record(
        cell_id="sasrec-ml_1m-train_epoch-L50",
        key="0123456789abcdef",
        config={"model": "sasrec", "seq_len": 50},
        status="ok",
        metrics={
            "epoch_time": Metric(1.5, **FACTS, n=3, lo=1.25, hi=2.0),
            "energy": not_measured("no counter", unit="J", better="lower", kind="energy"),
        },
        samples={"epoch_s": [1.25, 1.5, 2.0]},
        flags=["contended"],
        started="2026-01-01T00:00:00Z",
        wall_s=12.5,
    )


def test_a_record_survives_the_round_trip(record):
    assert loads(dumps(record)) == record
    assert loads(dumps(record).encode()) == record


def test_equal_records_are_written_as_equal_text(record):
    text = dumps(record)
    assert dumps(loads(text)) == text
    assert text.endswith("}\n")
    assert list(json.loads(text)) == sorted(json.loads(text))


@pytest.mark.parametrize("field", ["value", "lo", "hi"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_not_finite_is_refused(field, number):
    with pytest.raises(RecordError, match="only finite numbers"):
        Metric(**({"value": 1.0} | FACTS | {field: number}))


@pytest.mark.parametrize("field", ["unit", "method", "reason", "source", "peak_source"])
def test_a_metric_whose_text_is_none_is_refused_by_its_field(field):
    with pytest.raises(RecordError, match=f"^{field}=7 in a metric is not a text"):
        Metric(**({"value": 1.0} | FACTS | {field: 7}))


def test_outliers_are_kept_and_a_metric_may_be_without(record):
    beyond = {"mild": 3, "severe": 1}
    record.metrics["fenced"] = Metric(1.0, **FACTS, outliers=beyond)
    written = json.loads(dumps(record))["metrics"]
    assert written["fenced"]["outliers"] == beyond
    assert [name for name, metric in written.items() if "outliers" in metric] == ["fenced"]
    assert loads(dumps(record)) == record


@pytest.mark.parametrize(
    "given", [3, [3, 1], {"mild": 3}, {"mild": 3, "severe": -1}, {"mild": 3, "severe": 0.5}]
)
def test_outliers_that_are_no_counts_are_refused(given):
    with pytest.raises(RecordError, match="outliers of a metric"):
        Metric(1.0, **FACTS, outliers=given)


def test_nan_among_the_samples_is_not_written(record):
    record.samples["epoch_s"].append(float("nan"))
    with pytest.raises(ValueError, match="Out of range"):
        dumps(record)


def test_a_metric_without_a_value_needs_a_reason():
    with pytest.raises(RecordError, match="needs a reason"):
        Metric(None, **FACTS)
    assert not_measured("no GPU", unit="s", better="lower", kind="time").reason == "no GPU"


@pytest.mark.parametrize(("field", "wrong"), [("better", "smaller"), ("kind", "speed")])
def test_an_unknown_word_is_refused_with_those_allowed(field, wrong):
    with pytest.raises(RecordError, match=f"'{wrong}': allowed are"):
        Metric(1.0, **(FACTS | {field: wrong}))


def test_an_unknown_status_is_refused():
    with pytest.raises(RecordError, match="'fine': allowed are ok, oom"):
        Record("c", "k", {}, "fine")


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "ok"])
def test_a_status_other_than_ok_needs_a_reason(status):
    with pytest.raises(RecordError, match="needs a reason"):
        Record("c", "k", {}, status)
    assert Record("c", "k", {}, status, "because").reason == "because"


@pytest.mark.parametrize("schema", ["seqrec-bench/cell/2", "another/1", None])
def test_an_unknown_schema_is_refused_by_name(record, schema):
    with pytest.raises(RecordError, match=rf"schema .*{schema}.* is not known") as caught:
        from_dict(record.to_dict() | {"schema": schema})
    assert SCHEMA in str(caught.value)


def test_fields_of_a_later_minor_version_are_ignored(record):
    content = record.to_dict()
    content["mood"] = "good"
    content["metrics"]["epoch_time"]["colour"] = "red"
    assert from_dict(content) == record


@pytest.mark.parametrize("text", ["", "no json", "{", b"\xff\xfe\x00", "[" * 100_000, '{"a": 1,}'])
def test_what_is_not_json_is_refused_in_one_line(text):
    with pytest.raises(RecordError, match="not JSON") as caught:
        loads(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"'])
def test_json_that_is_no_object_is_refused(text):
    with pytest.raises(RecordError, match="a record is a JSON object"):
        loads(text)


@pytest.mark.parametrize(
    "content",
    [
        {"schema": SCHEMA},
        {"schema": SCHEMA, "metrics": [1]},
        {"schema": SCHEMA, "metrics": {"a": 1}},
        {"schema": SCHEMA, "metrics": {"a": {"value": 1.0}}},
    ],
)
def test_an_object_that_is_no_record_is_refused(content):
    with pytest.raises(RecordError, match="not a cell record"):
        from_dict(content)


def test_values_are_found_by_name_and_missing_ones_are_none(record):
    assert record.value("epoch_time") == 1.5
    assert record.value("energy") is None
    assert record.value("absent") is None


def test_a_summary_holds_plain_numbers_and_words_only(record):
    summary = record.summary()
    assert summary == {
        "cell_id": "sasrec-ml_1m-train_epoch-L50",
        "status": "ok",
        "epoch_time": 1.5,
        "energy": None,
    }


def test_a_record_cannot_be_changed(record):
    with pytest.raises(FrozenInstanceError):
        record.status = "error"


def test_reading_records_imports_neither_torch_nor_numpy():
    code = (
        "import sys, measure.record;"
        "assert not {'torch', 'numpy', 'psutil'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
