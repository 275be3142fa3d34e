"""Runs a batch: gives what is left to do to an executor, decides what is tried again, and writes the results."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..atomic_files import check_output
from ..cancelling import cancellable
from ..checkpoints.lora_file import find_settings, read_lora
from ..checkpoints.prediction import find_yaml
from ..errors import ConfigError, InputError
from ..sampling.edit import check_own_steps, check_resample
from ..tuning.config import check_has_steps
from ..tuning.motion import Motion
from .executors.processes import run_in_processes
from .executors.ray_tasks import run_on_ray
from .executors.serial import run_serially
from .executors.tasks import Executor, Outcome, Queue, Slots, Task
from .hashes import hash_path
from .holding import hold_patiently
from .job_folder import JobFolder, read_json, write_json
from .keys import MODEL_YAML, JobKeys, mask_paths
from .manifest.jobs import ClipJob
from .outcomes import Failure, final_failures, next_try
from .page import write_page
from .recipe import Recipe
from .results import collect_rows, write_results
from .run_job import run_job
from .stages import STAGES

EXECUTORS: dict[str, Executor] = {"serial": run_serially, "processes": run_in_processes, "ray": run_on_ray}
# Seconds that one run waits for another that collects the results.
PATIENCE = 120.0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch: what is to be made, how, and where.

    Args:
        jobs: of the whole list, from `read_manifest`.
        recipe: the settings.
        out: the folder for everything.
    """

    jobs: Sequence[ClipJob]
    recipe: Recipe
    out: Path

    def folder(self, job: ClipJob) -> JobFolder:
        """A job's folder."""
        return JobFolder(self.out / "jobs" / job.folder)


@dataclass(kw_only=True)
class Watcher:
    """What is called while a batch runs.

    Args:
        on_begin: with the names of the jobs that are left to do, and how many are done already.
        on_end: with a job's name and its state, when its outcome is final.
        on_retry: with a job's name and why it is tried again.
    """

    on_begin: Callable[[Sequence[str], int], None] = lambda left, done: None
    on_end: Callable[[str, str], None] = lambda name, state: None
    on_retry: Callable[[str, str], None] = lambda name, why: None


@dataclass(frozen=True, kw_only=True)
class BatchEnd:
    """How a run of a batch ended.

    Args:
        failures: those that are final.
        files: the results that were written.
        done: how many jobs of this run are done.
        videos: of the whole list, those that today's settings made, as `results.csv` names them.
    """

    failures: Sequence[Failure]
    files: Sequence[Path]
    done: int
    videos: Sequence[str]


@dataclass(kw_only=True)
class Run:
    """One run of a batch: its queue, and what has failed."""

    batch: Batch
    hashes: Mapping[str, str]
    watcher: Watcher
    retries: int
    queue: Queue = field(default_factory=deque)
    failures: list[Failure] = field(default_factory=list)
    done: int = 0


def run_batch(
    batch: Batch,
    *,
    executor: str = "serial",
    slots: Slots | None = None,
    chosen: Sequence[ClipJob] | None = None,
    stages: Collection[str] = STAGES,
    watcher: Watcher | None = None,
) -> BatchEnd:
    """Does what is left of a batch, and writes the results of all of it.

    Args:
        batch: see `Batch`.
        executor: one of `EXECUTORS`.
        slots: where the jobs run.
        chosen: the jobs of this run; None for all.
        stages: those of `STAGES` to do.
        watcher: who is told.

    Raises:
        ConfigError: the settings do not go together.
        InputError: a file of the recipe cannot be read, or is of another kind.
        OutputError: the folder cannot be written.
    """
    slots = slots or Slots()
    check_stages(stages)
    check_output(batch.out / "results.csv")
    batch = fit_device(batch, executor, slots)
    hashes = hash_files(batch)
    check_recipe(batch.recipe, masked=any(edit.mask for job in batch.jobs for edit in job.edits))
    write_json(batch.out / "batch.json", plan_of(batch))
    run = Run(batch=batch, hashes=hashes, watcher=watcher or Watcher(), retries=slots.retries)
    chosen = batch.jobs if chosen is None else chosen
    fill_queue(run, chosen, stages)
    run.watcher.on_begin([task.name for task in run.queue], run.done)
    if run.queue:
        needed = [path for job in chosen for path in (job.clip, *mask_paths(job))]
        checks = {"files": [*batch.recipe.files.values(), *needed], "out": str(batch.out)}
        slots = replace(slots, logs=batch.out / "logs", checks=checks)
        with closing(EXECUTORS[executor](run.queue, run_job, slots)) as outcomes:
            for task, outcome in outcomes:
                take(run, task, outcome)
    files, videos = collect(batch, hashes)
    return BatchEnd(failures=run.failures, files=files, done=run.done, videos=videos)


def check_stages(stages: Collection[str]) -> None:
    """Raises `ConfigError` unless the stages are known."""
    unknown = sorted(set(stages) - set(STAGES))
    if unknown or not stages:
        raise ConfigError(
            got=f"stages {', '.join(unknown) or 'none'}", expected=f"some of {', '.join(STAGES)}", mend="Leave it out."
        )


def check_recipe(recipe: Recipe, *, masked: bool) -> None:
    """Checks what every job would refuse, some of it only after its clip was tuned and inverted.

    Args:
        masked: whether any edit of the batch has a mask.

    Raises:
        ConfigError: the settings do not go together.
        CheckpointError, MotionError: a LoRA is none, or the start is no motion.
    """
    sampling, method = recipe.sampling, recipe.inversion.method
    check_own_steps(method, sampling.eta, sampling.noise_prior, sampling.resample)
    check_resample(sampling, masked=masked)
    check_whole_steps(recipe)
    check_has_steps(recipe.tuning.num_steps, starts=bool(recipe.start_from))
    for path in recipe.loras:
        read_lora(path)
    if recipe.start_from:
        Motion.load(recipe.start_from)


