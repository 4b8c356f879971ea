"""Is what was measured steady? Where its rounds spread too far the cell is measured again, in a
fresh process, a few times; how often, and how far each attempt spread, is in the record.
"""

from __future__ import annotations

import statistics

from bench.findings import Findings

# Coefficient of variation of a cell's rounds, or of the medians of its blocks of requests; under
# load of the services, since a queue's latencies vary by nature.
BOUND = 0.10
NOISY = "noisy"
_SAMPLES = (
    "epoch_time", "rank_time", "load_time", "pass_time", "service_block_p50", "latency_block_p50",
)  # fmt: skip
_ROUNDS, _REQUESTS = 3, 100


def spread(findings: Findings) -> float | None:
    """Standard deviation over mean; None with fewer than 3 rounds or 100 requests, which can't
    tell, and for `fit`, whose epochs differ by nature.
    """
    if findings.status != "ok" or "fit_time" in findings.metrics:
        return None
    if "latency" in findings.raw and len(findings.raw["latency"]) < _REQUESTS:
        return None
    for name in _SAMPLES:
        samples = findings.samples.get(name, [])
        if len(samples) >= _ROUNDS:
            return statistics.stdev(samples) / statistics.fmean(samples)
    return None


def steadiest(attempts: list[Findings]) -> Findings:
    """The attempt that spread least, with the spreads of all; flagged where even that is wide."""
    spreads = [spread(findings) for findings in attempts]
    known = [(s, i) for i, s in enumerate(spreads) if s is not None]
    if not known:
        return attempts[-1]
    least, place = min(known)
    best = attempts[place]
    best.samples["attempt_spread"] = [s for s, _ in known]
    if attempts[-1].status != "ok":
        best.flags.append(f"repeat_{attempts[-1].status}")
    if least > BOUND:
        best.flags.append(NOISY)
    return best
