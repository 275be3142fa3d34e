"""Shows the progress of a run on the command line."""

from __future__ import annotations

import sys

from tqdm import tqdm


def tell(line: str) -> None:
    """Says what is being done, where bars are shown too."""
    tqdm.write(line, file=sys.stderr)


def progress_bar(name: str, total: int) -> tqdm:
    return tqdm(total=total, desc=name, unit="step", leave=True)
