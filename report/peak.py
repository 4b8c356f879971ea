"""The peak memory of training that a device is judged by, under one name."""

from __future__ import annotations

from dataclasses import replace

from report.facets import Cell

PEAK = "training_peak"


def with_peak(cell: Cell) -> Cell:
    """The cell with PEAK: of the process over its baseline on a CPU, else allocated there."""
    name = "memory_peak" if cell.facets["device"] == "cpu" else "cuda_allocated_peak"
    metrics = cell.record.metrics
    if name not in metrics:
        return cell
    return replace(cell, record=replace(cell.record, metrics={**metrics, PEAK: metrics[name]}))
