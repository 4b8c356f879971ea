"""Did it get slower, larger or less accurate? python regression_report.py BASE HEAD

BASE and HEAD are result files (of `pytest bench/ --benchmark-json=...`, or any pytest-benchmark
JSON) or run folders. Exit codes: 0 pass, 1 confirmed regression, 2 bad input, 3 not decided.
"""

from __future__ import annotations

import gc
import sys

from report.command import main

if __name__ == "__main__":
    gc.disable()  # large results are read once and kept: collecting would only walk over them
    sys.exit(main())
