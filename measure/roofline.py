"""What this machine can do at most, measured: floating-point operations and bytes a second.

    python -m bench.peaks cpu float32        # one JSON object

The peak of arithmetic is the fastest of large matrix products, by PyTorch or by the kernels that
are held against it; the peak of traffic the fastest of STREAM's triad a = b + s * c (three arrays
counted, as STREAM does) at several footprints: work that fits in a cache is held against the cache.
A cell's limit is the roofline of the two (Williams, Waterman and Patterson, CACM 52(4), 2009). To
be run in a fresh process with a worker's environment; it takes three seconds or so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from measure.clock import Stopwatch
from measure.record import Metric, not_measured

SOURCE = "measured_triad+gemm"
MIB = 2**20
_GEMM_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
_OTHER_SIZES = (256, 512, 1024)
_FOOTPRINTS = {
    "cpu": (MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB),
    "cuda": (16 * MIB, 64 * MIB, 1024 * MIB),
}
_GEMM_SECONDS, _TRIAD_SECONDS = 0.3, 0.12  # for each size


@dataclass(frozen=True)
class Peak:
    """A machine's limits for one dtype and number of threads.

    Args:
        flops_per_second: of the fastest matrix product (multiply-add = 2).
        bandwidths: pairs of a footprint in bytes and the triad's bytes a second on it.
        seconds: what measuring took.
        product: whose matrix product it was.
    """

    device: str
    dtype: str
    threads: int
    flops_per_second: float
    bandwidths: tuple[tuple[int, float], ...]
    seconds: float = 0.0
    product: str = "torch"

    def bandwidth(self, working_set: int) -> float:
        """Bytes a second for work on so many bytes: the best of footprints of about that size or
        more.
        """
        sizes = [size for size, _ in self.bandwidths]
        from_size = max((size for size in sizes if size <= working_set), default=min(sizes))
        return max(rate for size, rate in self.bandwidths if size >= from_size)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"bandwidths": [list(pair) for pair in self.bandwidths]}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Peak:
        pairs = tuple((int(size), float(rate)) for size, rate in content["bandwidths"])
        return cls(**(content | {"bandwidths": pairs}))


def gemm_flops(rows: int, inner: int, columns: int) -> int:
    """Operations of one product (rows, inner) x (inner, columns); multiply-add = 2."""
    return 2 * rows * inner * columns


def measure_peak(
    device: str = "cpu",
    dtype: str = "float32",
    others: Mapping[str, Callable[[Any, Any], object]] | None = None,
) -> Peak:
    """The limits of this process: its threads, its affinity, its allocator.

    torch's number of threads is as it was set.

    Args:
        others: products f(a, b) of square matrices by name that may be faster than torch.mm, which
            does not know each processor: the fastest of all is the limit.
    """
    import torch

    # As in a worker: float32 means float32.
    torch.backends.cuda.matmul.allow_tf32 = False
    kind = torch.device(device).type
    with Stopwatch(device) as watch, torch.inference_mode():
        rates = {("torch", size): _time_gemm(device, dtype, size) for size in _GEMM_SIZES[kind]}
        for name, product in (others or {}).items():
            for size in _OTHER_SIZES:
                rates[name, size] = _time_product(product, device, dtype, size)
        triads = [(size, _time_triad(device, dtype, size)) for size in _FOOTPRINTS[kind]]
    best = max(rates, key=lambda key: rates[key])
    threads, took = torch.get_num_threads(), watch.seconds or 0.0
    return Peak(device, dtype, threads, rates[best], tuple(triads), took, best[0])


def roofline_metrics(
    *, flops: float, traffic: float, working_set: float, seconds: float | None, peak: Peak | str
) -> dict[str, Metric]:
    """`mfu`, `mbu` and `roofline_fraction`, or why there are none.

    Args:
        flops, traffic: operations and bytes, analytic, of what took `seconds`.
        working_set: bytes of one step of it, which decide whose bandwidth limits it.
        peak: the machine's, or the reason why it is not known.
    """
    if isinstance(peak, str) or not seconds or not flops:
        reason = peak if isinstance(peak, str) else "no time or no FLOPs to divide by"
        return {name: _null(reason) for name in ("mfu", "mbu", "roofline_fraction")}
    mfu = flops / seconds / peak.flops_per_second
    mbu = traffic / seconds / peak.bandwidth(int(working_set))
    return {
        "mfu": _share(mfu, "flops / time / peak FLOP/s"),
        "mbu": _share(mbu, "traffic_bytes / time / bandwidth at the working set's size"),
        # Achieved FLOP/s over min(peak, intensity x bandwidth) is the larger of the two shares.
        "roofline_fraction": _share(max(mfu, mbu), "achieved / min(peak, intensity x bandwidth)"),
    }


def _share(value: float, method: str) -> Metric:
    return Metric(value, "1", "higher", "derived", method, peak_source=SOURCE)


def _null(reason: str) -> Metric:
    return not_measured(reason, unit="1", better="higher", kind="derived", peak_source=SOURCE)


def _time_gemm(device: str, dtype: str, size: int) -> float:
    import torch

    left = torch.randn(size, size, device=device).to(getattr(torch, dtype))
    right, out = left.clone(), torch.empty_like(left)
    best = _least_seconds(lambda: torch.mm(left, right, out=out), device, _GEMM_SECONDS)
    return gemm_flops(size, size, size) / best


def _time_product(
    product: Callable[[Any, Any], object], device: str, dtype: str, size: int
) -> float:
    import torch

    left = torch.randn(size, size, device=device).to(getattr(torch, dtype))
    right = left.clone()
    best = _least_seconds(lambda: product(left, right), device, _GEMM_SECONDS / 2)
    return gemm_flops(size, size, size) / best


def _time_triad(device: str, dtype: str, footprint: int) -> float:
    import torch

    element = torch.empty((), dtype=getattr(torch, dtype)).element_size()
    length = footprint // (3 * element)
    b = torch.ones(length, device=device, dtype=getattr(torch, dtype))
    c, a = torch.ones_like(b), torch.zeros_like(b)
    best = _least_seconds(lambda: torch.add(b, c, alpha=3.0, out=a), device, _TRIAD_SECONDS)
    return 3 * element * length / best


def _least_seconds(work: Callable[[], object], device: str, seconds: float) -> float:
    """The fastest of calls over so many seconds, at least three: a peak is what was reached."""
    work()
    watch, least, spent, calls = Stopwatch(device), float("inf"), 0.0, 0
    while calls < 3 or spent < seconds:
        with watch:
            work()
        took = watch.seconds or least
        least, spent, calls = min(least, took), spent + took, calls + 1
    return least
