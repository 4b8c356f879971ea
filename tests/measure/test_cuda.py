"""The instruments on a real GPU: allocations of known size, waiting for the device, NVML."""

import pytest

from measure import clock
from measure.device import device_used_bytes, list_gpus
from measure.machine import describe_machine
from measure.memory import make_memory

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
