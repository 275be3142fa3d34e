"""Whether the prompts of a list are short enough: looked up before the first job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import TavError
from .jobs import ClipJob
from .rows import Problems


def check_prompts(jobs: Sequence[ClipJob], problems: Problems, check: Callable[[str], None]) -> None:
    """Notes the prompts that the text encoder would refuse.

    Args:
        check: raises for such a prompt.
    """
    for job in jobs:
        told = [job.prompt, *(text for edit in job.edits for text in (edit.prompt, edit.negative))]
        for prompt in dict.fromkeys(told):
            try:
                check(prompt)
            except TavError as error:
                problems.add(job.where, f"{error.got}; expected {error.expected}: {prompt!r}")
