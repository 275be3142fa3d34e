"""Times in words."""

from __future__ import annotations

# Up to this many seconds, or minutes, a time is told in them.
MOST = 90


def about(seconds: float) -> str:
    """A time as exactly as an estimate is known: a few seconds, 40 seconds, 5 minutes, 2.5 hours."""
    if seconds < 5:
        return "a few seconds"
    if seconds <= MOST:
        return f"{round(seconds / 5) * 5} seconds"
    minutes = seconds / 60
    return f"{round(minutes)} minutes" if minutes <= MOST else f"{minutes / 60:.1f} hours"
