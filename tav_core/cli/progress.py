"""Shows the progress of a run on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from torch import Tensor


def tell(line: str) -> None:
    """Says what is being done, where bars are shown too."""
    tqdm.write(line, file=sys.stderr)


def progress_bar(name: str, total: int, *, shown: bool = True) -> tqdm:
    return tqdm(total=total, desc=name, unit="step", leave=True, disable=not shown)


def counted_by(bar: tqdm) -> Callable[..., None]:
    """Moves a bar to the steps done, whose number is known once the first one is."""

    def on_step(done: int, total: int, latents: Tensor | None = None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return on_step
