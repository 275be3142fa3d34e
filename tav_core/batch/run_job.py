"""One attempt at one job: what every executor calls, here or in another process. It raises only when cancelled."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import OutOfMemory, TavError, TuningDiverged, explain_out_of_memory
from .holding import hold_patiently
from .job_folder import JobFolder
from .loading import let_go
from .manifest.jobs import ClipJob
from .progress import JobStatus
from .recipe import Recipe
from .stages import STAGES, Stages

# Seconds that an attempt waits for another process that works on the job.
PATIENCE = 60.0
Payload = Mapping[str, Any]
Outcome = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Host:
    """What another program does in its own way.

    Args:
        stages: makes the stages of a job, as `Stages` does.
        status: makes what is told how far a job is, as `JobStatus` does.
        cancels: the exceptions by which its users cancel, which end everything, if they are ordinary ones.
    """

    stages: Callable[..., Stages] = Stages
    status: Callable[[JobFolder, str], JobStatus] = JobStatus
    cancels: tuple[type[BaseException], ...] = ()


def run_job(payload: Payload) -> Outcome:
    """Does what is left of a job.

    Args:
        payload: `job` and `recipe` as `as_json` gives them; `hashes` of the recipe's files; `out`, the batch's folder;
            `run`, the name of this run; `stages`, those to do; `patience` in seconds.

    Returns:
        `state`: "done"; "failed", which is not tried again; "memory", which is tried once more; "crashed", which is
        tried again in a new process; "held", if another process has the job. `failures`: what went wrong, by stage.
    """
    job, recipe = ClipJob.from_json(payload["job"]), Recipe.from_json(payload["recipe"])
    folder = JobFolder(Path(payload["out"]) / "jobs" / job.folder)
    if recipe.low_memory:
        let_go()
    if recipe.modes.threads:
        torch.set_num_threads(recipe.modes.threads)
    try:
        with hold_patiently(folder.lock, payload.get("patience", PATIENCE)) as is_held:
            if not is_held:
                return {"state": "held", "failures": [], "attempt": 0}
            return attempt(job, recipe, payload, folder)
    # The folder itself cannot be written: nothing more can be noted there.
    except Exception as error:
        return {"state": kind_of(error), "failures": [describe("start", "", error)], "attempt": 1}


def attempt(job: ClipJob, recipe: Recipe, payload: Payload, folder: JobFolder, *, host: Host | None = None) -> Outcome:
    """Does the stages of a job that is reserved; in another program, as its `Host` says."""
    host = host or Host()
    status = host.status(folder, payload["run"])
    failures: list[Outcome] = []
    try:
        status.write()
        do_stages(job, recipe, payload, folder, status, failures, host)
    except BaseException:
        status.end("stopped", failures)
        raise
    state = worst_of(failures)
    status.end("failed" if state == "memory" else state, failures)
    return {"state": state, "failures": failures, "attempt": status.attempt}


def do_stages(
    job: ClipJob,
    recipe: Recipe,
    payload: Payload,
    folder: JobFolder,
    status: JobStatus,
    failures: list[Outcome],
    host: Host,
) -> None:
    """Does the stages that are asked for. One that fails ends what builds on it, and nothing else."""

    def tried(stage: str, edit: str, work: Callable[[], None]) -> bool:
        try:
            with explain_out_of_memory(f"doing {stage} of {job.name}", "Use fewer frames or a smaller size."):
                work()
        except host.cancels:
            raise
        except Exception as error:
            folder.note(f"{stage} {edit} failed\n{''.join(traceback.format_exception(error))}")
            failures.append(describe(stage, edit, error))
            return False
        return True

    asked = payload.get("stages") or STAGES
    stages: list[Stages] = []
    if not tried("read", "", lambda: stages.append(host.stages(job, recipe, payload["hashes"], folder, status))):
        return
    for name in ("tune", "invert"):
        if name in asked and not tried(name, "", getattr(stages[0], name)):
            return
    for edit in job.edits:
        rendered = "edits" not in asked or tried("edit", edit.type, lambda: stages[0].edit(edit))  # noqa: B023
        if rendered and "scores" in asked:
            tried("scores", edit.type, lambda: stages[0].score(edit))  # noqa: B023


def describe(stage: str, edit: str, error: Exception) -> Outcome:
    """A failure in three parts, as plain values."""
    kind = kind_of(error)
    if isinstance(error, TavError):
        parts = {"got": error.got, "expected": error.expected, "mend": error.mend}
    else:
        told = f"{type(error).__name__}: {error}"
        parts = {"got": told[:2000], "expected": "a job that ends", "mend": "See the job's log.txt, and report it."}
    return {"stage": stage, "edit": edit, "kind": kind, **parts}


def kind_of(error: Exception) -> str:
    """How a job with this error ends: a refusal and a tuning that diverged would only do so again."""
    if isinstance(error, OutOfMemory):
        return "memory"
    return "failed" if isinstance(error, TavError | TuningDiverged) else "crashed"


def worst_of(failures: list[Outcome]) -> str:
    """The state of a job with these failures: what is worth another attempt comes first."""
    kinds = {failure["kind"] for failure in failures}
    return next((kind for kind in ("memory", "crashed", "failed") if kind in kinds), "done")
