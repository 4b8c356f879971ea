"""The description is plain JSON without torch, and its fingerprint moves with hard keys only."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from measure import processor, torch_build
from measure.machine import HARD_KEYS, describe_machine, fingerprint, hard_keys

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def machine():
    return describe_machine(threads=2)


def test_a_description_is_plain_json(machine):
    assert json.loads(json.dumps(machine, allow_nan=False)) == machine


def test_a_description_holds_what_a_reader_needs(machine):
    for name in ("os", "arch", "cpu_model", "python", "fingerprint_name"):
        assert machine[name], name
    assert machine["memory_bytes"] > 2**28
    assert 1 <= machine["physical_cores"] <= machine["logical_cores"]
    assert {"kernel", "hostname_hash", "hypervisor", "governor"} <= machine["soft"].keys()
    assert machine["gpus"] or machine["gpus_reason"]


def test_the_host_is_told_apart_but_not_named(machine, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "secret-host-name")
    renamed = describe_machine(threads=2)
    assert "secret-host-name" not in json.dumps(renamed)
    assert renamed["soft"]["hostname_hash"] != machine["soft"]["hostname_hash"]
    assert renamed["fingerprint"] == machine["fingerprint"]


def test_torch_is_described_without_being_imported_and_the_same_as_when_it_is():
    torch = pytest.importorskip("torch")
    code = (
        "import sys, json; from measure.machine import describe_machine;"
        "m = describe_machine(threads=2); assert 'torch' not in sys.modules;"
        "print(json.dumps(m))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    without = json.loads(done.stdout)
    with_torch = describe_machine(threads=2)
    assert without["torch"] == torch.__version__
    assert without["cuda"] == torch.version.cuda
    assert without["blas"] == []
    assert with_torch["blas"]
    assert without["fingerprint"] == with_torch["fingerprint"]


def test_the_fingerprint_is_stable_and_ends_the_readable_name(machine):
    again = describe_machine(threads=2)
    assert again["fingerprint"] == machine["fingerprint"] == fingerprint(machine)
    assert len(machine["fingerprint"]) == 12
    assert machine["fingerprint_name"].endswith("-" + machine["fingerprint"])
    assert set(hard_keys(machine)) == set(HARD_KEYS)


def test_another_thread_count_is_another_fingerprint(machine):
    assert describe_machine(threads=1)["fingerprint"] != machine["fingerprint"]


@pytest.mark.parametrize(
    "change",
    [
        {"cpu_model": "another"},
        {"physical_cores": 96},
        {"arch": "riscv64"},
        {"torch": "1.0.0"},
        {"torch_build": "cu999"},
        {"cuda": "99.1"},
        {"python": "2.7.18"},
        {"torch_blas": "another"},
        {"device": "cuda"},
    ],
)
def test_the_fingerprint_changes_with_a_hard_key(machine, change):
    assert fingerprint(machine | change) != machine["fingerprint"]


@pytest.mark.parametrize(
    "change",
    [
        {"soft": {"kernel": "another"}},
        {"memory_bytes": 1},
        {"load_average": [99.0, 99.0, 99.0]},
        {"numba": "0.0"},
        {"blas": [{"internal_api": "openblas"}]},
        {"gpus": [{"name": "X", "memory_bytes": 1, "driver": "1"}]},  # a CPU cell
    ],
)
def test_the_fingerprint_ignores_a_soft_key(machine, change):
    assert fingerprint(machine | change) == machine["fingerprint"]


def test_patch_versions_and_drivers_are_soft(machine):
    gpu = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 2**30, "driver": "570.1"}
    on_gpu = machine | {"device": "cuda:0", "gpus": [gpu], "torch": "2.9.0", "cuda": "12.8"}
    later = on_gpu | {"gpus": [gpu | {"driver": "580.2"}], "torch": "2.9.1", "device": "cuda"}
    assert fingerprint(on_gpu) == fingerprint(later)
    assert fingerprint(on_gpu) != fingerprint(on_gpu | {"gpus": [gpu, gpu]})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processors to bind to")
def test_a_machine_is_described_as_a_process_that_is_bound_sees_it():
    (cpu, *_) = os.sched_getaffinity(0)
    code = (
        f"import os, sys, json; os.sched_setaffinity(0, {{{cpu}}});"
        "from measure.machine import describe_machine;"
        "json.dump(describe_machine(threads=1), sys.stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    bound, from_outside = json.loads(done.stdout), describe_machine(threads=1, cpus=(cpu,))
    for name in ("physical_cores", "logical_cores", "fingerprint", "fingerprint_name"):
        assert bound[name] == from_outside[name], name
    assert bound["logical_cores"] == 1


def test_threads_default_to_omp_num_threads_then_to_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert describe_machine()["threads"] == 7
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert describe_machine()["threads"] == processor.physical_cores()


@pytest.mark.parametrize(
    ("model", "short"),
    [
        ("AMD EPYC 9V74 80-Core Processor", "epyc9v74"),
        ("Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz (family 6 model 106)", "xeonplatinum8370c"),
        ("11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", "corei7-1185g7"),
        ("Apple M2", "applem2"),
        ("", "cpu"),
    ],
)
def test_cpu_names_become_directory_names(model, short):
    assert processor.short_cpu_name(model) == short


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 1), ("50000 100000", 1), ("400000 100000", 4)]
)
def test_a_containers_quota_limits_the_cores(monkeypatch, tmp_path, quota, cores):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(processor, "_QUOTA_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(processor, "_cores_of", lambda cpus: 16)
    if not hasattr(processor.os, "sched_getaffinity"):
        pytest.skip("no affinity mask on this system")
    assert processor.physical_cores() == cores


def test_siblings_of_one_core_count_once(monkeypatch, tmp_path):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(processor, "_CPUS", tmp_path)
    assert processor._cores_of({0, 1, 2, 3}) == 2
    assert processor._cores_of({0, 2}) == 1
    assert processor._cores_of({0, 9}) is None


@pytest.mark.parametrize(
    ("lines", "build", "cuda"),
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None", "cpu", None),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None", "cu128", "12.8"),
        ("cuda = '12.1'\nhip = None", "cu121", "12.1"),
        ("cuda = None\nhip = '6.2.41133-dd7f95766'", "rocm6.2", None),
    ],
)
def test_the_build_is_read_from_torchs_version_file(monkeypatch, tmp_path, lines, build, cuda):
    (tmp_path / "version.py").write_text(f"__version__ = '2.9.0'\n{lines}\n")
    monkeypatch.setattr(torch_build, "_torch_folder", lambda: tmp_path)
    found = torch_build.torch_build()
    assert found == {"torch": "2.9.0", "torch_build": build, "cuda": cuda}


def test_without_torch_the_machine_is_described_all_the_same(monkeypatch):
    monkeypatch.setattr(torch_build, "_torch_folder", lambda: None)
    found = describe_machine(threads=1)
    assert (found["torch"], found["torch_build"], found["torch_blas"]) == (None, None, None)
    assert "notorch" in found["fingerprint_name"]
