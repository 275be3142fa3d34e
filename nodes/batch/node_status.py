"""What is told of a clip of a batch: in its file, and on the node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...tav_core.batch.job_folder import JobFolder
from ...tav_core.batch.progress import JobStatus


class NodeStatus(JobStatus):
    """Says on the node which stage of which clip begins.

    Args:
        folder, run: see `JobStatus`.
        where: the clip, in words.
        show: shows a text on the node.
    """

    def __init__(self, folder: JobFolder, run: str, *, where: str, show: Callable[[str], Any]) -> None:
        super().__init__(folder, run)
        self.where, self.show = where, show
        self.show(where)

    def tell(self, stage: str, step: int = 0, steps: int = 0, **more: Any) -> None:
        """See `JobStatus`."""
        if stage != self.values.get("stage"):
            self.show(f"{self.where}: {stage}")
        super().tell(stage, step, steps, **more)
