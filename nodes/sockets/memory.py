"""Whether pictures fit into the memory that is free."""

from __future__ import annotations

BYTES_PER_PIXEL = 3 * 4


def memory_warning(num_frames: int, width: int, height: int) -> str:
    """What is said of float32 frames that need more memory than is free; "" if they fit."""
    import psutil

    needed, free = num_frames * height * width * BYTES_PER_PIXEL, psutil.virtual_memory().available
    if needed <= free:
        return ""
    return (
        f"{num_frames} frames of {width}x{height} need {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB "
        "are free. Lower num_frames, width or height; 24 frames of 512x512 need 0.1 GiB."
    )
