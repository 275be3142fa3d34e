"""The executor `serial`: one job after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator

from .tasks import Outcome, Queue, Run, Slots, Task


def run_serially(queue: Queue, run: Run, slots: Slots) -> Iterator[tuple[Task, Outcome]]:
    """Runs the tasks of a queue, and those that are put into it meanwhile."""
    while queue:
        task = queue.popleft()
        yield task, run(task.payload)
