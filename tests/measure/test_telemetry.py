"""Throttling is told from snapshots with a known answer; the real snapshot is plain JSON."""

import json
import sys
from types import SimpleNamespace

import psutil
import pytest

from measure import telemetry as module
from measure.telemetry import snapshot, telemetry, throttle_reasons


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ({"cpu_clock_hz": 3e9}, {"cpu_clock_hz": 2.84e9}, ["cpu_clock_drop"]),
        ({"cpu_clock_hz": 3e9}, {"cpu_clock_hz": 2.86e9}, []),
        ({"cpu_clock_hz": 2e9}, {"cpu_clock_hz": 3e9}, []),
        ({"cpu_clock_hz": None}, {"cpu_clock_hz": None}, []),
        ({"cpu_thermal_events": 4}, {"cpu_thermal_events": 5}, ["cpu_thermal"]),
        ({"cpu_thermal_events": 4}, {"cpu_thermal_events": 4}, []),
        (
            {"gpu": {"sm_clock_hz": 1980e6, "throttle": []}},
            {"gpu": {"sm_clock_hz": 1700e6, "throttle": ["power_cap"]}},
            ["gpu_clock_drop", "gpu_power_cap"],
        ),
        ({"gpu": {"throttle": ["sync_boost"]}}, {"gpu": {"throttle": None}}, ["gpu_sync_boost"]),
        ({"gpu": {"reason": "NVML: gone"}}, {"gpu": {"reason": "NVML: gone"}}, []),
    ],
)
def test_a_block_is_throttled_for_a_reason_only(before, after, reasons):
    assert throttle_reasons(before, after) == reasons


def test_a_block_is_read_before_and_after(monkeypatch):
    readings = iter([{"cpu_clock_hz": 3e9}, {"cpu_clock_hz": 2e9}])
    monkeypatch.setattr(module, "snapshot", lambda device: next(readings))
    with telemetry() as seen:
        assert seen.after == {}
    assert seen.before == {"cpu_clock_hz": 3e9}
    assert "throttled" in seen.flags
    assert seen.to_dict()["throttle"] == ["cpu_clock_drop"]


def test_a_block_that_fails_is_read_all_the_same():
    def fail():
        with telemetry() as seen:
            told.append(seen)
            raise RuntimeError("gone")

    told = []
    with pytest.raises(RuntimeError, match="gone"):
        fail()
    assert "cpu_clock_hz" in told[0].after


def test_the_gpu_is_read_before_its_clock_falls(monkeypatch):
    read = []
    for name in ("device_snapshot", "_cpu_clock", "_cpu_temperature", "_thermal_events"):
        monkeypatch.setattr(module, name, lambda *given, name=name: read.append((name, *given)))
    assert "gpu" in snapshot("cuda:1") or read  # the stand-in gives None
    assert read[0] == ("device_snapshot", 1)
    read.clear()
    assert "gpu" not in snapshot("cpu")
    assert ("device_snapshot",) not in [entry[:1] for entry in read]


def test_a_real_snapshot_is_plain_json_in_si_units():
    found = snapshot()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert "gpu" not in found
    clock = found["cpu_clock_hz"]
    assert clock is None or 1e8 < clock < 1e10
    assert "gpu" in snapshot("cuda")


def test_the_fastest_core_and_the_hottest_sensor_count(monkeypatch):
    cores = [SimpleNamespace(current=800.0), SimpleNamespace(current=3400.0)]
    sensors = {"coretemp": [SimpleNamespace(current=51.0), SimpleNamespace(current=67.0)],
               "nvme": [SimpleNamespace(current=80.0)]}  # fmt: skip
    monkeypatch.setattr(psutil, "cpu_freq", lambda percpu: cores)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors, raising=False)
    assert snapshot()["cpu_clock_hz"] == 3.4e9
    assert snapshot()["cpu_temperature_c"] == 67.0


def test_the_kernels_thermal_events_are_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_CPUS", tmp_path)
    assert snapshot()["cpu_thermal_events"] is None
    for cpu, count in enumerate([3, 4]):
        folder = tmp_path / f"cpu{cpu}" / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(f"{count}\n")
    assert snapshot()["cpu_thermal_events"] == 7


def test_the_distance_of_cores_is_asked_where_kernels_are_loaded(monkeypatch):
    monkeypatch.setattr(module, "core_distance", lambda: 4e-8)
    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace())
    assert snapshot()["core_distance_s"] == 4e-8
    monkeypatch.delitem(sys.modules, "numba")
    assert snapshot()["core_distance_s"] is None
