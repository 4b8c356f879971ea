"""Peaks against allocations of known size, each in a fresh process as the suite does it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from measure import highwater, memory
from measure.memory import CudaMemory, HostMemory, make_memory

ROOT = Path(__file__).parents[2]
MIB = 2**20


def run_fresh(code):
    """The last line that a fresh process prints, parsed; with the system's default allocator."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "LD_PRELOAD"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PHASES = """
import json
from measure.memory import HostMemory
memory = HostMemory()
for name, mib in {phases}:
    with memory.phase(name):
        block = bytearray(mib * 2**20)  # zeroed by hand in large part, so each page is touched
        block[::4096] = b"x" * len(block[::4096])
        del block
values = {{name: metric.value for name, metric in memory.metrics().items()}}
print(json.dumps({{"values": values, "raw": memory.raw, "method": memory.method}}))
"""


def kernel_resets():
    """Asked of the kernel and not of the code under test, which might have stopped resetting."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return "VmHWM:" in Path("/proc/self/status").read_text()
    except OSError:
        return False


needs_reset = pytest.mark.skipif(not kernel_resets(), reason="the kernel's mark can't be reset")


@needs_reset
@pytest.mark.parametrize("mib", [64, 1024])
def test_memory_used_and_freed_inside_a_phase_is_its_peak_within_1_mib(mib):
    values = run_fresh(PHASES.format(phases=[("work", mib)]))["values"]
    assert values["memory_work"] == pytest.approx(mib * MIB, abs=1 * MIB)
    assert values["memory_peak"] == values["memory_work"]


@needs_reset
def test_phases_sum_to_the_peak_and_only_what_rises_is_charged():
    phases = [("small", 32), ("large", 128), ("smaller", 64), ("small", 160)]
    result = run_fresh(PHASES.format(phases=phases))
    values, raw = result["values"], result["raw"]
    charged = [values[f"memory_{name}"] for name in ("small", "large", "smaller")]
    assert sum(charged) == values["memory_peak"]
    assert charged == pytest.approx([64 * MIB, 96 * MIB, 0], abs=2 * MIB)
    assert raw["small"] == values["memory_baseline"] + values["memory_peak"]
    assert raw["smaller"] - values["memory_baseline"] == pytest.approx(64 * MIB, abs=1 * MIB)


@needs_reset
def test_a_peak_before_the_phase_is_not_seen():
    code = "block = bytearray(200 * 2**20)\ndel block\n" + PHASES.format(phases=[("work", 16)])
    values = run_fresh(code)["values"]
    assert values["memory_peak"] == pytest.approx(16 * MIB, abs=1 * MIB)


@needs_reset
def test_a_child_of_a_large_process_inherits_no_peak():
    held = b"x" * 2_000_000_000
    result = run_fresh(PHASES.format(phases=[("work", 8)]))
    assert len(held) == 2_000_000_000
    assert result["values"]["memory_baseline"] < 100 * MIB
    assert max(result["raw"].values()) < 100 * MIB
    assert result["values"]["memory_peak"] == pytest.approx(8 * MIB, abs=1 * MIB)


def test_sampling_sees_what_is_held_for_some_time():
    code = """
import json, time
from measure import highwater
mark = highwater.SampledMark()
before = mark.resident()
mark.start()
block = bytearray(64 * 2**20)
time.sleep(0.3)
del block
print(json.dumps([mark.stop() - before, mark.resident() - before]))
"""
    peak, left = run_fresh(code)
    assert 60 * MIB < peak < 70 * MIB
    assert left < 4 * MIB


def test_a_mark_without_reset_counts_where_it_rises_and_samples_where_not(monkeypatch):
    marks = iter([900, 1500, 1500, 1500])
    mark = highwater.RisingMark("fake", lambda: next(marks))
    monkeypatch.setattr(mark, "resident", lambda: 700)
    mark.start()
    assert mark.stop() == 1500
    mark.start()
    assert mark.stop() == 700


