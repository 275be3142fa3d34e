"""The most memory that was in use: of the GPU, where there is one, else of this process."""

from __future__ import annotations

import sys

import torch

MB = 2**20


def reset_peak() -> None:
    """Begins to count anew on a GPU; a process's own peak only ever rises."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> int | None:
    """The peak in MiB; None where the system does not tell it."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved() // MB
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return peak // MB if sys.platform == "darwin" else peak // 1024
