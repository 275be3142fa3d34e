"""Tables of the ablation's scores, as values and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..oracle.scores import Scores, summarize
from ..world.clips import PARTS, changed_parts, clip_named
from .tables import markdown_table

if TYPE_CHECKING:
    from .jobs import Job

COLUMNS = ("edits_right", "right", "path", "distance", "agreement", "kept", "background_kept", "flicker")
PART_COLUMNS = ("edits_right", "kept")
Row = dict[str, float]
Rows = dict[str, Row]


def tabulate(jobs: Sequence[Job], scored: Sequence[Sequence[Scores]]) -> tuple[Rows, Rows]:
    """For each variant, the means over all edits, and the spread: the standard deviation of the means of the seeds.

    With one seed, the spread is 0.
    """
    rows, spread = {}, {}
    for variant in dict.fromkeys(job.variant for job in jobs):
        by_seed: dict[int, list[Scores]] = {}
        for job, scores in zip(jobs, scored, strict=True):
            if job.variant == variant:
                by_seed.setdefault(job.seed, []).extend(scores)
        rows[variant] = {**summarize([s for each in by_seed.values() for s in each]), "seeds": len(by_seed)}
        means = [summarize(each) for each in by_seed.values()]
        spread[variant] = {name: float(np.std([mean[name] for mean in means])) for name in COLUMNS}
    return rows, spread


def tabulate_parts(jobs: Sequence[Job], scored: Sequence[Sequence[Scores]]) -> dict[str, dict[str, Row]]:
    """For each variant and part, the means over the edits that change that part alone."""
    found: dict[str, dict[str, list[Scores]]] = {}
    for job, scores in zip(jobs, scored, strict=True):
        clip = clip_named(job.clip)
        for edit, one in zip(clip.edits, scores, strict=True):
            if len(changes := changed_parts(clip, edit)) == 1:
                found.setdefault(job.variant, {}).setdefault(changes[0], []).append(one)
    return {name: {part: summarize(parts[part]) for part in PARTS if part in parts} for name, parts in found.items()}


def format_parts(parts: Mapping[str, Mapping[str, Row]]) -> str:
    """A Markdown table of what `tabulate_parts` returns: the edits that are right, and how much is kept."""
    columns = [(part, name) for part in next(iter(parts.values())) for name in PART_COLUMNS]
    rows = ([variant, *(f"{row[part][name]:.3f}" for part, name in columns)] for variant, row in parts.items())
    return markdown_table(["", *(f"{part}: {name}" for part, name in columns)], rows)


def format_table(rows: Mapping[str, Mapping[str, float]], spread: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of the variants' scores, each followed by its spread over seeds."""
    digits, lines = dict.fromkeys(COLUMNS, 3) | {"distance": 1, "flicker": 4}, []
    for name, row in rows.items():
        cells = [f"{row[c]:.{digits[c]}f}" for c in COLUMNS]
        if row["seeds"] > 1:
            cells = [f"{cell} ± {spread[name][c]:.{digits[c]}f}" for cell, c in zip(cells, COLUMNS, strict=True)]
        lines.append([name, str(row["edits"]), *cells])
    return markdown_table(["", "edits", *COLUMNS], lines)
