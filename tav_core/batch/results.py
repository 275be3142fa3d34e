"""The results of a batch as a table: one row per edit, from what the jobs left on the disk. CSV, and Parquet as well.

Whoever ends last writes the whole table: it is read from all jobs of the list, also those of other shards.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..atomic_files import whole_file
from ..metrics.field import FIELD_SCORES
from ..metrics.scores import SCORES, ScoreName
from .job_folder import JobFolder, read_json
from .keys import JobKeys, edit_seed
from .manifest.jobs import ClipJob, Edit
from .recipe import Recipe

ALL_SCORES: dict[str, ScoreName] = {**FIELD_SCORES, **SCORES}
OF_CLIPS, OF_EDITS = ("tune", "invert"), ("edit", "scores")
Row = dict[str, Any]


def collect_rows(jobs: Sequence[ClipJob], recipe: Recipe, hashes: Mapping[str, str], out: Path) -> list[Row]:
    """One row per edit of the list: what it is, its settings, its scores, and what it took."""
    return [row for job in jobs for row in job_rows(job, recipe, hashes, out)]


def job_rows(job: ClipJob, recipe: Recipe, hashes: Mapping[str, str], out: Path) -> Iterator[Row]:
    """The rows of one job."""
    folder = JobFolder(out / "jobs" / job.folder)
    status, stages, listed = read_json(folder.status), folder.read_stages(), read_json(folder.scores)
    inputs = read_json(folder.inputs)
    keys = JobKeys(job, recipe, hashes, inputs) if inputs else None
    failures = [each for each in status.get("failures", ()) if isinstance(each, dict)]
    for edit in job.edits:
        video = folder.video(edit.type, recipe.modes.format)
        is_done = keys is not None and folder.is_done(f"edit {edit.type}", keys.edits[edit.type], video)
        own = listed.get(edit.type, {})
        is_scored = keys is not None and own.get("key") == keys.scores[edit.type]
        scores = own.get("scores", {}) if is_scored else {}
        # What is there now may have failed in a run with other settings.
        over = {"scores": is_scored}
        wrong = [
            each
            for each in failures
            if each.get("edit") in ("", edit.type) and not over.get(str(each.get("stage")), is_done)
        ]
        records = {name: stages.get(name, {}) for name in OF_CLIPS}
        records |= {name: stages.get(f"{name} {edit.type}", {}) for name in OF_EDITS}
        yield {
            **describe(job, edit, recipe),
            "state": "failed" if wrong else "done" if is_done else "missing",
            "video": video.relative_to(out).as_posix() if is_done else "",
            **{name: scores.get(name) for name in ALL_SCORES},
            **{f"seconds_{name}": record.get("seconds") for name, record in records.items()},
            "peak_memory_mb": max((record.get("peak_memory_mb") or 0 for record in records.values()), default=0)
            or None,
            "host": status.get("host", ""),
            "gpu": status.get("gpu", ""),
            "attempt": status.get("attempt"),
            "error": "; ".join(f"{each.get('stage')}: {each.get('got')}" for each in wrong),
        }


def describe(job: ClipJob, edit: Edit, recipe: Recipe) -> Row:
    """What an edit is, and its settings."""
    read = job.config
    return {
        "job": job.folder,
        "name": job.name,
        "split": job.split,
        "type": edit.type,
        "clip": job.clip,
        "prompt": job.prompt,
        "edit": edit.prompt,
        "negative": edit.negative,
        "mask": edit.mask,
        "seed": edit_seed(edit, recipe),
        "start": read.start,
        "stride": read.stride,
        "num_frames": read.num_frames,
        "width": read.width,
        "height": read.height,
        "fit": read.fit,
        "tuning_steps": recipe.tuning.num_steps,
        "learning_rate": recipe.tuning.learning_rate,
        "tuning_seed": recipe.tuning.seed,
        "sampling_steps": recipe.sampling.num_steps,
        "guidance_scale": recipe.sampling.guidance_scale,
        "eta": recipe.sampling.eta,
        "method": recipe.inversion.method,
    }


def write_results(out: Path, rows: Sequence[Row]) -> list[Path]:
    """Writes results.csv, and results.parquet where pyarrow is installed; returns what was written."""
    path = out / "results.csv"
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["job"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    parquet = write_parquet(out / "results.parquet", rows)
    return [path, *([parquet] if parquet else [])]


def write_parquet(path: Path, rows: Sequence[Row]) -> Path | None:
    """Writes the rows as Parquet; None where pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return None
    # A column that is empty so far has the kind that it will have.
    kinds = {name: pyarrow.float64() for name in [*ALL_SCORES, *(f"seconds_{name}" for name in (*OF_CLIPS, *OF_EDITS))]}
    kinds |= {"peak_memory_mb": pyarrow.int64(), "attempt": pyarrow.int64()}
    columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    table = pyarrow.table({name: pyarrow.array(values, kinds.get(name)) for name, values in columns.items()})
    with whole_file(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
    return path


def means(rows: Sequence[Row], by: Collection[str] = ("split", "type")) -> list[Row]:
    """The mean of each score over the edits that are done: of all, then of each group that the columns tell apart.

    Returns:
        One row per group: `group`, `edits`, and the scores that any of its edits has. Infinite scores are left out.
    """
    done = [row for row in rows if row["state"] == "done"]
    groups: dict[str, list[Row]] = {"all": done}
    for column in by:
        values = {row[column] for row in done}
        for row in done:
            if row[column] and len(values) > 1:
                groups.setdefault(f"{column} {without_number(row[column], values)}", []).append(row)
    return [{"group": name, "edits": len(held), **mean_scores(held)} for name, held in groups.items()]


def without_number(value: str, others: Collection[str]) -> str:
    """A type without the number that a second edit of it got."""
    stem = re.sub(r"-\d+$", "", value)
    return stem if stem in others else value


def mean_scores(rows: Sequence[Row]) -> dict[str, float]:
    """The mean of each score that any row has."""
    found = {}
    for name in ALL_SCORES:
        values = [row[name] for row in rows if row[name] is not None and math.isfinite(row[name])]
        if values:
            found[name] = sum(values) / len(values)
    return found
