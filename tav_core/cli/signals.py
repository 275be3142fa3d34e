"""Ends a run when a signal asks for it, as Ctrl-C does: kill, a terminal that closes, a system that shuts down."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

# Each system has some of them. Python itself raises KeyboardInterrupt at SIGINT.
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
# Windows' events that its console closes, the user logs off, and the system shuts down; and how long it then waits.
CONSOLE_ENDS, SECONDS = (2, 5, 6), 5


class Ended(KeyboardInterrupt):
    """A signal asked the run to end. It is a KeyboardInterrupt, so that what is saved at Ctrl-C is saved.

    Args:
        number: the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def raise_when_ended() -> Iterator[None]:
    """Raises `Ended` where this process is when it is told to end, so that it can save and tidy up.

    A terminal that closes may say so twice, so only the first signal counts.
    """

    def end(number: int, frame: Any) -> None:
        for each in changed:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    with handlers(ENDING, end) as changed, console_events():
        yield


@contextmanager
def raise_between_steps() -> Iterator[Callable[[], None]]:
    """Delays Ctrl-C and the other signals until a step is complete, so that no step is lost."""
    told: list[int] = []

    def check() -> None:
        if told:
            raise KeyboardInterrupt if told[0] == signal.SIGINT else Ended(told[0])

    with handlers([signal.SIGINT, *ENDING], lambda number, frame: told.append(number)):
        yield check


@contextmanager
def handlers(signals: list[int], handler: Callable[[int, Any], None]) -> Iterator[list[int]]:
    """Handles signals for a while, except those that this process was started to ignore, as by `nohup`.

    Yields the signals that are handled. Only the main thread of a process can have handlers; in others, there are none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    before = {number: signal.getsignal(number) for number in signals}
    # None: the handler of something that is not Python, which could not be put back.
    changed = [number for number, known in before.items() if known not in (signal.SIG_IGN, None)]
    for number in changed:
        signal.signal(number, handler)
    try:
        yield changed
    finally:
        for number in changed:
            signal.signal(number, before[number])


if sys.platform == "win32":

    @contextmanager
    def console_events() -> Iterator[None]:
        """Treats the end of the console as SIGBREAK. Windows ends the process when the event's handler returns, so the
        handler waits until the run has been saved."""
        import _thread
        import ctypes

        done = threading.Event()

        @ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)
        def on_event(event: int) -> bool:
            if event not in CONSOLE_ENDS:
                return False
            _thread.interrupt_main(signal.SIGBREAK)
            return done.wait(SECONDS)

        console = ctypes.windll.kernel32
        console.SetConsoleCtrlHandler(on_event, True)
        try:
            yield
        finally:
            done.set()
            console.SetConsoleCtrlHandler(on_event, False)

else:

    def console_events() -> AbstractContextManager[None]:
        """Elsewhere the end of a terminal is a signal."""
        return nullcontext()
