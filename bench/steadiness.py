"""Is what was measured steady? Where its rounds spread too far the cell is measured again, in a
fresh process, a few times, and once where others were at work or a clock fell; how often, and how
far each attempt spread, is in the record.
"""

from __future__ import annotations

import statistics

from bench.findings import Findings
from measure.record import DISTURBING

# Coefficient of variation of a cell's rounds, or of the medians of its blocks of requests; under
# load of the services, since a queue's latencies vary by nature.
BOUND = 0.10
# Interquartile range over median of the same: one odd round of many does not move it, nor the
# median.
HALF_BOUND = 0.05
NOISY = "noisy"
_SAMPLES = (
    "latency_block_within",
    "epoch_time", "rank_time", "load_time", "time_per_1k_users", "service_block_p50",
    "latency_block_p50",
)  # fmt: skip
_ROUNDS, _REQUESTS = 3, 100


def spread(findings: Findings) -> float | None:
    """Standard deviation over mean; None with fewer than 3 rounds or 100 requests, which can't
    tell, and for `fit`, whose epochs differ by nature.
    """
    rounds = _rounds(findings)
    return statistics.stdev(rounds) / statistics.fmean(rounds) if rounds else None


def half_spread(findings: Findings) -> float | None:
    """Interquartile range over median of the same rounds; None where there is no `spread`."""
    rounds = _rounds(findings)
    if not rounds:
        return None
    quarter, median, three_quarters = statistics.quantiles(rounds, n=4, method="inclusive")
    return (three_quarters - quarter) / median


def unsteadiness(findings: Findings) -> float:
    """How many times as far as is allowed the rounds, or their middle half, spread; 0 where they
    can't tell.
    """
    return max((spread(findings) or 0.0) / BOUND, (half_spread(findings) or 0.0) / HALF_BOUND)


def is_disturbed(findings: Findings) -> bool:
    """Whether others took the processor, or a clock fell, while it was measured."""
    return not set(DISTURBING).isdisjoint(findings.flags)


def asks_again(attempts: list[Findings]) -> bool:
    """Whether one more attempt is called for: the last one spread too far, as a whole or in its
    middle half, or the only one was disturbed. Never of `fit`, which takes minutes and is there for
    its accuracy.
    """
    last = attempts[-1]
    if last.status != "ok" or "fit_time" in last.metrics:
        return False
    return unsteadiness(last) > 1 or (len(attempts) == 1 and is_disturbed(last))


def steadiest(attempts: list[Findings]) -> Findings:
    """The attempt that spread least, of the undisturbed ones where there are any, with the spreads
    of all; flagged where even that is wide.
    """
    well = [findings for findings in attempts if findings.status == "ok"]
    if not well:
        return attempts[-1]
    best = min(well, key=lambda findings: (is_disturbed(findings), unsteadiness(findings)))
    spreads = [s for findings in well if (s := spread(findings)) is not None]
    if spreads:
        best.samples["attempt_spread"] = spreads
    if attempts[-1].status != "ok":
        best.flags.append(f"repeat_{attempts[-1].status}")
    if unsteadiness(best) > 1:
        best.flags.append(NOISY)
    return best


def _rounds(findings: Findings) -> list[float]:
    """Those that tell how steady it was; none where they can't."""
    if findings.status != "ok" or "fit_time" in findings.metrics:
        return []
    if "latency" in findings.raw and len(findings.raw["latency"]) < _REQUESTS:
        return []
    found = (findings.samples.get(name, []) for name in _SAMPLES)
    return next((samples for samples in found if len(samples) >= _ROUNDS), [])
