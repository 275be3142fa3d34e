"""Where the time of a stage goes: its heaviest operations."""

from __future__ import annotations

from typing import Any

from torch.profiler import ProfilerActivity, profile

from .stages import Run

LISTED = 12


def heaviest_operations(run: Run, device: str) -> list[dict[str, Any]]:
    """Name, calls, seconds and share of the operations that take most time, excluding the operations they call."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=kinds) as profiler:
        run()
    own = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    seconds = {event.key: getattr(event, own) / 1e6 for event in profiler.key_averages()}
    calls = {event.key: event.count for event in profiler.key_averages()}
    total = sum(seconds.values())
    heaviest = sorted(seconds, key=seconds.get, reverse=True)[:LISTED]
    return [
        {"name": name, "calls": calls[name], "seconds": seconds[name], "share": seconds[name] / total}
        for name in heaviest
    ]
