"""Reserves a file for this process, and waits for a while where another one has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import ConfigError
from ..tuning.run_lock import hold

# Seconds between two looks.
LOOK = 0.5


@contextmanager
def hold_patiently(path: Path, patience: float) -> Iterator[bool]:
    """Reserves a file, and yields whether this process has it now.

    Args:
        path: the file, which need not exist.
        patience: how many seconds to wait for another process.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold(path))
            except ConfigError:
                if time.monotonic() - began >= patience:
                    yield False
                    return
                time.sleep(min(LOOK, patience))
            else:
                yield True
                return