def check_whole_steps(recipe: Recipe) -> None:
    """Raises `ConfigError` if steps leave out layers or tokens that an injection or context windows need."""
    sampling, injects, windowed = recipe.sampling, recipe.injection is not None, recipe.modes.context_length > 0
    deep, merged = f"deep_every {sampling.deep_every}", f"merge_tokens {sampling.merge_tokens:g}"
    given = {
        f"{deep} with an injection": sampling.deep_every > 1 and injects,
        f"{deep} with context windows": sampling.deep_every > 1 and windowed,
        f"{merged} with an injection": sampling.merge_tokens > 0 and injects,
    }
    for both, is_given in given.items():
        if is_given:
            raise ConfigError(
                got=both,
                expected="one of the two, because the other needs every layer and token in every step",
                mend="Leave one of them out.",
            )


def fit_device(batch: Batch, executor: str, slots: Slots) -> Batch:
    """The batch with its device set to the CPU where jobs ask for no GPU: Ray hides none from such a job.

    Raises:
        ConfigError: the jobs ask for more than one GPU, or for a GPU and a CPU at once.
    """
    if not 0 <= slots.gpus <= 1:
        raise ConfigError(
            got=f"{slots.gpus:g} GPUs per job",
            expected="1, a fraction for small models, or 0 for a CPU: one job computes on one GPU",
            mend="Run several jobs at once instead; they need nothing of each other.",
        )
    if executor == "serial" or slots.gpus:
        return batch
    if batch.recipe.device not in ("", "cpu"):
        raise ConfigError(
            got=f"device {batch.recipe.device} for jobs without a GPU",
            expected="a GPU, or a fraction of one, for each job",
            mend="Set --gpus-per-job to 1, or leave --device out.",
        )
    return replace(batch, recipe=replace(batch.recipe, device="cpu"))


def hash_files(batch: Batch) -> dict[str, str]:
    """The hashes of the recipe's files; a checkpoint has gigabytes, so they are remembered in hashes.json."""
    kept = batch.out / "hashes.json"
    known = read_json(kept)
    before = dict(known)
    hashes = {}
    for name, file in batch.recipe.files.items():
        path = Path(file).expanduser()
        if not path.exists():
            what = name.split()[0]
            raise InputError(got=f"{what} {file}, which does not exist", expected="a file or folder", mend="Check it.")
        hashes[name] = hash_path(path, known)
        if settings := find_settings(path):
            hashes[name] += f" {hash_path(settings, known)}"
    model = Path(batch.recipe.model).expanduser()
    # It says what the model predicts.
    if model.is_file() and (beside := find_yaml(model)):
        hashes[MODEL_YAML] = hash_path(beside, known)
    if known != before:
        write_json(kept, known)
    return hashes


def plan_of(batch: Batch) -> dict[str, Any]:
    """What whoever watches has to know of a batch."""
    jobs = [{"folder": job.folder, "name": job.name, "edits": [edit.type for edit in job.edits]} for job in batch.jobs]
    return {"jobs": jobs, "recipe": batch.recipe.as_json()}


def fill_queue(run: Run, chosen: Sequence[ClipJob], stages: Collection[str]) -> None:
    """Puts the jobs into the queue that have something left to do; what is done costs no process."""
    recipe, name = run.batch.recipe, uuid.uuid4().hex
    asked = [stage for stage in STAGES if stage in stages]
    shared = {"recipe": recipe.as_json(), "hashes": dict(run.hashes), "out": str(run.batch.out), "run": name}
    for number, job in enumerate(cancellable(chosen)):
        if is_done(run.batch, job, run.hashes, asked):
            run.done += 1
            continue
        payload = {**shared, "job": job.as_json(), "stages": asked}
        run.queue.append(Task(name=job.name, payload=payload, number=number))


def is_done(batch: Batch, job: ClipJob, hashes: Mapping[str, str], asked: Collection[str]) -> bool:
    """Whether nothing is left of a job; one that was never begun is not looked at closer."""
    folder = batch.folder(job)
    inputs = read_json(folder.inputs)
    if not inputs or not folder.stages.exists():
        return False
    keys = JobKeys(job, batch.recipe, hashes, inputs)
    return not folder.left(keys, batch.recipe.modes.format, asked)


def take(run: Run, task: Task, outcome: Outcome) -> None:
    """Takes an outcome: the job is done, or goes back into the queue, or has failed."""
    folder = run.batch.folder(ClipJob.from_json(task.payload["job"]))
    if outcome["state"] == "done":
        run.done += 1
        run.watcher.on_end(task.name, "done")
        return
    again = next_try(task, outcome, folder, retries=run.retries)
    if again is None:
        run.failures += final_failures(task, outcome, folder)
        run.watcher.on_end(task.name, "failed")
        return
    run.queue.append(again)
    if outcome["state"] != "held":
        run.watcher.on_retry(task.name, outcome["failures"][0]["got"] if outcome["failures"] else outcome["state"])


def collect(batch: Batch, hashes: Mapping[str, str]) -> tuple[list[Path], list[str]]:
    """Writes the results of all jobs of the list; returns their files, and the videos that are done. One run at a time
    does: the one that ends last has all.
    """
    with hold_patiently(batch.out / "results", PATIENCE):
        rows = collect_rows(batch.jobs, batch.recipe, hashes, batch.out)
        files = [*write_results(batch.out, rows), write_page(batch.out, rows, batch.recipe.as_json())]
        return files, [row["video"] for row in rows if row["video"]]
