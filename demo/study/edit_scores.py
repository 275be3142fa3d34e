"""The scores of every edit as a CSV file: one line per edit, with its job in front."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .jobs import Job
from .worlds import World


def names_of(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def save_edits(world: World, path: Path, jobs: Sequence[Job], scored: Sequence[Sequence[Any]]) -> None:
    """Writes the scores as CSV, one line per edit."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for kind in (Job, world.scores) for name in names_of(kind)] + ["prompt"])
        for job, scores in zip(jobs, scored, strict=True):
            for edit, one in zip(world.clips[job.clip].edits, scores, strict=True):
                numbers = (f"{number:.4g}" for number in dataclasses.astuple(one))
                writer.writerow([*dataclasses.astuple(job), *numbers, edit.prompt])


def load_edits(world: World, path: Path) -> dict[Job, list[Any]]:
    """What `save_edits` wrote: the scores of each job's edits, to the four digits that the file holds."""
    found: dict[Job, list[Any]] = {}
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            job = Job(variant=line["variant"], clip=line["clip"], seed=int(line["seed"]))
            found.setdefault(job, []).append(
                world.scores(**{name: float(line[name]) for name in names_of(world.scores)})
            )
    return found
