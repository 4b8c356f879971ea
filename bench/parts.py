"""Share of time by part of a model: a few steps of training once more, profiled.

Each operation's own time, without that of operations inside it, goes to the innermost part around
it that has a name here: what an attention kernel sums or copies is attention. A gradient belongs to
the part whose gradient it is. Measured after everything else, since a profiler disturbs times.
"""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from torch.autograd.profiler import profile, record_function

from bench.cell import Cell
from bench.findings import Findings
from bench.out_of_memory import is_out_of_memory
from data.batches import Batch
from measure.record import Metric, not_measured
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch
from workloads.trainer import Trainer

# The order in which parts are listed; "rest" is PyTorch's gathers and sums, and Python, between.
PARTS = (
    "data", "embedding", "norm", "linear", "feed_forward", "post_mixer", "attention", "scan",
    "convolution", "recurrence", "dropout", "loss", "optimizer", "rest",
)  # fmt: skip

# Name of an operation, without its "Backward" -> its part: our kernels, mamba_ssm's, PyTorch's.
PART_OF = {
    "data": "data",
    "_Embed": "embedding",
    "aten::embedding": "embedding",
    "aten::embedding_dense_backward": "embedding",
    "_AddNorm": "norm",
    "aten::layer_norm": "norm",
    "aten::native_layer_norm": "norm",
    "aten::native_layer_norm_backward": "norm",
    "_Linear": "linear",
    "_NormLinear": "linear",
    "aten::linear": "linear",
    "aten::addmm": "linear",
    "aten::mm": "linear",
    "_FeedForward": "feed_forward",
    "_PostMixer": "post_mixer",
    "_Attention": "attention",
    "_AttentionFew": "attention",
    "_AttentionAbsorbed": "attention",
    "aten::scaled_dot_product_attention": "attention",
    "aten::_scaled_dot_product_cudnn_attention": "attention",
    "aten::_scaled_dot_product_cudnn_attention_backward": "attention",
    "aten::_scaled_dot_product_flash_attention_backward": "attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": "attention",
    "aten::_scaled_dot_product_efficient_attention_backward": "attention",
    "_Scan": "scan",
    "SelectiveScanFn": "scan",
    "MambaInnerFn": "scan",
    "_Convolution": "convolution",
    "CausalConv1dFn": "convolution",
    "aten::conv1d": "convolution",
    "aten::convolution_backward": "convolution",
    "_GRU": "recurrence",
    "aten::gru": "recurrence",
    "aten::_thnn_fused_gru_cell": "recurrence",
    "aten::_cudnn_rnn": "recurrence",
    "aten::_cudnn_rnn_backward": "recurrence",
    "_Dropout": "dropout",
    "aten::dropout": "dropout",
    "aten::native_dropout": "dropout",
    "aten::native_dropout_backward": "dropout",
    "_LinearCrossEntropy": "loss",
    "aten::cross_entropy_loss": "loss",
    "optimizer": "optimizer",
    "_Gather": "rest",
    "_Same": "rest",
}
_STEPS = 5
_STEP = "a step of training"
_ENGINE = "autograd::engine::evaluate_function: "


def measure_parts(cell: Cell, setting: Setting, findings: Findings) -> None:
    """Fill in `share_<part>`, or `share_rest` with the reason why there is none.

    Memory that runs out here takes nothing from the cell, whose times are taken already.
    """
    found: dict[str, float] = {}
    reason = "the profiler saw no operation"
    if cell.compile != "none":
        reason = "a compiled graph is one operation to a profiler"
    else:
        try:
            with findings.phase("measured"):
                workload = TrainEpoch(setting)
                workload.build()
                found = shares(workload, _STEPS)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason, findings.failed_in = "out of memory under the profiler", None
    if not found:
        lost = not_measured(reason, unit="1", better="none", kind="derived")
        findings.metrics["share_rest"] = lost
    method = f"torch.autograd.profiler, own time of operations, median of {_STEPS} steps"
    for part, share in found.items():
        findings.metrics[f"share_{part}"] = Metric(share, "1", "none", "derived", method)


def part_of(name: str) -> str | None:
    """The part that an operation of this name is, or None: then it belongs to what is around it."""
    short = name.removeprefix(_ENGINE)
    return PART_OF.get(short) or PART_OF.get(short.removesuffix("Backward"))


def shares(workload: TrainEpoch, steps: int) -> dict[str, float]:
    """Part -> its share of a step, 0 to 1, the sum 1: medians over `steps` steps after a first one.

    On a CPU of the wall time, whose "rest" has the profiler's own cost in it; on a CUDA device of
    the time in which its kernels run, where "rest" is kernels without a name here and waiting is
    not seen. Medians, since one stall of a thread takes longer than many steps.
    """
    on_device = workload.setting.device.startswith("cuda")
    workload.reset()
    batches = itertools.chain.from_iterable(itertools.repeat(workload.batches))
    # Not torch.profiler's, which first imports all of PyTorch's compiler: as long as the steps.
    with profile(use_kineto=True, use_device="cuda" if on_device else None) as seen:
        for _ in range(steps + 1):
            _step(workload.trainer, batches)
    taken: dict[int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PARTS, 0.0))
    events = [e for e in seen.function_events or () if e.device_type.name == "CPU"]
    marks = [event for event in events if event.name == _STEP] if on_device else []
    for event in events:
        micros = _device_micros(event) if on_device else event.self_cpu_time_total
        part, step = _part_and_step(event, marks)
        if step is not None:
            taken[step][part] += micros
    measured = [taken[step] for step in sorted(taken)][1:]
    found = {part: statistics.median(step[part] for step in measured) for part in PARTS}
    whole = sum(found.values())
    return {part: micros / whole for part, micros in found.items() if micros} if whole else {}


def _step(trainer: Trainer, batches: Iterator[Batch]) -> None:
    with record_function(_STEP):
        with record_function("data"):
            batch = next(batches)
        trainer.backward(trainer.forward(batch))
        with record_function("optimizer"):
            trainer.update()


def _device_micros(event: Any) -> float:
    """Time of the kernels that an operation itself launched.

    A block that we name is one of the profiler's "kernels" as well, from its first to its last.
    """
    if event.is_legacy:  # without CUPTI each operation has one, of the time of all within it
        return float(event.self_device_time_total)
    return float(sum(kernel.duration for kernel in event.kernels if kernel.name != event.name))


def _part_and_step(event: Any, marks: Sequence[Any] = ()) -> tuple[str, int | None]:
    """The innermost part around an event, and the number of the step that it is in.

    Args:
        marks: the steps' own events, of which one is its step by the clock where none is around it:
            gradients on a CUDA device are launched by a thread of that device, while the step
            waits for them.
    """
    part, around = None, event
    while around is not None:
        part = part or part_of(around.name)
        if around.name == _STEP:
            return part or "rest", around.id
        around = around.cpu_parent
    began = event.time_range.start
    step = next((m.id for m in marks if m.time_range.start <= began < m.time_range.end), None)
    return part or "rest", step
