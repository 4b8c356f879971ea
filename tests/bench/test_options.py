"""Bad input gives one line that names the value and what is allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.options import TEXTS, OptionError, Options
from bench.session import Session, _public
from data.log import DataError
from measure.processor import physical_cores

Make = Callable[..., Options]
ROOT = Path(__file__).resolve().parents[2]

WRONG = [
    ({"model": "sasrek"}, "--model 'sasrek': choose from bert4rec, gru4rec, mamba4rec, sasrec"),
    ({"suite": "huge"}, "--suite 'huge': choose from smoke, quick"),
    ({"workload": "nap"}, "--workload 'nap': choose from capacity, fit, load"),
    ({"dtype": "int8"}, "--dtype 'int8': choose from float32, bfloat16, float16"),
    ({"backend": "triton"}, "--backend 'triton': choose from auto, reference, numba, cuda"),
    ({"objective": "bpr"}, "--objective 'bpr': choose from last, all, cloze"),
    ({"device": "tpu"}, "--device 'tpu': choose from cpu, cuda"),
    ({"seq_len": "0"}, "--seq-len '0': whole numbers from 1"),
    ({"seq_len": "50,-1"}, "--seq-len '-1': whole numbers from 1"),
    ({"seq_len": "fifty"}, "--seq-len 'fifty': whole numbers from 1"),
    ({"seq_len": "50,,60"}, "--seq-len '50,,60': an empty value"),
    ({"batch_size": "1e3"}, "--batch-size '1e3': whole numbers from 1"),
    ({"seeds": "-1"}, "--seeds '-1': whole numbers from 0"),
    ({"threads": "9999"}, "--threads 9999: this machine allots 1 to"),
    ({"data_dir": "/nowhere"}, "--data-dir '/nowhere': no such folder"),
    ({"cell_timeout": "soon"}, "--cell-timeout 'soon': a number of seconds"),
    ({"order_seed": "x"}, "--order-seed 'x': whole numbers from 0"),
    ({"repeats": "-1"}, "--repeats '-1': whole numbers from 0"),
    ({"cpus": "99999"}, "--cpus 99999: numbers of processors; this process may use"),
    ({"energy": "estimate"}, "--energy 'estimate': auto, off or such as estimate=65 (watts)"),
    ({"energy": "estimate=0"}, "--energy 'estimate=0': auto, off or"),
    ({"allocator": "jemalloc"}, "--allocator 'jemalloc': choose from kept, system"),
    ({"live": "bench/"}, "--live 'bench/': a port from 0 to 65535 is allowed; without one it goes"),
    ({"live": "65536"}, "--live '65536': a port from 0 to 65535"),
    ({"live": "-1"}, "--live '-1': a port from 0 to 65535"),
    ({"memory_limit": "9" * 400}, "--memory-limit '9999"),
    ({"memory_limit": "99999999999 GiB"}, "--memory-limit '99999999999 GiB': at most 1024 PiB"),
    ({"memory_limit": "2 parsecs"}, "--memory-limit '2 parsecs': such as"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[next(iter(g)) for g, _ in WRONG])
def test_a_wrong_option_is_refused_by_name(
    options: Make, given: dict[str, str], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        options(**given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or physical_cores() < 2,
    reason="needs two cores that a process can be bound to",
)
def test_fewer_processors_than_threads_are_refused(options: Make) -> None:
    core = min(os.sched_getaffinity(0))
    with pytest.raises(OptionError, match=rf"--cpus {core}: .* as many as --threads \(2\)"):
        options(cpus=str(core), threads="2")


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8)]
)
def test_sizes_are_read_in_the_units_people_write(options: Make, text: str, size: int) -> None:
    assert options(memory_limit=text).memory_limit == size


def test_defaults_are_the_quick_suite_on_all_cores(options: Make) -> None:
    made = options()
    assert made.suite == "quick"
    assert made.choices.threads >= 1
    assert made.choices.dtype == "float32"


def test_a_suite_without_cells_is_refused(options: Make) -> None:
    with pytest.raises(OptionError, match="suite quick has no cells under these options"):
        Session.prepare(options(workload="serve_step", model="bert4rec"))


def test_the_machine_is_that_of_a_worker_bound_to_the_processors(options: Make) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("no affinity mask on this system")
    core = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{core}])\n"
        "from measure.machine import describe_machine\n"
        "print(describe_machine(threads=1)['fingerprint'])"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = options(cpus=str(core), threads="1").machine()
    assert found["fingerprint"] == done.stdout.strip()
    assert (found["physical_cores"], found["logical_cores"]) == (1, 1)


def test_a_length_that_the_log_has_not_is_refused(options: Make) -> None:
    with pytest.raises(OptionError, match=r"--seq-len 99999: synthetic_u60_i50_n20 has \d+ events"):
        Session.prepare(options(suite="smoke", seq_len="99999"))


FILES = {
    "empty.csv": ("", "empty"),
    "columns.csv": ("who,what\n1,2\n", "who"),
    "negative.csv": ("user,item\n1,-2\n1,3\n", "-2"),
    "nan.csv": ("user,item\n1,\n1,3\n", "nan.csv"),
    "broken.parquet": ("PAR1 no", "broken.parquet"),
    "one.csv": ("user,item\n" + "1,2\n1,3\n" * 9, "user"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_bad_file_is_refused_by_name_and_nothing_is_written(
    options: Make, tmp_path: Path, name: str
) -> None:
    content, expected = FILES[name]
    path = tmp_path / name
    path.write_text(content)
    made = options(suite="smoke", dataset=str(path))
    with pytest.raises(DataError) as caught:
        Session.prepare(made)
    assert name in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not made.results.exists()


def test_an_unknown_dataset_is_refused_with_the_names(options: Make) -> None:
    with pytest.raises(DataError, match=r"ml_10m.*ml_100k"):
        Session.prepare(options(suite="smoke", dataset="ml_10m"))


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("--data-dir=/home/me/logs", "--data-dir=.../logs"),
        ("/home/me/logs", ".../logs"),
        ("--data-dir=../logs", "--data-dir=../logs"),
        ("--suite", "--suite"),
    ],
)
def test_results_do_not_show_where_a_home_folder_is(argument: str, shown: str) -> None:
    assert _public(argument) == shown


def test_help_prints_every_option():
    command = [sys.executable, "-m", "pytest", "bench/", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [name for name in TEXTS if name not in done.stdout] == []
    assert "(default: 90% of the machine's)" in " ".join(done.stdout.split())


def test_a_model_that_cant_be_imported_is_refused_by_name(
    options: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import models

    def broken(name: str) -> None:
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(models, "get", broken)
    with pytest.raises(OptionError) as caught:
        options(model="gru4rec")
    said = r"models/gru4rec.py can't be imported: RuntimeError: no such\nkernel"
    assert str(caught.value) == said
