"""What executors pass around: tasks and the slots that they run in. Plain values, so that any process takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Payload = Mapping[str, Any]
Outcome = dict[str, Any]
Run = Callable[[Payload], Outcome]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job to run.

    Args:
        name: for messages.
        payload: what the run is given: JSON values.
        number: its place in the batch.
        tries: how often it was tried in vain.
        low_memory: whether it ran out of memory before.
    """

    name: str
    payload: Payload
    number: int = 0
    tries: int = 0
    low_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Where tasks run.

    Args:
        gpus: GPUs of a task, a fraction for several tasks on one; 0 for a CPU.
        cpus: CPUs of a task, for Ray.
        workers: processes at once, for `processes`; 0 for one per GPU, or a single one.
        retries: how often a task whose process died is tried again.
        address: of Ray's cluster; "" for a local one, or what RAY_ADDRESS says.
        logs: a folder for what processes print.
        checks: what every node must have, for Ray: `model`, `clips`, `out`.
    """

    gpus: float = 1.0
    cpus: float = 2.0
    workers: int = 0
    retries: int = 2
    address: str = ""
    logs: Path = field(default_factory=Path)
    checks: Mapping[str, Any] = field(default_factory=dict)


Queue = deque[Task]
Outcomes = Generator[tuple[Task, Outcome], None, None]
Executor = Callable[[Queue, Run, Slots], Outcomes]


def died(what: str) -> Outcome:
    """The outcome of a task whose process ended without one."""
    failure = {
        "stage": "process",
        "edit": "",
        "kind": "crashed",
        "got": what,
        "expected": "a process that ends with an answer",
        "mend": "Often memory of the machine ran out: use fewer workers or smaller clips; see the logs.",
    }
    return {"state": "crashed", "failures": [failure], "attempt": 0}
