"""Joules against known answers: a made-up counter behind the one function that reads, and clock."""

import sys
import threading
import time
from types import SimpleNamespace

import pytest

from measure import energy, energy_source
from measure.energy import (
    EnergyMeter,
    Window,
    energy_metrics,
    estimated_metrics,
    idle_watts,
    measure_windows,
    no_energy,
)
from measure.energy_source import Source, find_source, read_hardware

COUNTER = Source("nvml_counter", "NVML total energy of the GPU")
IDLE, BUSY = 40.0, 90.0


class Machine:
    """A clock that only work and sleep move, and a counter that rises by 90 W or 40 W with it."""

    def __init__(self, start=1000.0):
        self.seconds, self.energy = 0.0, start

    def read(self, source):
        return {"energy": self.energy}

    def pass_time(self, seconds, watts):
        self.seconds += seconds
        self.energy += watts * seconds

    def work(self):
        self.pass_time(0.75, BUSY)

    def sleep(self, seconds):
        self.pass_time(seconds, IDLE)


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    monkeypatch.setattr(energy, "now", lambda: made.seconds)
    return made


def test_known_joules_gross_and_net(machine):
    with EnergyMeter(COUNTER, read=machine.read) as meter:
        idle = idle_watts(meter, sleep=machine.sleep)
        windows = measure_windows(machine.work, meter)
    assert idle == pytest.approx(IDLE)
    assert len(windows) == 5
    # 5 s are not a multiple of 0.75 s: the seventh call ends the window after 5.25 s.
    for window in windows:
        assert (window.calls, window.seconds) == (7, pytest.approx(5.25))
        assert window.joules == pytest.approx(5.25 * BUSY)
    found = energy_metrics("energy_per_epoch", windows, per=0.5, idle=idle, source=COUNTER)
    # A call of 0.75 s is half an epoch: 1.5 s an epoch.
    assert found["energy_per_epoch"].value == pytest.approx(1.5 * BUSY)
    assert found["energy_per_epoch_net"].value == pytest.approx(1.5 * (BUSY - IDLE))
    assert found["idle_power"].value == pytest.approx(IDLE)
    for metric in found.values():
        assert (metric.kind, metric.source) == ("energy", "nvml_counter")


def test_integrated_power_is_a_trapezoid(machine):
    source = Source("nvml_power_integrated", "NVML power")
    watts = iter([100.0, 100.0, 300.0])
    with EnergyMeter(source, read=lambda source: {"power": next(watts)}) as meter:
        machine.seconds = 2.0
        assert meter.joules() == pytest.approx(200.0)
        machine.seconds = 3.0
        assert meter.joules() == pytest.approx(400.0)


def test_integrated_power_is_sampled_by_a_thread_that_ends():
    source = Source("nvml_power_integrated", "NVML power")
    reads = []

    def read(source):
        reads.append(time.perf_counter())
        return {"power": 50.0}

    before = threading.active_count()
    begin = time.perf_counter()
    with EnergyMeter(source, read=read) as meter:
        entered = time.perf_counter()
        time.sleep(0.4)
        least = time.perf_counter() - entered
        joules = meter.joules()
    most = time.perf_counter() - begin
    assert len(reads) >= 4
    assert 50.0 * least <= joules <= 50.0 * most
    assert threading.active_count() == before


def test_a_counter_that_wraps_goes_on(machine):
    source = Source("rapl", "RAPL", ranges={"intel-rapl:0": 262.0, "intel-rapl:1": 262.0})
    readings = iter(
        [
            {"intel-rapl:0": 250.0, "intel-rapl:1": 10.0},
            {"intel-rapl:0": 260.0, "intel-rapl:1": 20.0},
            {"intel-rapl:0": 8.0, "intel-rapl:1": 30.0},  # package 0 turned over: 2 + 8
            {"intel-rapl:0": 18.0, "intel-rapl:1": 40.0},
        ]
    )
    with EnergyMeter(source, read=lambda source: next(readings)) as meter:
        assert [meter.joules() for _ in range(3)] == pytest.approx([20.0, 40.0, 60.0])


def test_too_few_or_too_short_windows_give_no_number():
    few = [Window(1, 40.0, 400.0)] * 3
    short = [Window(1, 4.0, 40.0)] * 5
    for windows, counted in ((few, "3 windows"), (short, "0 windows")):
        found = energy_metrics("energy_per_1k_rec", windows, per=1.0, idle=1.0, source=COUNTER)
        assert set(found) == {"energy_per_1k_rec", "energy_per_1k_rec_net"}
        for metric in found.values():
            assert metric.value is None
            assert metric.reason.startswith(f"{counted} of 5 s, 5 are needed")