def test_where_the_mark_cannot_be_reset_samples_are_taken_and_the_reason_is_kept(
    monkeypatch, tmp_path
):
    if not sys.platform.startswith("linux"):
        pytest.skip("clear_refs is a file of Linux")
    monkeypatch.setattr(highwater, "_CLEAR_REFS", tmp_path / "missing" / "clear_refs")
    instrument = HostMemory()
    assert instrument.method == "psutil sampling 10 ms (lower bound)"
    assert "can't be reset" in instrument.method_reason
    with instrument.phase("work"):
        pass
    assert instrument.metrics()["memory_peak"].method == instrument.method


def test_a_mark_that_ignores_the_reset_is_found_out(monkeypatch, tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("clear_refs is a file of Linux")
    monkeypatch.setattr(highwater, "_CLEAR_REFS", tmp_path / "clear_refs")  # written, no effect
    held = tmp_path / "status"
    held.write_text("VmHWM:\t  900000 kB\nVmRSS:\t  1000 kB\n")
    monkeypatch.setattr(highwater, "_STATUS", held)
    _, reason = highwater.choose_high_water()
    assert "does not follow" in reason


def test_host_metrics_say_unit_kind_and_method():
    instrument = HostMemory()
    with instrument.phase("work"):
        pass
    metrics = instrument.metrics()
    assert list(metrics) == ["memory_baseline", "memory_work", "memory_peak"]
    for metric in metrics.values():
        assert (metric.unit, metric.better, metric.kind) == ("B", "lower", "memory_physical")
        assert metric.method == instrument.method


def test_a_phase_that_fails_keeps_its_peak():
    instrument = HostMemory()
    with pytest.raises(MemoryError), instrument.phase("work"):
        raise MemoryError
    assert instrument.raw["work"] > 0
    with instrument.phase("next"):
        pass


def test_phases_do_not_nest():
    instrument = HostMemory()
    with instrument.phase("outer"), pytest.raises(AssertionError, match="one at a time"):
        with instrument.phase("inner"):
            pass


def test_a_phase_may_not_take_the_name_of_a_total():
    with pytest.raises(ValueError, match="baseline and peak"), HostMemory().phase("peak"):
        pass


def test_an_unknown_device_is_refused_with_those_allowed():
    with pytest.raises(ValueError, match=r"tpu.*allowed are cpu, cuda"):
        make_memory("tpu")


def test_cuda_phases_add_up_from_the_allocators_counters(monkeypatch):
    torch = pytest.importorskip("torch")
    first = {"num_alloc_retries": 1, "num_ooms": 1}
    stats = iter([first, _peaks(700, 900, 1, 1), {}, _peaks(500, 1000, 3, 2)])
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 100)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 200)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda _: next(stats))
    used = iter([(3000, None), (None, "refused"), (4000, None)])
    monkeypatch.setattr(memory, "device_used_bytes", lambda _: next(used))
    instrument = CudaMemory("cuda")
    for name in ("forward", "backward"):
        with instrument.phase(name):
            pass
    metrics = instrument.metrics()
    assert {name: metric.value for name, metric in metrics.items()} == {
        "memory_baseline": 100,
        "memory_forward": 600,
        "memory_backward": 0,
        "memory_peak": 600,
        "cuda_allocated_peak": 700,
        "cuda_reserved_peak": 1000,
        "cuda_alloc_retries": 3,
        "cuda_ooms": 2,
        "device_used_peak": 4000,
    }
    assert metrics["memory_peak"].kind == "deterministic"
    assert metrics["cuda_reserved_peak"].kind == "memory_physical"


def _peaks(allocated, reserved, retries, ooms):
    return {
        "allocated_bytes.all.peak": allocated,
        "reserved_bytes.all.peak": reserved,
        "num_alloc_retries": retries,
        "num_ooms": ooms,
    }
