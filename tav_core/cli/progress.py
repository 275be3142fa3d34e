"""Shows the progress of a run on the command line."""

from __future__ import annotations

from tqdm import tqdm


def progress_bar(name: str, total: int) -> tqdm:
    return tqdm(total=total, desc=name, unit="step", leave=True)
