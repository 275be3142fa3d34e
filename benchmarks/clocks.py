"""How long a function takes, by two clocks: wall time, and CPU time, which other processes do not affect."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Run = Callable[[], object]


def time_run(run: Run, device: str) -> tuple[float, float]:
    """Wall seconds and CPU seconds (over all threads) of one run, including the GPU work it started."""
    started, worked = time.perf_counter(), time.process_time()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - worked


def time_in_turn(runs: Mapping[str, Run], *, times: int, device: str) -> dict[str, dict[str, Any]]:
    """Times the functions in turn, so that the machine's other work affects all of them alike.

    Returns:
        For each function, `seconds` and `cpu_seconds` of each run, and their medians.
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
    """The seconds to compute rates from: CPU time if the CPU does the work, so that other load does not count."""
    return timed["median_cpu_seconds" if device == "cpu" else "median_seconds"]
