"""20,000 wrong inputs to everything that takes input: `python -m tests.fuzz`, or `tox -e fuzz`.

Real files mutated in bytes and in values, and inputs made up by hypothesis: data files of every
format, stores, results, journals, weights, options. None may end in a traceback, a crash, more than
5 s or more than 1 GB; each refusal is one line that names its file. Prints counts for each kind;
exit code 1 where anything was wrong. `--only csv --inputs 100 --seed 3` for less.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz.inputs import TARGETS, counts

ROOT = Path(__file__).resolve().parent.parent.parent
_WORDS = ("refused", "taken", "wrong")
_CHILD = (sys.executable, "-m", "tests.fuzz.child")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--only", choices=list(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    planned = counts(options.inputs)
    if options.only:
        planned = dict.fromkeys(options.only, options.inputs // len(options.only))
    begun, wrong, total = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        work = {
            name: pool.submit(fuzz, name, count, options.seed, Path(folder))
            for name, count in planned.items()
        }
        for name, future in work.items():
            outcomes, findings = future.result()
            fed = sum(outcomes.values())
            total, wrong = total + fed, wrong + len(findings)
            said = ", ".join(f"{outcomes[word]:6,} {word}" for word in _WORDS)
            print(f"{name:12} {fed:6,} inputs: {said}", flush=True)
            _show(findings)
    minutes = (time.monotonic() - begun) / 60
    print(f"{total:,} inputs, {wrong} wrong, seed {options.seed}, in {minutes:.1f} min")
    return 1 if wrong else 0


def fuzz(
    name: str, count: int, seed: int, folder: Path
) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Feed `count` inputs of one kind; a process that dies is followed by one for the rest."""
    report = folder / f"{name.replace(' ', '_')}.jsonl"
    outcomes: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    first = 0
    while first < count:
        report.write_text("")
        child = subprocess.run(
            [*_CHILD, name, str(first), str(count), str(seed), report],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
        )
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        findings += [line for line in lines if "wrong" in line]
        if lines and lines[-1].get("done"):
            outcomes.update(lines[-1]["outcomes"])
            break
        fed = [line["index"] for line in lines if "wrong" not in line]
        if not fed:
            raise RuntimeError(f"{name}: the process could not begin: {child.stderr[-2000:]}")
        died = {"index": fed[-1], "wrong": f"died or hung, exit code {child.returncode}"}
        findings.append(died | {"at": "process", "trace": child.stderr[-3000:], "given": ""})
        outcomes.update({"wrong": 1, "refused": len(fed) - 1})
        first = fed[-1] + 1
    return outcomes, findings


def _show(findings: list[dict[str, Any]]) -> None:
    """Each place once, with how often it was met and one trace."""
    places = Counter(finding["at"] for finding in findings)
    for place, times in places.most_common():
        example = next(finding for finding in findings if finding["at"] == place)
        print(f"  {times} x {place}: input {example['index']}: {example['wrong']}")
        print("    " + "\n    ".join(example["trace"].strip().splitlines()[-14:]))


if __name__ == "__main__":
    sys.exit(main())
