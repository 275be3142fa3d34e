"""Standard output and standard error of a run. No terminal or pipe ends a run: what it does not take is left out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any


@contextmanager
def lasting_streams() -> Iterator[None]:
    """While it lasts, standard output and standard error are each a `LastingStream`."""
    # A process that was started without a stream has None for it.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        out, err = (LastingStream(stream or nowhere) for stream in (sys.stdout, sys.stderr))
        with redirect_stdout(out), redirect_stderr(err):
            try:
                yield
            finally:
                out.flush()
                err.flush()


class LastingStream:
    """A text stream whose writing never fails.

    A character that the stream's encoding lacks is written as an escape, such as \\u6ed1. Once the reader of a pipe is
    gone, or the terminal has closed, what is written goes nowhere.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        encoding = self.stream.encoding or "utf-8"
        try:
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError:
            self.mute()
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            self.mute()

    def mute(self) -> None:
        """Lets the stream's file lead nowhere, as Python tries at its end to write what is left in the buffer."""
        with suppress(OSError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), self.stream.fileno())
