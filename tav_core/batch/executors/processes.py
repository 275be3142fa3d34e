"""The executor `processes`: one child per GPU of this machine, each of which sees its own GPU alone.

The children are started as programs of their own: nothing of this process is imported there twice, on any system. Each
keeps its model from job to job, and is replaced when it dies or a job crashed in it.
"""

from __future__ import annotations

import json
import os
import queue as queues
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from .tasks import Outcome, Outcomes, Queue, Run, Slots, Task, died

# Seconds that a child has to save its state when the run ends early.
GRACE = 30.0
# Seconds between two looks for Ctrl-C, which a wait without an end does not hear on Windows.
LOOK = 1.0
Answers: TypeAlias = "queues.Queue[tuple[Child, subprocess.Popen[str], str]]"


class Child:
    """A process that does jobs.

    Args:
        number: of its slot.
        module: what it runs.
        gpu: the GPU that it sees; None for no choice.
        threads: of PyTorch, where the environment does not say it.
        log: the file that it prints to.
        answers: where its answers are put, as (child, process, line); an empty line when the process has died.
    """

    def __init__(
        self,
        number: int,
        module: str,
        gpu: str | None,
        threads: int,
        log: Path,
        answers: Answers,
    ) -> None:
        self.number, self.module, self.gpu, self.threads, self.log = number, module, gpu, threads, log
        self.answers = answers
        self.task: Task | None = None
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts the process, or starts it again."""
        self.stop()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(self.module, self.gpu, self.threads),
                encoding="utf-8",
            )
        threading.Thread(target=self.listen, args=(self.process,), daemon=True).start()

    def listen(self, process: subprocess.Popen[str]) -> None:
        """Passes on what a process answers; an empty line when it ends."""
        assert process.stdout is not None
        for line in process.stdout:
            self.answers.put((self, process, line))
        self.answers.put((self, process, ""))

    def give(self, task: Task) -> None:
        """Gives it a job."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.task = task
        assert self.process is not None and self.process.stdin is not None
        # A child that has just died answers with its end.
        with suppress(BrokenPipeError, OSError):
            self.process.stdin.write(json.dumps(task.payload) + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        """Ends the process; a tuning saves its state first."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            # What could not be written to a process that has died is of no use to anybody.
            with suppress(OSError):
                pipe.close()

    def outcome(self, line: str) -> Outcome:
        """What an answer means; a process that died has none."""
        if line:
            return json.loads(line)
        assert self.process is not None
        status = self.process.wait()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return died(f"a process that ended with {how}; it printed to {self.log.name}")


def run_in_processes(queue: Queue, run: Run, slots: Slots) -> Outcomes:
    """Runs the tasks of a queue in children that run `worker.py` beside the module of `run`."""
    answers: Answers = queues.Queue()
    module = f"{run.__module__.rpartition('.')[0]}.worker"
    gpus = choose_gpus(slots)
    threads = max(1, (os.cpu_count() or 1) // len(gpus))
    slots.logs.mkdir(parents=True, exist_ok=True)
    children = [
        Child(number, module, gpu, threads, slots.logs / f"worker-{number}.log", answers)
        for number, gpu in enumerate(gpus)
    ]
    try:
        while queue or any(child.task for child in children):
            for child in children:
                if queue and child.task is None:
                    child.give(queue.popleft())
            try:
                child, process, line = answers.get(timeout=LOOK)
            except queues.Empty:
                continue
            if child.task is None or process is not child.process:
                # The end of a process that had no job, or that another one has replaced.
                continue
            task, child.task = child.task, None
            outcome = child.outcome(line)
            if outcome["state"] == "crashed":
                # A GPU's context may be broken, and memory may be lost.
                child.stop()
            yield task, outcome
    finally:
        stop_all(children)


def stop_all(children: list[Child]) -> None:
    """Ends all children at once, so that their grace runs at the same time."""
    threads = [threading.Thread(target=child.stop) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def choose_gpus(slots: Slots) -> list[str | None]:
    """The GPU of each child, by what CUDA_VISIBLE_DEVICES calls it; None for a child that is not told one."""
    names = visible_gpus() if slots.gpus else []
    if not names:
        return [None] * max(1, slots.workers)
    each = int(1 / min(slots.gpus, 1))
    shared = [name for name in names for _ in range(each)]
    return [shared[number % len(shared)] for number in range(slots.workers or len(shared))]


def visible_gpus() -> list[str]:
    """The names of the GPUs that this process may use."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(torch.cuda.device_count())]


def environment(module: str, gpu: str | None, threads: int) -> dict[str, str]:
    """A child's environment: where it finds this package, its GPU, and its share of the cores."""
    root = Path(__file__).resolve().parents[len(__name__.split(".")) - 1]
    others = os.environ.get("PYTHONPATH")
    given = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(root), *([others] if others else [])])}
    # What Windows' own code page lacks would otherwise end a job that prints it.
    given |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    given.setdefault("OMP_NUM_THREADS", str(threads))
    # See tav_core/__main__.py.
    given.setdefault("GOMP_SPINCOUNT", "1000")
    return given if gpu is None else given | {"CUDA_VISIBLE_DEVICES": gpu}
