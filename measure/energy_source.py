"""What counts joules here: NVML for a GPU, RAPL for a processor, else nothing, and why.

`find_source(device)` chooses, `read_hardware(source)` is the one function that reads. Nothing is
guessed. Energies of two sources are not comparable: NVML's is the GPU board's, RAPL's the processor
packages', and neither has the rest of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from measure.device import device_energy, device_index, device_power

SOURCES = ("nvml_counter", "nvml_power_integrated", "rapl", "estimated_tdp", "none")
_POWERCAP = Path("/sys/class/powercap")

# What is read: counter -> joules so far, or for integrated power {"power": watts}.
Reading = Mapping[str, float]


@dataclass(frozen=True)
class Source:
    """What counts energy here.

    Args:
        name: one of SOURCES.
        reason: why there is none, or how it counts.
        index: the GPU's number among the visible ones.
        ranges: RAPL's domains by folder name -> joules after which the counter starts again at 0.
    """

    name: str
    reason: str
    index: int = 0
    ranges: Mapping[str, float] = field(default_factory=dict)


def find_source(device: str) -> Source:
    """The best energy source for work on a device: "cpu", "cuda" or "cuda:<index>"."""
    return _find_nvml(device_index(device)) if device.startswith("cuda") else _find_rapl()


def read_hardware(source: Source) -> Reading:
    """The one function that reads hardware: joules so far of each counter, or the power in watts.

    Raises OSError where a source that could be read before no longer can.
    """
    if source.name == "rapl":
        return {name: _joules(_POWERCAP / name / "energy_uj") for name in source.ranges}
    reading = device_power if source.name == "nvml_power_integrated" else device_energy
    value, reason = reading(source.index)
    if value is None:
        raise OSError(reason)
    return {"power" if reading is device_power else "energy": value}


def _find_nvml(index: int) -> Source:
    joules, reason = device_energy(index)
    if joules is not None:
        return Source("nvml_counter", "NVML total energy of the GPU", index)
    watts, _ = device_power(index)
    if watts is not None:
        return Source("nvml_power_integrated", "NVML power of the GPU, read each 50 ms", index)
    return Source("none", reason or "NVML gave no reading")


def _find_rapl() -> Source:
    # Packages only: what lies inside one (core, dram) is or is not part of it, by the model.
    packages = [
        path
        for path in sorted(_POWERCAP.glob("intel-rapl:*"))
        if path.name.count(":") == 1 and _text(path / "name").startswith("package")
    ]
    if not packages:
        return Source("none", f"no RAPL: {_POWERCAP} has no package (virtual machines hide it)")
    try:
        ranges = {path.name: _joules(path / "max_energy_range_uj") for path in packages}
        for path in packages:
            _joules(path / "energy_uj")
    except PermissionError as error:
        return Source("none", f"{error.filename} is readable by root only; root can chmod a+r it")
    except (OSError, ValueError) as error:
        return Source("none", f"RAPL cannot be read: {error}")
    return Source("rapl", f"RAPL, {len(ranges)} processor package(s)", ranges=ranges)


def _joules(path: Path) -> float:
    return int(path.read_text()) * 1e-6


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
