"""The `server` scenario: requests arrive when they do, and what counts is from arrival to answer.

At `--rate` requests a second, or, with `--latency-target`, at the highest rate whose p99 keeps the
target, found by bisection and held against other arrivals; without either at half of what the
server could do. One process serves, one request at a time, in order of arrival.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.cell import Cell
from bench.findings import Findings, fact
from measure.arrivals import poisson_arrivals
from measure.load_generator import Served, serve_arrivals
from measure.quantile import PERCENTILES, median_metric, percentile_metrics, quantile
from measure.rate_search import RateFound, search_rate
from measure.record import TOO_FEW, Metric, not_measured

# How long one load lasts: while searching, and when its latencies are the result.
_TRIAL_SECONDS, _LOAD_SECONDS = 10.0, 30.0
# Requests one after the other, to know how fast the server is: after 3 s no more than 20.
_ALONE, _ALONE_SECONDS, _ALONE_LEAST = 300, 3.0, 20
_HALF = 0.5
# A rate that does not keep the target with other arrivals is lowered by so much, so many times.
_LESS, _CONFIRMATIONS = 0.97, 8
_P99, _FEWEST, _ = PERCENTILES["p99"]


@dataclass(frozen=True)
class UnderLoad:
    """What a load gave; made inside the measured block, made into metrics after it.

    Args:
        alone: seconds of requests one after the other.
        rate: requests a second of the load, and `how` it was chosen.
        found: the search over rates and what came of its confirmation, None where there was none.
    """

    cell: Cell
    alone: list[float]
    served: Served
    rate: float
    how: str
    found: RateFound | None

    @property
    def latencies(self) -> list[float]:
        latencies: list[float] = self.served.latencies.tolist()
        return latencies

    def report(self, findings: Findings) -> None:
        """Fill metrics and raw series in."""
        served, method = self.served, "perf_counter_ns, requests one after the other"
        findings.raw |= {
            "latency": self.latencies,
            "arrival": served.arrivals.tolist(),
            "service": served.services.tolist(),
        }
        findings.metrics |= percentile_metrics(self.latencies, independent=served.independent)
        findings.metrics |= {
            "arrival_rate": fact(self.rate, "1/s", f"Poisson, seeded; {self.how}", better="none"),
            "utilization": Metric(
                served.utilization, "1", "none", "derived", "sum of services / time of the load"
            ),
            "service_p50": median_metric(
                self.alone, unit="s", better="lower", kind="time", method=f"median, {method}"
            ),
            "wakeup_p50": _wakeup(served),
        }
        if self.cell.latency_target is not None:
            findings.metrics["throughput_at_p99"] = self._throughput(self.cell.latency_target)

    def _throughput(self, target: float) -> Metric:
        method = (
            f"users a second with p99 <= {target * 1e3:g} ms from the scheduled arrival: bisection,"
            f" {self.found.trials if self.found else 0} Poisson loads, the last of other arrivals"
        )
        if self.found is not None and self.found.met is not None:
            users = self.cell.batch_size
            hi = None if self.found.missed is None else self.found.missed * users
            met = self.found.met * users
            return Metric(met, "1/s", "higher", "tail", method, self.found.trials, lo=met, hi=hi)
        if self.cell.requests < _FEWEST:
            reason = f"p99 {TOO_FEW} {_FEWEST} requests, there are {self.cell.requests}"
        elif self.found is None:
            alone = float(np.mean(self.alone)) * 1e3
            reason = f"a request alone takes {alone:.3g} ms, the target is {target * 1e3:g} ms"
        else:
            low = self.found.missed or 0.0
            reason = f"p99 was over {target * 1e3:g} ms at {low:.3g} requests a second already"
        return not_measured(reason, unit="1/s", better="higher", kind="tail", method=method)


def load_server(cell: Cell, request: Callable[[int], object]) -> UnderLoad:
    """Find out how fast the server is, search where a target is set, and load it."""
    count = max(1, min(cell.requests, _ALONE))
    # All are there from the beginning: what is late is not the request but the series.
    row = serve_arrivals(
        request, [0.0] * count, late_after=_ALONE_SECONDS, late_allowed=_ALONE_LEAST
    )
    alone: list[float] = row.services.tolist()
    service = float(np.mean(alone))  # what a queue can take follows from the mean
    found, served = None, None
    target = cell.latency_target
    if target is not None and service <= target and cell.requests >= _FEWEST:
        found = search_rate(lambda rate: _meets(cell, request, rate, service, target), 1 / service)
        found, served = _confirmed(cell, request, found, service, target)
    if found is not None and found.met is not None and served is not None:
        how = "the highest at which p99 kept the target, with arrivals of its own"
        return UnderLoad(cell, alone, served, found.met, how, found)
    if cell.rate is not None:
        rate, how = cell.rate, "as asked for"
    else:
        rate, how = _HALF / service, "half of what the server does one after the other"
    return UnderLoad(cell, alone, _load(cell, request, rate, service), rate, how, found)


def _confirmed(
    cell: Cell,
    request: Callable[[int], object],
    found: RateFound,
    service: float,
    target: float,
) -> tuple[RateFound, Served | None]:
    """The highest rate from what was found downwards that keeps the target under a longer load with
    other arrivals than the search's, for which it would flatter itself; and that load. None of both
    where no rate does.
    """
    rate, missed = found.met, found.missed
    if rate is None:
        return found, None
    for tries in range(1, _CONFIRMATIONS + 1):
        served = _load(cell, request, rate, service, target=target, number=tries)
        if _keeps(served, target):
            return RateFound(rate, missed, found.trials + tries), served
        missed, rate = rate, rate * _LESS
    return RateFound(None, missed, found.trials + _CONFIRMATIONS), None


def _load(
    cell: Cell,
    request: Callable[[int], object],
    rate: float,
    service: float,
    *,
    target: float = math.inf,
    trial: bool = False,
    number: int = 1,
) -> Served:
    """One whose latencies are the result, or a shorter one of other arrivals, on trial; broken off
    where its p99 can't keep the target any more. Each `number` has arrivals of its own.
    """
    count = _count(cell, rate, service, _TRIAL_SECONDS if trial else _LOAD_SECONDS)
    seed = 2 * cell.seed + int(not trial) + (number - 1) * 2**32
    return serve_arrivals(
        request,
        poisson_arrivals(rate, count, seed=seed),
        late_after=target,
        late_allowed=math.ceil((1 - _P99) * (count - 1)),
    )


def _keeps(served: Served, target: float) -> bool:
    return served.complete and quantile(sorted(served.latencies.tolist()), _P99) <= target


def _meets(
    cell: Cell, request: Callable[[int], object], rate: float, service: float, target: float
) -> bool:
    """Whether p99 keeps the target at this rate, for a while."""
    return _keeps(_load(cell, request, rate, service, target=target, trial=True), target)


def _count(cell: Cell, rate: float, service: float, seconds: float) -> int:
    """Requests of a load that lasts about `seconds`; enough for a p99 where so many are wanted."""
    fit = int(seconds * min(rate, 1 / service))
    return max(1, min(cell.requests, max(_FEWEST, fit)))


def _wakeup(served: Served) -> Metric:
    """How late the free server began: what the load generator itself adds to a latency."""
    method = "median, from the arrival to the beginning where the server was free"
    late = served.waits[served.idle].tolist()
    return median_metric(late, unit="s", better="lower", kind="time", method=method)
