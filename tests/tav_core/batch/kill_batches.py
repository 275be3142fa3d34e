"""Kills a batch by kill -9 at every stage, and lets it go on: `kill_batches.py MODEL CLIP FOLDER`. Prints JSON.

Each run is a fork of this process, which has the imports behind it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import torch

from tav_core.batch import progress
from tav_core.batch.driver import Batch, run_batch
from tav_core.batch.job_folder import JobFolder
from tav_core.batch.loading import checkpoint_of
from tav_core.batch.manifest.jobs import ClipJob, Edit
from tav_core.batch.recipe import Modes, Recipe
from tav_core.sampling.config import EditConfig
from tav_core.tuning.config import TuneConfig
from tav_core.video.config import ClipConfig

STAGES = ("tune", "invert", "edit one", "scores two")


def make_batch(model: str, clip: str, out: Path) -> Batch:
    edits = (Edit(type="one", prompt="a dog"), Edit(type="two", prompt="a cat, sketch"))
    job = ClipJob(
        name="clip",
        folder="clip",
        split="",
        clip=clip,
        prompt="a cat",
        config=ClipConfig(num_frames=3, width=32, height=32),
        edits=edits,
    )
    recipe = Recipe(
        model=model,
        modes=Modes(threads=1),
        tuning=TuneConfig(num_steps=3, memory="speed", save_every=1),
        sampling=EditConfig(num_steps=2),
        flow=False,
    )
    return Batch(jobs=(job,), recipe=recipe, out=out)


def fork(job: Callable[[], None]) -> int:
    """Does a job in a child; its exit status, or the number of the signal that ended it, below 0."""
    child = os.fork()
    if child == 0:
        try:
            job()
            os._exit(0)
        except BaseException as error:
            print(f"in the child: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_around(stage: str, *, before: bool) -> None:
    """From now on, this process dies when a stage is to be noted as done, before or after that."""
    mark_done = JobFolder.mark_done

    def mark(self: JobFolder, name: str, *args: object, **about: object) -> None:
        if name == stage and before:
            die()
        mark_done(self, name, *args, **about)
        if name == stage:
            die()

    JobFolder.mark_done = mark


def die_in_tuning() -> None:
    """From now on, this process dies after the second step of the tuning."""
    tell = progress.JobStatus.tell

    def tell_and_die(self: progress.JobStatus, stage: str, step: int = 0, *args: object, **more: object) -> None:
        tell(self, stage, step, *args, **more)
        if stage == "tune" and step == 2:
            die()

    progress.JobStatus.tell = tell_and_die


def die_in_a_file(name: str) -> None:
    """From now on, this process dies when a file of this name is half written."""
    real = os.fsync

    def cut(number: int) -> None:
        if name in str(Path(f"/proc/self/fd/{number}").readlink()):
            os.ftruncate(number, os.fstat(number).st_size // 2)
            die()
        real(number)

    os.fsync = cut


def contents(out: Path) -> dict[str, str]:
    """The hashes of what must be equal."""
    found = {}
    for path in sorted((out / "jobs").rglob("*")):
        if path.suffix in (".safetensors", ".mp4", ".jpg") or path.name == "scores.json":
            found[path.relative_to(out).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main(model: str, clip: str, folder: Path) -> None:
    torch.set_num_threads(1)
    whole = make_batch(model, clip, folder / "whole")
    # The children find it loaded.
    checkpoint_of(whole.recipe)
    assert fork(lambda: run_batch(whole)) == 0
    expected = contents(whole.out)
    moments = {f"before {stage}": lambda stage=stage: die_around(stage, before=True) for stage in STAGES}
    moments |= {f"after {stage}": lambda stage=stage: die_around(stage, before=False) for stage in STAGES}
    moments["in tuning"] = die_in_tuning
    for name in ("motion.safetensors", "one.mp4", "stages.json"):
        moments[f"in {name}"] = lambda name=name: die_in_a_file(name)
    found = {}
    for name, moment in moments.items():
        batch = make_batch(model, clip, folder / name.replace(" ", "-"))
        status = fork(lambda moment=moment, batch=batch: (moment(), run_batch(batch)))
        again = fork(lambda batch=batch: run_batch(batch))
        got = contents(batch.out)
        found[name] = {"status": status, "again": again, "equal": got == expected, "files": len(got)}
    print("FOUND", json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
