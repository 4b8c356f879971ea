"""What this machine can measure, one finding a line, and what to do where something is missing.

`diagnose(...)` asks the same parts of measure/ that take the numbers, so that what it says is what
a record will say.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import data
from bench.memory_limit import default_limit, limited
from data.dataset import PublishedLog
from measure.allocator import describe_allocator, keep_memory_environment
from measure.contention import OTHERS_LIMIT_PERCENT, STEAL_LIMIT_PERCENT
from measure.device import device_snapshot, list_gpus
from measure.energy_source import find_source
from measure.highwater import ResettableMark, choose_high_water
from measure.machine import describe_machine
from measure.noise import Noise, measure_noise, timer_resolution
from measure.processor import logical_cores, physical_cores
from measure.telemetry import snapshot

State = Literal["ok", "limited", "missing"]
ROOT = Path(__file__).resolve().parent.parent
_LEAST_DISK = 2**30
_QUIET = 0.03  # the spread that a comparison of 10% can live with
_OPS = ROOT / "models" / "ops" / "__pycache__"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        found: a line for people.
        advice: what to do about it; empty where there is nothing to do.
        facts: the same for machines.
    """

    name: str
    state: State
    found: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def diagnose(*, seconds: float, results: Path, data_dir: Path | None) -> Iterator[Finding]:
    """All findings in the order of the screen; the noise, which takes `seconds`, comes last."""
    machine = describe_machine()
    yield _processor(machine)
    yield _torch(machine)
    yield _gpu()
    yield from _kernels()
    yield _kernel_cache()
    yield _energy("cpu")
    if list_gpus()[0]:
        yield _energy("cuda")
    yield _memory_method()
    yield _memory_limit()
    yield _allocator()
    yield _timer()
    yield _telemetry()
    yield _disk(results)
    yield _data(data_dir)
    noise = measure_noise(seconds)
    yield _noise(noise, seconds)
    yield _contended(noise)


def _processor(machine: dict[str, Any]) -> Finding:
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    allowed = "all" if cpus is None else ",".join(map(str, cpus))
    found = (
        f"{machine['cpu_model']}; {physical_cores()} cores allotted, {logical_cores()} processors"
        f" ({allowed}), {machine['threads']} threads by default"
    )
    facts = {"cpus": cpus, "threads": machine["threads"], "fingerprint": machine["fingerprint"]}
    facts |= {"cpu_model": machine["cpu_model"], "physical_cores": physical_cores()}
    if machine["threads"] > physical_cores():
        advice = f"OMP_NUM_THREADS={machine['threads']} is more than the cores: unset it"
        return Finding("processor", "limited", found, advice, facts)
    return Finding("processor", "ok", found, facts=facts)


def _torch(machine: dict[str, Any]) -> Finding:
    facts = {name: machine[name] for name in ("torch", "torch_build", "cuda", "torch_blas")}
    if machine["torch"] is None:
        return Finding("PyTorch", "missing", "not installed", "pip install -e .", facts)
    found = f"{machine['torch']}, build {machine['torch_build']}, BLAS {machine['torch_blas']}"
    if machine["gpus"] and machine["torch_build"] == "cpu":
        advice = "this build cannot use the GPU: install PyTorch for CUDA (pytorch.org)"
        return Finding("PyTorch", "limited", found, advice, facts)
    return Finding("PyTorch", "ok", found, facts=facts)


def _gpu() -> Finding:
    gpus, reason = list_gpus()
    facts: dict[str, Any] = {"gpus": gpus, "reason": reason}
    if not gpus:
        advice = "CPU cells are not affected; a GPU needs NVIDIA's driver"
        return Finding("GPU", "missing", reason or "none", advice, facts)
    facts["snapshot"] = seen = device_snapshot()
    names = ", ".join(f"{gpu['name']}, {gpu['memory_bytes'] / 2**30:.0f} GiB" for gpu in gpus)
    throttle = seen.get("throttle")
    if throttle:
        advice = f"throttled now ({', '.join(throttle)}): let it cool, or look at its power cap"
        return Finding("GPU", "limited", names, advice, facts)
    return Finding("GPU", "ok", names, facts=facts)


def _kernels() -> Iterator[Finding]:
    from models.ops.backend import BackendUnavailable, resolve, versions

    advice = {
        "numba": "pip install -e . (numba)",
        "cuda": 'pip install -e ".[cuda]" --no-build-isolation, with a GPU (README: A GPU)',
    }
    for name, device in (("reference", "cpu"), ("numba", "cpu"), ("cuda", "cuda")):
        try:
            resolve(name, device)
            found = versions(name)
        except (BackendUnavailable, importlib.metadata.PackageNotFoundError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            yield Finding(f"kernels: {name}", "missing", reason, advice.get(name, ""))
            continue
        text = ", ".join(f"{package} {version}" for package, version in found.items())
        yield Finding(f"kernels: {name}", "ok", text, facts=found)


def _kernel_cache() -> Finding:
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or _OPS)
    kept = len(list(folder.rglob("*.nbi"))) if folder.is_dir() else 0
    facts = {"kernels": kept, "writable": os.access(folder if folder.is_dir() else ROOT, os.W_OK)}
    if not facts["writable"]:
        advice = "every worker compiles anew: set NUMBA_CACHE_DIR to a folder that can be written"
        return Finding("Numba's cache", "limited", "can't be written", advice, facts)
    if not kept:
        advice = "nothing to do: the first run compiles, about a minute, and keeps them"
        return Finding("Numba's cache", "limited", "empty", advice, facts)
    return Finding("Numba's cache", "ok", f"{kept} compiled kernels are kept", facts=facts)


