"""How long a function takes, on two clocks: the wall's, and the CPU's own, which other work does not slow down."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Run = Callable[[], object]


def time_run(run: Run, device: str) -> tuple[float, float]:
    """Seconds of one run, to the end of what it gave the GPU to do: by the clock, and of all the CPU's threads."""
    started, worked = time.perf_counter(), time.process_time()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - worked


def time_in_turn(runs: Mapping[str, Run], *, times: int, device: str) -> dict[str, dict[str, Any]]:
    """The seconds of each function, run in turn, so that a machine's other work hits all of them alike.

    Returns:
        For each, `seconds` and `cpu_seconds` of each run, and their medians.
    """
    timed: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(times):
        for name, run in runs.items():
            timed[name].append(time_run(run, device))
    return {name: summarize(*zip(*pairs, strict=True)) for name, pairs in timed.items()}


def summarize(seconds: tuple[float, ...], cpu_seconds: tuple[float, ...]) -> dict[str, Any]:
    """The runs and their medians."""
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "median_seconds": statistics.median(seconds),
        "median_cpu_seconds": statistics.median(cpu_seconds),
    }


def working_seconds(timed: Mapping[str, Any], device: str) -> float:
    """The seconds to reckon rates from: the CPU's own where it does the work, so that a busy machine does not count."""
    return timed["median_cpu_seconds" if device == "cpu" else "median_seconds"]
