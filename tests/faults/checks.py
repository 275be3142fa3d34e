"""What every refusal must be: of the right class, clear, soon, and without a trace on the disk."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tav_core.errors import TavError

SECONDS = 10
# Of the clock on the wall, for what waits and does not work: a busy machine gives a process little of it.
WAITING = 12


class TookTooLong(BaseException):
    """Not an Exception, so that no handler of the code under test takes it for an error of its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Breaks off what works for longer, or waits for twelve times as long; on Windows it only fails afterwards."""
    worked = time.process_time()

    def ring(*_: object) -> None:
        raise TookTooLong(f"more than {seconds} s")

    timers = {"SIGPROF": ("ITIMER_PROF", seconds), "SIGALRM": ("ITIMER_REAL", WAITING * seconds)}
    timers = timers if hasattr(signal, "setitimer") else {}
    before = {name: signal.signal(getattr(signal, name), ring) for name in timers}
    for timer, limit in timers.values():
        signal.setitimer(getattr(signal, timer), limit)
    try:
        yield
    finally:
        for name, (timer, _) in timers.items():
            signal.setitimer(getattr(signal, timer), 0)
            signal.signal(getattr(signal, name), before[name])
    if time.process_time() - worked > seconds:
        raise TookTooLong(f"more than {seconds} s")


def contents(folder: Path) -> dict[str, bytes | str]:
    """Everything under a folder: the bytes of files, the kind of what is none."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = path.read_bytes() if path.is_file() and not path.is_symlink() else "no plain file"
    return found


@contextmanager
def refused(error: type[TavError], *words: str, folder: Path) -> Iterator[None]:
    """Holds its block to what a refusal must be.

    Args:
        error: the class expected.
        words: what the message must hold.
        folder: where nothing may be left, changed or lost.
    """
    before = contents(folder)
    with pytest.raises(error) as caught, time_limit(SECONDS):
        yield
    told = caught.value
    assert told.got and told.expected and told.mend.strip().endswith((".", ")")), str(told)
    missing = [word for word in words if word not in str(told)]
    assert not missing, f"{missing} not in: {told}"
    assert len(str(told)) < 2000, "a message that nobody reads to its end"
    assert contents(folder) == before
