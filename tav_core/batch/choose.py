"""Which jobs of a list a run does: a shard of it, and those that a pattern names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ..errors import ConfigError
from .manifest.jobs import ClipJob
from .results import without_number


def parse_shard(text: str) -> tuple[int, int]:
    """Which part of how many, from "3/8"; the first is 1.

    Raises:
        ConfigError: the text has another form, or there is no such part.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    part, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= part <= parts:
        raise ConfigError(
            got=f"--shard {text}",
            expected="a part from 1 and the number of parts, such as 3/8",
            mend="In a SLURM array from 1 to 8: --shard $SLURM_ARRAY_TASK_ID/8.",
        )
    return part, parts


def take_shard(jobs: Sequence[ClipJob], shard: tuple[int, int]) -> list[ClipJob]:
    """Every n-th job, so that long clips, which stand together in many lists, are spread."""
    part, parts = shard
    return list(jobs[part - 1 :: parts])


def take_only(jobs: Sequence[ClipJob], pattern: str) -> list[ClipJob]:
    """The jobs whose clip a pattern such as "bear*" names; one with a slash, "*/style", names edits by clip and type,
    also the second and further ones of a type.

    Raises:
        ConfigError: it names none.
    """
    clip, slash, kind = pattern.partition("/")
    found = []
    for job in jobs:
        types = {edit.type for edit in job.edits}
        called = {each: (each, without_number(each, types)) for each in types}
        edits = tuple(
            edit for edit in job.edits if not slash or any(fnmatchcase(name, kind) for name in called[edit.type])
        )
        if edits and fnmatchcase(job.name, clip):
            has_masks = any(edit.mask for edit in job.edits)
            found.append(dataclasses.replace(job, edits=edits, has_masks=has_masks))
    if not found:
        names = sorted({job.name for job in jobs})
        raise ConfigError(
            got=f"--only {pattern}, which names none of {len(jobs)} clips",
            expected=f"a pattern for names such as {', '.join(names[:3])}",
            mend="Use * for any letters, and CLIP/TYPE for single edits; --dry-run lists them.",
        )
    return found
