"""Renders jobs of a study in several processes, on a CPU or on a GPU that they share.

Noise is drawn on the CPU, and everything is computed in float32, so that a job means the same on every device.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tav_core import Checkpoint, load_checkpoint

from .jobs import Job
from .variant_edits import render_edits
from .variants import VARIANTS
from .worlds import WORLDS


@functools.cache
def checkpoint_of(world_name: str, device: str) -> Checkpoint:
    """A world's model on a device, loaded once in this process."""
    # TensorFloat32 would round the convolutions of a GPU to ten bits.
    torch.backends.cudnn.allow_tf32 = False
    return load_checkpoint(WORLDS[world_name]().model, device=device)


def run_job(world_name: str, job: Job, out: Path, device: str = "cpu") -> Job:
    """Renders a job's edits and saves them, unless they are there already."""
    torch.set_num_threads(1)
    if not job.path(out).exists():
        world = WORLDS[world_name]()
        checkpoint = checkpoint_of(world_name, device)
        videos = render_edits(world, checkpoint, world.clips[job.clip], job.seed, out, VARIANTS[job.variant])
        partial = job.path(out).with_suffix(".partial.npz")
        np.savez_compressed(partial, videos=(videos * 255).round().astype(np.uint8))
        partial.replace(job.path(out))
    return job


def run_group(world_name: str, jobs: Sequence[Job], out: Path, device: str = "cpu") -> list[Job]:
    """Renders jobs that share a motion, one after the other: the first one tunes it, the others find it."""
    return [run_job(world_name, job, out, device) for job in jobs]


def group_jobs(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in groups that share a motion, so that no two processes tune the same one; in the order of their first jobs.

    A job that tunes nothing is a group of its own.
    """
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        variant = VARIANTS[job.variant]
        shares = variant.motion_name if variant.tuned else job.variant
        groups.setdefault((job.clip, str(job.seed), shares), []).append(job)
    return list(groups.values())
