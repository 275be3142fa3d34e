"""The child of the executor `processes`: a line with a job in, a line with its outcome out, until its input ends."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def main() -> int:
    """Does jobs one after the other. Returns the exit status: 130 when it was told to end."""
    # Whatever prints, prints to the log: the pipe of the answers is for the answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, end)
    # Ctrl-C in a terminal goes to all of its processes: the parent then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from .run_job import run_job

    try:
        for line in sys.stdin:
            answers.write(json.dumps(run_job(json.loads(line))) + "\n")
            answers.flush()
    except KeyboardInterrupt:
        return 130
    return 0


def end(number: int, frame: Any) -> None:
    """Ends the job where it is; a tuning saves its state."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
