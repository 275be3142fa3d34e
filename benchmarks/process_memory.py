"""The memory of this process: what it holds now, and the most that it held since the peak was reset."""

from __future__ import annotations

import re
from pathlib import Path

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def held_bytes() -> int:
    """What this process holds now; Linux only."""
    return read_status("VmRSS")


def peak_bytes() -> int:
    """The most that it held since `reset_peak`."""
    return read_status("VmHWM")


def reset_peak() -> None:
    """Makes what is held now the peak, so that what was loaded and let go of before does not count."""
    REFERENCES.write_text("5")


def read_status(field: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.M)
    assert found, f"Linux reports {field} in {STATUS}"
    return int(found[1]) * 1024
