"""The allocator's settings: described as they are in force, and with the effect they promise."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from measure.allocator import keep_memory_environment

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="these settings are glibc's"
)


def _transparent_huge_pages():
    try:
        return Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return "[never]"


def run_with(settings, code):
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))
    }
    done = subprocess.run(
        [sys.executable, "-c", "import json\n" + code],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": str(ROOT)} | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


DESCRIBE = (
    "from measure.allocator import describe_allocator; print(json.dumps(describe_allocator()))"
)
FAULTS = """
import resource
def use():
    block = bytearray(32 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""


@pytest.mark.parametrize(
    ("settings", "description"),
    [
        ({}, "glibc, defaults"),
        (keep_memory_environment(), "glibc, memory kept, huge pages"),
        ({"MALLOC_ARENA_MAX": "1"}, "glibc, MALLOC_ARENA_MAX=1"),
        (
            keep_memory_environment() | {"MALLOC_ARENA_MAX": "1"},
            "glibc, memory kept, huge pages, MALLOC_ARENA_MAX=1",
        ),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, "glibc, glibc.malloc.arena_max=1"),
        ({"MALLOC_MMAP_MAX_": "0"}, "glibc, MALLOC_MMAP_MAX_=0"),
        ({"LD_PRELOAD": "/nowhere/libjemalloc.so.2"}, "glibc, defaults"),
    ],
)
def test_the_description_is_what_is_in_force(settings, description):
    assert run_with(settings, DESCRIBE) == description


def test_tunables_that_the_user_set_stay(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
    expected = "glibc, memory kept, huge pages, glibc.malloc.arena_max=1"
    assert run_with(keep_memory_environment(), DESCRIBE) == expected


def test_settings_made_after_the_start_are_not_believed():
    code = "import os; os.environ['MALLOC_ARENA_MAX'] = '1'\n" + DESCRIBE
    assert run_with({}, code) == "glibc, defaults"


HUGE = """
from pathlib import Path
block = bytearray(64 * 2**20)
block[::4096] = b"x" * len(block[::4096])
rollup = Path("/proc/self/smaps_rollup").read_text()
print(json.dumps(int(rollup.partition("AnonHugePages:")[2].split()[0]) // 1024))
"""


@pytest.mark.skipif(
    platform.libc_ver()[1] < "2.35" or "[never]" in _transparent_huge_pages(),
    reason="huge pages are switched off here, or this glibc does not ask for them",
)
def test_kept_memory_is_in_huge_pages():
    assert run_with(keep_memory_environment(), HUGE) >= 32


def test_memory_that_is_kept_is_not_faulted_in_again():
    assert run_with({}, FAULTS) > 5 * 1000
    assert run_with(keep_memory_environment(), FAULTS) < 1000
