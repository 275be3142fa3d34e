"""Prints figures as lines of a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .cases import Case, from_record

# Widths of the columns; a negative width marks left-aligned text.
COLUMNS = {
    "size": -5,
    "stage": -11,
    "frames": -13,
    "settings": -26,
    "seconds": 8,
    "from": 8,
    "to": 8,
    "warm-up": 8,
    "CPU s": 8,
    "memory": 9,
    "TFLOP": 8,
    "TFLOP/s": 7,
    "of matmul": 9,
    "of conv": 7,
}


def heading() -> str:
    """The names of the columns."""
    return align(COLUMNS)


def lines(result: dict[str, Any]) -> list[str]:
    """A figure's row, followed by its rivals and its heaviest operations."""
    case = from_record(result["settings"])
    if "error" in result:
        return [f"{align(first_cells(case)).rstrip()}  failed: {result['error']}"]
    rivals = [f"        {rival_line(name, rival)}" for name, rival in result.get("rivals", {}).items()]
    operations = [f"        {operation_line(operation)}" for operation in result.get("operations", [])]
    return [align(first_cells(case) + figure_cells(result)), *rivals, *operations]


def first_cells(case: Case) -> list[str]:
    """What was timed."""
    steps = {"invert": case.num_steps, "edit": case.num_steps, "job": f"{case.tune_steps}+2*{case.num_steps}"}
    stage = case.stage + (f" x{steps[case.stage]}" if case.stage in steps else "")
    return [case.size, stage, f"{case.num_frames} of {case.pixels}x{case.pixels}", case.describe()]


def figure_cells(result: dict[str, Any]) -> list[str]:
    """The result: seconds with their spread, memory, and the rate beside the machine's best."""
    warm_up, peak = result["warm_up_seconds"], result["peak_bytes"]
    return [
        f"{result['median_seconds']:.3f}",
        f"{min(result['seconds']):.3f}",
        f"{max(result['seconds']):.3f}",
        "none" if warm_up is None else f"{warm_up:.3f}",
        f"{result['median_cpu_seconds']:.3f}",
        "unknown" if peak is None else f"{peak / 2**30:.2f} GiB",
        f"{result['flops'] / 1e12:.3f}",
        f"{result['flops_per_second'] / 1e12:.3f}",
        f"{result['shares']['matmul']:.0%}",
        f"{result['shares']['convolution']:.0%}",
    ]


def rival_line(name: str, rival: dict[str, Any]) -> str:
    return (
        f"{name} takes {rival['ratio']:.2f} times as long, {rival['median_seconds']:.3f} s, "
        f"and {rival['cpu_ratio']:.2f} times the CPU time, {rival['median_cpu_seconds']:.3f} s"
    )


def operation_line(operation: dict[str, Any]) -> str:
    return f"{operation['share']:6.1%}  {operation['seconds']:9.3f} s  {operation['calls']:6} x  {operation['name']}"


def align(cells: Iterable[str]) -> str:
    """A row; the row of a failed figure ends before the numbers."""
    pairs = zip(cells, COLUMNS.values(), strict=False)
    return "  ".join(f"{cell:<{-width}}" if width < 0 else f"{cell:>{width}}" for cell, width in pairs)
