"""The executor `serial`: one job after the other, in this process."""

from __future__ import annotations

from .tasks import Outcomes, Queue, Run, Slots


def run_serially(queue: Queue, run: Run, slots: Slots) -> Outcomes:
    """Runs the tasks of a queue, and those that are put into it meanwhile."""
    while queue:
        task = queue.popleft()
        yield task, run(task.payload)
