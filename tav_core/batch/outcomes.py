"""What becomes of a job that did not end well: whether it is tried again, and what is told of it at the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .executors.tasks import Outcome, Task
from .job_folder import JobFolder, read_json

# Seconds after which a job whose holder tells nothing is given up.
SILENCE = 600.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure that is final.

    Args:
        job: the clip's name.
        stage, edit: where it happened; edit is "" for what concerns all edits.
        kind: "failed" for a refusal, "memory", "crashed" or "held".
        got, expected, mend: in three beats.
        log: the job's log.
    """

    job: str
    stage: str
    edit: str
    kind: str
    got: str
    expected: str
    mend: str
    log: str


def next_try(task: Task, outcome: Outcome, folder: JobFolder, *, retries: int) -> Task | None:
    """The task to run once more; None if its outcome is final.

    Refusals are not tried again, since they would be the same. Memory that ran out is tried once with less. A crash is
    tried up to `retries` times. A job that another process has is waited for, and this does not count.
    """
    state = outcome["state"]
    if state == "memory" and not task.low_memory:
        lower = {**task.payload, "recipe": {**task.payload["recipe"], "low_memory": True}}
        return dataclasses.replace(task, payload=lower, low_memory=True)
    if state == "crashed" and task.tries < retries and not outcome.get("is_final"):
        return dataclasses.replace(task, tries=task.tries + 1)
    if state == "held" and time.time() - read_json(folder.status).get("updated", 0) < SILENCE:
        return task
    return None


def final_failures(task: Task, outcome: Outcome, folder: JobFolder) -> list[Failure]:
    """The failures of a job that is not tried again."""
    held = {
        "stage": "start",
        "edit": "",
        "kind": "held",
        "got": "a job that another process holds and does not go on with",
        "expected": "one process for a job",
        "mend": "End the other process, or remove its lock file in the job's folder if there is none.",
    }
    found: Sequence[dict[str, Any]] = [held] if outcome["state"] == "held" else outcome["failures"]
    return [Failure(job=task.name, log=str(folder.log), **failure) for failure in found]


def format_failures(failures: Sequence[Failure]) -> str:
    """A table of failures to print."""
    lines = [f"{len(failures)} failure{'s' * (len(failures) != 1)}"]
    for each in failures:
        where = " ".join(part for part in (each.stage, each.edit) if part)
        lines += [
            f"  {each.job}, {where} ({each.kind})",
            f"    got       {each.got}",
            f"    expected  {each.expected}",
            f"    mend      {each.mend}",
            f"    log       {each.log}",
        ]
    return "\n".join(lines)
