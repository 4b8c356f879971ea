"""One kind of input, fed in a process of its own under limits of time and memory:
`python -m tests.fuzz.child NAME FIRST COUNT SEED REPORT`.

Each input is announced in the report before it is fed, so that one that crashes or hangs the
process is known. The first inputs are mutations, the last fifth is hypothesis' own.
"""

from __future__ import annotations

import faulthandler
import json
import pickle
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis

from tests.fuzz.inputs import TARGETS
from tests.fuzz.target import Target

MOST_BYTES = 10**9
MOST_SECONDS = 5.0  # of a processor: others may be at work on the machine
_MOST_WAITING = 60.0
_BY_HYPOTHESIS = 0.2


class Refused(AssertionError):
    """A refusal that is not one line, or does not name its file."""


def main() -> None:
    name, first, count, seed, report = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
    faulthandler.register(signal.SIGPROF, chain=True)  # to the default, which ends the process
    warnings.simplefilter("error")  # a warning is a line that nobody asked for
    warnings.filterwarnings("ignore", category=FutureWarning)
    with tempfile.TemporaryDirectory(prefix="seqrec-fuzz-") as folder:
        target = TARGETS[name][0](Path(folder))
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES + _data_bytes(),) * 2)
        feeder = _Feeder(target, report)
        mutations = count - int(_BY_HYPOTHESIS * count)
        for index in range(first, mutations):
            feeder.feed(index, target.mutated(random.Random(f"{seed} {name} {index}")))
        if first < count:
            _by_hypothesis(feeder, max(first, mutations), count, seed)
        feeder.say(done=True, outcomes=feeder.outcomes)


class _Feeder:
    def __init__(self, target: Target, report: Path) -> None:
        self.target, self.outcomes = target, Counter[str]()
        self._report = report.open("a")
        self._base = _peak_bytes()

    def feed(self, index: int, given: Any) -> None:
        """Feed one input and say what came of it, whatever that is."""
        self.say(index=index)
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        faulthandler.dump_traceback_later(_MOST_WAITING, exit=True)
        try:
            refusal = self.target.feed(given)
            self._check(refusal)
            self.outcomes["taken" if refusal is None else "refused"] += 1
        except Exception as error:
            self.outcomes["wrong"] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error}"[:300]
            self.say(
                index=index,
                wrong=text,
                at=f"{where.filename}:{where.lineno}",
                trace=traceback.format_exc(),
                given=pickle.dumps(given).hex() if len(pickle.dumps(given)) < 200_000 else "",
            )
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
        if (peak := _peak_bytes() - self._base) > MOST_BYTES:
            self.say(
                index=index, wrong=f"{peak:,} bytes of memory", at="memory", trace="", given=""
            )

    def _check(self, refusal: str | None) -> None:
        if refusal is None:
            return
        if not refusal or len(refusal.splitlines()) != 1:
            raise Refused(f"a refusal is not one line: {refusal!r}")
        if self.target.file_name not in refusal:
            raise Refused(f"a refusal does not name {self.target.file_name!r}: {refusal!r}")

    def say(self, **content: Any) -> None:
        self._report.write(json.dumps(content) + "\n")
        self._report.flush()


def _by_hypothesis(feeder: _Feeder, first: int, count: int, seed: int) -> None:
    index = iter(range(first, count))

    @hypothesis.seed(seed + first)
    @hypothesis.settings(
        max_examples=count - first,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(feeder.target.strategy())
    def feed(given: Any) -> None:
        if (number := next(index, None)) is not None:
            feeder.feed(number, given)

    feed()
    for number in index:  # where hypothesis ran out of different ones
        rng = random.Random(f"{seed} more {number}")
        feeder.feed(number, feeder.target.mutated(rng))


def _data_bytes() -> int:
    return _status("VmData:")


def _peak_bytes() -> int:
    return _status("VmHWM:")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
