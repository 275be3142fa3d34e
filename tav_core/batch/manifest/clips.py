"""Whether the clips of a list can be read and are long enough, and whether their masks fit: looked up before the first
job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...errors import TavError
from ...video.clip import Source, open_source, source_size
from ...video.mask import UnreadClip, read_mask
from ...video.timeline import pick_frames
from .jobs import ClipJob
from .rows import Problems

AT_ONCE = 8


def check_clips(jobs: Sequence[ClipJob], problems: Problems, on_clip: Callable[[], None] = lambda: None) -> None:
    """Notes the clips that are no videos, damaged or too short, and those with a mask that does not fit or would hardly
    act. Frames are decoded of clips with masks alone.

    Args:
        on_clip: called after each clip.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for job, wrong in zip(jobs, pool.map(what_is_wrong, jobs), strict=True):
            if wrong:
                problems.add(job.where, wrong)
            on_clip()


def what_is_wrong(job: ClipJob) -> str:
    """Why a clip, or a mask of it, cannot be read as the job says; "" if it can."""
    try:
        source = open_source(job.clip)
        picks = pick_frames(source.timeline, job.config, name=source.path.name)
        check_masks(job, source, picks)
    except TavError as error:
        return f"{error.got}; expected {error.expected}"
    return ""


def check_masks(job: ClipJob, source: Source, picks: Sequence[int]) -> None:
    """Raises `ClipError` for the first mask of a job that does not fit its clip, or would hardly act."""
    masks = {(path, scores) for edit in job.edits for path, scores in ((edit.mask, False), (edit.score_mask, True))}
    masks = {(path, scores) for path, scores in masks if path and Path(path).exists()}
    if not masks:
        return
    clip = UnreadClip(
        path=source.path,
        config=job.config,
        source_frames=len(source.timeline),
        source_size=source_size(source),
        positions=picks,
        pixel_aspect=source.pixel_aspect,
    )
    for path, scores in sorted(masks):
        read_mask(path, clip, may_be_faint=scores)
