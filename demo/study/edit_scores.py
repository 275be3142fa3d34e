"""The scores of every edit as a CSV file: one line per edit, with its job in front."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ..oracle.scores import Scores
from ..world.clips import clip_named
from .jobs import Job

KINDS = (Job, Scores)


def names_of(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def save_edits(path: Path, jobs: Sequence[Job], scored: Sequence[Sequence[Scores]]) -> None:
    """Writes the scores as CSV, one line per edit."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for kind in KINDS for name in names_of(kind)] + ["prompt"])
        for job, scores in zip(jobs, scored, strict=True):
            for edit, one in zip(clip_named(job.clip).edits, scores, strict=True):
                numbers = (f"{number:.4g}" for number in dataclasses.astuple(one))
                writer.writerow([*dataclasses.astuple(job), *numbers, edit.prompt])


def load_edits(path: Path) -> dict[Job, list[Scores]]:
    """What `save_edits` wrote: the scores of each job's edits, to the four digits that the file holds."""
    found: dict[Job, list[Scores]] = {}
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            job = Job(variant=line["variant"], clip=line["clip"], seed=int(line["seed"]))
            found.setdefault(job, []).append(Scores(**{name: float(line[name]) for name in names_of(Scores)}))
    return found
