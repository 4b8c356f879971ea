"""`python -m bench.peers` as a whole: options, rows of every kind, files and tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers.__main__ import main
from bench.peers.ledger import LedgerError, keep, read
from bench.peers.options import OptionError, parse
from bench.peers.tables import markdown

QUICK = "--dataset synthetic_u30_i40_n20 --seq-len 12 --rounds 1 --seconds 0.2".split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seq-len", "50,many"], "--seq-len 'many': whole numbers from 1"),
        (["--only", "sasrec,bert"], "--only 'bert': choose from sasrec, bert4rec"),
        (["--peer", "spotlight"], "--peer 'spotlight': choose from recbole"),
        (["--threads", "999"], "--threads 999: this machine allots"),
        (["--seconds", "0"], "--seconds '0': a number of seconds above 0"),
        (["--data-dir", "nowhere"], "--data-dir 'nowhere': no such folder"),
    ],
)
def test_a_wrong_option_is_one_clear_line(arguments: list[str], message: str) -> None:
    with pytest.raises(OptionError) as error:
        parse(arguments)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_bad_input_ends_with_two(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--rounds", "0"]) == 2
    assert main(["--dataset", "no_such_data"]) == 2
    assert main(["--markdown", str(tmp_path / "none.json")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 3


@pytest.mark.slow
def test_a_comparison_is_measured_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    where = ["--results-dir", str(results), "--env-dir", str(tmp_path), "--python", "no-python"]
    assert main([*QUICK, *where, "--only", "gru4rec", "--peer", "torch,recbole"]) == 0
    content = read(results / "synthetic_u30_i40_n20-L12.json")
    recbole, plain = content["rows"]
    assert recbole["status"] == "unsupported"
    assert recbole["reason"].startswith("environment recbole: no-python")
    assert plain["status"] == "ok"
    assert plain["checks"]["same_samples"]["ok"]
    assert plain["checks"]["same_data"]["ok"]
    assert set(plain["ratios"]) >= {"train", "rank", "recommend", "memory_equal_batch"}
    assert plain["ratios"]["train"]["pairs"] == 1
    assert plain["ratios"]["memory"]["pairs"] == 3
    assert str(tmp_path) not in json.dumps(content)
    assert main([*where, "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| GRU4Rec | PyTorch's nn.GRU | 12 |" in printed
    assert "GRU4Rec, RecBole 1.2.1, tuned, L = 12: unsupported" in printed


@pytest.mark.slow
def test_what_only_a_checkout_holds_is_unsupported_and_says_where_it_is(
    tmp_path: Path,
) -> None:
    where = ["--results-dir", str(tmp_path), "--only", "mamba4rec,scan"]
    assert main([*QUICK, *where, "--peer", "official,mamba_ssm"]) == 0
    rows = read(tmp_path / "synthetic_u30_i40_n20-L12.json")["rows"]
    scans = read(tmp_path / "scan.json")["rows"]
    assert [row["status"] for row in rows + scans] == ["unsupported"] * 5
    assert "--mamba4rec-path FOLDER" in rows[0]["reason"]
    assert "pip download mamba-ssm" in scans[0]["reason"]
    assert "| mamba_ssm | 50, 256 |" in markdown(read(tmp_path / "scan.json"))


def _head(fingerprint: str) -> dict[str, object]:
    machine = {"fingerprint": fingerprint, "cpu_model": "x", "torch": "2"}
    return {"machine": machine, "commit": {"id": None}, "rounds": 1, "seconds": 1.0}


def test_a_run_of_one_row_leaves_the_others_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "a" / "ml_100k-L50.json"
    rows = [{"model": m, "peer": "recbole", "threads": 1, "value": 1} for m in ("sasrec", "gru")]
    keep(path, _head("one"), rows)
    again = keep(path, _head("one"), [rows[0] | {"value": 2}])
    assert [row["value"] for row in again["rows"]] == [2, 1]
    other = keep(path, _head("two"), [rows[1]])
    assert [row["fingerprint"] for row in other["rows"]] == ["two"]
    assert read(path) == json.loads(json.dumps(other))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("{", "[]", '{"schema": "other/1"}'):
        path.write_text(text)
        with pytest.raises(LedgerError, match=r"x\.json: not "):
            read(path)