def test_work_that_is_too_long_stops_early(machine):
    with EnergyMeter(COUNTER, read=machine.read) as meter:
        windows = measure_windows(lambda: machine.pass_time(50.0, BUSY), meter)
    assert len(windows) == 3


def test_net_of_a_machine_that_does_not_notice_the_work_is_no_number():
    windows = [Window(5, 5.0, 200.0)] * 5
    found = energy_metrics("energy_per_epoch", windows, per=1.0, idle=41.0, source=COUNTER)
    assert found["energy_per_epoch"].value == 40.0
    assert found["energy_per_epoch_net"].value is None


def test_an_estimate_says_that_it_is_one():
    found = estimated_metrics("energy_per_epoch", watts=65.0, seconds=2.0)
    assert found["energy_per_epoch"].value == 130.0
    assert found["energy_per_epoch"].source == "estimated_tdp"
    assert "not measured" in found["energy_per_epoch"].method
    assert found["energy_per_epoch_net"].value is None


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """Two packages with a core domain inside the first, and the whole platform beside them."""
    domains = {
        "intel-rapl:0": ("package-0", 5_000_000),
        "intel-rapl:0:0": ("core", 3_000_000),
        "intel-rapl:1": ("package-1", 7_000_000),
        "intel-rapl:2": ("psys", 99_000_000),
        "intel-rapl-mmio:0": ("package-0", 5_000_000),
    }
    for folder, (name, energy_uj) in domains.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "name").write_text(name + "\n")
        (tmp_path / folder / "energy_uj").write_text(f"{energy_uj}\n")
        (tmp_path / folder / "max_energy_range_uj").write_text("262143328850\n")
    monkeypatch.setattr(energy_source, "_POWERCAP", tmp_path)
    return tmp_path


def test_rapl_reads_each_package_once_and_nothing_inside_it(powercap):
    source = find_source("cpu")
    assert source.name == "rapl"
    assert source.ranges == {
        "intel-rapl:0": pytest.approx(262143.32885),
        "intel-rapl:1": pytest.approx(262143.32885),
    }
    assert read_hardware(source) == {"intel-rapl:0": 5.0, "intel-rapl:1": 7.0}
    with EnergyMeter(source) as meter:
        (powercap / "intel-rapl:0" / "energy_uj").write_text("6500000\n")
        assert meter.joules() == pytest.approx(1.5)


def test_rapl_that_only_root_reads_is_none_with_the_reason(powercap, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(energy_source, "_joules", refuse)
    source = find_source("cpu")
    assert source.name == "none"
    assert "readable by root only" in source.reason


def test_a_machine_without_rapl_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(energy_source, "_POWERCAP", tmp_path / "none")
    source = find_source("cpu")
    assert (source.name, "no RAPL" in source.reason) == ("none", True)
    for metric in no_energy("energy_per_epoch", source).values():
        assert metric.value is None
        assert metric.source == "none"


class Nvml:
    """One GPU; what it refuses raises."""

    def __init__(self, energy_mj=None, power_mw=None):
        self.energy_mj, self.power_mw, self.open = energy_mj, power_mw, 0

    def nvmlInit(self):
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._or_refuse(self.energy_mj)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._or_refuse(self.power_mw)

    def _or_refuse(self, value):
        if value is None:
            raise RuntimeError("Not Supported")
        return value


@pytest.mark.parametrize(
    ("gpu", "name", "reading"),
    [
        (Nvml(energy_mj=12_500, power_mw=90_000), "nvml_counter", {"energy": 12.5}),
        (Nvml(power_mw=90_000), "nvml_power_integrated", {"power": 90.0}),
        (Nvml(), "none", None),
    ],
)
def test_nvml_counts_where_it_can_and_is_left_closed(monkeypatch, gpu, name, reading):
    monkeypatch.setitem(sys.modules, "pynvml", gpu)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    source = find_source("cuda")
    assert source.name == name
    if reading is None:
        assert source.reason == "NVML: Not Supported"
    else:
        assert read_hardware(source) == reading
        with EnergyMeter(source):
            assert gpu.open == 1
    assert gpu.open == 0


def test_a_source_that_goes_away_is_an_error_and_not_a_number(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=Nvml().nvmlShutdown))
    with pytest.raises(OSError, match="NVML"):
        read_hardware(COUNTER)
