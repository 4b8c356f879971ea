"""NVML's readings through a stand-in for pynvml, and their absence."""

import sys
from types import SimpleNamespace

import pytest

from measure.device import device_snapshot, device_used_bytes, list_gpus


class FakeNvml:
    """Two devices; handles are their numbers."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    def __init__(self):
        self.open = 0

    def nvmlInit(self):
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlSystemGetDriverVersion(self):
        return b"570.86"

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return {"MIG-1": 1}[uuid]

    def nvmlDeviceGetUUID(self, handle):
        return ["GPU-aa5e", b"GPU-ab71"][handle]

    def nvmlDeviceGetName(self, handle):
        return ["NVIDIA A", "NVIDIA B"][handle]

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=1000 + handle, used=100 + handle)

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return 1980

    def nvmlDeviceGetTemperature(self, handle, kind):
        return 41

    def nvmlDeviceGetPowerUsage(self, handle):
        raise RuntimeError("Not Supported")

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return 700_000

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return 0x01 | 0x04 | 0x40  # idle, power cap, hardware thermal

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        raise RuntimeError("Function Not Found")


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield fake
    assert fake.open == 0, "NVML was left open"


def test_gpus_are_listed_with_name_memory_and_driver(nvml):
    assert list_gpus() == (
        [
            {"name": "NVIDIA A", "memory_bytes": 1000, "driver": "570.86"},
            {"name": "NVIDIA B", "memory_bytes": 1001, "driver": "570.86"},
        ],
        None,
    )


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1", ["NVIDIA B"]),
        ("1,0", ["NVIDIA B", "NVIDIA A"]),
        ("GPU-ab71", ["NVIDIA B"]),
        ("GPU-ab,GPU-aa", ["NVIDIA B", "NVIDIA A"]),
        ("GPU-a", []),  # of two
        ("0,GPU-c,1", ["NVIDIA A"]),
        ("MIG-1", ["NVIDIA B"]),
        ("-1", []),
        ("", []),
    ],
)
def test_devices_are_numbered_as_cuda_numbers_them(nvml, monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus, reason = list_gpus()
    assert [gpu["name"] for gpu in gpus] == names
    assert (reason is None) == bool(names)


def test_used_bytes_are_those_of_the_visible_device(nvml, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert device_used_bytes(0) == (101, None)
    assert device_used_bytes(1) == (None, "no such GPU is visible")


def test_a_snapshot_is_in_si_units_and_leaves_out_what_is_refused(nvml):
    assert device_snapshot(0) == {
        "sm_clock_hz": 1_980_000_000,
        "temperature_c": 41,
        "power_w": None,
        "power_cap_w": 700.0,
        "throttle": ["power_cap", "hardware_thermal"],
    }


def test_an_older_driver_tells_the_reasons_under_their_older_name(nvml, monkeypatch):
    reasons = nvml.nvmlDeviceGetCurrentClocksEventReasons
    refused = nvml.nvmlDeviceGetCurrentClocksThrottleReasons
    monkeypatch.setattr(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", reasons)
    monkeypatch.setattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", refused)
    assert device_snapshot(0)["throttle"] == ["power_cap", "hardware_thermal"]
    monkeypatch.delattr(FakeNvml, "nvmlDeviceGetCurrentClocksEventReasons")
    monkeypatch.delattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons")
    assert device_snapshot(0)["throttle"] == ["power_cap", "hardware_thermal"]
    monkeypatch.setattr(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", refused)
    assert device_snapshot(0)["throttle"] is None


def test_without_the_package_there_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert list_gpus() == ([], "nvidia-ml-py is not installed")
    assert device_used_bytes() == (None, "nvidia-ml-py is not installed")
    assert device_snapshot() == {"reason": "nvidia-ml-py is not installed"}


def test_without_a_driver_the_reason_is_nvmls(monkeypatch):
    def fail():
        raise RuntimeError("NVML Shared Library Not Found")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=fail))
    assert list_gpus() == ([], "NVML: NVML Shared Library Not Found")
