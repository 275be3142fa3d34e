"""Shows the progress of a run on the command line, and ends it on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


def progress_bar(name: str, total: int) -> tqdm:
    return tqdm(total=total, desc=name, unit="step", leave=True)


@contextmanager
def raise_between_steps() -> Iterator[Callable[[], None]]:
    """Delays Ctrl-C until a step is complete, so that the state saved on cancel is consistent."""
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