def _energy(device: str) -> Finding:
    source = find_source(device)
    name = f"energy: {device}"
    facts = {"source": source.name, "reason": source.reason}
    if source.name == "none":
        advice = "joules stay empty; --energy estimate=WATTS gives an estimate, marked so"
        return Finding(name, "missing", source.reason, advice, facts)
    return Finding(name, "ok", f"{source.name}: {source.reason}", facts=facts)


def _memory_method() -> Finding:
    mark, reason = choose_high_water()
    facts = {"method": mark.method, "reason": reason}
    if isinstance(mark, ResettableMark):
        return Finding("memory", "ok", mark.method, facts=facts)
    advice = f"{reason}; peaks by phase are exact on Linux outside such sandboxes"
    return Finding("memory", "limited", mark.method, advice, facts)


def _memory_limit() -> Finding:
    size = default_limit()
    with limited(size) as limit:
        facts = {"bytes": size, "method": limit.method, "reason": limit.reason}
    found = f"workers hold {size / 2**30:.1f} GiB at most, by {facts['method']}"
    if facts["method"] == "none":
        advice = f"{facts['reason']}: a cell that needs more may take the machine with it"
        return Finding("memory limit", "missing", found, advice, facts)
    if facts["reason"]:
        advice = f"{facts['reason']}; the limit counts what is reserved, not what is resident"
        return Finding("memory limit", "limited", found, advice, facts)
    return Finding("memory limit", "ok", found, facts=facts)


def _allocator() -> Finding:
    now = describe_allocator()
    facts = {"here": now, "timed_workers": keep_memory_environment()}
    if now.startswith("unknown"):
        advice = "freed memory may go back to the system at once: times may vary by half"
        return Finding("allocator", "limited", now, advice, facts)
    return Finding("allocator", "ok", f"{now}; timed workers keep freed memory", facts=facts)


def _timer() -> Finding:
    step = timer_resolution()
    found = f"perf_counter_ns, steps of {step * 1e9:.0f} ns"
    facts = {"seconds": step}
    if step > 1e-6:
        advice = "requests shorter than a thousand steps are not resolved: raise --batch-size"
        return Finding("timer", "limited", found, advice, facts)
    return Finding("timer", "ok", found, facts=facts)


def _telemetry() -> Finding:
    seen = snapshot()
    # How far two cores are apart says nothing of throttling.
    missing = [n for n, value in seen.items() if value is None and n != "core_distance_s"]
    found = ", ".join(name for name, value in seen.items() if value is not None) or "nothing"
    if missing:
        advice = f"not readable here: {', '.join(missing)}; throttling may go unnoticed"
        return Finding("telemetry", "limited", found, advice, seen)
    return Finding("telemetry", "ok", found, facts=seen)


def _disk(results: Path) -> Finding:
    folder = next(p for p in (results, *results.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    facts = {"free_bytes": free, "writable": os.access(folder, os.W_OK)}
    found = f"{free / 2**30:.1f} GiB free for results"
    if not facts["writable"]:
        advice = "the folder can't be written: name another by --results-dir"
        return Finding("disk", "missing", found, advice, facts)
    if free < _LEAST_DISK:
        return Finding("disk", "limited", found, "make room: weights and samples are kept", facts)
    return Finding("disk", "ok", found, facts=facts)


def _data(data_dir: Path | None) -> Finding:
    cache = data.default_cache_dir()
    here: list[str] = []
    away: list[str] = []
    for name in data.names():
        dataset = importlib.import_module(f"data.{name}").DATASET
        if not isinstance(dataset, PublishedLog):
            here.append(name)  # made, not downloaded
        else:
            (here if dataset.is_at_hand(data_dir, cache) else away).append(name)
    facts = {"found": here, "to_download": away}
    if away:
        advice = f"{', '.join(away)}: downloaded when named, or put them into --data-dir"
        return Finding("data", "limited", ", ".join(here), advice, facts)
    return Finding("data", "ok", ", ".join(here), facts=facts)


def _noise(noise: Noise, seconds: float) -> Finding:
    found = (
        f"equal work spreads by {noise.spread:.1%}, slowest hundredth {noise.tail:.2f} x"
        f" ({noise.calls} calls in {seconds:g} s)"
    )
    facts = {"spread": noise.spread, "tail": noise.tail, "calls": noise.calls}
    if noise.spread > _QUIET:
        advice = f"over {_QUIET:.0%}: close other programs, fix the clock, take more rounds"
        return Finding("noise", "limited", found, advice, facts)
    return Finding("noise", "ok", found, facts=facts)


def _contended(noise: Noise) -> Finding:
    reading = noise.contention
    others, steal = reading.others_percent, reading.steal_percent
    facts = {"others_percent": others, "steal_percent": steal, "load": reading.load_after}
    parts = [f"others {others:.1f}%"] if others is not None else []
    parts += [f"steal {steal:.1f}%"] if steal is not None else []
    found = ", ".join([*parts, f"load {reading.load_after}"])
    if reading.flags:
        advice = (
            f"over {OTHERS_LIMIT_PERCENT:g}% or steal over {STEAL_LIMIT_PERCENT:g}%: cells would"
            " be flagged; wait, or choose --cpus"
        )
        return Finding("contended", "limited", found, advice, facts)
    return Finding("contended", "ok", found, facts=facts)
