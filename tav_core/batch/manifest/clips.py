"""Whether the clips of a list can be read, and are long enough: looked up before the first job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ...errors import TavError
from ...video.clip import open_source
from ...video.timeline import pick_frames
from .jobs import ClipJob
from .rows import Problems

AT_ONCE = 8


def check_clips(jobs: Sequence[ClipJob], problems: Problems, on_clip: Callable[[], None] = lambda: None) -> None:
    """Notes the clips that are no videos, damaged or too short. No frame is decoded.

    Args:
        on_clip: called after each clip.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for job, wrong in zip(jobs, pool.map(what_is_wrong, jobs), strict=True):
            if wrong:
                problems.add(job.where, wrong)
            on_clip()


def what_is_wrong(job: ClipJob) -> str:
    """Why a clip cannot be read as the job says; "" if it can."""
    try:
        source = open_source(job.clip)
        pick_frames(source.timeline, job.config, name=source.path.name)
    except TavError as error:
        return f"{error.got}; expected {error.expected}"
    return ""
