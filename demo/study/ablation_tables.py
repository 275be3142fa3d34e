"""Tables of the ablation's scores, as values and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..oracle.scores import summarize
from .tables import markdown_table

if TYPE_CHECKING:
    from .jobs import Job
    from .worlds import World

# How many videos and seeds a row is of, which are no scores.
COUNTS = ("edits", "seeds")
DIGITS = {"distance": 1, "flicker": 4}
PART_COLUMNS = ("edits_right", "kept")
Row = dict[str, float]
Rows = dict[str, Row]


def tabulate(jobs: Sequence[Job], scored: Sequence[Sequence[Any]]) -> tuple[Rows, Rows]:
    """For each variant, the means over all edits, and the spread: the standard deviation of the means of the seeds.

    With one seed, the spread is 0.
    """
    rows, spread = {}, {}
    for variant in dict.fromkeys(job.variant for job in jobs):
        by_seed: dict[int, list[Any]] = {}
        for job, scores in zip(jobs, scored, strict=True):
            if job.variant == variant:
                by_seed.setdefault(job.seed, []).extend(scores)
        rows[variant] = {**summarize([s for each in by_seed.values() for s in each]), "seeds": len(by_seed)}
        means = [summarize(each) for each in by_seed.values()]
        columns = columns_of(rows[variant])
        spread[variant] = {name: float(np.std([mean[name] for mean in means])) for name in columns}
    return rows, spread


def columns_of(row: Mapping[str, float]) -> list[str]:
    """The scores of a row."""
    return [name for name in row if name not in COUNTS]


def tabulate_parts(world: World, jobs: Sequence[Job], scored: Sequence[Sequence[Any]]) -> dict[str, dict[str, Row]]:
    """For each variant and part, the means over the edits that change that part alone."""
    found: dict[str, dict[str, list[Any]]] = {}
    for job, scores in zip(jobs, scored, strict=True):
        clip = world.clips[job.clip]
        for edit, one in zip(clip.edits, scores, strict=True):
            if len(changes := world.changed_parts(clip, edit)) == 1:
                found.setdefault(job.variant, {}).setdefault(changes[0], []).append(one)
    return {
        name: {part: summarize(parts[part]) for part in world.parts if part in parts} for name, parts in found.items()
    }


def format_parts(parts: Mapping[str, Mapping[str, Row]]) -> str:
    """A Markdown table of what `tabulate_parts` returns: the edits that are right, and how much is kept."""
    columns = [(part, name) for part in next(iter(parts.values())) for name in PART_COLUMNS]
    rows = ([variant, *(f"{row[part][name]:.3f}" for part, name in columns)] for variant, row in parts.items())
    return markdown_table(["", *(f"{part}: {name}" for part, name in columns)], rows)


def format_table(rows: Mapping[str, Mapping[str, float]], spread: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of the variants' scores, each followed by its spread over seeds."""
    columns, lines = columns_of(next(iter(rows.values()))), []
    for name, row in rows.items():
        cells = [f"{row[column]:.{DIGITS.get(column, 3)}f}" for column in columns]
        if row["seeds"] > 1:
            strays = [f"{spread[name][column]:.{DIGITS.get(column, 3)}f}" for column in columns]
            cells = [f"{cell} ± {stray}" for cell, stray in zip(cells, strays, strict=True)]
        lines.append([name, str(row["edits"]), *cells])
    return markdown_table(["", "edits", *columns], lines)
