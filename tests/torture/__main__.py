"""Everything that can go wrong around a run, done to real ones: `python -m tests.torture`.

SIGKILL at random moments, a full disk, a read-only one, two runs in one folder, Ctrl-C. Prints its
counts; exit code 1 at the first thing that is not as it must be. `tox -e torture` runs it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.disk import full, limited, may_mount, read_only
from tests.torture.kills import kills
from tests.torture.rivals import rivals, stops
from tests.torture.start import Failure, Start, meaning, require


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    _become_root_of_a_namespace()
    with tempfile.TemporaryDirectory(prefix="seqrec-torture-") as name:
        folder = Path(name)
        begun = time.monotonic()
        try:
            whole, life = _undisturbed(folder)
            _say(f"undisturbed: {len(whole)} cells, {time.monotonic() - begun:.0f} s")
            mounted = may_mount(folder)
            _say(rivals(folder))
            _say(full(folder, whole) if mounted else limited(folder, whole))
            _say(read_only(folder, mounted=mounted))
            _say(stops(folder, options.stops, options.seed, life))
            _say(kills(folder, options.kills, options.seed, whole, life))
        except Failure as failure:
            print(f"\nFAILED: {failure}", file=sys.stderr)
            return 1
        print(f"all as it must be, in {(time.monotonic() - begun) / 60:.1f} min")
    return 0


def _undisturbed(folder: Path) -> tuple[dict[str, object], float]:
    """What an undisturbed run's cells say, and how long one of its workers lives."""
    place = folder / "undisturbed"
    place.mkdir()
    run = Start(place)
    run.next_worker()
    measuring = time.monotonic()
    out = run.end()
    require(run.process.returncode == 0, f"the undisturbed run failed:\n{out}")
    return meaning(place), (time.monotonic() - measuring) / 6


def _become_root_of_a_namespace() -> None:
    """Where this is not root: start again as root of a namespace, which may mount a tmpfs."""
    tool = shutil.which("unshare")
    if not sys.platform.startswith("linux") or os.geteuid() == 0 or tool is None:
        return
    as_root = [tool, "--user", "--map-root-user", "--mount"]
    if os.spawnv(os.P_WAIT, tool, [*as_root, "true"]) == 0:
        os.execv(tool, [*as_root, sys.executable, "-m", "tests.torture", *sys.argv[1:]])


def _say(line: str) -> None:
    print(f"\r{line}" if sys.stdout.isatty() else line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
