"""The instruments on a real GPU: allocations of known size, waiting for the device, NVML."""

import pytest

from measure import clock
from measure.device import device_used_bytes, list_gpus
from measure.energy import EnergyMeter, idle_watts, measure_windows
from measure.energy_source import find_source
from measure.machine import describe_machine
from measure.memory import make_memory
from measure.roofline import measure_peak

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

MIB = 2**20


def test_64_mib_allocated_and_freed_are_the_phases_peak_exactly():
    memory = make_memory("cuda")
    for name, mib in (("small", 64), ("large", 256), ("none", 0)):
        with memory.phase(name):
            block = torch.empty(mib * MIB, dtype=torch.uint8, device="cuda")
            del block
    values = {name: metric.value for name, metric in memory.metrics().items()}
    assert values["memory_small"] == 64 * MIB
    assert values["memory_large"] == (256 - 64) * MIB
    assert values["memory_none"] == 0
    assert values["memory_peak"] == 256 * MIB
    assert values["cuda_reserved_peak"] >= values["cuda_allocated_peak"] >= 256 * MIB


def test_the_device_uses_more_than_the_allocator_reserves():
    memory = make_memory("cuda")
    with memory.phase("work"):
        block = torch.ones(64 * MIB, dtype=torch.uint8, device="cuda")
    metrics = memory.metrics()
    if metrics["device_used_peak"].value is None:
        pytest.skip(metrics["device_used_peak"].reason)
    assert metrics["device_used_peak"].value > metrics["cuda_reserved_peak"].value
    assert block.numel() == 64 * MIB


def test_a_watch_waits_for_what_was_launched():
    matrix = torch.randn(4096, 4096, device="cuda")
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    clock.until_steady(lambda: matrix @ matrix, device="cuda")
    with clock.Stopwatch("cuda") as watch:
        start.record()
        for _ in range(20):
            matrix @ matrix
        end.record()
    assert watch.seconds >= start.elapsed_time(end) / 1000


def test_the_description_names_the_gpu_and_its_driver():
    gpus, reason = list_gpus()
    if not gpus:
        pytest.skip(reason)
    machine = describe_machine(device="cuda")
    assert machine["gpus"][0]["name"] == torch.cuda.get_device_name(0)
    assert machine["gpus"][0]["memory_bytes"] > 0
    assert device_used_bytes(0)[0] > 0


def test_a_busy_gpu_takes_more_than_an_idle_one():
    source = find_source("cuda")
    assert source.name in ("nvml_counter", "nvml_power_integrated"), source.reason
    block = torch.randn(4096, 4096, device="cuda")
    with EnergyMeter(source) as meter:
        idle = idle_watts(meter, seconds=2.0)
        (window,) = measure_windows(lambda: block @ block, meter, device="cuda", count=1)
    assert window.seconds >= 5
    assert window.joules / window.seconds > idle > 0


def test_the_peaks_of_a_gpu_are_those_of_a_gpu():
    peak = measure_peak("cuda", "float32")
    assert peak.flops_per_second > 1e12
    assert peak.bandwidth(2**30) > 1e11


def test_events_in_the_stream_say_less_than_the_host_that_waits():
    left = torch.rand(2048, 2048, device="cuda")
    _ = left @ left
    events = clock.StreamEvents("cuda")
    with clock.Stopwatch("cuda") as watch:
        events.begin()
        for _ in range(20):
            _ = left @ left
        events.end()
    assert 0 < events.seconds() <= watch.seconds
