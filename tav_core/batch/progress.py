"""What a job tells of itself while it runs, in its `status.json`, for drivers and watchers on any machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..errors import OutputError
from .job_folder import JobFolder, read_json, write_json

# Seconds between two writes: a network file system has thousands of such files.
PAUSE = 1.0
# Seconds between tries to write the last one: Windows replaces no file that a watcher reads at that moment.
WAITS = (0.05, 0.2, 1.0)


class JobStatus:
    """Writes the status of a job.

    Args:
        folder: of the job.
        run: a name of the batch's run; a job that is begun again in the same run has its attempts counted.
    """

    def __init__(self, folder: JobFolder, run: str) -> None:
        self.folder, self.written_at = folder, 0.0
        before = read_json(folder.status)
        attempts = before.get("attempt", 0) if before.get("run") == run else 0
        self.values: dict[str, Any] = {
            "run": run,
            "attempt": int(attempts) + 1,
            "state": "running",
            "host": platform.node(),
            "pid": os.getpid(),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            "began": time.time(),
        }

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return int(self.values["attempt"])

    def tell(self, stage: str, step: int = 0, steps: int = 0, **more: Any) -> None:
        """Says what is being done; at most once per second, and always where a stage begins.

        Args:
            stage: "tune", "invert", "edit <type>" or "scores <type>".
            step, steps: how far it is.
            more: such as the loss, or the seconds left.
        """
        begins = stage != self.values.get("stage")
        self.values = {**self.values, "stage": stage, "step": step, "steps": steps}
        for name in ("loss", "seconds_left"):
            self.values.pop(name, None)
        self.values |= more
        if begins or time.monotonic() - self.written_at >= PAUSE:
            # It is only told: hours of work must not end with it.
            with suppress(OutputError):
                self.write()

    def end(self, state: str, failures: Sequence[Mapping[str, Any]]) -> None:
        """Says how the job ended: "done", "failed", "crashed" or "stopped", and what went wrong."""
        self.values = {**self.values, "state": state, "failures": list(failures)}
        for wait in WAITS:
            with suppress(OutputError):
                return self.write()
            time.sleep(wait)
        self.write()

    def write(self) -> None:
        """Writes the file."""
        self.written_at = time.monotonic()
        write_json(self.folder.status, {**self.values, "updated": time.time()})
