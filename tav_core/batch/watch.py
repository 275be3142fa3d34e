"""How far a batch is, from the files that its jobs leave: for the run itself, and for whoever looks from elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .job_folder import JobFolder, read_json

# Seconds between two looks; and the part of the time that looking may take, on a slow file system.
PAUSE, SHARE = 2.0, 0.05
# A job that says "running" and has said nothing for longer was killed.
SILENT = 120.0


@dataclass(frozen=True, kw_only=True)
class JobState:
    """How far a job is.

    Args:
        name: the clip's.
        state: "waiting", "running", "silent", "done", "failed", "crashed" or "stopped".
        values: of its status file.
    """

    name: str
    state: str
    values: dict[str, Any]

    @property
    def doing(self) -> str:
        """What it does now, in a few words."""
        values = self.values
        text = f"{values.get('stage', '')} {values.get('step', 0)}/{values.get('steps', 0)}"
        text = text.removesuffix(" 0/0")
        if "loss" in values:
            text += f" loss {values['loss']:.4f}"
        if "seconds_left" in values:
            text += f", {values['seconds_left']:.0f} s left"
        return text


def read_batch(out: Path) -> list[JobState]:
    """The state of every job of a batch.

    Raises:
        InputError: there is no batch in this folder.
    """
    plan = read_json(out / "batch.json").get("jobs")
    if not isinstance(plan, list):
        raise InputError(
            got=f"{out} without batch.json", expected="the folder of a batch, its --out", mend="Check the path."
        )
    return [read_state(out, str(job["folder"]), str(job["name"])) for job in plan]


def read_state(out: Path, folder: str, name: str) -> JobState:
    """The state of one job."""
    values = read_json(JobFolder(out / "jobs" / folder).status)
    state = str(values.get("state", "waiting"))
    if state == "running" and time.time() - float(values.get("updated", 0)) > SILENT:
        state = "silent"
    return JobState(name=name, state=state, values=values)


def format_batch(states: Sequence[JobState], *, shown: int = 40) -> str:
    """The states as text: how many there are of each, and a line for each job that is neither waiting nor done."""
    counts: dict[str, int] = {}
    for each in states:
        counts[each.state] = counts.get(each.state, 0) + 1
    lines = [f"{len(states)} jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items())]
    told = [each for each in states if each.state not in ("waiting", "done")]
    width = max((len(each.name) for each in told[:shown]), default=0)
    for each in told[:shown]:
        place = " ".join(str(each.values.get(name) or "") for name in ("host", "gpu")).strip()
        lines.append(f"  {each.name:{width}}  {each.state:8} {each.doing}  {place}".rstrip())
    return "\n".join([*lines, *([f"  and {len(told) - shown} more"] if len(told) > shown else [])])


class Poller(threading.Thread):
    """Looks at the jobs of a batch every 2 s, at those alone that have not ended.

    Args:
        out: the batch's folder.
        folders: of the jobs, by name.
        on_look: called with the states of the jobs that are running.
    """

    def __init__(self, out: Path, folders: dict[str, str], on_look: Callable[[Sequence[JobState]], None]) -> None:
        super().__init__(daemon=True)
        self.out, self.left, self.on_look = out, dict(folders), on_look
        self.ended = threading.Event()

    def run(self) -> None:
        """Looks until it is stopped."""
        pause = PAUSE
        while not self.ended.wait(pause):
            began = time.monotonic()
            states = {folder: read_state(self.out, folder, name) for folder, name in list(self.left.items())}
            for folder, each in states.items():
                if each.state == "done":
                    self.left.pop(folder)
            self.on_look([each for each in states.values() if each.state == "running"])
            pause = max(PAUSE, (time.monotonic() - began) / SHARE)

    def stop(self) -> None:
        """Ends it."""
        self.ended.set()
        self.join()
